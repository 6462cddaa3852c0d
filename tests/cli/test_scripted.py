"""What a command makes of replies that no honest sidecar sends, and of none at all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import pytest
from anyio.from_thread import start_blocking_portal

from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.ports import Message
from tests.cli.conftest import Command, Served, said

FAILED = {"Nats-Service-Error-Code": "503", "Nats-Service-Error": "NEW: a word of next year"}


class Script:
    """A sidecar of another kind: one subject, one reply. `asked` is what it was asked."""

    def __init__(self, served: Served, prefix: str, asked: list[Message], answers: Callable[..., None]) -> None:
        self.environment = {"SIDECAR_NATS_URL": served.url, "SIDECAR_PREFIX": prefix}
        self.asked = asked
        self._answers = answers

    def answer(self, subject: str, body: bytes | None, headers: Mapping[str, str] | None = None) -> None:
        """Reply this on the subject from now on; None keeps silent."""
        self._answers(subject, body, headers)

    def describes(self, access: str) -> None:
        """The catalogue says that acme.get is a read, or a write."""
        self.answer("catalog.default.describe.acme.get", msgspec.json.encode({"access": access}))


@pytest.fixture
def script(served: Served, fresh_name: str) -> Iterator[Script]:
    """Replies under a prefix of this test's own."""
    asked: list[Message] = []
    with start_blocking_portal() as portal:
        bus: NatsBus = portal.call(connect, served.url)

        async def answer(subject: str, body: bytes | None, headers: Mapping[str, str] | None) -> None:
            def reply(message: Message) -> None:
                asked.append(message)
                if body is not None:
                    bus.publish(message.reply, body, headers=headers)

            await bus.subscribe(f"{fresh_name}.{subject}", reply)
            await bus.round_trip(5)

        yield Script(served, fresh_name, asked, lambda *said: portal.call(answer, *said))
        portal.call(bus.close)


def called(sidecar: Command, script: Script, *words: str) -> Any:
    return sidecar("call", "acme.get", *words, env=script.environment)


@pytest.mark.parametrize(
    ("access", "code", "head"),
    [
        ("read", 75, "failed    DEADLINE_EXCEEDED / NO_REPLY"),
        ("write", 75, "unknown   UNKNOWN / OUTCOME_UNKNOWN                the request was sent: it may have happened"),
    ],
)
def test_no_reply_in_time(sidecar: Command, script: Script, access: str, code: int, head: str) -> None:
    """A read that is not answered failed; a write may have happened. The command waits a second longer than asked."""
    script.describes(access)
    script.answer(f"{access}.default.default.acme.get", None)
    began = time.monotonic()
    result = called(sidecar, script, "--timeout", "0.05")
    assert time.monotonic() - began >= 1.05
    assert result.exit_code == code
    assert result.stderr.splitlines()[0] == head
    asked = {name.lower(): value for name, value in (script.asked[-1].headers or {}).items()}
    assert asked["timeout-ms"] == "50"
    assert f"sidecar trace show {asked['call-id']}" in result.stderr


def test_headers_say_what_was_asked_for(sidecar: Command, script: Script) -> None:
    """Dry run and cursor go as headers; what was not asked for is not sent."""
    script.describes("read")
    script.answer("read.default.default.acme.get", b"{}")
    called(sidecar, script, "--dry-run", "--cursor", "YWJj")
    called(sidecar, script)
    first, second = (
        {name.lower() for name in message.headers or {}} for message in script.asked if "catalog" not in message.subject
    )
    assert first == {"call-id", "dry-run", "cursor"}
    assert second == {"call-id"}


def test_tenant_and_connection_are_one_token_each(sidecar: Command, script: Script) -> None:
    """Any name is one token of the subject, encoded."""
    script.answer("catalog.a%2Eb.describe.acme.get", b'{"access": "read"}')
    script.answer("read.a%2Eb.c%2A.acme.get", b"{}")
    assert called(sidecar, script, "--tenant", "a.b", "-c", "c*").exit_code == 0


def test_an_output_of_bytes(sidecar: Command, script: Script) -> None:
    """Bytes go into a pipe as they are; for --json they are told in JSON."""
    script.describes("read")
    script.answer("read.default.default.acme.get", b"\x89PNG\r\n", headers={"Content-Type": "image/png"})
    assert called(sidecar, script).stdout_bytes == b"\x89PNG\r\n"
    assert said(called(sidecar, script, "--json")) == {"content_type": "image/png", "base64": "iVBORw0K"}


def test_a_failure_with_words_of_next_year(sidecar: Command, script: Script) -> None:
    """A code and a reason that this version does not know are told as they are, and end in no success."""
    script.describes("read")
    failure = {"code": "BUSY", "reason": "NEW", "detail": "later", "side_effect": "maybe", "more": 1}
    script.answer("read.default.default.acme.get", json.dumps(failure).encode(), headers=FAILED)
    result = called(sidecar, script)
    assert result.exit_code == 70
    assert result.stderr.splitlines() == ["failed    BUSY / NEW", "  later"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b"oops", FAILED), (b'{"code": 1}', FAILED), (b"\xff", FAILED)],
)
def test_a_failure_that_makes_no_sense(sidecar: Command, script: Script, body: bytes, headers: dict[str, str]) -> None:
    """It is told as what it is: no sidecar's reply."""
    script.describes("read")
    script.answer("read.default.default.acme.get", body, headers=headers)
    result = called(sidecar, script)
    assert result.exit_code == 76
    assert "NEW: a word of next year" in result.stderr


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b'{"access": "maybe"}'])
def test_a_catalogue_that_makes_no_sense(sidecar: Command, script: Script, body: bytes) -> None:
    """Nothing is sent where it is not known whether it reads or writes."""
    script.answer("catalog.default.describe.acme.get", body)
    result = called(sidecar, script)
    assert result.exit_code == 76
    assert "an answer makes no sense" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_provider_that_one_sidecar_lists_and_none_serves(sidecar: Command, script: Script) -> None:
    """That is told as what it is: sidecars with different catalogues."""
    script.describes("read")
    script.answer("catalog.default.operations.acme", b"[]")
    result = called(sidecar, script)
    assert result.exit_code == 69
    assert "no sidecar serves acme at nats://127.0.0.1" in result.stderr
    assert "sidecar doctor" in result.stderr


def test_what_others_wrote_does_not_steer_the_terminal(sidecar: Command, script: Script) -> None:
    """A connection's account, an operation's summary, a provider's name: escapes show as text."""
    evil = "\x1b[2J\x1b[31m"
    providers = [{"name": name, "auth": [{"kind": evil, "fields": []}]} for name in (evil, "acme")]
    script.answer("catalog.default.providers", json.dumps(providers).encode())
    script.answer(
        "catalog.default.operations.acme", json.dumps([{"operation": evil, "access": evil, "summary": evil}]).encode()
    )
    for words in (["list"], ["show", "acme"]):
        result = sidecar("provider", *words, env=script.environment)
        assert result.exit_code == 0
        assert "\x1b" not in result.output
        assert r"\x1b[2J" in result.stdout
