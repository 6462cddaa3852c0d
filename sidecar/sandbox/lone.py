"""Quotas of a process that shares with nobody: no other sidecars, and a store in memory that is always there."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.core.quota.event import Event, Get, Put, Refused, Send, SendAll, Stored, Undelivered
from sidecar.core.quota.node import Node
from sidecar.ports import Clock, Random
from sidecar.quota import Quotas
from sidecar.sandbox.scripted import SleepTimer
from sidecar.wire.subject import EVERY


def lone_quotas(clock: Clock, random: Random) -> Quotas:
    """For a clock that moves when somebody sleeps: cases, and tests."""
    return Quotas(Node("lone", EVERY), Lone(clock), SleepTimer(clock), clock, random)


class Lone:
    """Nobody hears what is sent; a record is kept until its time is over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[str, tuple[int, bytes | None, float]] = {}
        self._revision = 0
        self._hear: Callable[[Event], None]

    def attach(self, hear: Callable[[Event], None]) -> None:
        self._hear = hear

    def perform(self, effect: Send | SendAll | Put | Get) -> None:
        match effect:
            case Put(ticket=ticket, key=key):
                last, _, _ = self._record(key)
                if last != effect.expected:
                    self._hear(Refused(ticket, last))
                    return
                self._revision += 1
                until = float("inf") if effect.ttl is None else self._clock.now() + effect.ttl
                self._records[key] = (self._revision, effect.value, until)
                self._hear(Stored(ticket, self._revision))
            case Get(ticket=ticket, key=key):
                revision, value, _ = self._record(key)
                self._hear(Stored(ticket, revision, value))
            case Send(certain=True):
                self._hear(Undelivered(effect.to, effect.message))

    def _record(self, key: str) -> tuple[int, bytes | None, float]:
        found = self._records.get(key)
        return (0, None, 0.0) if found is None or found[2] <= self._clock.now() else found
