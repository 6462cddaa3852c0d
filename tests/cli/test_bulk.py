"""Many credentials from a file: what each row is here, which cannot work and why; nothing of a secret is ever told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli.bulk import Verdict, fitted, told
from sidecar.cli.bulk_rows import NoRows, Reading, Row, rows
from sidecar.cli.provider_text import Kind, Served
from tests.cli.conftest import Command, said

CANARY = "canary-of-the-mine"
SERVER = "https://server.example"
NANGO, JSONL = Reading("nango"), Reading("jsonl")


def nango(credentials: dict[str, Any], **also: Any) -> dict[str, Any]:
    return {"connection_id": "alice", "provider": "github", "credentials": credentials, **also}


def one(document: object, reading: Reading = NANGO) -> Row:
    (row,) = rows(json.dumps(document), reading)
    return row


@pytest.mark.parametrize(
    ("credentials", "kind", "fields"),
    [
        (
            {"type": "OAUTH2", "access_token": "a", "refresh_token": "r", "expires_at": "2026-01-01"},
            "oauth2",
            {"refresh_token": "r"},
        ),
        (
            {"type": "OAUTH2", "refresh_token": "r", "config_override": {"client_id": "c", "client_secret": "s"}},
            "oauth2",
            {"refresh_token": "r", "client_id": "c", "client_secret": "s"},
        ),
        ({"type": "OAUTH2", "access_token": "a", "expires_at": None}, "bearer", {"token": "a"}),
        ({"type": "API_KEY", "apiKey": "k"}, None, {"": "k"}),
        ({"type": "BASIC", "username": "u", "password": "p"}, "basic", {"username": "u", "password": "p"}),
        ({"type": "BASIC", "username": "key", "password": ""}, "basic", {"username": "key", "password": ""}),
        (
            {"type": "OAUTH2_CC", "token": "t", "client_id": "c", "client_secret": "s"},
            "client_credentials",
            {"client_id": "c", "client_secret": "s"},
        ),
    ],
)
def test_what_nango_s_kinds_are_here(credentials: dict[str, Any], kind: str | None, fields: dict[str, str]) -> None:
    """Each kind that has one here becomes it; an access token alone is kept where it never ends."""
    row = one([nango(credentials)])
    assert (row.problem, row.kind, row.fields) == (None, kind, fields)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (nango({"type": "OAUTH2", "access_token": CANARY, "expires_at": "2026-01-01"}), "there is no refresh token"),
        (nango({"type": "OAUTH2"}), "neither a refresh token nor an access token"),
        (nango({"type": "APP", "access_token": CANARY}), "app_installation"),
        (nango({"type": "TBA", "token_id": CANARY}), "no kind here for Nango's TBA"),
        (nango({}), "no credentials"),
        (nango({"type": "API_KEY", "apiKey": CANARY}, connection_id="-"), "not a name"),
        (nango({"type": "API_KEY", "apiKey": CANARY}, provider="Hub!"), "--map THEIRS=OURS"),
        ({"provider": "github"}, "connection_id"),
    ],
)
def test_rows_that_cannot_work(document: dict[str, Any], told: str) -> None:
    """Each says why, and keeps nothing of its secret."""
    row = one(document)
    assert told in (row.problem or "")
    assert CANARY not in repr(row) + str(row.problem) + str(row.fields)


@pytest.mark.parametrize(
    "line", [f'{{"{CANARY}": 1}}', f'{{"connection": 1, "{CANARY}": 1}}', f"{{{CANARY}}}", "[" * 9999]
)
def test_a_line_shows_nothing_of_what_it_holds(line: str) -> None:
    """Not the name of a field either: a secret slips to there."""
    [row] = rows(line, JSONL)
    assert row.problem
    assert CANARY not in row.problem


def test_a_kind_that_is_none_is_not_shown() -> None:
    """It stands beside the secret."""
    served = Served(name="acme", title="Acme", auth=(Kind(kind="bearer", fields=("token",)),))
    row = fitted(Row(number=1, connection="a", provider="acme", kind=CANARY, fields={"token": "t"}), served, ["acme"])
    assert row.problem == "acme takes no credential of the kind that the row names; kinds are: bearer"
    assert row.kind is None


@pytest.mark.parametrize(
    ("theirs", "names", "ours"),
    [("google-mail", {}, "gmail"), ("some-thing", {}, "some_thing"), ("hubspot", {"hubspot": "crm"}, "crm")],
)
def test_providers_by_their_names_here(theirs: str, names: dict[str, str], ours: str) -> None:
    """What Nango calls differently is known, or said by --map."""
    given = nango({"type": "API_KEY", "apiKey": "k"}, provider=theirs)
    assert one(given, Reading("nango", names)).provider == ours


def test_the_server_of_a_connection() -> None:
    """A subdomain as it is, a host as a URL."""
    key = {"type": "API_KEY", "apiKey": "k"}
    assert one(nango(key, connection_config={"subdomain": "acme"})).base_url == "acme"
    assert one(nango(key, connection_config={"hostname": "git.acme.example"})).base_url == "https://git.acme.example"


def test_forms_of_a_file() -> None:
    """A list, an object that holds one, one connection, lines of them; anything else is told, not guessed."""
    given = nango({"type": "API_KEY", "apiKey": "k"})
    other = given | {"connection_id": "bob"}
    lines = "\n".join(json.dumps(item) for item in (given, other))
    for text in (json.dumps([given, other]), json.dumps({"connections": [given, other]}), lines):
        assert [row.connection for row in rows(text, NANGO)] == ["alice", "bob"]
    for text in ("[]", "", "no json", '"text"'):
        with pytest.raises(NoRows):
            rows(text, NANGO)


def test_lines_of_our_own() -> None:
    """Each is a row; one that is wrong spoils no other, and a second one of a connection is refused."""
    good = {"connection": "alice", "provider": "github", "fields": {"token": CANARY}, "client_id": "app"}
    bad = {"connection": "bob", "provider": "github", "field": {"token": CANARY}}
    text = "\n".join([json.dumps(good), "", "{", json.dumps(bad), json.dumps(good)])
    first, broken, unknown, twice = rows(text, JSONL)
    assert (first.number, first.problem, first.client_id) == (1, None, "app")
    assert (broken.number, broken.problem) == (3, "it is not JSON")
    assert "field" in (unknown.problem or "")
    assert twice.problem == "row 1 is of the same connection and provider"
    assert CANARY not in repr([first, broken, unknown, twice])


SERVED = Served("github", (Kind("oauth2", ("refresh_token",)), Kind("bearer", ("token",))))
TWO_FIELDS = Served("github", (Kind("basic", ("username", "password")),))


@pytest.mark.parametrize(
    ("row", "served", "kind", "told"),
    [
        (Row(number=1, fields={"": "k"}), SERVED, "bearer", None),
        (Row(number=1, fields={"token": "k"}), SERVED, "bearer", None),
        (Row(number=1, fields={"refresh_token": "k"}), SERVED, "oauth2", None),
        (Row(number=1, kind="bearer", fields={"token": "k"}), SERVED, "bearer", None),
        (Row(number=1, fields={"": "k"}), TWO_FIELDS, None, "takes no single key"),
        (Row(number=1, kind="bearer", fields={"token": "k"}), TWO_FIELDS, "bearer", "takes no credential of kind"),
        (Row(number=1, fields={"x": "k"}), SERVED, None, "of no kind that github takes"),
        (Row(number=1, provider="hub", fields={"x": "k"}), None, None, "hub is not served here"),
    ],
)
def test_the_kind_that_a_row_fits(row: Row, served: Served | None, kind: str | None, told: str | None) -> None:
    """A bare key becomes the provider's kind of one; what fits none is refused with what there is."""
    found = fitted(row, served, ["github"])
    assert found.kind == kind
    assert (found.problem is None) if told is None else told in (found.problem or "")


