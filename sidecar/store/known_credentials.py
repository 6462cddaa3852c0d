"""The credentials in memory: those that were used in the last hour, each the newest that is known of its connection."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import msgspec

from sidecar.credential import Credential
from sidecar.ports import Clock

KEPT_SECONDS = 3600.0


@dataclass(slots=True)
class Known:
    """A credential in memory: of which revision, written when, when the store was last asked, when a call last used it.
    Our own write was written no earlier than `written`.
    """

    credential: Credential
    revision: int
    written: float | None
    asked: float
    used: float

    def is_newer(self, revision: int, written: float | None) -> bool:
        """Than a record that was read. Revisions count within one bucket. In one that was made anew, as after a loss,
        they begin at 1 again: then the moment of writing tells.
        """
        return self.revision > revision and (written is None or self.written is None or written <= self.written)


class Over(msgspec.Struct, frozen=True):
    """What a write of ours came upon: when that was written, None where nothing was there; what was in memory then."""

    written: float | None
    known: Known | None


class KnownCredentials(OrderedDict[str, Known]):
    """By the key of their record, at most `capacity` of them, the one used longest ago first."""

    def __init__(self, clock: Clock, capacity: int) -> None:
        super().__init__()
        self._clock = clock
        self._capacity = capacity

    def keep(
        self, key: str, credential: Credential, revision: int, written: float | None, *, by_call: bool = True
    ) -> Credential:
        """Remember what was read, unless something newer is known: it may be older than a write that came back before
        it. A renewal in the background does not count as use.
        """
        known = self.get(key)
        if known is not None and known.is_newer(revision, written):
            return known.credential
        return self._remember(key, credential, revision, written, by_call=by_call)

    def wrote(self, key: str, credential: Credential, revision: int, over: Over, *, by_call: bool = True) -> Credential:
        """Remember what we wrote, unless something newer was told meanwhile."""
        written = self._clock.wall() if over.written is None else over.written
        known = self.get(key)
        if known is not None and known is not over.known and known.is_newer(revision, written):
            return known.credential
        return self._remember(key, credential, revision, written, by_call=by_call)

    def _remember(
        self, key: str, credential: Credential, revision: int, written: float | None, *, by_call: bool
    ) -> Credential:
        now, known = self._clock.now(), self.get(key)
        self[key] = Known(credential, revision, written, now, now if by_call or known is None else known.used)
        if by_call:
            self.move_to_end(key)
        oldest = next(iter(self))
        while len(self) > self._capacity or self[oldest].used < now - KEPT_SECONDS:
            del self[oldest]
            oldest = next(iter(self))
        return credential
