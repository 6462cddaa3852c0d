"""The generated descriptions of the wire: they are what the code says, whole, and sound."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.adapters.json_schema import compile_schema
from sidecar.model import Access, Code, Failure, Reason
from sidecar.schemas.__main__ import main
from sidecar.schemas.asyncapi import asyncapi
from sidecar.schemas.channel import MESSAGES, PARAMETERS
from sidecar.schemas.field import FIELDS, OF_STRUCT
from sidecar.schemas.files import FOLDER, drift, files, write
from sidecar.schemas.payload import PAYLOADS, components, schema
from sidecar.wire import header
from sidecar.wire.subject import (
    parse_admin,
    parse_call,
    parse_cancel,
    parse_catalog,
    parse_result_get,
    parse_submit,
)

CALL_ID = "0190a8b0-1234-7abc-8def-0123456789ab"
HEADERS = {value for name, value in vars(header).items() if name.isupper() and isinstance(value, str) and value}
DOCUMENT = asyncapi()


def references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def resolve(document: dict[str, Any], reference: str) -> Any:
    """What a reference inside the document points to. Raises KeyError."""
    assert reference.startswith("#/")
    part: Any = document
    for token in reference[2:].split("/"):
        part = part[token]
    return part


def last(reference: dict[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]


# --- the files -------------------------------------------------------------------------------------------------------


def test_the_committed_files_are_what_the_code_says() -> None:
    """Whoever reads schemas/ reads this version."""
    assert drift(FOLDER) == []


def test_a_written_folder_does_not_drift(tmp_path: Path) -> None:
    """`python -m sidecar.schemas FOLDER` makes what `--check` asks for, and removes what is generated no longer."""
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "old.json").write_text("{}")
    assert main([str(folder)]) == 0
    assert main(["--check", str(folder)]) == 0
    assert not (folder / "old.json").exists()


def test_the_check_names_what_drifts_and_the_cure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed, a missing and a left file are each named; the exit code is 1; nothing is mended silently."""
    write(tmp_path)
    changed, missing, left = tmp_path / "failure.json", tmp_path / "asyncapi.json", tmp_path / "old.json"
    changed.write_text(changed.read_text().replace("retryable", "repeatable"))
    missing.unlink()
    left.write_text("{}")
    assert main(["--check", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert f"{changed} is not what the code says" in said
    assert f"{missing} is missing" in said
    assert f"{left} is generated no longer" in said
    assert f"python -m sidecar.schemas {tmp_path}" in said
    assert not missing.exists()


def test_the_text_is_the_same_everywhere() -> None:
    """Sorted keys, two spaces, a newline at the end: a change shows as what changed."""
    for text in files().values():
        assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_the_running_sidecar_does_not_load_it() -> None:
    """Schemas cost a running process nothing."""
    program = "import sys, sidecar.app, sidecar.cli; sys.exit('sidecar.schemas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# --- the schemas -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_schema_is_complete(name: str) -> None:
    """Each file compiles, has its id, and refers to nothing outside itself."""
    document = schema(name)
    assert document["$id"] == f"urn:connector-sidecar:schema:{name}"
    compile_schema(document)
    for reference in references(document):
        resolve(document, reference)


def test_every_field_says_what_it_means() -> None:
    """No field without words, and no words for a field that is gone."""
    _, parts = components([kind for kind, _ in PAYLOADS.values()], "#/{name}")
    told = {(struct, field) for struct, part in parts.items() for field in part.get("properties", {})}
    assert set(OF_STRUCT) <= told
    assert {field for struct, field in told - set(OF_STRUCT)} == set(FIELDS)


def test_every_reason_and_code_is_listed() -> None:
    """The failure's schema knows each reason, with its meaning, and each code."""
    parts = schema("failure")["$defs"]
    assert set(parts["Reason"]["enum"]) == set(parts["Reason"]["x-meanings"]) == {reason.value for reason in Reason}
    assert set(parts["Code"]["enum"]) == {code.value for code in Code}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("failure", {"reason": "MALFORMED"}),
        ("admin-import", {"fields": {"token": "t"}, "verfiy": False}),
        ("admin-import", {"fields": {"token": 1}}),
        ("trace-wait", {"event": "finished"}),
    ],
)
def test_a_schema_refuses_what_is_not_it(name: str, wrong: dict[str, Any]) -> None:
    """The schemas say something: a wrong message does not fit."""
    assert list(compile_schema(schema(name))(wrong))


# --- the AsyncAPI document -------------------------------------------------------------------------------------------


def test_the_document_is_asyncapi_3() -> None:
    """Tools know it by its first line."""
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["defaultContentType"] == "application/json"


def test_every_reference_resolves() -> None:
    """The document stands alone."""
    found = set(references(DOCUMENT))
    assert found
    for reference in found:
        resolve(DOCUMENT, reference)


def test_operations_use_the_messages_of_their_channels() -> None:
    """AsyncAPI demands it: a message of an operation is one of its channel, a reply's one of the reply's channel."""
    for operation in DOCUMENT["operations"].values():
        for side in filter(None, (operation, operation.get("reply"))):
            channel = side["channel"]["$ref"]
            messages = resolve(DOCUMENT, channel)["messages"]
            assert side["messages"]
            for message in side["messages"]:
                assert message["$ref"].rpartition("/")[0] == f"{channel}/messages"
                assert last(message) in messages


def test_every_channel_and_message_is_used() -> None:
    """Nothing is described that nobody sends."""
    sides = [side for item in DOCUMENT["operations"].values() for side in (item, item.get("reply")) if side]
    assert {last(side["channel"]) for side in sides} == set(DOCUMENT["channels"])
    assert {last(message) for side in sides for message in side["messages"]} == set(MESSAGES)


def test_every_request_may_fail_in_the_one_shape() -> None:
    """But the service protocol, which has no failures."""
    for operation in DOCUMENT["operations"].values():
        if operation["action"] == "receive" and not last(operation["channel"]).startswith("service"):
            assert "failure" in {last(message) for message in operation["reply"]["messages"]}


def test_every_parameter_of_an_address_is_described() -> None:
    """A reader knows what to put into each place of a subject."""
    for channel in DOCUMENT["channels"].values():
        assert (
            set(re.findall(r"{(\w+)}", channel["address"] or "")) == set(channel.get("parameters", {})) <= {*PARAMETERS}
        )


def test_addresses_are_subjects_the_sidecar_understands() -> None:
    """With names in the places of its parameters, each address parses as what its channel says."""
    parsers = {
        "catalog": parse_catalog,
        "admin": parse_admin,
        "cancel": parse_cancel,
        "submit": parse_submit,
        "result.get": parse_result_get,
        **dict.fromkeys((access.value for access in Access), parse_call),
    }
    seen = set()
    for channel in DOCUMENT["channels"].values():
        subject = re.sub(r"{\w+}", "name", (channel["address"] or "").replace("{call_id}", CALL_ID))
        kind = subject.split(".")[1] if subject.startswith("sidecar.") else ""
        kind = "result.get" if subject.endswith(".result.get") else kind
        if kind in parsers:
            seen.add(kind)
            assert not isinstance(parsers[kind]("sidecar", subject), Failure)
    assert seen == set(parsers)


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_every_header_is_described(name: str) -> None:
    """A header of the wire stands in the headers of requests, replies or failures."""
    schemas = DOCUMENT["components"]["schemas"]
    kinds = ("RequestHeaders", "ReplyHeaders", "FailureHeaders")
    assert any(schemas[kind]["properties"].get(name, {}).get("description") for kind in kinds)
