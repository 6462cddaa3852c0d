"""`sidecar connect`: apps, consent in a browser or with its address pasted, keys; each end says what to do next."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli.paste import Begun, wrong_with
from tests.cli.conftest import Command
from tests.cli.consenting import CLIENT, REFRESH, STEPS, TOKEN, Consents, consents

SECONDS = 50
ROOT = Path(__file__).parents[2]
# What a browser does with a link of ours, where the provider says yes at once.
BROWSER = """
import html, re, sys, urllib.parse, urllib.request
jar = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
jar.open(sys.argv[1]).read()
page = jar.open(sys.argv[1], data=b"").read().decode()
going = html.unescape(re.search(r'content="0; url=([^"]+)"', page)[1])
asked = urllib.parse.parse_qs(urllib.parse.urlsplit(going).query)
back = urllib.parse.urlencode({"code": "the-code", "state": asked["state"][0]})
jar.open(asked["redirect_uri"][0] + "?" + back).read()
"""


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    stdout: str
    stderr: str

    @property
    def facts(self) -> Any:
        return json.loads(self.stdout)


class Terminal:
    """The command as a process of its own, with somebody at it who brings addresses back."""

    def __init__(self, house: Consents, folder: Path) -> None:
        self.house = house
        self._folder = folder
        self.environment = {name: text for name, text in os.environ.items() if not name.startswith("SIDECAR_")}
        self.environment |= {"SIDECAR_DATA_DIR": str(house.data_dir), "BROWSER": "false %s", "NO_COLOR": "1"}

    def command(self, *words: str) -> list[str]:
        start = (
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); from sidecar.cli import main; main(prog_name='sidecar')"
        )
        return [sys.executable, "-c", start, *words]

    def __call__(self, *words: str, pasted: tuple[str, ...] | None = None, browser: bool = False) -> Ran:
        """`pasted`: what is brought back, in order; None: what the provider sends the browser back with."""
        script = self._folder / "browser.py"
        script.write_text(BROWSER if browser else "raise SystemExit(1)")
        environment = self.environment | {"BROWSER": f"{sys.executable} {script} %s"}
        pipe = subprocess.PIPE
        with subprocess.Popen(
            self.command(*words), env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            seen = ""
            for line in process.stderr:
                seen += line
                if f"{self.house.provider.url}/authorize" in line:
                    url = line.rpartition(": ")[2].strip()
                    given = pasted if pasted is not None else (self.house.provider.consent(url),)
                    process.stdin.write("".join(f"{address}\n" for address in given))
                    process.stdin.close()
            assert process.stdout is not None
            out = process.stdout.read()
            return Ran(process.wait(SECONDS), out, seen)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consents]:
    with consents(tmp_path_factory.mktemp("consents")) as it:
        yield it


@pytest.fixture
def terminal(house: Consents, tmp_path: Path) -> Terminal:
    """Nothing is left of an earlier test's apps and answers."""
    house.provider.answers.clear()
    house.provider.asked.clear()
    for file in (house.data_dir / "apps").glob("*.json"):
        file.unlink()
    return Terminal(house, tmp_path)


@pytest.fixture
def app(tmp_path: Path) -> str:
    """The file as Google hands it out."""
    file = tmp_path / "client_secret_1.json"
    file.write_text(json.dumps({"installed": CLIENT | {"project_id": "p", "redirect_uris": ["http://localhost"]}}))
    return str(file)


def test_a_browser_that_finds_back(terminal: Terminal, app: str) -> None:
    """A provider that allows loopback: the browser is opened, and the account is verified when the command ends."""
    ran = terminal("connect", "near", "-c", "anna", "--app", app, browser=True)
    assert (ran.code, ran.stdout) == (0, "near  anna  oauth2  active  connected: anna\n"), ran.stderr
    assert "asks in your browser" in ran.stderr
    (form,) = terminal.house.provider.asked
    assert (form["client_id"], form["client_secret"]) == (CLIENT["client_id"], CLIENT["client_secret"])
    assert len(form["code_verifier"]) >= 43
    assert terminal("connection", "status", "near", "-c", "anna").code == 0


