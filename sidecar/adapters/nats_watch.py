"""Tells what is written into a stream, by a consumer of our own that is made again whenever it fell silent.

A consumer may be deleted, or lost with the node that kept it in memory, and nobody says so: the server's heartbeats
stop. Messages may be lost with a connection: their numbers have gaps.
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
from collections.abc import Callable
from typing import NoReturn

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from sidecar.adapters.nats_jetstream import SECOND_NS, JetStreamBus, delivery
from sidecar.adapters.nats_reader import keep_going, push_consumer
from sidecar.ports import BusError, Message, StoreUnavailable

MISSED_HEARTBEATS = 3
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 15.0
END_SECONDS = 1.0
LAST_NUMBER = "Nats-Last-Consumer"
_dice = random.Random()  # noqa: S311 - spreads the sidecars; nothing secret hangs on it

_log = logging.getLogger(__name__)


async def watch(
    bus: JetStreamBus,
    stream: str,
    pattern: str,
    told: Callable[[Message | None, int], None],
    heartbeat_seconds: float,
) -> NoReturn:
    """Tell every message on subjects that match the pattern, with its sequence, from now on and until cancelled.

    None, 0: some may have been missed until now, as at the start. `told` must not wait or raise.
    """
    pause = FIRST_PAUSE
    while True:
        began = anyio.current_time()
        try:
            await _follow(bus, stream, pattern, told, heartbeat_seconds)
        except (BusError, StoreUnavailable) as error:
            _log.info("watching %s begins again: %s", pattern, error)
        held = anyio.current_time() - began > LONGEST_PAUSE
        pause = FIRST_PAUSE if held else min(LONGEST_PAUSE, 2 * pause)
        await anyio.sleep(pause * (0.5 + _dice.random()))


async def _follow(
    bus: JetStreamBus,
    stream: str,
    pattern: str,
    told: Callable[[Message | None, int], None],
    heartbeat_seconds: float,
) -> NoReturn:
    """One consumer, until it is lost or messages of it are: raises BusError or StoreUnavailable then."""
    inbox = bus.new_inbox()
    sender, receiver = anyio.create_memory_object_stream[Message](math.inf)  # flow control bounds it
    subscription = await bus.subscribe(inbox, sender.send_nowait)
    try:
        options = {"deliver_policy": "new", "idle_heartbeat": round(heartbeat_seconds * SECOND_NS)}
        await push_consumer(bus, stream, pattern, inbox, options)
        told(None, 0)
        seen = 0
        while True:
            message = await _next(receiver, MISSED_HEARTBEATS * heartbeat_seconds)
            if message.subject == inbox:  # a status; messages come on their own subjects
                await keep_going(bus, message, stream)
                _complete(seen, int((message.headers or {}).get(LAST_NUMBER, seen)))
                continue
            delivered = delivery(message)
            _complete(seen, delivered.number - 1)
            seen = delivered.number
            told(message, delivered.sequence)
    finally:
        with anyio.move_on_after(END_SECONDS, shield=True), contextlib.suppress(BusError):
            await subscription.drain()
        receiver.close()
        sender.close()


async def _next(receiver: MemoryObjectReceiveStream[Message], seconds: float) -> Message:
    try:
        with anyio.fail_after(seconds):
            return await receiver.receive()
    except TimeoutError:
        raise StoreUnavailable(f"not even a heartbeat for {seconds:g} s") from None


def _complete(seen: int, before: int) -> None:
    if before != seen:
        raise StoreUnavailable(f"{before - seen} messages were lost on the way")
