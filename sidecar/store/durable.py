"""Durable calls: one sealed record for each, at `<tenant>.<connection>.<call id>`; the nats-server ends it."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import msgspec

from sidecar.durable import FORMAT, DurableCall, Place
from sidecar.model import Failure
from sidecar.ports import Clock, Keys, Random, Store, StoreUnavailable
from sidecar.scope import Scope
from sidecar.store.record import Found, Records, not_written, overtaken, record_key, record_names, record_pattern
from sidecar.store.write import Written
from sidecar.store.writer import DELETED_SECONDS, Writer
from sidecar.wire.interest import denied

BUCKET = "SIDECAR_CALLS"
READ_SECONDS = 5.0
ABREAST = 16  # reads at a time


class Seen(msgspec.Struct, frozen=True):
    """A durable call, and the revision that a change of it must name."""

    place: Place
    call: DurableCall
    revision: int


class Beaten(msgspec.Struct, frozen=True):
    """Another write stands there now: look at it and decide anew."""


class DurableStore:
    """The durable calls of a scope."""

    def __init__(self, store: Store, keys: Keys, clock: Clock, random: Random, scope: Scope) -> None:
        self._records: Records[DurableCall] = Records(
            store, keys, clock, random, BUCKET, DurableCall, format_number=FORMAT
        )
        self._store = store
        self._writer = Writer(store, clock, random)
        self._scope = scope

    async def read(self, place: Place) -> Seen | Failure | None:
        """The call; None where it never was or is over; a Failure where it does not open. It may be stale."""
        refusal = denied(self._scope, place.tenant, place.connection)
        if refusal is not None:
            return refusal
        found: Found[DurableCall] | Failure | None = await self._records.read(place.tenant, key_of(place))
        if not isinstance(found, Found):
            return found
        return found.value if isinstance(found.value, Failure) else Seen(place, found.value, found.revision)

    async def write(
        self, place: Place, call: DurableCall, revision: int | None, *, seconds: int
    ) -> int | Beaten | Failure:
        """Write over exactly this revision (None: a new call), to last for so many seconds; the new revision."""
        refusal = denied(self._scope, place.tenant, place.connection)
        if refusal is not None:
            return refusal
        key = key_of(place)
        outcome = await self._records.attempt(place.tenant, key, call, revision, ttl=seconds)
        if isinstance(outcome, Failure):
            return outcome
        if isinstance(outcome, Written):
            return outcome.revision
        return Beaten() if overtaken(outcome) else not_written(BUCKET, key, outcome)

    async def delete(self, seen: Seen) -> Failure | None:
        """Delete it, if nobody changed it meanwhile; None when it is deleted."""
        return await self._records.delete(key_of(seen.place), seen.revision)

    async def bury(self, place: Place) -> bool:
        """Whether there surely is no such call: only a write that replaces nothing proves it."""
        key = key_of(place)
        try:
            entry = await self._store.get(BUCKET, key)
        except StoreUnavailable:
            return False
        if entry is not None and not entry.deleted:
            return False
        revision = entry.revision if entry is not None else None
        return isinstance(await self._writer.replace(BUCKET, key, None, revision, ttl=DELETED_SECONDS), Written)

    async def places(self, tenant: str) -> list[Place] | Failure:
        """Every durable call of the tenant, the newest first: an id begins with its time."""
        keys = await self._records.keys(record_pattern(tenant, None, None))
        if isinstance(keys, Failure):
            return keys
        found = [Place(*record_names(key)) for key in keys]
        return sorted(found, key=lambda place: place.call_id, reverse=True)

    async def several(self, places: Sequence[Place]) -> list[Seen | Failure | None]:
        """Several at once, in their order."""
        found: list[Seen | Failure | None] = [None] * len(places)

        async def look(number: int) -> None:
            found[number] = await self.read(places[number])

        for start in range(0, len(places), ABREAST):
            async with anyio.create_task_group() as group:
                for number in range(start, min(start + ABREAST, len(places))):
                    group.start_soon(look, number)
        return found


def key_of(place: Place) -> str:
    return record_key(place.tenant, place.connection, place.call_id)
