"""Whose turn it is: how much may be under way in all, of one tenant, at one provider, and who goes on then.

What has no room stands in its tenant's line. Lines are served in turn, a tenant of weight 3 three times where one of
weight 1 is served once; within a line nobody is held up by somebody else's provider. In one turn of the loop only a few
begin where several tenants share the sidecar: what many callers sent at once does not keep waiting whoever comes next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

import msgspec

KEPT = 10  # of so many places one is for those who have less under way


class Bounds(msgspec.Struct, frozen=True):
    """How many may be under way in all, of one `tenant`, at one `provider`; how many may stand in one tenant's `line`,
    and in all lines; how many begin in one turn where several tenants are there (`at_once`), and where one is `alone`:
    to stand in a line costs more than a fifth of a call, and 64 calls begin in about 10 ms.
    """

    total: int = 1024
    tenant: int = 1024
    provider: int = 1024
    line: int = 256
    lines: int = 1024
    at_once: int = 8
    alone: int = 64


class Verdict(Enum):
    """What happens to what just came."""

    BEGIN = "begin"
    WAIT = "wait"
    TENANT_FULL = "the tenant has as much under way as it may, and its line is full"
    ALL_FULL = "there is no room, and its line or all lines together are full"


class Place(msgspec.Struct, eq=False):
    """Of one message: under way, in a line, or neither any more."""

    tenant: str
    provider: str
    under_way: bool = False
    waits: bool = False


Of = TypeVar("Of", bound=Place)


@dataclass(slots=True)
class _Line(Generic[Of]):
    """Of one tenant: who waits, by provider in the order of coming. `left`: how often more it is served this round."""

    left: int
    waiting: dict[str, deque[Of]] = field(default_factory=dict)
    number: int = 0


class _Room:
    """So many places, and how many of them who has."""

    __slots__ = ("_kept", "_largest", "_most", "_weight", "of", "under_way")

    def __init__(self, most: int, weight: Callable[[str], int]) -> None:
        self._most = most
        self._kept = -(-most // KEPT)
        self._weight = weight
        self._largest: float | None = None  # of what one tenant has, by its weight; None: to be looked for
        self.of: dict[str, int] = {}
        self.under_way = 0

    def left(self, tenant: str) -> int:
        """How many more of the tenant may come in, at least."""
        left = self._most - self.under_way
        if left <= 0:
            return 0
        kept = min(self._kept, len(self.of) - (tenant in self.of))
        if left > kept:
            return left - kept
        return left if self._is_behind(tenant) else 0

    def enter(self, tenant: str) -> bool:
        """Returns whether others that were not behind may be so now."""
        self.under_way += 1
        self.of[tenant] = number = self.of.get(tenant, 0) + 1
        before = self._largest
        if before is None:
            return False
        self._largest = max(before, number / self._weight(tenant))
        return self._largest > before

    def leave(self, tenant: str) -> None:
        self.under_way -= 1
        self._largest = None
        self.of[tenant] -= 1
        if not self.of[tenant]:
            del self.of[tenant]  # names are without number

    def _is_behind(self, tenant: str) -> bool:
        """Whether another has more, by its weight."""
        if self._largest is None:
            self._largest = max(number / self._weight(other) for other, number in self.of.items())
        return self.of.get(tenant, 0) / self._weight(tenant) < self._largest


class Fair(Generic[Of]):
    """Keeps the places. `turn` is to be called a turn of the loop after anything began or `wants_turn` says so."""

    def __init__(self, bounds: Bounds, weight: Callable[[str], int] = lambda _tenant: 1) -> None:
        self._bounds = bounds
        self._weight = weight
        self._lines: dict[str, _Line[Of]] = {}
        self._round: deque[str] = deque()  # the tenants that have a line, in the order in which they are served
        self._all = _Room(bounds.total, weight)
        self._providers: dict[str, _Room] = {}  # where anything is under way
        self._begun = 0  # in this turn
        self._may_go = False  # somebody in a line might begin in the next turn
        self.waiting = 0

    @property
    def under_way(self) -> int:
        return self._all.under_way

    def ask(self, place: Of) -> Verdict:
        """What becomes of a message that just came."""
        bounds, room = self._bounds, self._room(place.tenant, place.provider)
        if room > 0 and not self._may_go and self._may_begin(place.tenant):
            self._begin(place)
            return Verdict.BEGIN
        if self._is_full(place.tenant, room):
            of_its_own = bounds.tenant < bounds.total and self._all.of.get(place.tenant, 0) >= bounds.tenant
            return Verdict.TENANT_FULL if of_its_own else Verdict.ALL_FULL
        self._join(place)
        return Verdict.WAIT

    @property
    def wants_turn(self) -> bool:
        """Whether something is to be done in the next turn of the loop."""
        return self._may_go or self._begun > 0

    def turn(self) -> list[Of]:
        """A new turn of the loop: those whose turn it is, now under way."""
        self._begun = 0
        going: list[Of] = []
        bounds = self._bounds
        most = bounds.alone if self._round and not self._has_others(self._round[0]) else bounds.at_once
        while self._may_go and len(going) < most:
            place = self._next()
            if place is None:
                self._may_go = False
            else:
                self._begin(place)
                going.append(place)
        return going

    def leave(self, place: Of) -> None:
        """It has ended, or waits no more."""
        if place.under_way:
            place.under_way = False
            self._all.leave(place.tenant)
            provider = self._providers[place.provider]
            provider.leave(place.tenant)
            if not provider.under_way:
                del self._providers[place.provider]
            self._may_go = self.waiting > 0
        elif place.waits:
            self._lines[place.tenant].waiting[place.provider].remove(place)
            self._shorten(place)

    def _may_begin(self, tenant: str) -> bool:
        """Whether one more may in this turn."""
        bounds = self._bounds
        return self._begun < bounds.at_once or (self._begun < bounds.alone and not self._has_others(tenant))

    def _has_others(self, tenant: str) -> bool:
        """Whether anything of another tenant is under way or waits."""
        under_way, lines = self._all.of, self._lines
        return len(under_way) > (tenant in under_way) or len(lines) > (tenant in lines)

    def _has_room(self, tenant: str, provider: str) -> bool:
        return self._room(tenant, provider) > 0

    def _room(self, tenant: str, provider: str) -> int:
        """How many more of them might be under way."""
        bounds, everywhere = self._bounds, self._all
        left = min(everywhere.left(tenant), bounds.tenant - everywhere.of.get(tenant, 0))
        if left <= 0:
            return 0
        there = self._providers.get(provider)
        return min(left, there.left(tenant) if there else bounds.provider)

    def _is_full(self, tenant: str, room: int) -> bool:
        """Whether its line is, or all lines together are: of these every tenant has a share that no other takes. Who
        has `room`, and waits for a turn of the loop, is in no way.
        """
        line, bounds = self._lines.get(tenant), self._bounds
        number = line.number if line else 0
        if number >= bounds.line + room:
            return True
        return self.waiting >= bounds.lines + room and number >= bounds.lines // (len(self._lines) + (line is None))

    def _begin(self, place: Of) -> None:
        place.under_way = True
        self._begun += 1
        there = self._providers.get(place.provider)
        if there is None:
            there = self._providers[place.provider] = _Room(self._bounds.provider, self._weight)
        if there.enter(place.tenant) | self._all.enter(place.tenant):
            self._may_go = self.waiting > 0

    def _join(self, place: Of) -> None:
        line = self._lines.get(place.tenant)
        if line is None:
            line = self._lines[place.tenant] = _Line[Of](self._weight(place.tenant))
            self._round.append(place.tenant)
        line.waiting.setdefault(place.provider, deque()).append(place)
        line.number += 1
        self.waiting += 1
        place.waits = True
        self._may_go = self._may_go or self._has_room(place.tenant, place.provider)

    def _next(self) -> Of | None:
        """Who is next in turn of those that have room; looks at every line at most once."""
        for _ in range(len(self._round)):
            tenant = self._round[0]
            line = self._lines[tenant]
            place = self._first_with_room(tenant, line)
            if place is not None:
                line.left -= 1
                if line.left <= 0:
                    line.left = self._weight(tenant)
                    self._round.rotate(-1)
                line.waiting[place.provider].popleft()
                self._shorten(place)
                return place
            self._round.rotate(-1)
        return None

    def _first_with_room(self, tenant: str, line: _Line[Of]) -> Of | None:
        """Of the line, and of its providers in turn."""
        for provider, waiting in line.waiting.items():
            if self._has_room(tenant, provider):
                line.waiting[provider] = line.waiting.pop(provider)  # others first, the next time
                return waiting[0]
        return None

    def _shorten(self, place: Of) -> None:
        """It stands in its line no more."""
        place.waits = False
        self.waiting -= 1
        line = self._lines[place.tenant]
        line.number -= 1
        if not line.waiting[place.provider]:
            del line.waiting[place.provider]
        if not line.number:
            del self._lines[place.tenant]
            self._round.remove(place.tenant)