@pytest.mark.parametrize("words", [("far",), ("near", "--no-browser")])
def test_an_address_that_is_pasted(terminal: Terminal, app: str, words: tuple[str, ...]) -> None:
    """A provider that wants https, or a machine without a browser: the address that a person brings back does."""
    ran = terminal("connect", *words, "-c", "anna", "--app", app, "--json")
    assert ran.code == 0, ran.stderr
    facts = ran.facts
    assert (facts["status"], facts["account"], facts["flow"]) == ("active", "anna", "connected")
    assert "copy that address" in ran.stderr
    for secret in (TOKEN, REFRESH, CLIENT["client_secret"]):
        assert secret not in ran.stdout + ran.stderr


def test_the_app_is_kept_for_its_owner_alone(terminal: Terminal, app: str) -> None:
    """A file of mode 0600 in the data directory; who connects again needs it no more, and another app is told."""
    assert terminal("connect", "far", "--app", app).code == 0
    file = terminal.house.data_dir / "apps" / "far.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert terminal("connect", "far", "-c", "again").code == 0
    Path(app).write_text(json.dumps(CLIENT | {"client_id": "another"}))
    assert "have to be connected again" in terminal("connect", "far", "--app", app).stderr
    assert terminal("connect", "far", "--app", app, "--tenant", "a b", pasted=()).code != 0
    assert (terminal.house.data_dir / "apps" / "a.20b.far.json").is_file()


def test_without_an_app(terminal: Terminal) -> None:
    """The steps to make one, its redirect URI, and where the file goes; nothing is begun."""
    ran = terminal("connect", "bare")
    assert ran.code == 64
    for number, step in enumerate(STEPS, 1):
        assert f"{number}. {step}" in ran.stderr
    assert "redirect URI is https://localhost/callback" in ran.stderr
    assert "sidecar connect bare --app FILE" in ran.stderr
    assert '{"client_id": "...", "client_secret": "..."}' in ran.stderr
    near = terminal("connect", "bare_near")
    assert "redirect URI is http://127.0.0.1:" in near.stderr


def typed(terminal: Terminal, *words: str, answers: dict[str, str]) -> tuple[int, str]:
    """The command at a real terminal, whose person answers each question by its last words."""
    ours, theirs = pty.openpty()
    left = dict(answers)
    with subprocess.Popen(
        terminal.command(*words), env=terminal.environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as run:
        os.close(theirs)
        seen = ""
        while chunk := _read(ours):
            seen += chunk
            if f"{terminal.house.provider.url}/authorize" in seen and seen.endswith("Address: "):
                (url,) = [line.rpartition(": ")[2] for line in seen.splitlines() if "/authorize?" in line]
                left["Address: "] = terminal.house.provider.consent(url.strip())
            question = next((ending for ending in left if seen.endswith(ending)), None)
            if question is not None:
                os.write(ours, f"{left.pop(question)}\n".encode())
        os.close(ours)
        return run.wait(SECONDS), seen


def _read(descriptor: int) -> str:
    try:
        return os.read(descriptor, 4096).decode()
    except OSError:  # Linux: the other end is closed
        return ""


def test_an_app_that_is_typed(terminal: Terminal) -> None:
    """A provider that shows an app on a page and hands out no file: both are asked for, the secret unseen."""
    answers = {"Client ID: ": CLIENT["client_id"], "Client secret: ": CLIENT["client_secret"]}
    code, seen = typed(terminal, "connect", "typed", "-c", "anna", answers=answers)
    assert code == 0, seen
    assert "connected: anna" in seen
    assert f"1. {STEPS[0]}" in seen
    assert CLIENT["client_secret"] not in seen
    assert stat.S_IMODE((terminal.house.data_dir / "apps" / "typed.json").stat().st_mode) == 0o600


def test_a_key_in_place_of_an_app(terminal: Terminal) -> None:
    """Without an app, a provider that takes a key as well is given one, by a hidden prompt."""
    code, seen = typed(terminal, "connect", "both", "-c", "key", answers={"Both token: ": TOKEN})
    assert code == 0, seen
    assert "a key does as well (how to make an app: --kind oauth2)" in seen
    assert "both  key  bearer  active  verified: anna" in seen
    assert TOKEN not in seen


def test_a_key_where_there_is_no_terminal(terminal: Terminal) -> None:
    """A provider that takes a key as well is not asked for one by a pipe: the steps say which kinds there are."""
    ran = terminal("connect", "both")
    assert ran.code == 64
    assert "--kind bearer" in ran.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [("{}", "client_id"), ("not json", "it is not JSON"), (None, "No such file")],
)
def test_a_file_that_is_no_app(terminal: Terminal, tmp_path: Path, content: str | None, told: str) -> None:
    """It is refused before anything is asked, and the app that is there stays."""
    file = tmp_path / "wrong.json"
    if content is not None:
        file.write_text(content)
    ran = terminal("connect", "bare", "--app", str(file))
    assert ran.code in {64, 66}
    assert told in ran.stderr
    assert not (terminal.house.data_dir / "apps" / "bare.json").exists()


