"""Gmail and Google Calendar: the scopes asked for are enough, and the check against Google's documents can fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.adapters.json_schema import compile_schema
from sidecar.adapters.yaml_file import read_yaml
from sidecar.auth.scopes import wanted_scopes
from sidecar.catalogue.load import load_provider
from sidecar.kinds import JwtBearer, OAuth2
from sidecar.manifest import FixedUrl, Operation
from sidecar.ports import Formats
from sidecar.provider import Provider
from sidecar.wire.request import call_id_at
from tests.connectors.comparison import differences
from tests.connectors.discovery import accepted_scopes, discovered
from tests.connectors.published import Document, read, shape
from tests.connectors.test_against_documents import SHARED

CONNECTORS = Path(__file__).parents[2] / "connectors"
ME = {"userId": "me"}
PROVIDERS = pytest.mark.parametrize("name", ["gmail", "google_calendar"])


def provider(name: str) -> Provider:
    return load_provider(CONNECTORS / name, Formats(read_yaml, compile_schema))


def document(name: str) -> Document:
    path = SHARED / "specs" / f"{name}.json.gz"
    if not path.is_file():
        pytest.skip(f"no published document at {path}; set SHARED to the folder that has specs/{name}.json.gz")
    return read(path)


def kinds(found: Provider) -> Iterator[OAuth2 | JwtBearer]:
    for auth in found.manifest.auth:
        assert isinstance(auth, OAuth2 | JwtBearer)
        yield auth


@PROVIDERS
def test_the_scopes_asked_for_are_enough_for_each_operation(name: str) -> None:
    """Whoever is allowed one operation alone is given a scope that Google accepts for it."""
    found, accepted = provider(name), accepted_scopes(document(name), ME)
    assert isinstance(found.manifest.base_url, FixedUrl)
    base = "/" + found.manifest.base_url.url.split("/", 3)[3]
    for auth in kinds(found):
        for operation in found.operations.values():
            if not operation.raw:
                enough = accepted[operation.fact.method, shape(base + operation.fact.path)]
                assert set(wanted_scopes(auth, [operation.name])) & enough, operation.name


@PROVIDERS
def test_every_connection_may_make_the_call_that_verifies_it(name: str) -> None:
    """Whatever else is allowed, the scopes that are always asked for are enough to see whose account it is."""
    found, accepted = provider(name), accepted_scopes(document(name), ME)
    assert found.manifest.verify is not None
    assert isinstance(found.manifest.base_url, FixedUrl)
    fact = found.operations[found.manifest.verify.operation].fact
    path = "/" + found.manifest.base_url.url.split("/", 3)[3] + fact.path
    for auth in kinds(found):
        assert set(wanted_scopes(auth, [])) & accepted[fact.method, shape(path)]


@PROVIDERS
def test_every_scope_is_googles_and_both_kinds_ask_for_the_same(name: str) -> None:
    """No scope is made up, and a service account is asked to be allowed no more than a person."""
    found = provider(name)
    known = document(name)["auth"]["oauth2"]["scopes"].keys()
    person, service = kinds(found)
    assert person.scopes.keys() | set(person.always) <= known
    assert (person.scopes, person.always) == (service.scopes, service.always)


@PROVIDERS
def test_every_operation_has_a_scope_of_its_own(name: str) -> None:
    """No operation is forgotten, the raw requests neither, and no scope names an operation that there is none of."""
    found = provider(name)
    for auth in kinds(found):
        named = [operation for names in auth.scopes.values() for operation in names]
        assert sorted(named) == sorted(found.operations)


@pytest.mark.parametrize("dice", [bytes(10), b"\xff" * 10, bytes(range(10))])
@pytest.mark.parametrize("wall", [0.0, 1_795_255_200.0, 2.0**47 / 1000])
def test_the_id_of_a_new_event_is_one_that_google_takes(wall: float, dice: bytes) -> None:
    """Letters a to v and digits, whatever the call's id, which stands for no other event."""
    create = provider("google_calendar").operations["events.create"]
    assert create.input_hook is not None
    event = {"calendar_id": "primary", "title": "", "start": "2026-11-23", "end": "2026-11-24"}
    made = create.input_hook({**event, "call_id": call_id_at(wall, dice)})["event_id"]
    assert not list(create.problems({**event, "event_id": made}))
    assert made != create.input_hook({**event, "call_id": call_id_at(wall + 1, dice)})["event_id"]
    assert create.input_hook({**event, "event_id": "mine00", "call_id": call_id_at(wall, dice)})["event_id"] == "mine00"


