"""`sidecar setup`: what is made, what is only looked at, and the rights as each of their readers wants them."""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from sidecar.adapters.nats_binary import find_server
from sidecar.adapters.nats_server import embedded_server
from sidecar.permissions import Role
from tests.cli.conftest import Command, said


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server without any stream."""
    log = logging.getLogger("tests.setup")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(embedded_server(tmp_path / "nats", log)) as server,
    ):
        monkeypatch.setenv("SIDECAR_NATS_URL", server.url)
        yield


def test_makes_what_is_missing_once(empty: None, sidecar: Command) -> None:
    """`--check` says what is missing and changes nothing; then it is made; then nothing is left to do."""
    looked = sidecar("setup", "--check")
    assert looked.exit_code == 1
    assert "bucket SIDECAR_CREDENTIALS does not exist" in looked.stdout
    assert "8 differences; run: sidecar setup" in looked.stdout
    assert said(sidecar("setup", "--check", "--json"))["ok"] is False
    made = sidecar("setup")
    assert made.exit_code == 0
    assert "bucket SIDECAR_CREDENTIALS: created" in made.stdout
    assert "as they must be" in sidecar("setup").stdout
    checked = sidecar("setup", "--check", "--json")
    assert (checked.exit_code, said(checked)["differences"]) == (0, [])


def test_sizes_become_as_the_settings_say(empty: None, sidecar: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that was changed in the settings is a difference for `setup`, and it makes it so."""
    sidecar("setup")
    monkeypatch.setenv("SIDECAR_TRACE_MAX_BYTES", "5000000")
    monkeypatch.setenv("SIDECAR_CREDENTIALS_MAX_BYTES", "3000000")
    looked = sidecar("setup", "--check")
    assert "stream SIDECAR_TRACE: max_bytes is 1073741824, must be 5000000" in looked.stdout
    assert len(said(sidecar("setup", "--json"))["done"]) == 2
    assert sidecar("setup", "--check").exit_code == 0


def test_copies_that_cannot_be_had_are_told(empty: None, sidecar: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three copies on one server, and an even number of copies, are refused with what to do."""
    monkeypatch.setenv("SIDECAR_REPLICAS", "3")
    alone = sidecar("setup")
    assert alone.exit_code == 64
    assert "set SIDECAR_REPLICAS=1, or make the nats-server one of a cluster of 3" in alone.stderr
    monkeypatch.setenv("SIDECAR_REPLICAS", "2")
    even = sidecar("setup")
    assert even.exit_code == 64
    assert "set 1, 3 or 5" in even.stderr


def test_without_a_server(sidecar: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is told as such."""
    monkeypatch.setenv("SIDECAR_NATS_URL", "nats://127.0.0.1:1")
    assert sidecar("setup").exit_code == 69


@pytest.mark.parametrize("role", list(Role))
def test_every_role_is_printed(sidecar: Command, role: Role) -> None:
    """Each role has an inbox of its own and its subjects, whatever is named of it."""
    (facts,) = said(sidecar("setup", "--permissions", str(role), "--json"))
    assert facts["role"] == role
    assert f"{facts['inbox_prefix']}.>" in facts["subscribe"]
    text = sidecar("setup", "--permissions", str(role)).stdout
    assert all(subject in text for subject in (*facts["publish"], *facts["subscribe"]))


def test_names_are_encoded(sidecar: Command) -> None:
    """A connection is printed as the token that stands for it."""
    printed = sidecar("setup", "--permissions", "user-agent", "--tenant", "acme", "-c", "alice@example.com")
    assert "publish    sidecar.read.acme.alice%40example%2Ecom.>" in printed.stdout


def test_without_a_role_all_are_printed(sidecar: Command) -> None:
    """Every role at once."""
    assert [facts["role"] for facts in said(sidecar("setup", "--permissions", "--json"))] == list(Role)


@pytest.mark.anyio
async def test_as_a_nats_server_reads_it(sidecar: Command, tmp_path: Path) -> None:
    """What `--nats` prints are users that a nats-server accepts, one for each role, without a password."""
    printed = sidecar("setup", "--permissions", "--nats", "--tenant", "acme").stdout
    assert printed.count("password: $NATS_") == len(Role)
    (tmp_path / "users.conf").write_text(printed)
    (tmp_path / "nats.conf").write_text('authorization { include "users.conf" }')
    program = await find_server(logging.getLogger("tests.setup"))
    environment = dict.fromkeys(re.findall(r"\$(NATS_\w+)", printed), "secret")
    command = [str(program), "-t", "-c", str(tmp_path / "nats.conf")]
    subprocess.run(command, env=environment, check=True, capture_output=True)  # noqa: ASYNC221 - takes a moment


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["setup", "agent"], "belong to --permissions"),
        (["setup", "--permissions", "--check"], "give one of them"),
        (["setup", "--permissions", "-c", "bob"], "name it"),
        (["setup", "--permissions", "admin", "-c", "bob"], "no connections"),
        (["setup", "--permissions", "provider-agent", "--provider", "Git Hub"], "is not a provider"),
        (["setup", "--permissions", "provider-agent", "--operations", "a b"], "not a pattern of operations"),
        (["setup", "--permissions", "agent", "--tenant", "-"], "is not a name"),
        (["setup", "--permissions", "nobody"], "nobody"),
    ],
)
def test_mistakes(sidecar: Command, words: list[str], why: str) -> None:
    """A wrong word is refused before anything is done, and says what is wrong."""
    refused = sidecar(*words)
    assert refused.exit_code == 64
    assert why in refused.stderr
