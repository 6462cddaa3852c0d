"""Calls with idempotency keys: one sealed record each, which vanishes a day after it was written last.

A record is at `<tenant>.<connection>.<provider>.<operation>.<digest of the key>`. A key may say what nobody but its
caller should know, so it is not to be read there.
"""

from __future__ import annotations

import hashlib

import anyio
import msgspec

from sidecar.kept import FORMAT, Kept, State
from sidecar.model import Call, Failure, Reason
from sidecar.ports import Clock, Keys, Random, Store
from sidecar.scope import Scope
from sidecar.store.record import Found, Records, record_key
from sidecar.store.write import Outcome
from sidecar.wire.interest import denied

BUCKET = "SIDECAR_IDEMPOTENCY"
BELOW = ".*.*"  # what follows a connection in keys: the operation, the digest
KEPT_SECONDS = 24 * 3600
SEAL_BYTES = 4096  # what sealing and the message's headers add, at most


class Place(msgspec.Struct, frozen=True):
    """Where the record of a call is."""

    tenant: str
    connection: str
    provider: str
    operation: str
    digest: str

    @property
    def key(self) -> str:
        return record_key(self.tenant, self.connection, self.provider, self.operation, self.digest)


class Seen(msgspec.Struct, frozen=True):
    """What a record says, and the revision that a change of it must name."""

    state: State
    revision: int


class IdempotencyStore:
    """The records of a scope. Every write starts a record's day anew. `max_payload` is what one NATS message holds."""

    def __init__(
        self, store: Store, keys: Keys, clock: Clock, random: Random, scope: Scope, *, max_payload: int
    ) -> None:
        self._records: Records[Kept] = Records(store, keys, clock, random, BUCKET, Kept, format_number=FORMAT)
        self._scope = scope
        self._most = max_payload - SEAL_BYTES

    def fits(self, state: State) -> bool:
        """Whether one message holds the record."""
        return len(msgspec.json.encode(Kept(state))) <= self._most

    async def read(self, place: Place, *, within: float) -> Seen | Failure | None:
        """The record, None where there is none. It may be stale."""
        refusal = denied(self._scope, place.tenant, place.connection, place.provider)
        if refusal is not None:
            return refusal
        with anyio.move_on_after(within):
            found: Found[Kept] | Failure | None = await self._records.read(place.tenant, place.key)
            if not isinstance(found, Found):
                return found
            return found.value if isinstance(found.value, Failure) else Seen(found.value.state, found.revision)
        return Failure(reason=Reason.STORE_UNAVAILABLE, detail=f"{BUCKET} did not answer in time")

    async def write(self, place: Place, state: State, revision: int | None, *, within: float) -> Outcome | Failure:
        """Write over exactly this revision (None: there must be no record), for a day. A failure: not written."""
        refusal = denied(self._scope, place.tenant, place.connection, place.provider)
        if refusal is not None:
            return refusal
        return await self._records.attempt(
            place.tenant, place.key, Kept(state), revision, ttl=KEPT_SECONDS, within=within
        )

    async def delete(self, place: Place, revision: int, *, within: float) -> Failure | None:
        """Delete exactly this revision; None when it is deleted."""
        return await self._records.delete(place.key, revision, within=within)


def place_of(call: Call, key: str) -> Place:
    """The place of this call's record."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    return Place(call.tenant, call.connection, call.provider, call.operation, digest)
