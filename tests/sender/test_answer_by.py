"""A moment before the deadline: what was sent and nothing answers ends there, and only that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from sidecar.adapters.http1_sender import Http1Sender
from sidecar.model import Failure, Reason, SideEffect
from tests.sender.servers import LIMIT, LOOPBACK, OK, Script, Served, answering, serving

pytestmark = pytest.mark.anyio

SOON, DEADLINE = 0.05, 10.0
Later = Callable[[], Awaitable[object]]


async def asked(sender: Http1Sender, url: str, script: Callable[[Later], Script]) -> tuple[object, float]:
    """What became of a request to such a server, and the seconds it took; `later` returns when the moment is over."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    async with serving(script(over.wait)) as served:
        started = loop.time()
        loop.call_later(4 * SOON, over.set)
        request = httpx.Request("GET", url.format(port=served.port))
        request.extensions["answer_by"] = started + SOON
        outcome = await sender.send(request, deadline=started + DEADLINE, max_body=LIMIT)
    return outcome, loop.time() - started


def silent(later: Later) -> Script:
    async def script(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        await reader.read()

    return script


def slow_body(later: Later) -> Script:
    async def script(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        writer.write(OK[:-1])
        await later()
        writer.write(OK[-1:])
        await writer.drain()

    return script


async def test_what_nothing_answers_ends_then(sender: Http1Sender) -> None:
    """As at a deadline: it was sent, and nobody knows what became of it."""
    outcome, took = await asked(sender, "http://127.0.0.1:{port}/", silent)
    assert isinstance(outcome, Failure)
    assert (outcome.reason, outcome.side_effect) == (Reason.OUTCOME_UNKNOWN, SideEffect.UNKNOWN)
    assert SOON <= took < DEADLINE / 2


async def test_an_answer_that_began_comes_whole(sender: Http1Sender) -> None:
    """Who answers slowly does not hang."""
    outcome, took = await asked(sender, "http://127.0.0.1:{port}/", slow_body)
    assert isinstance(outcome, httpx.Response)
    assert outcome.content == b"ok"
    assert took > SOON


async def test_what_was_not_sent_yet_is_sent() -> None:
    """A slow look-up or handshake has a limit of its own; nothing was asked that could hang."""

    async def slow(host: str, port: int) -> list[str]:
        await asyncio.sleep(3 * SOON)
        return ["127.0.0.1"]

    sender = Http1Sender(allow=LOOPBACK, lookup=slow)
    try:
        outcome, took = await asked(sender, "http://slow.example:{port}/", lambda _: answering(OK))
    finally:
        await sender.aclose()
    assert isinstance(outcome, httpx.Response)
    assert took > SOON
