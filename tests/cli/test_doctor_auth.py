"""The doctor's lines on OAuth and on room: each thing that can be wrong is told, with what mends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.adapters.nats_contents import Room
from sidecar.adapters.nats_streams import bucket, required
from sidecar.cli.account import Connection
from sidecar.cli.doctor_apps import app_lines
from sidecar.cli.doctor_endpoint import clock_offset, endpoint_line, token_urls
from sidecar.cli.doctor_grants import grant_lines
from sidecar.cli.doctor_line import Level, Line
from sidecar.cli.doctor_room import lines_of
from sidecar.provider import Catalogue
from sidecar.settings import Settings
from tests.build import provider
from tests.cli.conftest import Command, said
from tests.cli.consenting import CLIENT, Consents, consents

OAUTH2: dict[str, Any] = {
    "kind": "oauth2",
    "authorize_url": "https://acme.example/authorize",
    "token_url": "https://acme.example/token",
    "client_auth": "post",
    "redirect": "loopback",
    "docs": "https://docs.acme.example/oauth",
    "scopes": {"https://acme.example/read": ["items.get"], "write": ["items.*"]},
    "unpublished": {"days": 7, "publish": "https://acme.example/publish", "docs": "https://docs.acme.example"},
}
AT = "http://127.0.0.1:8077/callback"


def catalogue(**facts: Any) -> Catalogue:
    return Catalogue({"acme": provider(auth=[OAUTH2 | facts, {"kind": "bearer"}])}, "digest")


def connection(name: str = "alice", **facts: Any) -> Connection:
    known: dict[str, Any] = {"kind": "oauth2", "status": "active", "client_id": CLIENT["client_id"]}
    return Connection(connection=name, provider="acme", **(known | facts))


def lines(found: list[Line]) -> list[tuple[Level, str]]:
    return [(line.level, f"{line.seen} -> {line.mend}") for line in found]


def apps(folder: Path, app: object | None, *connections: Connection, **facts: Any) -> tuple[Level, str]:
    """The one line on an app, where its file holds this."""
    (folder / "apps").mkdir(exist_ok=True)
    file = folder / "apps" / "acme.json"
    if app is not None:
        file.write_text(app if isinstance(app, str) else json.dumps(app))
        file.chmod(0o600)
    settings = Settings(data_dir=str(folder), public_url=facts.pop("public_url", None))
    (line,) = lines(app_lines(settings, catalogue(**facts), "default", connections))
    return line


@pytest.mark.parametrize(
    ("app", "facts", "level", "told"),
    [
        (CLIENT, {}, Level.OK, f"redirect URI {AT}"),
        (CLIENT, {"redirect": "https"}, Level.OK, "redirect URI https://localhost/callback"),
        (CLIENT, {"public_url": "https://c.example"}, Level.OK, "redirect URI https://c.example/callback"),
        ({"client_id": "c"}, {}, Level.FAIL, "client secret missing"),
        ({"client_id": "c"}, {"client_auth": "none"}, Level.OK, "OAuth app c"),
        (CLIENT, {"client_auth": "private_key_jwt"}, Level.FAIL, "private key missing"),
        ("{", {}, Level.FAIL, "sidecar connect acme --app FILE"),
        ({"installed": CLIENT}, {}, Level.OK, AT),
        ({"installed": CLIENT}, {"public_url": "https://c.example"}, Level.WARN, "one for desktops"),
        ({"web": CLIENT | {"redirect_uris": [AT]}}, {}, Level.OK, AT),
        (
            {"web": CLIENT | {"redirect_uris": ["https://c.example/x"]}},
            {},
            Level.WARN,
            f"add {AT} to the redirect URIs",
        ),
    ],
)
def test_an_app(tmp_path: Path, app: object, facts: dict[str, Any], level: Level, told: str) -> None:
    """Whether it can prove itself, and whether the provider sends people back to where the pages are."""
    found, text = apps(tmp_path, app, **facts)
    if "FAIL" in level and "missing" in told:
        assert (found, told in text) == (level, True)
    else:
        assert found is level
        assert told in text


def test_an_app_that_connections_need(tmp_path: Path) -> None:
    """None is there; then one is that is another's."""
    level, text = apps(tmp_path, None, connection())
    assert level is Level.WARN
    assert "no OAuth app" in text
    settings = Settings(data_dir=str(tmp_path))
    (tmp_path / "apps" / "acme.json").write_text(json.dumps(CLIENT))
    (tmp_path / "apps" / "acme.json").chmod(0o600)
    (wrong, right) = lines(app_lines(settings, catalogue(), "default", [connection(client_id="former"), connection()]))
    assert wrong[0] is Level.WARN
    assert "alice belong to former" in wrong[1]
    assert right[0] is Level.OK


def test_a_file_that_others_read(tmp_path: Path) -> None:
    """It is refused, with the command that mends it."""
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "acme.json").write_text(json.dumps(CLIENT))
    (tmp_path / "apps" / "acme.json").chmod(0o644)
    ((level, text),) = lines(app_lines(Settings(data_dir=str(tmp_path)), catalogue(), "default", []))
    assert level is Level.FAIL
    assert "chmod 600" in text


