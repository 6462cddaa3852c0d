"""The command's words: what is refused before anything is asked, each with its exit code and what to do instead."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sidecar.model import VERSION
from tests.cli.conftest import Command, Served

LIGHT = """
import sys
from sidecar.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert not end.code
print(*(name for name in ("aiohttp", "httpx", "nats", "asyncio", "cryptography", "rich") if name in sys.modules))
"""


def test_help_imports_nothing_heavy() -> None:
    """`sidecar --help` answers at once: neither HTTP, nor NATS, nor an event loop is loaded for it."""
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert "Commands:" in done.stdout
    assert done.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize("name", ["dev", "run", "call", "connection", "provider", "trace", "doctor"])
def test_every_command_has_help(sidecar: Command, name: str) -> None:
    """Each command that the group lists is there, under that name."""
    result = sidecar(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: sidecar {name}")


def test_version(sidecar: Command) -> None:
    """The version alone, for scripts."""
    assert sidecar("--version").stdout == f"sidecar {VERSION}\n"


def test_no_command_shows_the_help(sidecar: Command) -> None:
    """`sidecar` alone is answered with what there is."""
    result = sidecar()
    assert result.exit_code == 64
    assert result.stdout == ""
    assert "Commands:" in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["mcp"], "No such command 'mcp'"),
        (["call"], "Missing argument 'PROVIDER.OPERATION'"),
        (["call", "acme"], "acme is a provider; name one of its operations"),
        (["call", "Acme.get"], "'Acme.get' is not PROVIDER.OPERATION"),
        (["call", "acme.Get it"], "'Get it' is no operation"),
        (["call", "acme.items.list", "--nope"], "No such option '--nope'"),
        (["call", "acme.items.list", "--timeout", "soon"], "'soon' is not a valid float"),
        (["call", "acme.items.list", "--timeout", "nan"], "seconds are a number above 0"),
        (["call", "acme.items.list", "--timeout", "0"], "seconds are a number above 0"),
        (["call", "acme.items.list", "--tenant", "-"], "'-' is not a name"),
        (["call", "acme.items.list", "-c", ""], "it is empty"),
        (["call", "acme.items.list", "-c", "é" * 100], "it is too long for a subject"),
        (["call", "acme.items.list", "-c", "\udcff"], "it is not UTF-8"),
        (["call", "acme.items.list", "{"], "the payload is not JSON"),
        (["call", "acme.items.list", "[1]"], "the payload must be a JSON object, not an array"),
        (["call", "acme.items.list", "--idempotency-key", "a key"], "1 to 255 visible ASCII characters"),
        (["call", "acme.items.list", "--idempotency-key", "k", "--run", "1"], "two keys for one call"),
        (["call", "acme.items.list", "--run", "1"], "--run and --step make a key together"),
        (["call", "acme.items.list", "--step", "1", "--run", ""], "--run and --step make a key together"),
        (["call", "acme.items.list", "--not-before", "2026-11-21T20:00:00Z"], "--not-before is for durable calls"),
        (["queue", "show", "7q"], "'7q' is no call id"),
        (["queue", "redrive"], "name one durable call, or --all"),
        (["call", "acme.items.list", "--all-pages"], "this version fetches one page at a time"),
        (["connection", "import", "acme corp"], "'acme corp' is not a provider"),
        (["connection", "import", "acme", "--from-env", "A", "--from-file", "b"], "two places for one secret"),
        (["connection", "revoke"], "Missing argument 'PROVIDER'"),
        (["trace", "show", "7q"], "'7q' is no call id"),
        (["trace", "show", "not-hex"], "'not-hex' is no call id"),
        (["trace", "show", "0" * 33], "is no call id"),
        (["trace", "show", "abcd", "--since", "yesterday"], "such as 30m, 24h or 7d"),
        (["trace", "tail", "--provider", "No"], "'No' is not a provider"),
        (["dev", "extra"], "unexpected extra argument"),
    ],
)
def test_refused(sidecar: Command, words: list[str], told: str) -> None:
    """A mistake in the words is told in one breath, on stderr alone, without asking anybody."""
    result = sidecar(*words)
    assert result.exit_code == 64
    assert result.stdout == ""
    assert result.stderr.startswith("refused   ")
    assert told in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("flag", "instead"),
    [
        (["--all-pages"], "each page names the --cursor of the next one"),
    ],
)
def test_flags_of_later_work_say_what_to_do_instead(sidecar: Command, flag: list[str], instead: str) -> None:
    """Who relies on it learns that it is not there, that nothing was sent, and what there is."""
    result = sidecar("call", "acme.items.list", *flag)
    assert instead in result.stderr
    assert "nothing was sent" in result.stderr


def test_a_refusal_is_json_for_machines(sidecar: Command) -> None:
    """With --json the same failure stands on stdout, in the one shape, also for a mistake in the words."""
    result = sidecar("call", "acme.items.list", "--nope", "--json")
    assert result.exit_code == 64
    assert result.stderr == ""
    told = json.loads(result.stdout)
    assert (told["code"], told["reason"], told["status"]) == ("INVALID_ARGUMENT", "USAGE", 400)
    assert told["hint"] == "see sidecar call --help"


def test_a_mistake_names_the_command_s_own_help(sidecar: Command) -> None:
    """The hint leads to the help of the command that was meant."""
    assert "sidecar connection import --help" in sidecar("connection", "import").stderr


def test_without_a_server_it_says_how_to_start_one(sidecar: Command) -> None:
    """Nothing runs and nothing is named: that is told at once, with both ways out."""
    result = sidecar("call", "acme.items.list")
    assert result.exit_code == 69
    assert "`sidecar dev` never ran" in result.stderr
    assert "SIDECAR_NATS_URL=nats://user:password@host:4222" in result.stderr


def test_a_server_that_is_away_is_told_without_its_password(sidecar: Command) -> None:
    """The address is named, the login never."""
    result = sidecar("provider", "list", env={"SIDECAR_NATS_URL": "nats://joe:hunter2@127.0.0.1:1"})
    assert result.exit_code == 69
    assert "could not connect to NATS at nats://127.0.0.1:1" in result.stderr
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("command", [["provider", "list"], ["run"]])
def test_a_login_that_nats_does_not_take(sidecar: Command, served: Served, command: list[str]) -> None:
    """It is no server that is away: the settings of the login are named."""
    address = served.url.rpartition("@")[2]
    result = sidecar(*command, env={"SIDECAR_NATS_URL": f"nats://joe:hunter2@{address}"})
    assert result.exit_code == 77
    assert "NATS_DENIED" in result.stderr
    assert "the login: user and password in SIDECAR_NATS_URL" in result.stderr
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("command", [["provider", "list"], ["run"]])
def test_a_credentials_file_that_is_not_there(beside: Command, served: Served, command: list[str]) -> None:
    """The setting is named, also beside a `sidecar dev` that runs."""
    result = beside(*command, env={"SIDECAR_NATS_CREDS": "/nosuch"})
    assert result.exit_code == 64
    assert "SIDECAR_NATS_CREDS: /nosuch cannot be read: No such file or directory" in result.stderr


@pytest.mark.parametrize("command", [["call", "acme.items.list"], ["provider", "list"], ["run"], ["dev"]])
def test_a_wrong_setting_is_told(sidecar: Command, command: list[str]) -> None:
    """Every command names the variable and the rule, and does nothing."""
    result = sidecar(*command, env={"SIDECAR_MAX_IN_FLIGHT": "many"})
    assert result.exit_code == 64
    assert "environment variable SIDECAR_MAX_IN_FLIGHT" in result.stderr


def test_a_secret_is_no_argument(sidecar: Command) -> None:
    """Whoever types it behind the command is told why not, and it is not repeated."""
    result = sidecar("connection", "import", "acme", "hunter2")
    assert result.exit_code == 64
    assert "a secret is never an argument" in result.stderr
    assert "hunter2" not in result.output
