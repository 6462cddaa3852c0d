"""Credentials of connections: one sealed record each, under the readable key `<tenant>.<connection>.<provider>`.

There is never a fallback to another connection: a call without a credential of its own fails.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from sidecar.model import Failure, Reason
from sidecar.ports import Clock, Keys, Store
from sidecar.store.record import Records
from sidecar.store.secret import Secret
from sidecar.wire.subject import decode_token, encode_token

BUCKET = "SIDECAR_CREDENTIALS"
FORMAT = 1
FRESH_SECONDS = 30.0  # a connection disabled through another sidecar is noticed within this time
KEPT_SECONDS = 3600.0
ATTEMPTS = 5  # of a compare-and-set that others may win


class Status(StrEnum):
    """Whether a connection may be used."""

    ACTIVE = "active"
    DISABLED = "disabled"
    REVOKED = "revoked"


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection proves itself with. Times are Unix seconds; `account` is who the provider says it is."""

    kind: str
    fields: Mapping[str, Secret]
    base_url: str | None = None
    status: Status = Status.ACTIVE
    account: str | None = None
    created: float
    changed: float


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The plain text of the sealed record."""

    format: int
    kind: str
    fields: dict[str, str]
    base_url: str | None
    status: Status
    account: str | None
    created: float
    changed: float


class Named(msgspec.Struct, frozen=True):
    """A connection's name, and its credential or why it cannot be opened."""

    tenant: str
    connection: str
    provider: str
    credential: Credential | Failure


class _Cached(msgspec.Struct, frozen=True):
    """A credential in memory: when it was last read, and when the store was last asked."""

    credential: Credential
    read: float
    asked: float


