"""What Redmine, PocketBase and Matrix say and take where only a hook, or a corner of the format, can tell it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.adapters.json_schema import compile_schema
from sidecar.adapters.yaml_file import read_yaml
from sidecar.catalogue.load import load_provider
from sidecar.catalogue.read import ManifestError
from sidecar.core.render import Template
from sidecar.model import Reason, Request
from sidecar.ports import Formats
from sidecar.provider import Explained, Provider

CONNECTORS = Path(__file__).parents[2] / "connectors"
FORMATS = Formats(read_yaml, compile_schema)
URL = "https://server.example"
ROOM = "!abc:example.org"


@pytest.fixture(scope="module")
def redmine() -> Provider:
    return load_provider(CONNECTORS / "redmine", FORMATS)


@pytest.fixture(scope="module")
def pocketbase() -> Provider:
    return load_provider(CONNECTORS / "pocketbase", FORMATS)


@pytest.fixture(scope="module")
def matrix() -> Provider:
    return load_provider(CONNECTORS / "matrix", FORMATS)


def rendered(provider: Provider, name: str, values: dict[str, Any]) -> Request:
    operation = provider.operations[name]
    shaped = operation.input_hook(values) if operation.input_hook else values
    request = Template(provider, operation).filled(URL, shaped, "call-1")
    assert isinstance(request, Request), request
    return request


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {},
        {"message": 7},
        {"data": []},
        {"data": {"email": "x"}},
        {"data": {"email": {"code": None}}, "message": "m"},
    ],
)
def test_pocketbase_explains_whatever_comes(pocketbase: Provider, body: object) -> None:
    """A failed answer of another form than PocketBase's is explained as far as it goes, never with an exception."""
    assert pocketbase.explain is not None
    assert isinstance(pocketbase.explain(400, {}, body), Explained)


def test_pocketbase_points_at_the_field_that_was_refused(pocketbase: Provider) -> None:
    """A refused field is told at its place in the input, escaped as RFC 6901 wants it."""
    assert pocketbase.explain is not None
    told = pocketbase.explain(400, {}, {"data": {"a/b~": {"code": "validation_required", "message": "Blank."}}})
    assert [problem.pointer for problem in told.problems] == ["/data/a~1b~0"]


@pytest.mark.parametrize("token", [None, 7, "", "a.b", "a.!.c", "a.bnVsbA.c", "a.eyJp.c", "a.WzFd.c"])
def test_pocketbase_account_of_a_strange_token_is_nobody(pocketbase: Provider, token: object) -> None:
    """A token that cannot be read names no account, and is not shown."""
    hook = pocketbase.operations["account.check"].output_hook
    assert hook is not None
    assert hook({"token": token}) == {"record_id": None, "collection_id": None}


def test_redmine_never_shows_the_key(redmine: Provider) -> None:
    """Redmine answers the account's own record with its API key in it; no agent gets to see it."""
    hook = redmine.operations["users.current"].output_hook
    assert hook is not None
    assert hook({"user": {"id": 5, "api_key": "688e"}}) == {"id": 5}
    assert hook(["user"]) == {}


def test_matrix_transaction_is_the_call(matrix: Provider) -> None:
    """The same call renders the same transaction, so that a message sent again is one message."""
    first = rendered(matrix, "messages.send", {"room_id": ROOM, "text": "hi"})
    assert first == rendered(matrix, "messages.send", {"room_id": ROOM, "text": "hi"})
    assert first.url.endswith("/send/m.room.message/call-1")


def test_a_fixed_body_is_not_shared_between_calls(matrix: Provider) -> None:
    """What one call puts into a fixed body is not in the next call's."""
    rendered(matrix, "messages.search", {"query": "secret", "room_ids": [ROOM]})
    second = rendered(matrix, "messages.search", {"query": "other"})
    assert msgspec.json.decode(second.content) == {
        "search_categories": {"room_events": {"order_by": "recent", "search_term": "other"}}
    }


@pytest.mark.parametrize("field", ['doc"; filename="x', "doc\r\nX-Evil: 1"])
def test_a_part_cannot_leave_its_place_by_its_name(pocketbase: Provider, field: str) -> None:
    """The name of a multipart part comes from an input; it can neither end the name nor start a header."""
    operation = pocketbase.operations["records.set_file"]
    values = {"collection": "c", "record_id": "r", "field": field, "file_name": "a", "content": ""}
    assert list(operation.problems(values))  # the schema refuses it first
    request = Template(pocketbase, operation).filled(URL, values, "call-1")
    if isinstance(request, Request):
        assert request.content.count(b'filename="') == 1
    else:
        assert request.reason is Reason.VALIDATION


MANIFEST = """
format: 1
name: acme
title: Acme
version: "1"
docs: https://acme.example/docs
base_url: {kind: self_hosted}
auth: [{kind: bearer}]
"""
OPERATION = """
things.create:
  access: write
  summary: Create a thing.
  docs: https://acme.example/docs/things
  method: POST
  path: /things
  encoding: ENCODING
  input:
    label: {in: none, type: string}
    content: {in: body, type: string, contentEncoding: base64NAME_FROM}
  required: [content]
"""


@pytest.mark.parametrize(
    ("encoding", "name_from", "mistake"),
    [
        ("multipart", "", "`in: none`, but no input hook and no other input uses it"),
        ("multipart", ", nameFrom: label", "'label' must be a required input of a multipart body"),
        ("multipart", ", nameFrom: nothing", "'nothing' must be a required input of a multipart body"),
        ("json", ", nameFrom: content", "'content' must be a required input of a multipart body"),
    ],
)
def test_an_input_that_nothing_uses_is_a_mistake(tmp_path: Path, encoding: str, name_from: str, mistake: str) -> None:
    """The loader names an input that would be lost, and a part whose name may be missing."""
    folder = tmp_path / "acme"
    (folder / "operations").mkdir(parents=True)
    (folder / "provider.yaml").write_text(MANIFEST)
    text = OPERATION.replace("ENCODING", encoding).replace("NAME_FROM", name_from)
    (folder / "operations" / "things.yaml").write_text(text)
    with pytest.raises(ManifestError) as error:
        load_provider(folder, FORMATS)
    assert mistake in str(error.value)
