"""What an exchange must pass: limits, each with its key, and what it costs of each."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from zlib import crc32

import msgspec

from sidecar.core.quota.pace import LATEST


class Window(msgspec.Struct, frozen=True, array_like=True):
    """At most `units` arrive in any `seconds`. What keeps that passes a fixed window of any phase, too."""

    units: int
    seconds: float


class Tokens(msgspec.Struct, frozen=True, array_like=True):
    """A token bucket as the provider declares it: `rate` units come back each second, up to `burst`."""

    rate: float
    burst: int


class Limit(msgspec.Struct, frozen=True, array_like=True):
    """One budget: all of its windows, its token bucket and its slots hold at once.

    `key` says whose it is (provider, names, bucket); `bucket` is its name for people. `slots`: how many exchanges may
    be under way at once. `variation`: by how many seconds the way to the provider may vary; units stay taken that much
    longer.
    """

    key: str
    bucket: str
    windows: tuple[Window, ...] = ()
    tokens: Tokens | None = None
    slots: int | None = None
    variation: float = 0.02


class Want(msgspec.Struct, frozen=True, array_like=True):
    """What one exchange takes of one limit. A slot is one, whatever it costs."""

    limit: Limit
    cost: int = 1


class Demand(msgspec.Struct, frozen=True, dict=True):
    """What one exchange must pass together. `family` names all limits that such exchanges may have in common: one owner
    keeps them. Without wants there is nothing to wait for, but what the provider said (`told`).

    `told` is the key that an answer closes that says "not now" without any limit of ours to blame; `blame` are those
    that such an answer is most likely about.

    One that is kept for the next call keeps what follows from it, too.
    """

    family: str
    told: str
    wants: tuple[Want, ...] = ()
    blame: tuple[str, ...] = ()

    @property
    def blamed(self) -> tuple[str, ...]:
        """What an answer closes that says "not now" and names no quota."""
        return self.blame or (self.told,)

    @cached_property
    def digest(self) -> int:
        """Of the family: equal ones have the same owner."""
        return crc32(self.family.encode())

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Of everything that may be closed to it."""
        return (*(want.limit.key for want in self.wants), self.told)

    @cached_property
    def limits(self) -> dict[str, Limit]:
        """Those it has to pass, by key."""
        return {want.limit.key: want.limit for want in self.wants}

    @cached_property
    def costs(self) -> tuple[tuple[str, int], ...]:
        """What it takes of each, by key."""
        return tuple((want.limit.key, want.cost) for want in self.wants)

    @cached_property
    def slots(self) -> bool:
        """Whether it holds a slot of any."""
        return any(want.limit.slots is not None for want in self.wants)

    @cached_property
    def windowed(self) -> bool:
        """Whether only windows limit it: of them, units that are held for a while are missed by nobody."""
        return all(want.limit.tokens is None and want.limit.slots is None for want in self.wants)

    @cached_property
    def late(self) -> float:
        """For how many seconds its permits hold where nothing else is known."""
        return lateness(want.limit for want in self.wants)


def lateness(limits: Iterable[Limit]) -> float:
    """How long a permit holds where nothing else is known: what the event loop may lose between a permit and the first
    byte. Its units stay taken for as much longer where its sidecar does not say when it was used.
    """
    shortest = min((window.seconds for limit in limits for window in limit.windows), default=0.0)
    return min(max(0.03 * shortest, 0.01), LATEST)
