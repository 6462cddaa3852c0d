"""`sidecar provider`: what is served, what an operation takes, and the check of a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli.provider_check import MOST_FINDINGS, findings_text
from sidecar.cli.provider_text import Budget, Described, operation_text, quotas_text, type_words
from sidecar.sandbox.check import Finding
from tests.cli.conftest import Command, Served, said
from tests.sandbox.acme import Acme


def test_list(beside: Command) -> None:
    """Every provider with its operations, its credential and what a connection must name."""
    lines = beside("provider", "list").stdout.splitlines()
    assert lines[0].split() == ["provider", "version", "operations", "credential", "address"]
    assert next(line for line in lines if line.startswith("acme ")).split() == (
        ["acme", "1", "3", "bearer", "or", "api_key", "--base-url", "names", "a", "server", "of", "yours"]
    )
    assert {"github", "slack"} <= {item["name"] for item in said(beside("provider", "list", "--json"))}


def test_show_a_provider(beside: Command) -> None:
    """Its operations with access and summary, reads first."""
    assert beside("provider", "show", "acme").stdout.splitlines() == [
        "operation          access  what it does",
        "acme.account.get   read    Show the account.",
        "acme.items.list    read    List the items.",
        "acme.items.create  write   Create an item.",
        "",
        "quota  of each     limits  what counts",
        "posts  connection  1/1     items.create",
    ]


def test_quotas_in_words() -> None:
    """Whose they are, all their limits, what counts for how much, and which of them a connection may say."""
    quotas = [
        Budget("user", "account", ("6000/60", "80+0.5/s", "4"), costs={"send": 100, "*": 10}, set_by_connection=True),
        Budget("post", "connection", (), by=("channel",), each_operation=True, operations=("posts.*",)),
    ]
    rows = [" ".join(line.split()) for line in quotas_text(quotas).splitlines()]
    assert rows == [
        "quota of each limits what counts",
        "user account 6000/60, 80+0.5/s, 4 at once every request; units: send 100, * 10, else 1",
        "post connection and channel and operation none, unless a connection says some posts.*",
        "user: as the owner of a server sets it, with sidecar connection limit",
    ]


def test_show_an_operation(beside: Command) -> None:
    """Its request, its input as a table, and a call to try."""
    assert beside("provider", "show", "acme.items.create").stdout.splitlines() == [
        "acme.items.create  write  POST /lists/{list}/items",
        "Create an item.",
        "https://docs.acme.example/api",
        "",
        "input  type              description",
        "list   string  required  Name of the list.",
        "title  string  required  What it is called.",
        "",
        """try  sidecar call acme.items.create '{"list": "...", "title": "..."}'""",
    ]


def test_what_pages_says_so(beside: Command) -> None:
    """An operation of many pages tells of the cursor; one without input tells that too."""
    assert "pages: the answer names the next page's --cursor" in beside("provider", "show", "acme.items.list").stdout
    assert "it takes no input" in beside("provider", "show", "acme.account.get").stdout


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("acne", 66, "did you mean acme?"),
        ("acme.item.create", 66, "did you mean items.create?"),
        ("Acme", 64, "is not PROVIDER.OPERATION"),
        ("acme.", 64, "name one of its operations"),
    ],
)
def test_show_what_is_not_there(beside: Command, name: str, code: int, told: str) -> None:
    """The nearest name is told."""
    result = beside("provider", "show", name)
    assert result.exit_code == code
    assert told in result.stderr


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"type": "string"}, "string"),
        ({"type": "string", "maxLength": 256}, "string ..256"),
        ({"type": "string", "format": "date-time"}, "string (date-time)"),
        ({"type": "string", "contentEncoding": "base64"}, "string (base64)"),
        ({"type": "integer", "minimum": 1, "maximum": 100}, "integer 1..100"),
        ({"type": "number", "minimum": 0}, "number 0.."),
        ({"type": ["integer", "string"]}, "integer or string"),
        ({"enum": ["open", "closed"]}, "open|closed"),
        ({"enum": list(range(12))}, "0|1|2|3|4|5|6|7|..."),
        ({"type": "array", "items": {"type": "string"}}, "list of strings"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, "list of a|b"),
        ({"type": "array"}, "list"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string or null"),
        ({}, "any"),
        ({"type": "\x1b[2J"}, r"\x1b[2J"),
    ],
)
def test_type_words(field: dict[str, Any], words: str) -> None:
    """A field's type in a few words."""
    assert type_words(field) == words


