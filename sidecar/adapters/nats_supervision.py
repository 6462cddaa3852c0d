"""Is the link to NATS alive, and what is done when it is not.

The one proof is a message to ourselves that came back: a client, a socket or a server that is dead may look alive for
minutes. `LinkWatch` decides and has no clock; `Supervision` gives it one. Its clock is a timer of the loop, not a task:
no cancellation, leaked or meant, can end it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient the supervision is, in seconds. A dead link is left `check + silent` after its last proof or sooner,
    7.5 s; readiness and writes stop relying on it `doubt` after the check that had no answer, at the latest 4.5 s.
    """

    tick: float = 0.25
    check: float = 2.5  # between two checks
    doubt: float = 2.0  # without an answer: nothing new relies on the link
    silent: float = 5.0  # without an answer: the link is left for another
    attempt: float = 15.0  # a connecting in which nothing happens for so long is begun anew
    retry: float = 2.0  # the longest pause between two attempts to connect
    heal: float = 300.0  # without a link that is proved: there is no healing, the process may as well end


class Do(Enum):
    """What the watch asks for."""

    NOTHING = auto()
    CHECK = auto()
    REBUILD = auto()
    GIVE_UP = auto()


class LinkWatch:
    """What is known of the link. `doubtful`: it looks connected and does not answer."""

    def __init__(self, pace: Pace, now: float) -> None:
        self.doubtful = False
        self.given_up = False
        self._pace = pace
        self._next = self._moved = self._ticked = now
        self._asked: float | None = None
        self._ill: float | None = None  # since when there is no link that works, as far as is known

    def proved(self, now: float) -> float:
        """The answer to the check came; the seconds it took."""
        took = now - self._asked if self._asked is not None else 0.0
        self._ill, self._next, self._asked = None, now + self._pace.check, None
        self.doubtful = self.given_up = False
        return took

    def moved(self, now: float) -> None:
        """An attempt to connect ended, well or not: what is asked on the last connection has no answer any more."""
        self._moved = self._next = now
        self._asked = None
        self.doubtful = False

    def ill_seconds(self, now: float) -> float:
        """How long there was no link that is proved to work."""
        return 0.0 if self._ill is None else now - self._ill

    def tick(self, now: float, *, connected: bool, stuck: bool) -> Do:
        """What to do now. `stuck`: not connected, and nothing in the client works at that."""
        self._forgive(now)
        if self._ill is None and (self.doubtful or not connected):
            self._ill = now
        if self.ill_seconds(now) > self._pace.heal and not self.given_up:
            self.given_up = True
            return Do.GIVE_UP
        if not connected:
            self._asked, self.doubtful = None, False
            if stuck or now - self._moved > self._pace.attempt:
                self._moved = now
                return Do.REBUILD
            return Do.NOTHING
        if self._asked is None:
            if now < self._next:
                return Do.NOTHING
            self._asked = now
            return Do.CHECK
        self.doubtful = now - self._asked > self._pace.doubt
        if now - self._asked > self._pace.silent:
            self._asked, self._moved, self.doubtful = None, now, False
            return Do.REBUILD
        return Do.NOTHING

    def _forgive(self, now: float) -> None:
        """Time in which our own loop did not turn (a machine that was paused) is not the link's fault."""
        late = now - self._ticked - 2 * self._pace.tick
        self._ticked = now
        if late > 0:
            self._moved += late
            if self._ill is not None:
                self._ill += late
            if self._asked is not None:
                self._asked += late


class Link(Protocol):
    """The client that is watched."""

    @property
    def is_connected(self) -> bool: ...

    @property
    def stuck(self) -> bool: ...

    def ask(self, subject: str, token: bytes) -> int:
        """Publish in this turn of the loop; how many messages were published before."""

    def prove(self, number: int) -> None:
        """So many of the messages published reached the server."""

    def rebuild(self, why: str) -> None:
        """Leave this connection and make another, whatever state it is in."""


class Supervision:
    """Checks the link through the subject `echo`, which somebody subscribed to `heard`. `lost` is set, with `why`, when
    it could not be healed in time.
    """

    def __init__(self, link: Link, echo: str, pace: Pace) -> None:
        self.check_seconds = 0.0
        self.lost = asyncio.Event()
        self.why = ""
        self._link = link
        self._echo = echo
        self._loop = asyncio.get_running_loop()
        self._pace = pace
        self._watch = LinkWatch(pace, self._loop.time())
        self._token = b""
        self._before = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def doubtful(self) -> bool:
        return self._watch.doubtful

    def start(self) -> None:
        self._watch = LinkWatch(self._pace, self._loop.time())
        self._timer = self._loop.call_later(self._pace.tick, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def moved(self) -> None:
        self._watch.moved(self._loop.time())

    def heard(self, token: bytes) -> None:
        """Something came back on the echo subject."""
        if token and token == self._token:
            self._token = b""
            self.check_seconds = self._watch.proved(self._loop.time())
            self._link.prove(self._before)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(self._pace.tick, self._tick)
        try:
            self._step(self._loop.time())
        except Exception:  # noqa: BLE001 - whatever it is, the next check may do
            _log.exception("checking the connection to NATS failed")

    def _step(self, now: float) -> None:
        link = self._link
        match self._watch.tick(now, connected=link.is_connected, stuck=link.stuck):
            case Do.CHECK:
                self._token = secrets.token_bytes(8)
                self._before = link.ask(self._echo, self._token)
            case Do.REBUILD:
                link.rebuild(
                    f"no message to ourselves came back within {self._pace.silent:g} s"
                    if link.is_connected
                    else "connecting did not go on"
                )
            case Do.GIVE_UP:
                self.why = f"no connection to NATS could be had for {self._watch.ill_seconds(now):.0f} s"
                self.lost.set()
            case Do.NOTHING:
                pass
