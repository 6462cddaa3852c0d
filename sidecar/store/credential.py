"""Credentials of connections: one sealed record each, under the readable key `<tenant>.<connection>.<provider>`.

There is never a fallback to another connection: a call without a credential of its own fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import anyio
import msgspec

from sidecar.credential import Credential, OwnLimit, Status
from sidecar.model import Failure, Reason
from sidecar.ports import Clock, Entry, Keys, Random, Store
from sidecar.scope import Scope
from sidecar.store.credential_form import FORMAT, Stored, StoredBefore, opened_form, stored_form, upgraded
from sidecar.store.known_credentials import Known, KnownCredentials, Over
from sidecar.store.record import (
    Found,
    Older,
    Records,
    not_written,
    overtaken,
    record_key,
    record_names,
    record_pattern,
    record_patterns,
)
from sidecar.store.write import Outcome, Written
from sidecar.store.writer import WRITE_SECONDS
from sidecar.wire.interest import denied

BUCKET = "SIDECAR_CREDENTIALS"
FRESH_SECONDS = 30.0  # what another sidecar changed is noticed within this time, also when nothing is told of it
LOOK_SECONDS = 0.25  # how long a call with a known credential waits for a store that may be away
ASK_SECONDS = 5.0  # how long one that does not say otherwise waits for a credential that is not known here
EVERYTHING = Scope()
ATTEMPTS = 5  # of a compare-and-set that others may win


class Revised(msgspec.Struct, frozen=True):
    """A credential as it was read, and the revision that a change of it must name."""

    credential: Credential
    revision: int


class Named(msgspec.Struct, frozen=True):
    """A connection's name, and its credential or why it cannot be opened."""

    tenant: str
    connection: str
    provider: str
    credential: Credential | Failure


