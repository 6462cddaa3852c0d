"""OAuth apps from files: whose they are, the forms they come in, and what happens when they change."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from sidecar.adapters.app_file import LOOK_SECONDS, AppFolder
from sidecar.auth.apps import App, Apps, read_app
from sidecar.ports import AppFileError
from sidecar.sandbox.scripted import ManualClock
from sidecar.secret import Secret

CANARY = "canary-of-the-mine"
OURS = {"client_id": "id", "client_secret": CANARY}


class Folder:
    """A folder of apps, and how it is seen."""

    def __init__(self, path: Path) -> None:
        self.path, self.clock = path, ManualClock()
        self.apps = Apps(AppFolder(path, self.clock.now))

    def write(self, name: str, body: Any, mode: int = 0o600) -> None:
        fresh = self.path / f".{name}"
        fresh.write_text(body if isinstance(body, str) else json.dumps(body))
        fresh.chmod(mode)
        fresh.replace(self.path / name)
        self.clock.advance(LOOK_SECONDS)

    def client(self, tenant: str = "acme", provider: str = "gmail") -> str | None:
        app = self.apps.app(tenant, provider)
        return app.client_id if app else None


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_tenants_own_app_goes_before_everybodys(folder: Folder) -> None:
    """Of another tenant or provider none is taken."""
    folder.write("gmail.json", OURS | {"client_id": "all"})
    folder.write("acme.gmail.json", OURS | {"client_id": "acme's"})
    folder.write("acme.20corp.gmail.json", OURS | {"client_id": "acme corp's"})
    assert folder.client("acme") == "acme's"
    assert folder.client("acme corp") == "acme corp's"
    assert folder.client("globex") == "all"
    assert folder.client("acme", "github") is None


@pytest.mark.parametrize("tenant", ["..", "../x", "a/b", "a.b", "gmail", "", "x\0y"])
def test_a_tenants_name_leads_nowhere_else(folder: Folder, tmp_path: Path, tenant: str) -> None:
    """Whatever a tenant is called, its file is one of the folder."""
    (tmp_path.parent / "gmail.json").write_text(json.dumps(OURS | {"client_id": "outside"}))
    (tmp_path.parent / "x.gmail.json").write_text(json.dumps(OURS | {"client_id": "outside"}))
    assert folder.client(tenant) is None


@pytest.mark.parametrize(
    ("body", "app"),
    [
        ({"client_id": "id"}, App(client_id="id")),
        (OURS, App(client_id="id", client_secrets=(Secret(CANARY),))),
        (
            {"client_id": "id", "client_secrets": ["new", "old", "new"]},
            App(client_id="id", client_secrets=(Secret("new"), Secret("old"))),
        ),
        (
            {"client_id": "id", "private_key": "PEM", "key_id": "k1"},
            App(client_id="id", private_key=Secret("PEM"), key_id="k1"),
        ),
        ({"client_id": "id", "servers": ["https://a.example"]}, App(client_id="id", servers=("https://a.example",))),
        (
            {"installed": OURS | {"project_id": "p", "redirect_uris": ["http://localhost"]}},
            App(client_id="id", client_secrets=(Secret(CANARY),)),
        ),
        ({"web": OURS | {"auth_uri": "https://x"}}, App(client_id="id", client_secrets=(Secret(CANARY),))),
    ],
)
def test_the_forms_of_a_file(body: dict[str, Any], app: App) -> None:
    """Ours, and what Google hands out; the newest secret first."""
    assert read_app(json.dumps(body).encode(), "x.json") == app


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        json.dumps({"client_secret": CANARY}).encode(),
        json.dumps({"client_id": CANARY, "client_secrt": CANARY}).encode(),
        json.dumps({"client_id": "id", CANARY: ""}).encode(),
        json.dumps({"client_id": "", "client_secret": CANARY}).encode(),
        json.dumps({"client_id": "id", "client_secret": f"{CANARY}\n"}).encode(),
        json.dumps({"client_id": "id", "client_secret": 7}).encode(),
        json.dumps({"web": {"client_secret": CANARY}}).encode(),
        json.dumps({"installed": 1}).encode(),
    ],
)
def test_a_wrong_file_is_told_without_what_is_in_it(content: bytes) -> None:
    """By its name, and what it should say."""
    with pytest.raises(AppFileError) as told:
        read_app(content, "gmail.json")
    assert "gmail.json" in str(told.value)
    assert CANARY not in str(told.value)


def test_a_changed_file_is_read_again(folder: Folder) -> None:
    """Within a second, without a restart; so is one that comes, and one that goes."""
    assert folder.client() is None
    folder.write("gmail.json", OURS | {"client_id": "one"})
    assert folder.client() == "one"
    folder.write("gmail.json", OURS | {"client_id": "two"})
    assert folder.client() == "two"
    (folder.path / "gmail.json").unlink()
    folder.clock.advance(LOOK_SECONDS)
    assert folder.client() is None


def test_a_file_that_becomes_wrong_leaves_the_app_as_it_was(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    """A slip of the pen stops no refresh; it is told once, and shown to who looks."""
    folder.write("gmail.json", OURS)
    assert folder.client() == "id"
    folder.write("gmail.json", "{ not JSON" + CANARY)
    with caplog.at_level(logging.WARNING):
        assert [folder.client() for _ in range(3)] == ["id"] * 3
    assert len(caplog.records) == 1
    assert CANARY not in caplog.text
    assert "gmail.json" in (folder.apps.problem("acme", "gmail") or "")
    folder.write("gmail.json", OURS | {"client_id": "good"})
    assert folder.client() == "good"
    assert folder.apps.problem("acme", "gmail") is None


def test_a_wrong_file_of_a_tenant_is_not_everybodys(folder: Folder) -> None:
    """Tokens of another app would be asked for: no app is better than the wrong one."""
    folder.write("gmail.json", OURS | {"client_id": "all"})
    folder.write("acme.gmail.json", "{")
    assert folder.client("acme") is None
    assert folder.client("globex") == "all"


def test_a_file_that_others_may_read_is_not_taken(folder: Folder) -> None:
    """It holds a secret: told with the command that mends it."""
    folder.write("gmail.json", OURS, mode=0o644)
    assert folder.client() is None
    assert "chmod 600" in (folder.apps.problem("acme", "gmail") or "")


def test_a_file_that_is_no_description_of_an_app(folder: Folder) -> None:
    """A folder, or a film, in its place."""
    (folder.path / "gmail.json").mkdir()
    assert folder.client() is None
    assert "gmail.json" in (folder.apps.problem("acme", "gmail") or "")
    folder.write("github.json", " " * 70_000)
    assert "longer" in (folder.apps.problem("acme", "github") or "")


def test_no_folder_no_app() -> None:
    """Without the setting there is none, and nothing is wrong."""
    assert Apps().app("acme", "gmail") is None
    assert Apps().problem("acme", "gmail") is None


def test_printing_an_app_shows_no_secret() -> None:
    """But its client id, which every browser sees."""
    assert CANARY not in repr(read_app(json.dumps(OURS).encode(), "x.json"))
