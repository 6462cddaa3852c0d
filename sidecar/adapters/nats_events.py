"""What nats-py tells of a connection, counted and logged, in callbacks that cannot hurt it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nats import errors

_log = logging.getLogger(__name__)


class BusEvent(StrEnum):
    """What may happen to a connection."""

    DISCONNECTED = "disconnected"
    RECONNECTED = "reconnected"


@dataclass(slots=True)
class BusCounts:
    """What went wrong on the bus since the start, for metrics."""

    reconnects: int = 0
    heals: int = 0  # connections left because they answered nothing, though the socket looked well
    lost: int = 0  # messages given to a connection that broke before it was proved that the server had them
    refused: int = 0  # messages not published: no room, or no connection that would take them
    callback_errors: int = 0
    malformed: int = 0
    slow_consumer_drops: int = 0
    permission_violations: int = 0


class Malformed(errors.Error):
    """A message that nats-py could not take apart; it was dropped."""


class ConnectionLog:
    """What nats-py reports, counted and logged. nats-py awaits these in its loops: none may wait."""

    def __init__(self, on_event: Callable[[BusEvent], None] | None = None) -> None:
        self.counts = BusCounts()
        self.moved: Callable[[], None] = _nothing
        self.denied: Callable[[str], None] = _unheard
        self.last_error: Exception | None = None
        self.up = asyncio.Event()
        self.closing = False
        self.refused: Callable[[], None] | None = None
        self._on_event = on_event

    async def error(self, error: Exception) -> None:
        self.last_error = error
        said, counts = plain(error), self.counts
        if isinstance(error, errors.SlowConsumerError):
            counts.slow_consumer_drops += 1
            _warn("dropped a message on %s: too many wait to be read", error.subject, counts.slow_consumer_drops)
        elif isinstance(error, Malformed):
            counts.malformed += 1
            _warn("%s", said, counts.malformed)
        elif "permissions violation" in said.lower():
            counts.permission_violations += 1
            _warn("the nats-server refused: %s", said, counts.permission_violations)
            self.denied(said)
        elif self.refused and (self.login_refused or isinstance(error, errors.SecureConnWantedError)):
            self.refused()
        else:
            _log.debug("nats: %s", said)
            if not self.up.is_set():
                self.moved()

    @property
    def login_refused(self) -> bool:
        """Whether the last thing heard is that the server does not take our login."""
        return "authorization" in plain(self.last_error).lower()

    async def disconnected(self) -> None:
        known = not self.up.is_set()
        self.up.clear()
        self.moved()
        if not self.closing and not known:
            _log.warning("lost the connection to NATS; reconnecting")
            self._tell(BusEvent.DISCONNECTED)

    async def reconnected(self) -> None:
        self.up.set()
        self.moved()
        self.counts.reconnects += 1
        _log.warning("connected to NATS again; up to %d messages were lost so far", self.counts.lost)
        self._tell(BusEvent.RECONNECTED)

    def _tell(self, event: BusEvent) -> None:
        try:
            if self._on_event is not None:
                self._on_event(event)
        except Exception:  # noqa: BLE001 - what leaks into nats-py ends the reconnecting
            self.counts.callback_errors += 1
            _log.exception("the callback for %s failed", event)


def harmless(callback: Callable[..., Awaitable[None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """The callback as nats-py can bear it: what it raises, a leaked cancellation too, goes to the log.

    In nats-py a raising `error_cb` ended the read loop, one of the other two the reconnecting.
    """

    async def call(*arguments: object) -> None:
        try:
            await callback(*arguments)
        except (Exception, asyncio.CancelledError):
            if cancelled():
                raise
            with contextlib.suppress(Exception):  # a log that cannot be written must not end the connection either
                _log.exception("a callback of the connection to NATS failed")

    return call


def plain(error: BaseException | None) -> str:
    """What an exception of nats-py says, without its prefix and quotes."""
    if error is None:
        return ""
    said = str(error).removeprefix("nats: ")
    quoted = len(said) > 1 and said[0] == said[-1] == "'"
    return (said[1:-1] if quoted else said) or type(error).__name__


def cancelled() -> bool:
    """Whether somebody wants the running task to end; else a CancelledError leaked from something else."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _nothing() -> None:
    pass


def _unheard(said: str) -> None:
    """Nobody waits to hear of a refusal yet."""


def _warn(text: str, what: str, count: int) -> None:
    """One line at the 1st, 2nd, 4th, 8th ... time: an agent that repeats itself cannot fill the log."""
    if count & (count - 1) == 0:
        _log.warning(f"{text} (%d so far)", what, count)
