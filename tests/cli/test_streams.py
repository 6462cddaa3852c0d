"""Where stdin and stdout lead nowhere: what was done is told, and nothing is called a defect."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from sidecar.cli.session import Session
from sidecar.cli.trace import follow
from sidecar.ports import Message
from tests.cli.conftest import Command, Served

PATIENCE = 40
SIDECAR = f"{shlex.quote(sys.executable)} -m sidecar"


def shell(words: str, served: Served) -> subprocess.CompletedProcess[str]:
    """`sidecar WORDS`, with the shell's redirections."""
    return subprocess.run(
        ["/bin/sh", "-c", f"{SIDECAR} {words}"],
        env={**os.environ, "SIDECAR_DATA_DIR": served.data_dir},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    ["call acme.items.create -", "connection import acme -c closed --from-file -", "call acme.items.create @-"],
)
def test_stdin_that_is_closed(served: Served, words: str) -> None:
    """Nothing can be read from it, which is no defect."""
    done = shell(f"{words} <&-", served)
    assert done.returncode == 66
    assert "stdin is closed: nothing can be read from it" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "tenant delete acme",
        "connection import acme -c closed --base-url https://server.example",
        "connect acme -c closed --base-url https://server.example",
    ],
)
def test_nobody_is_asked_where_stdin_is_closed(served: Served, words: str) -> None:
    """There is no terminal, and it is said what to give instead."""
    done = shell(f"{words} <&-", served)
    assert done.returncode == 64
    assert "there is no terminal to ask" in done.stderr


def test_a_file_without_a_name(sidecar: Command) -> None:
    """It is not taken for stdin."""
    refused = sidecar("call", "acme.items.create", "@")
    assert refused.exit_code == 64
    assert "the name of the file is empty" in refused.stderr


@pytest.mark.parametrize("option", ["", "--json"])
def test_a_call_whose_output_nobody_wants(served: Served, option: str) -> None:
    """With stdout closed it is done all the same, and told."""
    done = shell(f"call acme.account.get {option} >&-", served)
    assert done.returncode == 0
    assert "acme" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", ["call acme.account.get", "call acme.account.get --json"])
def test_a_call_whose_output_has_no_room(served: Served, words: str) -> None:
    """What became of the call is told first, then that its output could not be written."""
    done = shell(f"{words} >/dev/full", served)
    assert done.returncode == 74
    about, full = done.stderr.splitlines()
    assert "acme" in about
    assert full == "could not write to stdout: No space left on device"


@pytest.mark.parametrize(
    "words", ["--help", "provider list", "provider list --json", "keys new -", "call acme.nope --json"]
)
def test_no_room_for_what_a_command_prints(served: Served, words: str) -> None:
    """One line says so, whatever the command."""
    done = shell(f"{words} >/dev/full", served)
    assert done.returncode == 74
    assert done.stderr == "could not write to stdout: No space left on device\n"


@pytest.mark.parametrize("words", [["trace", "tail"], ["trace", "tail", "--json"]])
def test_following_for_somebody_who_reads_no_further(served: Served, beside: Command, words: list[str]) -> None:
    """It ends quietly, as other commands do: `sidecar trace tail | head -1`."""
    tail = subprocess.Popen(
        [sys.executable, "-m", "sidecar", *words],
        env={**os.environ, "SIDECAR_DATA_DIR": served.data_dir},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tail.stdout is not None
    assert tail.stderr is not None
    with tail:
        try:
            said = tail.stderr.readline()
            assert said.startswith("following ")
            beside("call", "acme.account.get")
            assert tail.stdout.readline()
            tail.stdout.close()
            beside("call", "acme.account.get")
            assert tail.wait(timeout=PATIENCE) == 1
            assert tail.stderr.read() == ""
        finally:
            tail.kill()


@pytest.mark.anyio
async def test_what_comes_while_it_ends_is_no_fault() -> None:
    """Between the first word that nobody reads and the end of the subscription."""
    handed: list[Callable[[Message], None]] = []

    class Bus:
        async def subscribe(self, subject: str, callback: Callable[[Message], None]) -> None:
            handed.append(callback)

        async def round_trip(self, timeout: float) -> None:
            """Nothing is on the way."""

    def closed() -> None:
        raise BrokenPipeError

    nats = cast("Session", SimpleNamespace(bus=Bus()))
    with pytest.raises(BrokenPipeError):
        await follow(nats, "sidecar.trace", closed, as_json=True)
    handed[0](cast("Message", SimpleNamespace(data=b"{}")))
