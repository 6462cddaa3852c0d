"""`sidecar dev` and `sidecar run` as processes of their own, and what keeps them from starting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar.adapters.address import AddressError
from sidecar.adapters.key_file import KeyFileError, create_key_file
from sidecar.adapters.nats_directory import Login, ServerError, in_use, write_login
from sidecar.adapters.nats_streams import StreamRefused
from sidecar.app import Unfit
from sidecar.catalogue.read import ManifestError
from sidecar.cli.dev import Started, greeting
from sidecar.cli.failure import Stopped, exit_code, stop
from sidecar.cli.serve import starting
from sidecar.ports import BusError, StoreUnavailable
from tests.cli.conftest import Command

PATIENCE = 40


def environment(**more: str) -> dict[str, str]:
    """The variables of a process: none of ours but those given."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("SIDECAR_")}
    return {**mine, **more}


@contextmanager
def started(*words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """`sidecar WORDS...`, ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sidecar", *words],
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`sidecar WORDS...` that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "sidecar", *words],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_dev_starts_all_it_needs_and_ends_well(sidecar: Command, tmp_path: Path) -> None:
    """A server, streams; commands find it there; a second one there is refused; SIGTERM ends it."""
    data_dir = tmp_path / "data"
    with started("dev", "--json", "--data-dir", str(data_dir)) as process:
        told = json.loads(first_line(process))
        assert told["nats_url"].startswith("nats://sidecar:")
        assert {"github", "slack"} <= set(told["providers"])
        assert sidecar("provider", "list", env={"SIDECAR_DATA_DIR": str(data_dir)}).exit_code == 0
        second = ended("dev", "--data-dir", str(data_dir))
        assert second.returncode == 69
        assert f"in use by process {told['pid']}" in second.stderr
        assert "Traceback" not in second.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0
    gone = sidecar("provider", "list", env={"SIDECAR_DATA_DIR": str(data_dir)})
    assert gone.exit_code == 69
    assert "`sidecar dev` is not running" in gone.stderr


def test_the_sandbox_answers_and_keeps_to_itself(sidecar: Command, tmp_path: Path) -> None:
    """The first call that it proposes works without an account; its accounts are kept apart; Ctrl-C ends it."""
    here = {"SIDECAR_DATA_DIR": str(tmp_path / "data")}
    with started("dev", "--sandbox", **here) as process:
        assert first_line(process).startswith("connector-sidecar ")
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(7)]
        assert any(line.startswith("try         sidecar call github.users.me") for line in lines)
        assert not any("\x1b" in line for line in lines)
        assert sidecar("call", "github.users.me", env=here).exit_code == 0
        assert not in_use(tmp_path / "data")
        assert (tmp_path / "data" / "sandbox" / "keys" / "default").stat().st_mode & 0o777 == 0o600
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE) == 0


def test_a_sandbox_beside_real_accounts(sidecar: Command, tmp_path: Path) -> None:
    """What a sandbox proposes reaches the sandbox, also while a `sidecar dev` runs on the same data directory; a
    command that could mean either does nothing and names what decides.
    """
    here = {"SIDECAR_DATA_DIR": str(tmp_path / "data")}
    running(tmp_path / "data")
    with started("dev", "--sandbox", **here) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(7)]
        chosen = f"SIDECAR_DATA_DIR={tmp_path / 'data' / 'sandbox'}"
        assert any(line.rstrip() == f"try         export {chosen}" for line in lines)
        for words in (["call", "github.users.me"], ["keys", "new"], ["connect", "gmail"]):
            refused = sidecar(*words, env=here)
            assert refused.exit_code == 64
            assert "nothing says which is meant" in refused.stderr
            assert f"export {chosen}" in refused.stderr
        assert sidecar("call", "github.users.me", env=dict([chosen.split("=")])).exit_code == 0


def test_real_accounts_beside_a_sandbox(tmp_path: Path) -> None:
    """A `sidecar dev` that starts beside a sandbox of the same data directory says by what it is reached."""
    running(tmp_path / "data" / "sandbox")
    with started("dev", SIDECAR_DATA_DIR=str(tmp_path / "data")) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(7)]
        assert any(line.startswith("try         export SIDECAR_NATS_URL=nats://sidecar:") for line in lines)


def running(folder: Path) -> None:
    """A `sidecar dev` there, as others see it."""
    folder.mkdir(parents=True)
    write_login(folder, Login("sidecar", "pw", 1, "nats://sidecar:pw@127.0.0.1:1"))
    (folder / "sidecar.lock").write_text(str(os.getpid()))


def test_a_scoped_sandbox(sidecar: Command, tmp_path: Path) -> None:
    """One tenant, one connection, one provider: it proposes what works, and serves nothing else."""
    here = {
        "SIDECAR_DATA_DIR": str(tmp_path / "data"),
        "SIDECAR_TENANT": "acme",
        "SIDECAR_CONNECTIONS": "bob",
        "SIDECAR_PROVIDERS": "github",
    }
    with started("dev", "--sandbox", **here) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(8)]
        assert any(line.startswith("providers   1: github") for line in lines)
        assert any("sidecar call github.users.me --tenant acme -c bob" in line for line in lines)
        there = {"SIDECAR_DATA_DIR": here["SIDECAR_DATA_DIR"]}
        assert sidecar("call", "github.users.me", "--tenant", "acme", "-c", "bob", env=there).exit_code == 0
        for words in (["-c", "bob"], ["--tenant", "acme", "-c", "alice"]):
            assert sidecar("call", "github.users.me", *words, env=there).exit_code == 69
        assert sidecar("call", "slack.users.list", "--tenant", "acme", "-c", "bob", env=there).exit_code in {66, 69}
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE) == 0


def test_dev_uses_a_server_that_is_named(nats_url: str, tmp_path: Path) -> None:
    """With SIDECAR_NATS_URL nothing is embedded, its password is not printed, and `run` finds all it needs."""
    here = {"SIDECAR_NATS_URL": nats_url, "SIDECAR_DATA_DIR": str(tmp_path / "data")}
    with started("dev", "--json", **here) as process:
        told = json.loads(first_line(process))
        assert told["nats_url"].startswith("nats://127.0.0.1:")
        assert not (tmp_path / "data" / "nats.json").exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0
        create_key_file(tmp_path / "kek")
        with started("run", "--json", **here, SIDECAR_KEK_FILE=str(tmp_path / "kek")) as run:
            assert json.loads(first_line(run))["providers"] == told["providers"]
            run.send_signal(signal.SIGTERM)
            assert run.wait(timeout=PATIENCE) == 0


def test_run_tells_everything_that_is_missing_at_once(nats_url: str, tmp_path: Path) -> None:
    """It makes nothing: streams and key are named, each with its mending, and it does not start."""
    done = ended("run", SIDECAR_NATS_URL=nats_url, SIDECAR_PREFIX="bare", SIDECAR_DATA_DIR=str(tmp_path))
    assert done.returncode == 64
    assert done.stdout == ""
    assert "refused   FAILED_PRECONDITION / NOT_READY" in done.stderr
    assert "SIDECAR_TRACE" in done.stderr
    assert "neither SIDECAR_KEK_FILE nor SIDECAR_KEK_DIR is set" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variables", "code", "told"),
    [
        ({}, 64, "SIDECAR_NATS_URL is not set"),
        (
            {"SIDECAR_NATS_URL": "nats://127.0.0.1:1", "SIDECAR_STATE_DIR": "/etc/passwd"},
            64,
            "SIDECAR_STATE_DIR: nothing can be written in /etc/passwd: File exists",
        ),
        (
            {"SIDECAR_NATS_URL": "nats://127.0.0.1:1", "SIDECAR_STATE_DIR": "/etc/passwd/state"},
            64,
            "SIDECAR_STATE_DIR: nothing can be written in /etc/passwd/state: Not a directory",
        ),
        (
            {"SIDECAR_NATS_URL": "nats://127.0.0.1:1", "SIDECAR_APPS_DIR": "/nosuch"},
            64,
            "SIDECAR_APPS_DIR: /nosuch is not a folder",
        ),
        (
            {"SIDECAR_NATS_URL": "nats://127.0.0.1:1", "SIDECAR_OPERATIONS_ADDRESS": "foo"},
            64,
            "OPERATIONS_ADDRESS: host",
        ),
        ({"SIDECAR_EGRESS_ALLOW": "https://x"}, 64, "egress entry 'https://x'"),
        ({"SIDECAR_NATS_URL": "nats://127.0.0.1:1", "SIDECAR_CONNECTORS": "/nowhere"}, 64, "/nowhere"),
        (
            {"SIDECAR_NATS_URL": "nats://127.0.0.1:1", "SIDECAR_TENANT": "acme", "SIDECAR_PROVIDERS": "githb"},
            64,
            "SIDECAR_PROVIDERS: there is no provider githb; there are: github,",
        ),
    ],
)
def test_run_refuses(variables: dict[str, str], code: int, told: str) -> None:
    """What is wrong is told in words, before anything is asked."""
    done = ended("run", **variables)
    assert done.returncode == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "reason", "code"),
    [
        (Unfit(("no stream", "no key")), "NOT_READY", 64),
        (ServerError("in use"), "NO_NATS", 69),
        (BusError("refused"), "NO_NATS", 69),
        (StoreUnavailable("no JetStream"), "STORE_UNAVAILABLE", 69),
        (StreamRefused("not allowed"), "NOT_READY", 64),
        (KeyFileError("open to others"), "NOT_READY", 64),
        (ManifestError("unknown key"), "NOT_READY", 64),
        (AddressError("taken"), "SETTINGS", 64),
        (ExceptionGroup("", [ExceptionGroup("", [BusError("refused")])]), "NO_NATS", 69),
        (stop("NO_SIDECAR", "none"), "NO_SIDECAR", 69),
    ],
)
def test_what_keeps_it_from_starting(error: Exception, reason: str, code: int) -> None:
    """Each is told in the one shape, with the error's own words, also out of a task group."""
    with pytest.raises(Stopped) as stopped, starting():
        raise error
    assert stopped.value.failure.reason == reason
    assert exit_code(stopped.value.failure) == code


@pytest.mark.parametrize("error", [ValueError("x"), ExceptionGroup("", [BusError("a"), BusError("b")])])
def test_a_defect_is_not_told_as_something_else(error: Exception) -> None:
    """What nobody foresaw goes on as it is."""
    with pytest.raises(type(error)), starting():
        raise error


def greeted(
    *, sandbox: bool = False, embedded: bool = True, reached: str | None = None, example: bool = True
) -> list[str]:
    told = Started(
        url="nats://sidecar:pw@127.0.0.1:4222",
        data_dir="/data dir",
        embedded=embedded,
        sandbox=sandbox,
        reached=reached,
        ready_seconds=0.38,
        providers=("github", "slack"),
        example="github.users.me" if example else None,
        subject="sidecar.read.default.default.github.users.me" if example else None,
    )
    return [line for line in greeting(told).splitlines()[1:] if line]


def test_the_greeting() -> None:
    """Where NATS is, what is served, and what to try next, in this order."""
    assert greeted() == [
        "NATS        nats://sidecar:pw@127.0.0.1:4222",
        "            embedded, data in /data dir",
        "providers   2: github, slack",
        "try         sidecar connect github",
        "            sidecar call github.users.me",
        (
            "            nats --server nats://sidecar:pw@127.0.0.1:4222 req"
            " sidecar.read.default.default.github.users.me '{}'"
        ),
        "stop        Ctrl-C",
    ]


def test_the_greeting_of_a_sandbox() -> None:
    """Accounts are there: nothing has to be imported."""
    assert "sandbox     they answer offline; connections default and alice are there" in greeted(sandbox=True)
    assert not any("sidecar connect " in line for line in greeted(sandbox=True))


def test_the_greeting_elsewhere() -> None:
    """Another data directory is named for the other terminal; a server of somebody else shows no password."""
    assert "try         export SIDECAR_DATA_DIR='/data dir'" in greeted(reached="SIDECAR_DATA_DIR='/data dir'")
    assert not any("pw" in line for line in greeted(embedded=False))
    assert "try         sidecar provider list" in greeted(example=False)
