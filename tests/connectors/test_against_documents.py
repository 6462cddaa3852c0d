"""Every operation of our own words stands in the document that the provider publishes, with every input it names.

The documents are not part of this repository: they are read from `specs/` below SHARED (by default beside the
repository), and where one is absent its tests say so and are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from sidecar.adapters.json_schema import compile_schema
from sidecar.adapters.yaml_file import read_yaml
from sidecar.catalogue.load import load_provider
from sidecar.manifest import Operation
from sidecar.ports import Formats
from sidecar.provider import Provider
from tests.connectors.comparison import differences
from tests.connectors.discovery import discovered
from tests.connectors.published import Document, Key, Published, operations, read

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("SHARED") or ROOT.parent / "shared")

CALENDAR_FORM = "said as people do; the input hook makes Google's form of it"
CALENDAR_ETAG = "https://developers.google.com/workspace/calendar/api/guides/version-resources"
SLACK_FORM = "the document describes the urlencoded form, where a list is JSON text; in a JSON body it is the list"
SLACK_TS = "a ts as a number loses digits, so it is sent as text; in a query both look alike"
GRAPH_SELECT = "any property may be named: the list of them would be longer than all that an agent reads beside it"
GRAPH_PREFER = "the document lists no headers; see https://learn.microsoft.com/graph/api/event-get#request-headers"
GRAPH_PEOPLE = "an address here; the input hook makes the object of it, and the cases show that"
SLACK_LATER = "younger than the document; see https://docs.slack.dev/reference/methods"


class Source(NamedTuple):
    """A provider, its document, the names that its credential fills, and where we differ on purpose, with the reason.

    A difference is named `operation.input`. `filled` are path parameters of the document that our paths spell out.
    `any_case`: fields of a body are read without regard to case.
    """

    provider: str
    document: str
    credential: tuple[str, ...] = ()
    base: str = ""
    filled: Mapping[str, str] = {}
    differs: Mapping[str, str] = {}
    any_case: bool = False


SOURCES = (
    Source("github", "github"),
    Source("gmail", "gmail", base="/gmail/v1", filled={"userId": "me"}),
    Source(
        "google_calendar",
        "google_calendar",
        base="/calendar/v3",
        differs={
            f"events.{name}.{field}": CALENDAR_FORM
            for name in ("create", "update")
            for field in ("start", "end", "guests", "meeting", "busy", "reminders")
        }
        | {
            "freebusy.query.calendars": CALENDAR_FORM,
            "events.update.etag": CALENDAR_ETAG,
            "events.delete.etag": CALENDAR_ETAG,
        },
    ),
    Source(
        "slack",
        "slack",
        credential=("token",),
        differs={
            "conversations.list.team_id": SLACK_LATER,
            "users.list.team_id": SLACK_LATER,
            "messages.post.markdown": SLACK_LATER,
            "messages.update.markdown": SLACK_LATER,
            "messages.post.blocks": SLACK_FORM,
            "messages.update.blocks": SLACK_FORM,
            "conversations.history.oldest": SLACK_TS,
            "conversations.history.latest": SLACK_TS,
            "conversations.replies.oldest": SLACK_TS,
            "conversations.replies.latest": SLACK_TS,
            "conversations.replies.ts": SLACK_TS,
            "messages.delete.ts": "https://docs.slack.dev/reference/methods/chat.delete says string by now",
        },
    ),
    Source(
        "outlook",
        "microsoft_graph",
        any_case=True,
        differs={
            "messages.list.select": GRAPH_SELECT,
            "messages.search.select": GRAPH_SELECT,
            "messages.get.select": GRAPH_SELECT,
            "messages.get.body_type": GRAPH_PREFER,
            "attachments.get": "$value is part of OData; see https://learn.microsoft.com/graph/api/attachment-get",
            "calendar.view.select": GRAPH_SELECT,
            "calendar.view.body_type": GRAPH_PREFER,
            "events.list.select": GRAPH_SELECT,
            "events.list.body_type": GRAPH_PREFER,
            "events.get.body_type": GRAPH_PREFER,
            "events.create.attendees": GRAPH_PEOPLE,
            "events.update.attendees": GRAPH_PEOPLE,
        },
    ),
)
BY_NAME = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.provider)


@BY_NAME
def test_every_operation_and_input_stands_in_the_published_document(source: Source) -> None:
    """Method, path, place, name and type of each input are the provider's; what it requires is required or fixed."""
    found = dict(_differences(source))
    unexplained = {place: rule for place, rule in found.items() if place not in source.differs}
    assert not unexplained