class CredentialStore:
    """The credentials of a scope, with those used in the last hour in memory, at most `capacity` of them."""

    def __init__(
        self, store: Store, keys: Keys, clock: Clock, random: Random, *, capacity: int, scope: Scope = EVERYTHING
    ) -> None:
        self._records: Records[Stored] = Records(
            store, keys, clock, random, BUCKET, Stored, format_number=FORMAT, older=Older(StoredBefore, upgraded)
        )
        self._clock = clock
        self._scope = scope
        self._cache = KnownCredentials(clock, capacity)  # of the scope alone
        self._changes = 0  # told so far
        self._heard: Callable[[str], None] = _nobody

    async def load(
        self, tenant: str, connection: str, provider: str, *, within: float = ASK_SECONDS
    ) -> Credential | Failure:
        """The credential, ready to use, within so many seconds; or why this connection cannot be used.

        One that is known goes on being used while the store is away.
        """
        key, now = record_key(tenant, connection, provider), self._clock.now()
        cached = self._cache.get(key)
        if cached is None:
            refusal = denied(self._scope, tenant, connection, provider)
            if refusal is not None:
                return refusal
            with anyio.move_on_after(within):
                return await self._read(tenant, connection, provider)
            detail = f"{BUCKET} did not answer within {within:.3g} s"
            return Failure(reason=Reason.STORE_UNAVAILABLE, detail=detail, cause=TimeoutError())
        cached.used = now
        self._cache.move_to_end(key)
        if now - cached.asked >= FRESH_SECONDS:
            cached.asked = now  # one call looks, the others go on with what is known
            with anyio.move_on_after(min(LOOK_SECONDS, within)):
                found = await self._read(tenant, connection, provider)
                if isinstance(found, Credential) or found.reason is not Reason.STORE_UNAVAILABLE:
                    return found
        return _usable(self._cache.get(key, cached).credential, connection, provider)

    async def follow(self) -> None:
        """Take in what other sidecars change, as soon as the store tells it, until cancelled."""
        async with anyio.create_task_group() as tasks:
            for pattern in record_patterns(self._scope):
                tasks.start_soon(self._records.watch, pattern, self._told)

    async def save(self, tenant: str, connection: str, provider: str, credential: Credential) -> Failure | None:
        """Store it, over whatever is there, also what cannot be opened; None when it is stored."""

        def over(there: Credential | Failure | None) -> Credential:
            created = there.created if isinstance(there, Credential) else credential.created
            return msgspec.structs.replace(credential, created=created)

        saved = await self._change(tenant, connection, provider, over)
        return saved if isinstance(saved, Failure) else None

    async def name(self, tenant: str, connection: str, provider: str, credential: Credential) -> Failure | None:
        """Say whose account it is, of what was stored before that was known: its tokens may be others by now. A failure
        where the connection was changed meanwhile.
        """

        def named(there: Credential | Failure | None) -> Credential | Failure:
            if isinstance(there, Credential) and there.changed == credential.changed:
                return msgspec.structs.replace(there, account=credential.account)
            detail = f"connection {connection} of {provider} was changed by somebody else meanwhile"
            return there if isinstance(there, Failure) else Failure(reason=Reason.CAS_CONFLICT, detail=detail)

        changed = await self._change(tenant, connection, provider, named)
        return changed if isinstance(changed, Failure) else None

    def known(self, tenant: str, connection: str, provider: str) -> Credential | None:
        """What is in memory of it, whether it may be used or not."""
        cached = self._cache.get(record_key(tenant, connection, provider))
        return cached.credential if cached else None

    async def look(
        self, tenant: str, connection: str, provider: str, *, within: float = ASK_SECONDS, keep: bool = True
    ) -> Revised | Failure | None:
        """What the store has, whatever its status; it may be stale. Without `keep` it takes no place in memory."""
        refusal = denied(self._scope, tenant, connection, provider)
        if refusal is not None:
            return refusal
        key, changes = record_key(tenant, connection, provider), self._changes
        with anyio.move_on_after(within):
            found = await self._records.read(tenant, key)
            if found is None or isinstance(found, Failure):
                return found
            opened = _opened(found)
            if isinstance(opened, Failure):
                return opened
            if keep or key in self._cache:
                self._cache.keep(key, opened, found.revision, found.written, by_call=False)
            if self._changes != changes and key in self._cache:
                self._cache[key].asked = -math.inf  # a change may have passed the read on its way
            return Revised(opened, found.revision)
        return Failure(reason=Reason.STORE_UNAVAILABLE, detail=f"{BUCKET} did not answer in time")

    async def put(
        self,
        tenant: str,
        connection: str,
        provider: str,
        credential: Credential,
        revision: int,
        *,
        within: float = WRITE_SECONDS,
    ) -> Outcome | Failure:
        """Write over exactly this revision, and say what is known of it; a failure when it could not be sealed."""
        refusal = denied(self._scope, tenant, connection, provider)
        if refusal is not None:
            return refusal
        key = record_key(tenant, connection, provider)
        known = self._cache.get(key)
        outcome = await self._records.attempt(tenant, key, stored_form(credential), revision, within=within)
        if isinstance(outcome, Written):
            over = known.written if known is not None and known.revision == revision else None
            self._cache.wrote(key, credential, outcome.revision, Over(over, known), by_call=False)
        return outcome

    def listen(self, heard: Callable[[str], None]) -> None:
        """Have `heard` told the key of each record that changes, as soon as the store tells it. It must not wait."""
        self._heard = heard

    async def set_status(self, tenant: str, connection: str, provider: str, status: Status) -> Credential | Failure:
        """Change the status. A revoked record keeps no secret, so it cannot be enabled again; what cannot be opened
        can still be revoked.
        """
        now = self._clock.wall()

        def changed(there: Credential | Failure | None) -> Credential | Failure:
            if there is None:
                return _missing(connection, provider)
            if status is Status.REVOKED:
                known = (
                    there if isinstance(there, Credential) else Credential(kind="", fields={}, created=now, changed=now)
                )
                return msgspec.structs.replace(
                    known, fields={}, tokens=None, refreshing=None, status=status, changed=now
                )
            if isinstance(there, Failure) or there.status is Status.REVOKED:
                return there if isinstance(there, Failure) else _revoked(connection, provider)
            ended = there.status is Status.REAUTH_REQUIRED  # with it what it says of the attempt that ended it
            refreshing = None if ended else there.refreshing
            return msgspec.structs.replace(there, status=status, refreshing=refreshing, why=None, changed=now)

        return await self._change(tenant, connection, provider, changed)

    async def set_limits(
        self, tenant: str, connection: str, provider: str, limits: tuple[OwnLimit, ...]
    ) -> Credential | Failure:
        """Say what the owner of its server allows, in place of what was said before."""
        now = self._clock.wall()

        def changed(there: Credential | Failure | None) -> Credential | Failure:
            if there is None:
                return _missing(connection, provider)
            return there if isinstance(there, Failure) else msgspec.structs.replace(there, limits=limits, changed=now)

        return await self._change(tenant, connection, provider, changed)

    async def list(self, tenant: str, connection: str | None, provider: str | None) -> list[Named] | Failure:
        """The connections of a tenant, of one name or one provider where given; also those that do not open."""
        refusal = denied(self._scope, tenant, connection, provider)
        if refusal is not None:
            return refusal
        keys = await self._records.keys(record_pattern(tenant, connection, provider))
        if isinstance(keys, Failure):
            return keys
        listed: list[Named] = []
        for key in keys:
            _, of, at = record_names(key)
            if not self._scope.holds(tenant, of, at):
                continue
            found = await self._records.read(tenant, key)
            if isinstance(found, Failure):
                return found
            if found is not None:
                listed.append(Named(tenant, of, at, _opened(found)))
        return listed

    async def names(self) -> Sequence[tuple[str, str, str]] | Failure:
        """Tenant, connection and provider of every record of the scope."""
        named = []
        for pattern in record_patterns(self._scope):
            keys = await self._records.keys(pattern)
            if isinstance(keys, Failure):
                return keys
            for key in keys:
                tenant, connection, provider = record_names(key)
                if self._scope.holds(tenant, connection, provider):
                    named.append((tenant, connection, provider))
        return named

    async def _read(self, tenant: str, connection: str, provider: str) -> Credential | Failure:
        """What the store has now, kept in memory where it can be used again."""
        key, changes = record_key(tenant, connection, provider), self._changes
        found = await self._records.read(tenant, key)
        if isinstance(found, Failure):
            return found
        if found is None:
            self._cache.pop(key, None)
            return _missing(connection, provider)
        opened = _opened(found)
        if isinstance(opened, Failure):
            self._cache.pop(key, None)
            return opened
        credential = self._cache.keep(key, opened, found.revision, found.written)
        if self._changes != changes:
            self._cache[key].asked = -math.inf  # a change may have passed the read on its way
        return _usable(credential, connection, provider)

    async def _change(
        self,
        tenant: str,
        connection: str,
        provider: str,
        change: Callable[[Credential | Failure | None], Credential | Failure],
    ) -> Credential | Failure:
        """Compare-and-set: `change` sees what is there (why it does not open, None for nothing), says what shall be."""
        refusal = denied(self._scope, tenant, connection, provider)
        if refusal is not None:
            return refusal
        key = record_key(tenant, connection, provider)
        for _ in range(ATTEMPTS):
            known, found = self._cache.get(key), await self._records.read(tenant, key)
            if isinstance(found, Failure):
                return found
            wanted = change(_opened(found) if found else None)
            if isinstance(wanted, Failure):
                return wanted
            outcome = await self._records.attempt(tenant, key, stored_form(wanted), found.revision if found else None)
            if isinstance(outcome, Written):
                over = found.written if found else None
                return self._cache.wrote(key, wanted, outcome.revision, Over(over, known))
            if isinstance(outcome, Failure):
                return outcome
            if not overtaken(outcome):
                self._cache.pop(key, None)  # it may have happened
                return not_written(BUCKET, key, outcome)
        return Failure(
            reason=Reason.CAS_CONFLICT, detail=f"{key} is being changed by others; try again", retry_after=1.0
        )

    def _told(self, entry: Entry | None) -> None:
        """What is known is as the entry says from now on; None: look at everything again before it is used."""
        if entry is None:
            for known in self._cache.values():
                known.asked = -math.inf
            return
        self._changes += 1
        self._take_in(entry)
        self._heard(entry.key)

    def _take_in(self, entry: Entry) -> None:
        cached = self._cache.get(entry.key)
        if cached is None or cached.revision == entry.revision:
            return
        if cached.revision > entry.revision:
            cached.asked = -math.inf  # told late, or of a bucket that was made anew: a read shows when it was written
            return
        found = self._records.opened(record_names(entry.key)[0], entry)
        opened = _opened(found) if found else None
        if isinstance(opened, Credential):
            self._cache[entry.key] = Known(opened, entry.revision, entry.written, self._clock.now(), cached.used)
        else:
            del self._cache[entry.key]  # the next call is told why


