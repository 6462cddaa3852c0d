"""What can happen to a connection to NATS, done to a `Place`; each fault returns how many seconds nothing could have
healed it: no server that could be reached, or no login that was valid.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
from nats.aio.client import Client

from sidecar.adapters.nats_events import ConnectionLog
from sidecar.adapters.nats_supervision import Pace
from tests.fixtures_nats import frozen, until
from tests.nats.operator import Operator
from tests.nats.place import MOST_SECONDS, Place, place
from tests.nats.proxy import Way

ATTEMPTS = 60  # after so many nats-py gives up, unless told otherwise

Fault = Callable[[Place], Awaitable[float]]


# --- faults ----------------------------------------------------------------------------------------------------------


async def late_pong(here: Place) -> float:
    """A flush is cancelled while the server stands still; its PONG comes later."""
    began = time.monotonic()
    async with frozen(here.server.pid):
        for _ in range(3):
            with anyio.move_on_after(0.1):
                await here.bus._client.flush()
    return time.monotonic() - began


async def paused_server(here: Place) -> float:
    """The server stands still until the bus left it, and then finds an old connection."""
    began = time.monotonic()
    async with frozen(here.server.pid):
        await until(lambda: not here.bus.connected, MOST_SECONDS)
        await until(lambda: here.bus.counts.heals, MOST_SECONDS)
    return time.monotonic() - began


async def raising_callbacks(here: Place) -> float:
    """error_cb raises in the read loop, disconnected_cb and reconnected_cb while it reconnects."""
    here.proxy.inject(b"-ERR 'Permissions Violation for Publish to \"x\"'\r\n")
    here.proxy.inject(b"MSG \xff %d 1\r\na\r\n" % next(iter(here.bus._client._subs)))
    await until(lambda: here.bus.counts.malformed)
    here.proxy.reset()
    return 0.0


async def raising_subscription(error: type[BaseException], here: Place) -> float:
    """A subscription's callback raises."""

    def raising(_message: object) -> None:
        raise error("leaked")

    await here.bus.subscribe(f"{here.name}.raises", raising)
    await here.bus.round_trip(10)
    here.agent.publish(f"{here.name}.raises", b"")
    await until(lambda: here.bus.counts.callback_errors)
    return 0.0


async def half_open(ways: tuple[Way, ...], here: Place) -> float:
    """The connection forwards nothing more; nobody closes it."""
    here.proxy.hold(*ways)
    return 0.0


async def half_open_full(here: Place) -> float:
    """As above, with more published than the socket takes: closing it in order would wait for ever."""
    here.proxy.hold(*Way)
    for _ in range(16):
        here.bus.publish(f"{here.name}.nobody", bytes(900_000))
    return 0.0


async def reset(here: Place) -> float:
    here.proxy.reset()
    return 0.0


async def injected(data: bytes, here: Place) -> float:
    """The server, or who is in between, says what no server says."""
    here.proxy.inject(data)
    await asyncio.sleep(0)
    return 0.0


async def cancelled_task(name: str, here: Place) -> float:
    """Somebody cancels a task of the client."""
    task: asyncio.Task[None] = getattr(here.bus._client, name)
    task.cancel()
    await asyncio.wait([task])
    return 0.0


async def closed_client(here: Place) -> float:
    """nats-py closes itself for good."""
    await here.bus._client._close(Client.CLOSED)
    return 0.0


async def killed_server(here: Place) -> float:
    began = time.monotonic()
    here.server.kill()
    await until(lambda: not here.bus.connected)
    await here.server.start()
    return time.monotonic() - began


async def many_attempts(here: Place) -> float:
    """The server stays away for more attempts than nats-py makes by itself."""
    began = time.monotonic()
    here.server.kill()
    await until(lambda: here.bus._client._server_pool[0].reconnects > ATTEMPTS, MOST_SECONDS)
    await here.server.start()
    return time.monotonic() - began


async def partitioned(seconds: float, here: Place) -> float:
    here.proxy.partition()
    await asyncio.sleep(seconds)
    here.proxy.release()
    return seconds


async def rotated(other: dict[str, Any], back: dict[str, Any], here: Place) -> float:
    """The login stops working, and the server says so; later it works again."""
    began = time.monotonic()
    here.server.reload(other)
    await until(lambda: "uthorization" in str(here.bus.last_error) and not here.bus.connected)
    await until(lambda: here.bus._client._server_pool[0].reconnects > 1)
    here.server.reload(back)
    return time.monotonic() - began


async def expired_creds(operator: Operator, here: Place) -> float:
    """The server ends what has expired and refuses it from then on, until the file holds something new. Meanwhile it
    is found half written.
    """
    began = time.monotonic()
    await until(lambda: here.bus._client._server_pool[0].reconnects > 1)
    creds = here.folder / "user.creds"
    creds.write_text("-----BEGIN USER NKEY SEED-----\n")
    await until(lambda: "credentials file" in str(here.bus.last_error))
    operator.write_creds(creds)
    return time.monotonic() - began


# --- settings --------------------------------------------------------------------------------------------------------


class Raising(ConnectionLog):
    """Callbacks with a defect."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self._error = error

    async def error(self, error: Exception) -> None:
        await super().error(error)
        raise self._error("leaked from error_cb")

    async def disconnected(self) -> None:
        await super().disconnected()
        raise self._error("leaked from disconnected_cb")

    async def reconnected(self) -> None:
        await super().reconnected()
        raise self._error("leaked from reconnected_cb")


def with_callbacks(error: type[BaseException], folder: Path, pace: Pace) -> AbstractAsyncContextManager[Place]:
    return place(folder, pace, connection=Raising(error))


TOKEN = {"authorization": {"token": "t0"}}


def with_token(folder: Path, pace: Pace) -> AbstractAsyncContextManager[Place]:
    return place(folder, pace, config=TOKEN, login="t0")


@asynccontextmanager
async def with_creds(operator: Operator, folder: Path, pace: Pace) -> AsyncIterator[Place]:
    creds = folder / "user.creds"
    operator.write_creds(creds, lives_seconds=3)
    async with place(folder, pace, config=operator.config, login="", credentials=creds) as here:
        yield here


def quick_attempts(folder: Path, pace: Pace) -> AbstractAsyncContextManager[Place]:
    """Sixty attempts would take two minutes."""
    return place(folder, replace(pace, retry=0.03))