@BY_NAME
def test_every_difference_made_on_purpose_is_still_one(source: Source) -> None:
    """An exception that is not needed any more would hide the next mistake."""
    found = dict(_differences(source))
    assert not [place for place in source.differs if place not in found]


# A document of one operation, and what must be found wrong when our side of it is changed.
DOCUMENT: Document = {
    "paths": {
        "/shelves/{shelfId}/books": {
            "parameters": [{"in": "path", "name": "shelfId", "required": True, "schema": {"type": "integer"}}],
            "post": {
                "parameters": [{"$ref": "#/components/parameters/notify"}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/book"}}}},
            },
        }
    },
    "components": {
        "parameters": {"notify": {"in": "query", "name": "notify", "schema": {"type": "boolean"}}},
        "schemas": {
            "book": {
                "type": "object",
                "required": ["title"],
                "properties": {
                    "title": {"type": "string"},
                    "form": {"type": "string", "enum": ["paper", "audio"]},
                    "pages": {"type": "integer", "nullable": True},
                    "authors": {"type": "array", "items": {"type": "string"}},
                },
            }
        },
    },
}
SWAGGER: Document = {
    "paths": {
        "/shelves/{shelf}/books": {
            "post": {
                "parameters": [
                    {"in": "path", "name": "shelf", "required": True, "type": "integer"},
                    {"in": "query", "name": "notify", "type": "boolean"},
                    {"in": "formData", "name": "title", "required": True, "type": "string"},
                    {"in": "formData", "name": "form", "type": "string", "enum": ["paper", "audio"]},
                    {"in": "formData", "name": "pages", "type": "integer", "x-nullable": True},
                    {"in": "formData", "name": "authors", "type": "array", "items": {"type": "string"}},
                ]
            }
        }
    }
}
RIGHT: dict[str, Any] = {
    "shelf": {"in": "path", "type": "integer"},
    "notify": {"in": "query", "type": "boolean"},
    "title": {"in": "body", "type": "string"},
    "form": {"in": "body", "type": "string", "enum": ["paper"]},
    "pages": {"in": "body", "type": ["integer", "null"]},
    "authors": {"in": "body", "type": "array", "items": {"type": "string"}},
}


@pytest.mark.parametrize("document", [DOCUMENT, SWAGGER], ids=["openapi", "swagger"])
def test_what_agrees_with_the_document_passes(document: Document) -> None:
    """No difference is found where there is none."""
    assert _found(document, RIGHT, required=("shelf", "title")) == {}


@pytest.mark.parametrize("document", [DOCUMENT, SWAGGER], ids=["openapi", "swagger"])
@pytest.mark.parametrize(
    ("change", "place", "rule"),
    [
        ({"titel": {"in": "body", "type": "string"}}, "add.titel", "no body titel"),
        ({"notify": {"in": "body", "type": "boolean"}}, "add.notify", "no body notify"),
        ({"shelf": {"in": "path", "type": "string"}}, "add.shelf", "string"),
        ({"notify": {"in": "query", "type": "string"}}, "add.notify", "string"),
        ({"pages": {"in": "body", "type": "number"}}, "add.pages", "number"),
        ({"title": {"in": "body", "type": ["string", "null"]}}, "add.title", "null"),
        ({"authors": {"in": "body", "type": "string"}}, "add.authors", "string"),
        ({"authors": {"in": "body", "type": "array", "items": {"type": "integer"}}}, "add.authors", "integer"),
        ({"form": {"in": "body", "type": "string", "enum": ["vinyl"]}}, "add.form", "vinyl"),
        ({"form": {"in": "body", "type": "string"}}, "add.form", "paper"),
    ],
)
def test_each_kind_of_mistake_is_found(document: Document, change: dict[str, Any], place: str, rule: str) -> None:
    """The check can fail: each way to depart from a document is named with its operation and input."""
    found = _found(document, RIGHT | change, required=("shelf", "title"))
    assert list(found) == [place]
    assert rule in found[place]


@pytest.mark.parametrize(
    ("field", "passes"),
    [
        ({"type": "string"}, True),
        ({"type": ["integer", "boolean"]}, True),
        ({"type": "array", "items": {"type": "string"}, "style": "comma"}, True),
        ({"type": "array", "items": {"type": "string"}}, False),
        ({}, False),
    ],
)
def test_a_query_is_text(field: dict[str, Any], passes: bool) -> None:
    """Where the document wants text in a query, a number is right, and a list only when it is joined to one text."""
    query = {"in": "query", "name": "q", "schema": {"type": "string"}}
    document = {"paths": {"/books": {"get": {"parameters": [query]}}}}
    found = _found(document, {"q": {"in": "query", **field}}, method="GET", path="/books")
    assert (found == {}) is passes


@pytest.mark.parametrize(
    ("wire", "any_case", "found"),
    [
        ("cover.colour", False, {}),
        ("Cover.Colour", True, {}),
        ("Cover.Colour", False, {"add.colour": "the document has no body Cover.Colour"}),
        ("cover.paint", True, {"add.colour": "the document has no body cover.paint"}),
    ],
)
def test_a_field_inside_of_a_field_is_named_by_both(wire: str, any_case: bool, found: dict[str, str]) -> None:
    """`cover.colour` is a property of the body's `cover`; without regard to case where the provider has none."""
    cover = {"type": "object", "properties": {"colour": {"type": "string"}}}
    body = {"content": {"application/json": {"schema": {"properties": {"cover": cover}}}}}
    document = {"paths": {"/books": {"post": {"requestBody": body}}}}
    inputs = {"colour": {"in": "body", "name": wire, "type": "string"}}
    assert _found(document, inputs, path="/books", any_case=any_case) == found


def test_a_wrong_path_or_method_is_found() -> None:
    """An operation that the document does not have is named."""
    assert _found(DOCUMENT, RIGHT, path="/shelf/{shelf}/books") == {"add": "no POST /shelf/{shelf}/books"}
    assert _found(DOCUMENT, RIGHT, method="PUT") == {"add": "no PUT /shelves/{shelf}/books"}


def test_what_the_document_requires_must_be_required() -> None:
    """An input that the provider insists on is required here, fixed, or brought by the credential."""
    without = {name: field for name, field in RIGHT.items() if name != "title"}
    assert _found(DOCUMENT, RIGHT, required=("shelf",)) == {"add.title": "body title is required"}
    assert _found(DOCUMENT, without, required=("shelf",)) == {"add.title": "body title is required"}
    assert _found(DOCUMENT, without, required=("shelf",), fixed={"body": {"title": "Emma"}}) == {}
    assert _found(DOCUMENT, without, required=("shelf",), credential=("title",)) == {}


def _found(
    document: Document,
    inputs: Mapping[str, Any],
    *,
    method: str = "POST",
    path: str = "/shelves/{shelf}/books",
    required: tuple[str, ...] = (),
    fixed: Mapping[str, Any] | None = None,
    credential: tuple[str, ...] = (),
    any_case: bool = False,
) -> dict[str, str]:
    facts = {"access": "write", "summary": "", "method": method, "path": path, "required": required}
    operation = msgspec.convert(facts | {"input": inputs, "fixed": fixed or {}}, Operation)
    there = operations(document)
    return dict(differences("add", operation, there, credential=credential, base="", any_case=any_case))


def _document(source: Source) -> Mapping[Key, Published]:
    document = _read(source.document)
    return discovered(document, source.filled) if "discoveryVersion" in document else operations(document)


@cache
def _read(name: str) -> Document:
    path = SHARED / "specs" / f"{name}.json.gz"
    if not path.is_file():
        pytest.skip(f"no published document at {path}; set SHARED to the folder that has specs/{name}.json.gz")
    return read(path)


@cache
def _provider(name: str) -> Provider:
    return load_provider(ROOT / "connectors" / name, Formats(read_yaml, compile_schema))


def _differences(source: Source) -> Iterator[tuple[str, str]]:
    published = _document(source)
    for name, operation in _provider(source.provider).operations.items():
        if not operation.raw:
            yield from differences(
                name,
                operation.fact,
                published,
                credential=source.credential,
                base=source.base,
                any_case=source.any_case,
            )
