"""A plain agent over nats-py that writes down every call: what was asked, what came, and what should have come."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from sidecar.wire.reply import FailureReply

TIMEOUT = 35.0  # of the request; a second and more beyond the call's own default
EVENTS_SECONDS = 5.0
CLOCKS = 0.005  # seconds; an event's time is taken a moment after its answer was read

Json = Any


class Unexpected(Exception):
    """A call ended otherwise than it must; the calls that build on it cannot be made."""


class Reply(NamedTuple):
    """One reply as it came."""

    payload: bytes
    headers: dict[str, str]

    @property
    def failed(self) -> bool:
        return "Nats-Service-Error-Code" in self.headers

    @property
    def attempts(self) -> int:
        return int(self.headers.get("Attempts", "0"))


@dataclass(slots=True)
class Row:
    """One line of the table."""

    call: str
    reply: str
    attempts: int
    seconds: float
    problems: list[str] = field(default_factory=list)


class Ledger:
    """Calls, with what was expected of each."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._events: dict[str, list[dict[str, Json]]] = defaultdict(list)
        self._news = asyncio.Event()
        self.rows: list[Row] = []
        self.misshapen = 0  # failures that are not of the one shape
        self.problems: list[str] = []

    async def start(self) -> None:
        """Listen to the trace from now on."""
        await self._client.subscribe("sidecar.trace.>", cb=self._note)
        await self._client.flush()

    async def ok(self, subject: str, values: Json = None, **headers: str) -> Json:
        """The output of a call that must succeed: decoded JSON, or bytes. `subject` lacks prefix and tenant."""
        return (await self.page(subject, values, **headers))[0]

    async def page(self, subject: str, values: Json = None, **headers: str) -> tuple[Json, str | None]:
        """As `ok`, with the cursor of the next page."""
        reply = await self.ask(subject, values, headers)
        if reply.failed:
            self.wrong(f"should have succeeded: {reply.payload.decode()}")
            raise Unexpected(subject)
        if "Content-Type" in reply.headers:
            return reply.payload, None
        return json.loads(reply.payload), reply.headers.get("Next-Cursor")

    async def refused(
        self,
        reason: str,
        subject: str,
        values: Json = None,
        *,
        side_effect: str = "none",
        attempts: int | None = None,
        says: str = "",
        **headers: str,
    ) -> FailureReply:
        """The failure of a call that must fail for this reason; `says` must stand in its detail or hint."""
        reply = await self.ask(subject, values, headers)
        if not reply.failed:
            self.wrong(f"should have been refused with {reason}: {reply.payload[:200].decode(errors='replace')}")
            raise Unexpected(subject)
        failure = msgspec.json.decode(reply.payload, type=FailureReply)
        self.check(failure.reason == reason, f"reason {failure.reason} instead of {reason}: {failure.detail}")
        self.check(failure.side_effect == side_effect, f"side effect {failure.side_effect} instead of {side_effect}")
        self.check(attempts in (None, reply.attempts), f"{reply.attempts} attempts instead of {attempts}")
        self.check(
            says in f"{failure.detail} {failure.hint}", f"does not say {says!r}: {failure.detail} {failure.hint}"
        )
        return failure

    async def ask(self, subject: str, values: Json, headers: dict[str, str]) -> Reply:
        """One request and its one reply, noted as a row; checked for what holds of every reply."""
        payload = values if isinstance(values, bytes) else b"" if values is None else json.dumps(values).encode()
        kind, rest = subject.split(".", 1)
        named = {name.replace("_", "-"): value for name, value in headers.items()} or None
        began = time.monotonic()
        message = await self._client.request(f"sidecar.{kind}.default.{rest}", payload, timeout=TIMEOUT, headers=named)
        reply = Reply(message.data, dict(message.headers or {}))
        row = Row(f"{kind:5} {rest}", _outcome(reply), reply.attempts, time.monotonic() - began)
        self.rows.append(row)
        if reply.failed:
            self._check_shape(reply)
        known = "Call_Id" in headers or "Idempotent-Replayed" in reply.headers
        if kind in {"read", "write"} and "Call-Id" in reply.headers and not known:
            events = await self.events(reply.headers["Call-Id"])
            told = sum(event["event"] == "attempt" for event in events)
            self.check(told == reply.attempts, f"the trace tells {told} attempts, the reply {reply.attempts}")
        return reply

    async def events(self, call_id: str) -> list[dict[str, Json]]:
        """What the trace tells of a call, once it tells that the call has ended."""
        try:
            async with asyncio.timeout(EVENTS_SECONDS):
                while not any(event["event"] == "finished" for event in self._events[call_id]):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            self.wrong(f"the trace does not tell how call {call_id} ended")
        return self._events[call_id]

    def attempts_of(self, provider: str) -> list[dict[str, Json]]:
        """Every exchange with a provider that the trace told of, in the order in which they began."""
        told = [event for events in self._events.values() for event in events]
        attempts = [event for event in told if event["event"] == "attempt" and event["provider"] == provider]
        return sorted(attempts, key=began_at)

    def check(self, holds: bool, otherwise: str) -> None:  # reads as a sentence
        if not holds:
            self.wrong(otherwise)

    def wrong(self, what: str) -> None:
        """Note a problem with the last call."""
        row = self.rows[-1]
        row.problems.append(what)
        self.problems.append(f"{row.call}: {what}")

    def _check_shape(self, reply: Reply) -> None:
        """Every failure has the one shape: it decodes as it, and nothing is in it that the shape does not have."""
        before = len(self.problems)
        try:
            failure = msgspec.json.decode(reply.payload, type=FailureReply, strict=True)
        except msgspec.DecodeError as error:
            self.wrong(f"is not of the one shape: {error}")
        else:
            self.check(msgspec.json.encode(failure) == reply.payload, "has more or other members than the one shape")
            self.check(reply.headers["Nats-Service-Error-Code"] == str(failure.status), "its header tells no status")
            self.check(
                reply.headers["Nats-Service-Error"].startswith(f"{failure.reason}: "), "its header tells no reason"
            )
            self.check(failure.attempts == reply.attempts, "its header tells other attempts")
        self.misshapen += len(self.problems) > before

    async def _note(self, message: Msg) -> None:
        event = json.loads(message.data)
        if "call_id" in event:
            self._events[event["call_id"]].append(event)
        self._news.set()


def ended_at(event: dict[str, Json]) -> float:
    """The moment of an event, in Unix seconds."""
    return datetime.fromisoformat(event["time"]).timestamp()


def began_at(event: dict[str, Json]) -> float:
    """The moment at which an exchange began."""
    return ended_at(event) - float(event["duration_ms"]) / 1000


def _outcome(reply: Reply) -> str:
    if reply.failed:
        failure = json.loads(reply.payload)
        status = failure.get("provider_status")
        return f"{failure.get('reason')}" + (f" ({status})" if status else "")
    status = reply.headers.get("Provider-Status")
    return f"ok ({status})" if status else "ok"
