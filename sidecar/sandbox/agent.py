"""An agent as any user would write it: it knows NATS and JSON, and nothing of ours."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import msgspec
from nats.aio.client import Client
from nats.errors import Error

PATIENCE = 20.0  # seconds that it waits for a reply


class NoReply(Exception):
    """A request was not answered; the message says why."""


class Reply(msgspec.Struct, frozen=True):
    """What it got, and how many seconds that took."""

    body: Any
    headers: Mapping[str, str]
    took: float

    @property
    def failed(self) -> str | None:
        """The failure's reason; None for a success."""
        return str(self.body["reason"]) if "Nats-Service-Error-Code" in self.headers else None


class Agent:
    """Sends JSON to a subject and gets JSON back."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def ask(
        self, subject: str, payload: Mapping[str, Any] | bytes, *, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """The reply to one request. Raises NoReply."""
        began = time.monotonic()
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        try:
            message = await self._client.request(
                subject, body, timeout=PATIENCE, headers=dict(headers) if headers else None
            )
        except Error as error:
            raise NoReply(f"no reply on {subject}: {error}") from error
        return Reply(json.loads(message.data), message.headers or {}, time.monotonic() - began)

    async def ask_together(self, subject: str, payloads: Sequence[Mapping[str, Any]]) -> list[Reply]:
        """The replies to requests that are sent at once, as they come."""
        replies: list[Reply] = []

        async def one(payload: Mapping[str, Any]) -> None:
            replies.append(await self.ask(subject, payload))

        async with anyio.create_task_group() as tasks:
            for payload in payloads:
                tasks.start_soon(one, payload)
        return replies
