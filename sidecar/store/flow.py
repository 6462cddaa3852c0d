"""Connect flows: one sealed record for each link, which vanishes by itself, wherever its sidecar is by then.

A flow is at `<tenant>.<connection>.<provider>.<id>`. The id is made of the link's secret and does not give it away, so
who can list keys cannot open links.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Literal

import msgspec

from sidecar.model import Failure
from sidecar.ports import Clock, Keys, Random, Store
from sidecar.scope import Scope
from sidecar.store.record import Found, Records, record_key
from sidecar.wire.interest import denied

BUCKET = "SIDECAR_CONNECT"
FORMAT: Literal[1] = 1


class Stage(StrEnum):
    """How far a flow is. Each is passed once, in this order; the last two are its ends."""

    OFFERED = "offered"
    BEGUN = "begun"
    ANSWERED = "answered"
    CONNECTED = "connected"
    FAILED = "failed"


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One try of connecting an account. `state` and `browser` are digests of what the callback must show, `verifier`
    is PKCE's secret; `client_id` the app and `redirect_uri` the address that the provider was told. `over` is the
    revision that the connection's record had when the link was made.
    """

    format: Literal[1] = FORMAT
    kind: str
    scopes: tuple[str, ...]
    valid_seconds: int
    stage: Stage = Stage.OFFERED
    over: int | None = None
    base_url: str | None = None
    expected_account: str | None = None
    return_to: str | None = None
    client_id: str | None = None
    redirect_uri: str | None = None
    state: str | None = None
    browser: str | None = None
    verifier: str | None = None
    account: str | None = None
    ending: str | None = None
    detail: str | None = None

    def __repr__(self) -> str:
        return f"Flow({self.kind}, {self.stage})"  # never the verifier


class Place(msgspec.Struct, frozen=True):
    """Where a flow is kept."""

    tenant: str
    connection: str
    provider: str
    id: str

    @property
    def key(self) -> str:
        return record_key(self.tenant, self.connection, self.provider, self.id)


class Held(msgspec.Struct, frozen=True):
    """A flow, and the revision that a change of it must name."""

    flow: Flow
    revision: int


class FlowStore:
    """The flows of a scope. Every write starts the flow's time anew; the server ends it."""

    def __init__(self, store: Store, keys: Keys, clock: Clock, random: Random, scope: Scope) -> None:
        self._records: Records[Flow] = Records(store, keys, clock, random, BUCKET, Flow, format_number=FORMAT)
        self._scope = scope

    async def read(self, place: Place) -> Held | Failure | None:
        """The flow; None where it never was or is over."""
        refusal = denied(self._scope, place.tenant, place.connection, place.provider)
        if refusal is not None:
            return refusal
        found: Found[Flow] | Failure | None = await self._records.read(place.tenant, place.key)
        if not isinstance(found, Found):
            return found
        return found.value if isinstance(found.value, Failure) else Held(found.value, found.revision)

    async def write(self, place: Place, flow: Flow, revision: int | None) -> int | Failure:
        """Write over exactly this revision (None: a new flow); the new revision, or why it is not known to be written
        (`CAS_CONFLICT`: somebody else went on with it).
        """
        refusal = denied(self._scope, place.tenant, place.connection, place.provider)
        if refusal is not None:
            return refusal
        return await self._records.write(place.tenant, place.key, flow, revision, ttl=flow.valid_seconds)


def digest(secret: str) -> str:
    """What stands for a secret where it must not be read."""
    return hashlib.sha256(secret.encode()).hexdigest()


def flow_id(secret: str) -> str:
    """The id of the flow that a link's secret opens."""
    return digest(secret)[:32]