@pytest.mark.parametrize(
    ("facts", "level", "told"),
    [
        ({"status": "reauth_required", "why": "invalid_grant"}, Level.FAIL, "invalid_grant -> sidecar connect acme -c"),
        ({"status": "reauth_required"}, Level.FAIL, "https://acme.example/publish"),
        ({"kept": {"refresh_token_expires_in": "604799"}}, Level.WARN, "OAuth app is in test mode"),
        ({"scopes": ("read",)}, Level.WARN, "scope write is not granted to alice: items.* will be refused"),
    ],
)
def test_a_grant(facts: dict[str, Any], level: Level, told: str) -> None:
    """Gone, ending by itself, or narrower than what there is to call."""
    ((found, text),) = lines(grant_lines(catalogue(), [connection(**facts)]))
    assert found is level
    assert told in text


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"scopes": ("write",)},  # it covers all
        {"scopes": ("https://acme.example/read", "write")},
        {"scopes": ("Read", "WRITE")},
        {"kept": {"refresh_token_expires_in": "15897600"}},
        {"kept": {"refresh_token_expires_in": "soon"}},
        {"status": "disabled"},
        {"kind": "bearer"},
    ],
)
def test_a_grant_that_is_well(facts: dict[str, Any]) -> None:
    """Nothing is told of it; nor of what nobody said."""
    assert grant_lines(catalogue(), [connection(**facts)]) == []


WED = "Wed, 21 Oct 2026 07:28:00 GMT"
AT_WED = 1792567680.0


@pytest.mark.parametrize(
    ("date", "began", "ended", "offset"),
    [
        (WED, AT_WED, AT_WED + 0.5, 0.0),
        (WED, AT_WED - 0.5, AT_WED + 2, 0.0),
        (WED, AT_WED + 61, AT_WED + 61.5, 60.0),
        (WED, AT_WED - 60.5, AT_WED - 60, -60.0),
        (None, 0.0, 0.0, None),
        ("soon", 0.0, 0.0, None),
    ],
)
def test_the_clock_of_a_token_endpoint(date: str | None, began: float, ended: float, offset: float | None) -> None:
    """What is certain of the difference, as a Date has whole seconds and the answer took its time."""
    assert clock_offset(date, began, ended) == offset


@pytest.mark.parametrize(
    ("unreached", "offset", "level", "told"),
    [
        (None, 0.0, Level.OK, "clocks agree within 1"),
        (None, None, Level.OK, "answers"),
        (None, 95.0, Level.FAIL, "ahead of that of acme.example"),
        (None, -95.0, Level.FAIL, "synchronise the clock"),
        ("could not connect", None, Level.FAIL, "let this machine reach acme.example"),
    ],
)
def test_a_token_endpoint(unreached: str | None, offset: float | None, level: Level, told: str) -> None:
    """Reached or not, and whose clock is wrong by how much."""
    ((found, text),) = lines([endpoint_line(["acme"], "https://acme.example/token", unreached, offset)])
    assert found is level
    assert told in text


def test_only_endpoints_that_are_used(tmp_path: Path) -> None:
    """One of a provider with an app here or connections; none below a server of the connection's own."""
    settings = Settings(data_dir=str(tmp_path))
    assert token_urls(settings, catalogue(), "default", []) == {}
    assert token_urls(settings, catalogue(), "default", [connection()]) == {"https://acme.example/token": ("acme",)}
    assert token_urls(settings, catalogue(), "default", [connection(kind="bearer")]) == {}
    assert token_urls(settings, catalogue(token_url="/token"), "default", [connection()]) == {}


@pytest.mark.parametrize(
    ("used", "level", "told"),
    [
        (10, Level.OK, "10% full"),
        (79, Level.OK, "79% full"),
        (80, Level.WARN, "raise SIDECAR_CREDENTIALS_MAX_BYTES, then run: sidecar setup"),
        (100, Level.FAIL, "are refused"),
    ],
)
def test_room(used: int, level: Level, told: str) -> None:
    """A bucket is told from 80 % on; a trace, which makes room by itself, is not."""
    spec = bucket("SIDECAR_CREDENTIALS", max_bytes=100)
    rooms = [Room(spec.title, spec.name, used, 100, keeps=True), Room("stream T", "T", 100, 100, keeps=False)]
    ((found, text),) = lines(lines_of(rooms))
    assert found is level
    assert told in text


def test_every_bucket_that_can_fill_up_is_looked_at() -> None:
    """Buckets keep, the trace does not."""
    assert {spec.name: spec.discard for spec in required("sidecar")} == {
        "KV_SIDECAR_CREDENTIALS": "new",
        "KV_SIDECAR_CONNECT": "new",
        "KV_SIDECAR_QUOTA": "new",
        "KV_SIDECAR_IDEMPOTENCY": "new",
        "KV_SIDECAR_CALLS": "new",
        "SIDECAR_QUEUE": "new",
        "SIDECAR_LATER": "old",
        "SIDECAR_TRACE": "old",
    }


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consents]:
    with consents(tmp_path_factory.mktemp("consents")) as it:
        yield it


def test_beside_a_sidecar(house: Consents, sidecar: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app without a secret FAILs, its token endpoint is asked and answers, buckets have room."""
    monkeypatch.setenv("SIDECAR_DATA_DIR", str(house.data_dir))
    folder = house.data_dir / "apps"
    folder.mkdir(exist_ok=True)
    (folder / "near.json").write_text(json.dumps({"client_id": "c"}))
    (folder / "near.json").chmod(0o600)
    connectors = str(house.data_dir.parent / "connectors")
    allowed = {"SIDECAR_CONNECTORS": connectors, "SIDECAR_EGRESS_ALLOW": "127.0.0.1"}
    result = sidecar("doctor", "--json", env=allowed)
    assert result.exit_code == 1
    told = {(line["what"], line["level"]): line["seen"] for line in said(result)["checks"]}
    assert told["near", "FAIL"] == "client secret missing"
    assert "token endpoint 127.0.0.1 answers, clocks agree" in told["near", "ok"]
    assert "full" in told["room", "ok"]
    refused = sidecar("doctor", "--json", env={"SIDECAR_CONNECTORS": connectors})
    seen = [line["seen"] for line in said(refused)["checks"] if line["what"] == "near"]
    assert any("cannot be reached" in text for text in seen)
    (folder / "near.json").unlink()