@pytest.mark.parametrize(
    ("answers", "words", "told"),
    [
        ({"error": "access_denied"}, (), "access was not allowed at Far"),
        ({"error": "invalid_scope", "error_description": "no such scope"}, (), "no such scope"),
        ({}, ("--account", "bob"), "another account was signed in"),
    ],
)
def test_an_end_that_is_none(
    terminal: Terminal, app: str, answers: dict[str, str], words: tuple[str, ...], told: str
) -> None:
    """Exit code 77, why, and what to do; nothing is stored."""
    terminal.house.provider.answers.update(answers)
    ran = terminal("connect", "far", "-c", "refused", "--app", app, *words)
    assert ran.code == 77, ran.stderr
    assert told in ran.stderr
    assert terminal("connection", "status", "far", "-c", "refused").code == 1


def test_a_wrong_address_is_asked_for_again(terminal: Terminal, app: str) -> None:
    """Three times, with what is wrong; a link works once, so the command then says to begin again."""
    wrong = (
        "https://elsewhere.example/?code=1",
        "https://localhost/callback",
        "https://localhost/callback?code=1&state=x",
    )
    ran = terminal("connect", "far", "--app", app, pasted=wrong)
    assert ran.code == 77
    assert "it begins with https://localhost/callback" in ran.stderr
    assert "it ends with ?code=" in ran.stderr
    assert "it is of another try" in ran.stderr
    assert "begin again" in ran.stderr
    assert terminal.house.provider.asked == []


BEGUN = Begun("https://p.example/authorize?state=s&client_id=c", "cookie=1")
BACK = "https://localhost/callback"


@pytest.mark.parametrize(
    ("pasted", "right"),
    [
        (f"{BACK}?code=1&state=s", True),
        (f"{BACK}?state=s&error=access_denied", True),
        (f"{BACK}?code=1&state=s#_=_", True),
        (f"{BACK}?code=1", False),
        ("code=1&state=s", False),
        ("https://localhost.example/callback?code=1&state=s", False),
        ("http://localhost/callback?code=1&state=s", False),
        ("https://[/callback?code=1&state=s", False),
        (f"{BACK}?code=\u00e9&state=s", False),
        ("", False),
    ],
)
def test_what_may_be_pasted(pasted: str, right: bool) -> None:
    """The redirect URI with this try's answer, and nothing else."""
    assert (wrong_with(pasted, BACK, BEGUN) is None) is right


def test_a_key_is_asked_for(beside: Command) -> None:
    """A provider without consent: the hidden prompt, which a pipe is refused; an app makes no sense there."""
    refused = beside("connect", "acme", "-c", "key", "--base-url", "https://server.example")
    assert refused.exit_code == 64
    assert "there is no terminal" in refused.stderr
    with_app = beside("connect", "acme", "--kind", "none")
    assert "kinds are" in with_app.stderr
