"""Whoever cancels an exchange learns whether a byte of the request may have left."""

from __future__ import annotations

import asyncio

import anyio
import httpx
import pytest

from sidecar.adapters.http1_sender import Http1Sender
from tests.sender.servers import LOOPBACK, OK, Served, answered, resolve_to_loopback, send, serving

pytestmark = pytest.mark.anyio


async def silent(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes requests and never answers."""
    await served.request(reader)
    await reader.read()
    writer.close()


async def half(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers by half."""
    await served.request(reader)
    writer.write(OK[:-1])
    await reader.read()
    writer.close()


async def no_name(host: str, port: int) -> list[str]:
    await anyio.sleep_forever()
    raise AssertionError


async def cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("script", [silent, half])
async def test_while_the_answer_is_waited_for(script: object, sender: Http1Sender) -> None:
    """The request was read there: it was sent."""
    async with serving(script) as served:  # type: ignore[arg-type]  # pytest's parameters lose their type
        request = httpx.Request("POST", served.url, content=b"{}")
        task = asyncio.ensure_future(send(sender, request, within=60))
        with anyio.fail_after(30):
            await served.asked.wait()
        await cancelled(task)
        assert request.extensions["sent"] is True


async def test_while_a_name_is_looked_up() -> None:
    """Nothing was sent."""
    sender = Http1Sender(allow=LOOPBACK, lookup=no_name)
    request = httpx.Request("POST", "http://api.test/", content=b"{}")
    task = asyncio.ensure_future(send(sender, request, within=60))
    for _ in range(20):
        await asyncio.sleep(0)
    await cancelled(task)
    assert request.extensions["sent"] is False
    await sender.aclose()


async def test_while_a_connection_is_waited_for() -> None:
    """All are taken: nothing was sent of whoever waits."""
    sender = Http1Sender(allow=LOOPBACK, lookup=resolve_to_loopback, per_host=1, total=1)
    async with serving(silent) as served:
        first = asyncio.ensure_future(send(sender, httpx.Request("POST", served.url, content=b"{}"), within=60))
        with anyio.fail_after(30):
            await served.asked.wait()
        request = httpx.Request("POST", served.url, content=b"{}")
        task = asyncio.ensure_future(send(sender, request, within=60))
        for _ in range(20):
            await asyncio.sleep(0)
        await cancelled(task)
        assert request.extensions["sent"] is False
        await cancelled(first)
    async with serving(answering_ok) as served:
        assert (await answered(sender, httpx.Request("GET", served.url))).content == b"ok"
    await sender.aclose()


async def answering_ok(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await served.request(reader)
    writer.write(OK)
    await reader.read()
    writer.close()
