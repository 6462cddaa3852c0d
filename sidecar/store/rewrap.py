"""Which key each sealed record of a tenant is under, and moving them under the newest, in batches while calls go on.

Only the wrapped data key of a record is written anew, over exactly the revision that was read. A record that others
change meanwhile is looked at again; one that cannot be opened is named and left as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio
import msgspec

from sidecar.model import Failure, Reason
from sidecar.ports import Clock, Keys, KeyUnavailable, Random, SealBroken, Store, StoreUnavailable
from sidecar.store.record import not_written, overtaken, record_place
from sidecar.store.write import Written
from sidecar.store.writer import Writer

ABREAST = 8  # records at a time: calls share the same link
ATTEMPTS = 4  # of a compare-and-set that others may win


class Unopened(msgspec.Struct, frozen=True):
    """A record that could not be opened, and why."""

    record: str
    problem: str


class KeyUse(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of a tenant's records, and the keys that they are under when it ends."""

    key: str
    held: tuple[str, ...]
    records: dict[str, int]
    rewrapped: int
    left: int
    failed: tuple[Unopened, ...]
    next: str | None


@dataclass(slots=True)
class _Seen:
    under: Counter[str] = field(default_factory=Counter)
    rewrapped: int = 0
    failed: list[Unopened] = field(default_factory=list)
    stopped: Failure | None = None


class SealedRecords:
    """Every record that is sealed with a tenant's keys, whatever its kind. `buckets` says of each what its keys have
    behind their first three names.
    """

    def __init__(self, store: Store, keys: Keys, clock: Clock, random: Random, buckets: Mapping[str, str]) -> None:
        self._store = store
        self._keys = keys
        self._now = clock.now
        self._writer = Writer(store, clock, random)
        self._buckets = sorted(buckets.items())

    async def batch(
        self, tenant: str, pattern: str, *, after: str | None, limit: int, within: float, rewrap: bool
    ) -> KeyUse | Failure:
        """At most `limit` records whose keys match the pattern, those behind `after`, for so many seconds.

        `next` of the answer goes on behind it; None: there are no more. With `rewrap` those that are not under the
        newest key are moved. Done twice it does nothing more, so a batch whose answer was lost can be asked for again.
        """
        try:
            held = self._keys.held(tenant)
            places = await self._places(pattern, after, limit)
        except KeyUnavailable as error:
            return Failure(reason=Reason.KEY_UNAVAILABLE, detail=str(error), cause=error)
        except StoreUnavailable as error:
            return _away(error)
        seen, until = _Seen(), self._now() + within
        chosen, done = places[:limit], 0
        while done < len(chosen) and (done == 0 or self._now() < until):
            async with anyio.create_task_group() as group:
                for bucket, key in chosen[done : done + ABREAST]:
                    group.start_soon(self._look, seen, tenant, bucket, key, rewrap)
            done = min(done + ABREAST, len(chosen))
            if seen.stopped is not None:
                return seen.stopped
        newest = held[-1]
        return KeyUse(
            key=newest,
            held=held,
            records=dict(sorted(seen.under.items())),
            rewrapped=seen.rewrapped,
            left=seen.under.total() - seen.under[newest],
            failed=tuple(sorted(seen.failed, key=lambda item: item.record)),
            next=record_place(*chosen[done - 1]) if done < len(places) else None,
        )

    async def _places(self, pattern: str, after: str | None, limit: int) -> list[tuple[str, str]]:
        """Where to go on, in order: all that is left of a bucket, and more than `limit` where there are more."""
        behind = tuple(after.partition("|")[::2]) if after else ("", "")
        found: list[tuple[str, str]] = []
        for bucket, more in self._buckets:
            if bucket >= behind[0] and len(found) <= limit:
                places = ((bucket, key) for key in await self._store.keys(bucket, pattern + more))
                found += [place for place in places if place > behind]
        return found

    async def _look(self, seen: _Seen, tenant: str, bucket: str, key: str, rewrap: bool) -> None:  # noqa: FBT001  # start_soon has no keywords
        """One record, until it is under the newest key or it is known why not."""
        where = record_place(bucket, key)
        under: str | None = None
        try:
            for _ in range(ATTEMPTS):
                entry = await self._store.get(bucket, key)
                if entry is None or entry.deleted:
                    return
                under = self._keys.key_of(entry.value)
                moved = self._keys.rewrap(tenant, where, entry.value) if rewrap else None
                if moved is None:
                    break
                outcome = await self._writer.replace(bucket, key, moved, entry.revision, ttl=entry.ttl)
                if isinstance(outcome, Written):
                    under = self._keys.key_of(moved)
                    seen.rewrapped += 1
                    break
                if not overtaken(outcome):
                    seen.stopped = not_written(bucket, key, outcome)
                    break
                # Whoever wrote it has a key too: look which.
        except (KeyUnavailable, SealBroken) as error:
            reason = Reason.KEY_UNAVAILABLE if isinstance(error, KeyUnavailable) else Reason.CREDENTIAL_CORRUPT
            seen.failed.append(Unopened(where, f"{reason}: {error}"))
        except StoreUnavailable as error:
            seen.stopped = _away(error)
        if under is not None:
            seen.under[under] += 1


def _away(error: StoreUnavailable) -> Failure:
    return Failure(reason=Reason.STORE_UNAVAILABLE, detail=f"the records do not answer: {error}", cause=error)