BOOKS: Document = {
    "servicePath": "library/v1/",
    "schemas": {
        "Book": {
            "type": "object",
            "properties": {
                "title": {"type": "string", "annotations": {"required": ["library.books.add"]}},
                "form": {"type": "string", "enum": ["paper", "audio"]},
                "authors": {"type": "array", "items": {"$ref": "Author"}},
                "place": {"$ref": "Place"},
                "note": {"type": "any"},
            },
        },
        "Author": {"type": "object", "properties": {"name": {"type": "string"}}},
        "Place": {"type": "object", "properties": {"shelf": {"type": "integer"}}},
    },
    "resources": {
        "users": {
            "resources": {
                "books": {
                    "methods": {
                        "add": {
                            "id": "library.books.add",
                            "httpMethod": "POST",
                            "path": "{userId}/rooms/{room}/books",
                            "parameters": {
                                "userId": {"type": "string", "location": "path", "required": True},
                                "room": {"type": "integer", "location": "path", "required": True},
                                "tag": {"type": "string", "location": "query", "repeated": True},
                                "notify": {"type": "boolean", "location": "query"},
                            },
                            "request": {"$ref": "Book"},
                            "scopes": ["write"],
                        }
                    }
                }
            }
        }
    },
}
RIGHT: dict[str, Any] = {
    "room": {"in": "path", "type": "integer"},
    "tags": {"in": "query", "name": "tag", "type": "array", "items": {"type": "string"}},
    "notify": {"in": "query", "type": "boolean"},
    "title": {"in": "body", "type": "string"},
    "form": {"in": "body", "type": "string", "enum": ["audio"]},
    "authors": {"in": "body", "type": "array", "items": {"type": "object"}},
    "shelf": {"in": "body", "name": "place.shelf", "type": "integer"},
    "note": {"in": "body", "type": ["string", "integer"]},
}


def departures(change: dict[str, Any], *, path: str = "/me/rooms/{room}/books", title: bool = True) -> dict[str, str]:
    required = ("room", "title") if title else ("room",)
    facts = {"access": "write", "summary": "", "method": "POST", "path": path, "required": required}
    operation = msgspec.convert(facts | {"input": RIGHT | change}, Operation)
    return dict(differences("add", operation, discovered(BOOKS, ME), credential=(), base="/library/v1"))


def test_what_agrees_with_a_document_of_googles_passes() -> None:
    """Names, places, types, members of members, and a path whose user is spelled out."""
    assert departures({}) == {}
    assert accepted_scopes(BOOKS, ME) == {("POST", "/library/v1/me/rooms/{}/books"): {"write"}}


@pytest.mark.parametrize(
    ("change", "place", "rule"),
    [
        ({"room": {"in": "path", "type": "string"}}, "add.room", "string"),
        ({"tags": {"in": "query", "name": "tags", "type": "string"}}, "add.tags", "no query tags"),
        ({"tags": {"in": "query", "name": "tag", "type": "array", "items": {"type": "object"}}}, "add.tags", "object"),
        ({"notify": {"in": "query", "type": "string"}}, "add.notify", "string"),
        ({"form": {"in": "body", "type": "string", "enum": ["vinyl"]}}, "add.form", "vinyl"),
        ({"authors": {"in": "body", "type": "array", "items": {"type": "string"}}}, "add.authors", "string"),
        ({"shelf": {"in": "body", "name": "place.shelves", "type": "integer"}}, "add.shelf", "no body place.shelves"),
        ({"shelf": {"in": "body", "name": "place.shelf", "type": "string"}}, "add.shelf", "string"),
    ],
)
def test_each_departure_from_a_document_of_googles_is_found(change: dict[str, Any], place: str, rule: str) -> None:
    """The check can fail, and names operation and input."""
    found = departures(change)
    assert list(found) == [place]
    assert rule in found[place]


def test_what_google_requires_must_be_required() -> None:
    """What the document marks as required for the method, and a path that it does not have."""
    assert departures({}, title=False) == {"add.title": "body title is required"}
    assert departures({}, path="/you/rooms/{room}/books") == {"add": "no POST /library/v1/you/rooms/{room}/books"}
