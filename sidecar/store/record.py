"""Sealed records of one kind: read, created, changed and deleted by compare-and-set; what goes wrong is a failure.

Every record is sealed to its bucket, key and tenant, in a form that has a number, and holds the number of its own
format. A version reads its own format and the one before; it does not open what a newer version wrote, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec

from sidecar.model import Failure, Reason
from sidecar.ports import Clock, Entry, Keys, KeyUnavailable, Random, SealBroken, Store, StoreUnavailable
from sidecar.scope import Scope
from sidecar.store.write import Conflict, Doubt, Full, Outcome, Unknown, Unreached, Written
from sidecar.store.writer import WRITE_SECONDS, Writer
from sidecar.wire.subject import decode_token, encode_token

T = TypeVar("T")

MAKE_ROOM = "give it more room (its max_bytes, by `sidecar setup`); a revocation and a deletion fit all the same"


class Found(msgspec.Struct, Generic[T], frozen=True):
    """A record's value, or why it does not open; the revision that a change must name; when it was written, in Unix
    seconds of the store's clock, where that is known.
    """

    value: T | Failure
    revision: int
    written: float | None = None


class Older(msgspec.Struct, Generic[T], frozen=True):
    """How records of the format before were written, and what they are now."""

    kind: type[Any]
    upgrade: Callable[[Any], T]


class _Head(msgspec.Struct, frozen=True):
    format: int = 0


class Records(Generic[T]):
    """The records of one kind in one bucket. `kind` is what a record holds; its field `format`, where there is one, is
    `format_number`.
    """

    def __init__(
        self,
        store: Store,
        keys: Keys,
        clock: Clock,
        random: Random,
        bucket: str,
        kind: type[T],
        *,
        format_number: int = 1,
        older: Older[T] | None = None,
    ) -> None:
        self._store = store
        self._keys = keys
        self._writer = Writer(store, clock, random)
        self._bucket = bucket
        self._decoder = msgspec.json.Decoder(kind)
        self._format = format_number
        self._older = older

    async def read(self, tenant: str, key: str) -> Found[T] | Failure | None:
        """The record, None when there is none, a failure when the store does not answer. It may be stale."""
        try:
            entry = await self._store.get(self._bucket, key)
        except StoreUnavailable as error:
            return self._away(error)
        return None if entry is None else self.opened(tenant, entry)

    async def write(
        self,
        tenant: str,
        key: str,
        value: T,
        revision: int | None,
        *,
        ttl: int | None = None,
        within: float = WRITE_SECONDS,
    ) -> int | Failure:
        """Write over exactly this revision (None: there must be no record); the new revision when it is written.

        `ttl`: it vanishes after so many whole seconds, at least one; without, it stays, whatever it replaces.
        """
        outcome = await self.attempt(tenant, key, value, revision, ttl=ttl, within=within)
        if isinstance(outcome, Failure):
            return outcome
        return outcome.revision if isinstance(outcome, Written) else not_written(self._bucket, key, outcome)

    async def attempt(
        self,
        tenant: str,
        key: str,
        value: T,
        revision: int | None,
        *,
        ttl: int | None = None,
        within: float = WRITE_SECONDS,
    ) -> Outcome | Failure:
        """As `write`, with what is known of the outcome; a failure when it could not be sealed."""
        try:
            sealed = self._keys.seal(tenant, record_place(self._bucket, key), msgspec.json.encode(value))
        except KeyUnavailable as error:
            detail = f"record {key} cannot be sealed: {error}"
            return Failure(reason=Reason.KEY_UNAVAILABLE, detail=detail, cause=error)
        if revision is None:
            return await self._writer.create(self._bucket, key, sealed, ttl=ttl, within=within)
        return await self._writer.replace(self._bucket, key, sealed, revision, ttl=ttl, within=within)

    async def delete(self, key: str, revision: int, *, within: float = WRITE_SECONDS) -> Failure | None:
        """Delete exactly this revision; None when it is deleted."""
        outcome = await self._writer.delete(self._bucket, key, revision, within=within)
        return None if isinstance(outcome, Written) else not_written(self._bucket, key, outcome)

    async def keys(self, pattern: str) -> list[str] | Failure:
        """The keys that match, in order."""
        try:
            return await self._store.keys(self._bucket, pattern)
        except StoreUnavailable as error:
            return self._away(error)

    async def watch(self, pattern: str, told: Callable[[Entry | None], None]) -> None:
        """Tell changes until cancelled, as `ports.Store` says; `opened` takes an entry apart."""
        await self._store.watch(self._bucket, pattern, told)

    def opened(self, tenant: str, entry: Entry) -> Found[T] | None:
        """What an entry of the store holds; None for the mark of a deletion."""
        if entry.deleted:
            return None
        return Found(self._open(tenant, entry.key, entry.value), entry.revision, entry.written)

    def _open(self, tenant: str, key: str, sealed: bytes) -> T | Failure:
        what = f"record {key} cannot be opened"
        try:
            return self._decoded(self._keys.open(tenant, record_place(self._bucket, key), sealed))
        except KeyUnavailable as error:
            return Failure(reason=Reason.KEY_UNAVAILABLE, detail=f"{what}: {error}", cause=error)
        except (SealBroken, _NotRead) as error:
            return Failure(reason=Reason.CREDENTIAL_CORRUPT, detail=f"{what}: {error}", cause=error)

    def _decoded(self, plain: bytes) -> T:
        try:
            number = msgspec.json.decode(plain, type=_Head).format
            if self._older is not None and number == self._format - 1:
                return self._older.upgrade(msgspec.json.decode(plain, type=self._older.kind))
            if number > self._format:
                raise _NotRead(
                    f"a newer version wrote it, in format {number}; this one reads up to {self._format}: upgrade it"
                )
            return self._decoder.decode(plain)
        except msgspec.DecodeError as error:
            raise _NotRead("its content is not of a form that this version reads") from error

    def _away(self, error: StoreUnavailable) -> Failure:
        return Failure(reason=Reason.STORE_UNAVAILABLE, detail=f"{self._bucket} does not answer: {error}", cause=error)


class _NotRead(Exception):
    """The record opens and says nothing to this version; the text says why."""


def not_written(bucket: str, key: str, outcome: Conflict | Full | Unreached | Unknown) -> Failure:
    """What a write that is not known to have happened is told as: whether it may have."""
    match outcome:
        case Conflict():
            return Failure(reason=Reason.CAS_CONFLICT, detail=f"record {key} was changed meanwhile")
        case Full(said):
            return Failure(reason=Reason.STORE_FULL, detail=f"{bucket} is full: {said}", hint=MAKE_ROOM)
        case Unreached(said):
            detail = f"{bucket} did not take the write of {key}; nothing was written: {said or 'no time was left'}"
            return Failure(reason=Reason.STORE_UNAVAILABLE, detail=detail)
        case Unknown(doubt, said):
            why = f"{doubt} ({said})" if said else str(doubt)
            detail = f"{bucket} did not confirm the write of {key}; whether it happened is unknown: {why}"
            hint = "look at what is there before you do it again; it may still be written within the next moments"
            return Failure(reason=Reason.STORE_UNAVAILABLE, detail=detail, hint=hint)


def overtaken(outcome: Outcome) -> bool:
    """Whether another write stands there now: look at it and decide anew. Ours may have come before it."""
    return isinstance(outcome, Conflict) or (isinstance(outcome, Unknown) and outcome.doubt is Doubt.OVERTAKEN)


def record_place(bucket: str, key: str) -> str:
    """Where a record is, as it is bound into its seal."""
    return f"{bucket}|{key}"


@lru_cache(maxsize=4_096)
def record_key(*names: str) -> str:
    """The key of what the names say, tenant first: readable, one token for each; `%` is not legal there and is `=`."""
    return ".".join(_token(name) for name in names)


def record_names(key: str) -> list[str]:
    """The names that a key was made of; a token that we did not write stands for itself."""
    return [decode_token(token.replace("=", "%")) or token for token in key.split(".")]


def record_pattern(*names: str | None) -> str:
    """The keys with these names; None stands for every one."""
    return ".".join("*" if name is None else _token(name) for name in names)


def record_patterns(scope: Scope) -> list[str]:
    """The keys of a scope's connections, as few patterns as say it: each is one that its rights on NATS name."""
    if scope.tenant is None:
        return [">"]
    if not scope.connections and not scope.providers:
        return [f"{_token(scope.tenant)}.>"]
    return [
        record_pattern(scope.tenant, connection, provider)
        for connection in _each(scope.connections)
        for provider in _each(scope.providers)
    ]


def _each(names: Iterable[str]) -> list[str | None]:
    return list(names) or [None]


def _token(name: str) -> str:
    return encode_token(name).replace("%", "=")