def _nobody(_key: str) -> None:
    pass


def _usable(credential: Credential, connection: str, provider: str) -> Credential | Failure:
    if credential.status is Status.ACTIVE:
        return credential
    who = f"connection {connection} of {provider}"
    match credential.status:
        case Status.REAUTH_REQUIRED:
            detail = f"{who} must be allowed again by its owner: {credential.why or 'the provider took its grant back'}"
            reason = Reason.REFRESH_LOST if credential.lost else Reason.REAUTH_REQUIRED
            return Failure(reason=reason, detail=detail)
        case Status.DISABLED:
            return Failure(reason=Reason.CONNECTION_DISABLED, detail=f"{who} is disabled")
        case Status.REVOKED:
            return _revoked(connection, provider)


def _revoked(connection: str, provider: str) -> Failure:
    detail = f"connection {connection} of {provider} was revoked; import a credential again"
    return Failure(reason=Reason.CONNECTION_REVOKED, detail=detail)


def _missing(connection: str, provider: str) -> Failure:
    return Failure(reason=Reason.NO_CREDENTIAL, detail=f"there is no connection {connection} of {provider}")


def _opened(found: Found[Stored]) -> Credential | Failure:
    stored = found.value
    return stored if isinstance(stored, Failure) else opened_form(stored)