class CredentialStore:
    """Credentials with those used in the last hour in memory, at most `capacity` of them."""

    def __init__(self, store: Store, keys: Keys, clock: Clock, *, capacity: int) -> None:
        self._records: Records[Stored] = Records(store, keys, BUCKET, Stored)
        self._clock = clock
        self._capacity = capacity
        self._cache: OrderedDict[str, _Cached] = OrderedDict()

    async def load(self, tenant: str, connection: str, provider: str) -> Credential | Failure:
        """The credential, ready to use; or why this connection cannot be used."""
        key, now = record_key(tenant, connection, provider), self._clock.now()
        cached = self._cache.get(key)
        if cached is not None and now - cached.asked < FRESH_SECONDS:
            self._cache.move_to_end(key)
            return _usable(cached.credential, connection, provider)
        found = await self._records.read(tenant, key)
        if isinstance(found, Failure):
            if cached is None or found.reason is not Reason.STORE_UNAVAILABLE or now - cached.read >= KEPT_SECONDS:
                return found
            # The store is away: calls with a known credential go on, and it is not asked again for a while.
            self._keep(key, _Cached(cached.credential, cached.read, now))
            return _usable(cached.credential, connection, provider)
        if found is None:
            self._cache.pop(key, None)
            return _missing(connection, provider)
        credential = _credential(found.value)
        self._keep(key, _Cached(credential, now, now))
        return _usable(credential, connection, provider)

    async def save(self, tenant: str, connection: str, provider: str, credential: Credential) -> Failure | None:
        """Store it, over the one that is there; None when it is stored."""
        key = record_key(tenant, connection, provider)
        for _ in range(ATTEMPTS):
            found = await self._records.read(tenant, key)
            if isinstance(found, Failure) and found.reason is Reason.STORE_UNAVAILABLE:
                return found
            if isinstance(found, Failure):
                return msgspec.structs.replace(found, hint="revoke the connection first; its record cannot be opened")
            written = await self._records.write(tenant, key, _stored(credential), found.revision if found else None)
            if not isinstance(written, Failure):
                self._remember(key, credential)
                return None
            if written.reason is not Reason.CAS_CONFLICT:
                return written
        return Failure(
            reason=Reason.CAS_CONFLICT, detail=f"{key} is being changed by others; try again", retry_after=1.0
        )

    async def set_status(self, tenant: str, connection: str, provider: str, status: Status) -> Credential | Failure:
        """Change the status. A revoked record keeps no secret, so that it cannot be enabled again."""
        key = record_key(tenant, connection, provider)
        for _ in range(ATTEMPTS):
            found = await self._records.read(tenant, key)
            if isinstance(found, Failure):
                return found
            if found is None:
                return _missing(connection, provider)
            if found.value.status is Status.REVOKED and status is not Status.REVOKED:
                return _usable(_credential(found.value), connection, provider)
            changed = msgspec.structs.replace(_credential(found.value), status=status, changed=self._clock.wall())
            if status is Status.REVOKED:
                changed = msgspec.structs.replace(changed, fields={})
            written = await self._records.write(tenant, key, _stored(changed), found.revision)
            if not isinstance(written, Failure):
                self._remember(key, changed)
                return changed
            if written.reason is not Reason.CAS_CONFLICT:
                return written
        return Failure(
            reason=Reason.CAS_CONFLICT, detail=f"{key} is being changed by others; try again", retry_after=1.0
        )

    async def list(self, tenant: str, connection: str | None, provider: str | None) -> list[Named] | Failure:
        """The connections of a tenant, of one name or one provider where given; also those that do not open."""
        tokens = [_token(tenant), _token(connection) if connection else "*", _token(provider) if provider else "*"]
        keys = await self._records.keys(".".join(tokens))
        if isinstance(keys, Failure):
            return keys
        listed: list[Named] = []
        for key in keys:
            names = [decode_token(token.replace("=", "%")) for token in key.split(".")]
            found = await self._records.read(tenant, key)
            if found is not None:
                credential = found if isinstance(found, Failure) else _credential(found.value)
                listed.append(Named(tenant, names[1] or key, names[2] or key, credential))
        return listed

    def _remember(self, key: str, credential: Credential) -> None:
        now = self._clock.now()
        self._keep(key, _Cached(credential, now, now))

    def _keep(self, key: str, cached: _Cached) -> None:
        self._cache[key] = cached
        self._cache.move_to_end(key)
        oldest = next(iter(self._cache))
        if len(self._cache) > self._capacity or self._cache[oldest].read < cached.read - KEPT_SECONDS:
            del self._cache[oldest]


def record_key(tenant: str, connection: str, provider: str) -> str:
    """The record's key; `%` is not legal in a KV key and is written `=`."""
    return ".".join(_token(name) for name in (tenant, connection, provider))


def _token(name: str) -> str:
    return encode_token(name).replace("%", "=")


def _usable(credential: Credential, connection: str, provider: str) -> Credential | Failure:
    who = f"connection {connection} of {provider}"
    match credential.status:
        case Status.ACTIVE:
            return credential
        case Status.DISABLED:
            return Failure(reason=Reason.CONNECTION_DISABLED, detail=f"{who} is disabled")
        case Status.REVOKED:
            return Failure(reason=Reason.CONNECTION_REVOKED, detail=f"{who} was revoked; import a credential again")


def _missing(connection: str, provider: str) -> Failure:
    return Failure(reason=Reason.NO_CREDENTIAL, detail=f"there is no connection {connection} of {provider}")


def _credential(stored: Stored) -> Credential:
    return Credential(
        kind=stored.kind,
        fields={name: Secret(value) for name, value in stored.fields.items()},
        base_url=stored.base_url,
        status=stored.status,
        account=stored.account,
        created=stored.created,
        changed=stored.changed,
    )


def _stored(credential: Credential) -> Stored:
    return Stored(
        format=FORMAT,
        kind=credential.kind,
        fields={name: secret.reveal() for name, secret in credential.fields.items()},
        base_url=credential.base_url,
        status=credential.status,
        account=credential.account,
        created=credential.created,
        changed=credential.changed,
    )