def test_what_an_import_does_to_the_other_side() -> None:
    """A dry run with refresh tokens says that the import will renew them, and spend those that rotate."""
    ready = Verdict(row=1, connection="a", provider="gmail", verdict="ready", kind="oauth2")
    assert "stop what uses them now" in "\n".join(told([ready], dry_run=True))
    key = Verdict(row=1, connection="a", provider="github", verdict="ready", kind="bearer")
    assert "stop what uses them now" not in "\n".join(told([key], dry_run=True))


def write(folder: Path, *lines: dict[str, Any]) -> str:
    file = folder / "accounts.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    return str(file)


def account(connection: str, token: str = "test-token", **also: Any) -> dict[str, Any]:
    return {"connection": connection, "provider": "acme", "fields": {"token": token}, "base_url": SERVER, **also}


def test_a_dry_run_and_then_the_import(beside: Command, tmp_path: Path) -> None:
    """The dry run stores nothing and says the same of each row as the import then finds; what is there stays."""
    file = write(
        tmp_path,
        account("bulk-a"),
        account("bulk-b", CANARY),
        account("bulk-c", provider="nothing"),
        account("bulk-d", kind="oauth2"),
    )
    words = ("connection", "import", "--from", "jsonl", file, "--tenant", "bulk")
    dry = beside(*words, "--dry-run")
    assert dry.exit_code == 1
    assert "2 ready, 2 refused" in dry.stdout
    assert "nothing is not served here" in dry.stdout
    assert "takes no credential of kind oauth2" in dry.stdout
    assert said(beside("connection", "list", "--tenant", "bulk", "--json")) == []
    done = beside(*words, "--json")
    assert [item["verdict"] for item in said(done)["rows"]] == ["stored", "refused", "refused", "refused"]
    assert "CREDENTIAL_REJECTED" in said(done)["rows"][1]["why"]
    again = beside(*words)
    assert "1 there, 3 refused" in again.stdout
    for result in (dry, done, again):
        assert CANARY not in result.output
    assert [item["connection"] for item in said(beside("connection", "list", "--tenant", "bulk", "--json"))] == [
        "bulk-a"
    ]


def test_words_that_do_not_go_together(beside: Command, tmp_path: Path) -> None:
    """Options of one credential with a file of many, and the other way round; a file that is not there."""
    file = write(tmp_path, account("a"))
    for words in (
        ["--from", "jsonl", file, "-c", "alice"],
        ["--from", "jsonl", file, "--kind", "bearer"],
        ["acme", "--dry-run"],
        ["--from", "nango", file, "--map", "x"],
        ["--from", "csv", file],
    ):
        assert beside("connection", "import", *words).exit_code == 64
    assert beside("connection", "import", "--from", "jsonl", str(tmp_path / "none")).exit_code == 66
