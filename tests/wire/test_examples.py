"""Messages of earlier versions decode for ever: the examples are frozen, only new ones are added."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.adapters.json_schema import compile_schema
from sidecar.model import Call, Failure
from sidecar.schemas.asyncapi import asyncapi
from sidecar.schemas.payload import PAYLOADS, schema
from sidecar.wire.event import Event, event_name
from sidecar.wire.event import decoder as event_decoder
from sidecar.wire.request import Arrival, decode_request
from sidecar.wire.subject import parse_admin, parse_cancel, parse_catalog, parse_connect

FOLDER = Path(__file__).parents[2] / "schemas" / "examples"
EXAMPLES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
TYPES = {title: (name, kind) for name, (kind, title) in PAYLOADS.items()}
ARRIVAL = Arrival(now=100.0, wall=1_795_255_200.0, dice=bytes(range(34)), max_timeout_ms=300_000)
DOCUMENT = asyncapi()
COVERED = {*TYPES, "Call", "Reply", "SearchRequest", "ToolsRequest", "Nothing"}

every_example = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
of_a_struct = pytest.mark.parametrize(
    "example", [pytest.param(value, id=name) for name, value in EXAMPLES.items() if value["struct"] in TYPES]
)
requests = pytest.mark.parametrize(
    "example", [pytest.param(value, id=name) for name, value in EXAMPLES.items() if value["struct"] == "Call"]
)
events = pytest.mark.parametrize(
    "example", [pytest.param(value, id=name) for name, value in EXAMPLES.items() if name.startswith("trace-")]
)


def problems(name: str, value: object) -> list[Any]:
    """What the AsyncAPI document's schema of this name finds wrong."""
    part = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return list(compile_schema(part)(value))


def held_by(told: object, kept: object) -> bool:
    """Whether everything that was told is kept: fields may be added to it, none is lost or changed."""
    if isinstance(told, dict) and isinstance(kept, dict):
        return all(name in kept and held_by(value, kept[name]) for name, value in told.items())
    if isinstance(told, list) and isinstance(kept, list | tuple):
        return len(told) == len(kept) and all(map(held_by, told, kept))
    return told == kept


def test_every_kind_of_message_has_an_example() -> None:
    """No struct of the wire may change unseen."""
    assert {example["struct"] for example in EXAMPLES.values()} == COVERED


@every_example
def test_an_example_says_what_it_is(example: dict[str, Any]) -> None:
    """The version that sent it, its struct, and its message in the AsyncAPI document."""
    assert set(example) - {"subject", "headers"} == {"version", "struct", "message", "payload"}
    assert example["version"].count(".") == 2
    assert example["message"] in DOCUMENT["components"]["messages"]


@every_example
def test_an_example_fits_its_message(example: dict[str, Any]) -> None:
    """Headers and payload are as the AsyncAPI document says."""
    message = DOCUMENT["components"]["messages"][example["message"]]
    assert problems(message["payload"]["$ref"].rpartition("/")[2], example["payload"]) == []
    if "headers" in example:
        assert problems(message["headers"]["$ref"].rpartition("/")[2], example["headers"]) == []


@of_a_struct
def test_an_example_fits_its_schema(example: dict[str, Any]) -> None:
    """The file of the struct accepts what was once sent."""
    name, _ = TYPES[example["struct"]]
    assert list(compile_schema(schema(name))(example["payload"])) == []


@of_a_struct
def test_an_example_decodes_and_loses_nothing(example: dict[str, Any]) -> None:
    """Today's code reads yesterday's message: every field is still there, of the same type and value."""
    _, kind = TYPES[example["struct"]]
    decoded = msgspec.json.decode(msgspec.json.encode(example["payload"]), type=kind)
    defaults_too = msgspec.to_builtins(decoded) if isinstance(decoded, list) else _whole(decoded)
    assert held_by(example["payload"], defaults_too)


@requests
def test_a_request_decodes(example: dict[str, Any]) -> None:
    """A request written for an earlier version is a call of this one."""
    headers = example.get("headers", {})
    payload = msgspec.json.encode(example["payload"])
    call = decode_request("sidecar", example["subject"], headers, payload, ARRIVAL)
    assert isinstance(call, Call)
    assert call.call_id == headers.get("Call-Id", call.call_id)
    assert call.dry_run is (headers.get("Dry-Run") == "true")
    assert (call.cursor is not None) is ("Cursor" in headers)


@events
def test_an_event_decodes_by_its_own_word(example: dict[str, Any]) -> None:
    """A reader of the trace needs no subject to know which event it has."""
    event: Event = event_decoder.decode(msgspec.json.encode(example["payload"]))
    assert event_name(event) == example["message"] == example["subject"].rpartition(".")[2]
    assert type(event).__name__ == example["struct"]


@pytest.mark.parametrize(
    ("kind", "parse"),
    [("admin", parse_admin), ("catalog", parse_catalog), ("cancel", parse_cancel), ("connect", parse_connect)],
)
def test_subjects_of_questions_are_understood(kind: str, parse: Any) -> None:
    """The subjects that operators and agents were told to use go on working."""
    subjects = [value["subject"] for value in EXAMPLES.values() if f".{kind}." in value.get("subject", "")]
    asked = [subject for subject in subjects if subject.startswith(f"sidecar.{kind}.")]
    assert asked
    assert not [subject for subject in asked if isinstance(parse("sidecar", subject), Failure)]


def _whole(value: Any) -> dict[str, Any]:
    """A struct with its tag and its defaults, by the names on the wire."""
    config, fields = value.__struct_config__, msgspec.structs.fields(value)
    kept = {field.encode_name: msgspec.to_builtins(getattr(value, field.name)) for field in fields}
    return kept | ({config.tag_field: config.tag} if config.tag_field else {})