def test_fields_within_fields() -> None:
    """What is inside an object or a list stands below it, under its path; the example holds what is required."""
    schema = {
        "required": ["to"],
        "properties": {
            "note": {"type": "string", "examples": ["it's"]},
            "to": {
                "type": "array",
                "items": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}},
            },
        },
    }
    text = operation_text(Described("acme", "post", "write", input_schema=schema))
    assert [line.split()[0] for line in text.splitlines()[4:7]] == ["to", "to[].id", "note"]
    assert """try  sidecar call acme.post '{"to": [{"id": 1}]}'""" in text
    assert 'E.g. "it\'s"' in text


def test_an_example_is_one_word_of_the_shell() -> None:
    """An apostrophe in an example does not end the quotes."""
    schema = {"required": ["a"], "properties": {"a": {"type": "string", "examples": ["it's"]}}}
    assert operation_text(Described("acme", "post", "write", input_schema=schema)).endswith("""'{"a": "it'\\''s"}'""")


# --- check -----------------------------------------------------------------------------------------------------------


def test_check_needs_nothing_that_runs(sidecar: Command, tmp_path: Path) -> None:
    """A folder outside of everything is proved by its cases, without NATS."""
    place = Acme().write(tmp_path)
    result = sidecar("provider", "check", str(place))
    assert result.exit_code == 0
    assert result.stdout == "ok    acme           1 unverified fact\n"
    assert result.stderr == "1 provider checked, none to mend\n"


def test_check_tells_what_is_to_be_mended(sidecar: Command, tmp_path: Path) -> None:
    """What is wrong, where, and what to do; exit code 1."""
    acme = Acme()
    acme.case("the account")["exchanges"][0]["request"]["path"] = "/me"
    place = acme.write(tmp_path)
    result = sidecar("provider", "check", str(place))
    assert result.exit_code == 1
    assert result.stdout.startswith("FAIL  acme ")
    assert "cases/all.yaml: the account: " in result.stdout
    told = said(sidecar("provider", "check", str(place), "--json"))
    assert told["checked"] == ["acme"]
    assert {finding["provider"] for finding in told["findings"]} == {"acme"}


def test_check_by_name(served: Served, sidecar: Command) -> None:
    """A provider of SIDECAR_CONNECTORS is found by its name."""
    result = sidecar("provider", "check", "acme", "--json", env={"SIDECAR_CONNECTORS": served.connectors})
    assert said(result)["checked"] == ["acme"]


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("githb", 66, "no provider and no folder 'githb'; did you mean github?"),
        (".", 64, ". holds no provider.yaml"),
    ],
)
def test_check_what_is_not_there(sidecar: Command, name: str, code: int, told: str) -> None:
    """A name that is none is told with the nearest; a folder that holds no provider too."""
    result = sidecar("provider", "check", name)
    assert result.exit_code == code
    assert told in result.stderr


def test_check_of_a_broken_manifest_names_file_and_key(sidecar: Command, tmp_path: Path) -> None:
    """A mistake of form is a finding, not a traceback."""
    place = Acme().write(tmp_path)
    (place / "provider.yaml").write_text(json.dumps({**Acme().provider, "nmae": "x"}))
    result = sidecar("provider", "check", str(place))
    assert result.exit_code == 1
    assert "provider.yaml" in result.stdout
    assert "nmae" in result.stdout
    assert "Traceback" not in result.stderr


def test_a_flood_of_findings_is_cut(sidecar: Command) -> None:
    """The first ones are shown; what is to be done for all of them stands once; notes are only counted."""
    findings = [Finding(f"f{number}", "is wrong", "mend it") for number in range(MOST_FINDINGS + 5)]
    lines = findings_text("acme", [*findings, Finding("f", "unsure", note=True)]).splitlines()
    assert lines[0] == "FAIL  acme           25 findings, 1 unverified fact"
    assert lines[1] == "      f0: is wrong"
    assert [line for line in lines if "mend it" in line] == ["        -> mend it"]
    assert lines[-1] == "      and 5 more findings; --json lists all"
