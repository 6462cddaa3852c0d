"""A bus whose answers to writes a test replaces: what a cluster does during an election."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from sidecar.adapters.nats_bus import NatsBus
from sidecar.ports import BusError, Message, NoResponders, Subscription

Replaced = Callable[[Message], bytes]  # the answer's new payload, or it raises


class Between:
    """`JetStreamBus` over a real one. `ids` are the message ids of all writes; answers beyond `answers` are real."""

    def __init__(self, bus: NatsBus, answers: list[Replaced]) -> None:
        self.bus = bus
        self.answers = answers
        self.ids: list[str] = []

    def new_inbox(self) -> str:
        return self.bus.new_inbox()

    @property
    def max_payload(self) -> int:
        return self.bus.max_payload

    @property
    def connected(self) -> bool:
        return self.bus.connected

    def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        reply: str = "",
        later: bool = False,
    ) -> None:
        self.bus.publish(subject, payload, headers=headers, reply=reply, later=later)

    async def handed_over(self) -> None:
        await self.bus.handed_over()

    async def subscribe(self, subject: str, callback: Callable[[Message], None], *, queue: str = "") -> Subscription:
        return await self.bus.subscribe(subject, callback, queue=queue)

    async def request(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None, timeout: float
    ) -> Message:
        if headers is None:
            return await self.bus.request(subject, payload, timeout=timeout)
        self.ids.append(headers["Nats-Msg-Id"])
        if self.answers[:1] == [nobody]:
            self.answers.pop(0)
            raise NoResponders(f"nobody serves {subject}")
        reply = await self.bus.request(subject, payload, headers=headers, timeout=timeout)
        if self.answers:
            reply.data = self.answers.pop(0)(reply)
        return reply

    async def round_trip(self, timeout: float) -> float:
        return await self.bus.round_trip(timeout)

    async def close(self) -> None:
        await self.bus.close()


def lost(_reply: Message) -> bytes:
    raise BusError("no reply within 2 s")


def nobody(reply: Message) -> bytes:
    """The write does not reach the server at all."""
    raise AssertionError(reply)


def api_error(code: int, number: int, text: str) -> Replaced:
    """JetStream's answer is this error."""
    error = {"code": code, "err_code": number, "description": text}
    return lambda _reply: json.dumps({"error": error}).encode()
