"""A sidecar's part in shared quotas, whole: hears events, says what is to be done. Its driver does it, and waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from sidecar.core.quota.event import (
    Asked,
    Away,
    Began,
    Effect,
    Ended,
    Event,
    Go,
    Gone,
    Heard,
    Hinted,
    Jumped,
    Leaving,
    Left,
    Refuse,
    Refused,
    SendAll,
    Stored,
    Told,
    Undelivered,
    Unused,
    Wait,
)
from sidecar.core.quota.limit import Demand
from sidecar.core.quota.message import Closed, Request
from sidecar.core.quota.pace import Pace
from sidecar.core.quota.part import Part
from sidecar.core.quota.turn import Turn


class Node:
    """Owner and member of all partitions. `me`: a new name at each start of the process. `scope`: the tenant's token,
    or `-` where one sidecar serves all tenants.
    """

    def __init__(self, me: str, scope: str, pace: Pace | None = None) -> None:
        self._turn = Turn(me, scope, pace or Pace())
        self._parts: dict[int, Part] = {}
        self._held: dict[str, Asked] = {}  # calls that wait for what the provider closed
        self._leaving: set[int] | None = None
        self._hears: dict[type, Callable[[Any], None]] = {
            Asked: self._ask,
            Unused: self._leave,
            Left: self._leave,
            Stored: self._turn.answer,
            Refused: self._turn.answer,
            Away: self._turn.answer,
            Heard: self._heard,
            Undelivered: self._undelivered,
            Told: self._told,
            Hinted: self._hinted,
            Jumped: self._jumped,
            Leaving: self._leave_all,
        }

    def on(self, event: Event, now: float, jitter: float) -> list[Effect]:
        """What is to be done about it. `jitter` is in [0, 1)."""
        turn, part = self._turn, None
        if type(event) is Began:
            self._began(event)
            return []
        if type(event) is Ended:
            part = self._ended(event.call)
            if part is None:
                return []  # nothing comes of it now, as of most calls
        turn.begin(now, jitter)
        turn.of(part)
        hear = self._hears.get(type(event))
        if hear is not None:
            hear(event)
        turn.look()
        return turn.done()

    @property
    def parts(self) -> Iterable[Part]:
        """What it knows of each partition, to look at."""
        return self._parts.values()

    def closed_until(self, demand: Demand) -> float:
        """Until when the provider closed any of what this needs; a moment that is over if it did not."""
        closed = self._turn.closed
        return max(closed.get(key, float("-inf")) for key in demand.keys) if closed else float("-inf")

    # What is heard.

    def _heard(self, heard: Heard) -> None:
        sender, message = heard.sender, heard.message
        if sender == self._turn.me:
            return
        if isinstance(message, Closed):
            self._close(message.keys, message.seconds)
        elif message.partition in self._parts or isinstance(message, Request):
            self._part(message.partition).hear(sender, message, self._turn)

    def _undelivered(self, event: Undelivered) -> None:
        if not isinstance(event.message, Closed):
            self._part(event.message.partition).undelivered(event.to, event.message, self._turn)

    def _told(self, told: Told) -> None:
        self._close(told.keys, told.seconds)
        turn = self._turn
        turn.effects.append(SendAll(Closed(told.keys, told.seconds)))

    def _hinted(self, hinted: Hinted) -> None:
        part = self._turn.calls.get(hinted.call)
        if part is not None:
            self._turn.of(part)
            part.hint(hinted, self._turn)

    def _jumped(self, _jumped: Jumped) -> None:
        turn = self._turn
        for part in self._parts.values():
            turn.of(part)
            part.jumped(turn)

    # Calls.

    def _ask(self, asked: Asked) -> None:
        turn, demand = self._turn, asked.demand
        if asked.deadline <= turn.now:
            bucket = demand.wants[0].limit.bucket if demand.wants else "told"
            turn.effects.append(Refuse(asked.call, turn.pace.again, bucket))
            return
        if turn.closed:
            until = self.closed_until(demand)
            if until > turn.now:
                self._hold(asked, until)
                return
        if not demand.wants:
            turn.effects.append(Go(asked.call, turn.now, asked.deadline))
            return
        part = self._part(demand.digest % turn.pace.partitions)
        turn.calls[asked.call] = part
        part.ask(asked.call, demand, asked.deadline, turn)

    def _began(self, began: Began) -> None:
        for call, at in began.calls:
            part = self._turn.calls.get(call)
            if part is not None:
                part.began(call, at)

    def _ended(self, call: str) -> Part | None:
        """Whose it was, where something is to be said about it at once."""
        part = self._turn.calls.pop(call, None)
        return part if part is not None and part.end(call) else None

    def _leave(self, left: Left | Unused) -> None:
        call = left.call
        self._held.pop(call, None)
        part = self._turn.calls.pop(call, None)
        if part is not None:
            self._turn.of(part)
            part.leave(call, self._turn)

    def _part(self, partition: int) -> Part:
        part = self._parts.get(partition)
        if part is None:
            part = self._parts[partition] = Part(partition)
            part.leaving = self._leaving is not None
        self._turn.of(part)
        return part

    # What the provider closed.

    def _hold(self, asked: Asked, until: float) -> None:
        """It waits for the provider's moment, or is told that this comes too late for it."""
        turn = self._turn
        bucket = self._closed_bucket(asked.demand, until)
        if until >= asked.deadline:
            self._held.pop(asked.call, None)
            turn.effects.append(Refuse(asked.call, until - turn.now, bucket, closed=True))
            return
        if asked.call not in self._held:
            turn.effects.append(Wait(asked.call, until - turn.now, bucket, closed=True))
        self._held[asked.call] = asked
        turn.of(None)
        turn.later(until, self._open)

    def _open(self, turn: Turn) -> None:
        for asked in list(self._held.values()):
            if self.closed_until(asked.demand) <= turn.now:
                del self._held[asked.call]
                self._ask(asked)

    def _close(self, keys: tuple[str, ...], seconds: float) -> None:
        turn = self._turn
        until = turn.now + seconds
        turn.closed = {key: at for key, at in turn.closed.items() if at > turn.now}
        for key in keys:
            turn.closed[key] = max(until, turn.closed.get(key, until))
        for part in self._parts.values():
            turn.of(part)
            for asked in part.closed(frozenset(keys), turn):
                turn.calls.pop(asked.call, None)
                self._hold(asked, self.closed_until(asked.demand))
        for asked in list(self._held.values()):
            if self.closed_until(asked.demand) > turn.now:
                self._hold(asked, self.closed_until(asked.demand))

    def _closed_bucket(self, demand: Demand, until: float) -> str:
        closed = self._turn.closed
        return next((want.limit.bucket for want in demand.wants if closed.get(want.limit.key) == until), "told")

    # The end.

    def _leave_all(self, _leaving: Leaving) -> None:
        turn = self._turn
        if self._leaving is not None:
            return
        for asked in list(self._held.values()):
            turn.effects.append(Refuse(asked.call, turn.pace.ttl, "", away=True))
        self._held.clear()
        self._leaving = set(self._parts)
        for partition, part in list(self._parts.items()):
            turn.of(part)
            part.give_up(partial(self._left, partition), turn)
        if not self._parts:
            turn.effects.append(Gone())

    def _left(self, partition: int, turn: Turn) -> None:
        if self._leaving is not None and partition in self._leaving:
            self._leaving.discard(partition)
            if not self._leaving:
                turn.effects.append(Gone())
