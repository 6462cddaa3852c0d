"""Copies of sealed records, taken out and put back as they are: who holds a copy and no key has nothing.

A record is sealed to its place and tenant, so a copy goes back where it came from and nowhere else. One that is there
is never written over: what it holds may be newer than the copy, and a refresh token that was spent since then ends a
grant when it is used again (RFC 9700 section 4.14.2).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sidecar.model import Failure, Reason
from sidecar.ports import Clock, Keys, KeyUnavailable, Random, SealBroken, Store, StoreUnavailable
from sidecar.store.record import not_written, record_place
from sidecar.store.rewrap import Unopened
from sidecar.store.write import Conflict, Written
from sidecar.store.writer import Writer

BATCH_BYTES = 256 * 1024  # sealed, of one batch: a message holds it also in base64


class Copy(msgspec.Struct, frozen=True):
    """One record as it is stored: under which record's key, sealed with which key's id."""

    record: str
    key: str
    sealed: bytes


class Copies(msgspec.Struct, frozen=True):
    """A batch of copies; `next` goes on behind it, None: there are no more."""

    copies: tuple[Copy, ...]
    next: str | None


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch: keys of records that were written, that were there, and that cannot be put back."""

    restored: tuple[str, ...]
    kept: tuple[str, ...]
    failed: tuple[Unopened, ...]


class _Head(msgspec.Struct, frozen=True):
    format: int = 0


class SealedCopies:
    """The records of one bucket, out and in again. `format_number`: the newest that this version reads."""

    def __init__(
        self, store: Store, keys: Keys, clock: Clock, random: Random, bucket: str, *, format_number: int
    ) -> None:
        self._store = store
        self._keys = keys
        self._writer = Writer(store, clock, random)
        self._bucket = bucket
        self._format = format_number

    async def take(self, pattern: str, *, after: str | None, limit: int) -> Copies | Failure:
        """At most `limit` records whose keys match the pattern, those behind `after`; fewer where they are large."""
        copies: list[Copy] = []
        size = 0
        try:
            names = [key for key in await self._store.keys(self._bucket, pattern) if after is None or key > after]
            for key in names:
                entry = await self._store.get(self._bucket, key)
                if entry is not None and not entry.deleted:
                    copies.append(Copy(key, self._key_of(entry.value), entry.value))
                    size += len(entry.value)
                if (len(copies) >= limit or size >= BATCH_BYTES) and key != names[-1]:
                    return Copies(tuple(copies), key)
        except StoreUnavailable as error:
            return _away(error)
        return Copies(tuple(copies), None)

    async def put_back(self, tenant: str, pattern: str, copies: Sequence[Copy], *, dry_run: bool) -> Restored | Failure:
        """Write those whose record is not there; a dry run looks, opens, and writes nothing."""
        restored: list[str] = []
        kept: list[str] = []
        failed: list[Unopened] = []
        for copy in copies:
            problem = self._problem(tenant, pattern, copy)
            if problem is not None:
                failed.append(Unopened(copy.record[:512], problem))
                continue
            try:
                entry = await self._store.get(self._bucket, copy.record)
            except StoreUnavailable as error:
                return _away(error)
            if entry is not None and not entry.deleted:
                kept.append(copy.record)
                continue
            if not dry_run:
                outcome = await self._writer.create(self._bucket, copy.record, copy.sealed)
                if isinstance(outcome, Conflict):
                    kept.append(copy.record)
                    continue
                if not isinstance(outcome, Written):
                    return not_written(self._bucket, copy.record, outcome)
            restored.append(copy.record)
        return Restored(restored=tuple(restored), kept=tuple(kept), failed=tuple(failed))

    def _problem(self, tenant: str, pattern: str, copy: Copy) -> str | None:
        """Why a copy cannot be put back; None where it opens, here, as what this version reads."""
        if not _is_of(pattern, copy.record):
            return f"{Reason.TENANT_DENIED}: it is not a record of what is restored ({pattern})"
        try:
            plain = self._keys.open(tenant, record_place(self._bucket, copy.record), copy.sealed)
        except KeyUnavailable as error:
            return f"{Reason.KEY_UNAVAILABLE}: {error}"
        except SealBroken as error:
            return f"{Reason.CREDENTIAL_CORRUPT}: {error}"
        number = msgspec.json.decode(plain, type=_Head).format
        if number not in (self._format, self._format - 1):
            reads = f"this version reads formats {self._format - 1} and {self._format}"
            return f"{Reason.CREDENTIAL_CORRUPT}: it is of format {number}; {reads}"
        return None

    def _key_of(self, sealed: bytes) -> str:
        try:
            return self._keys.key_of(sealed)
        except SealBroken:
            return "unknown"


def _is_of(pattern: str, key: str) -> bool:
    wanted, given = pattern.split("."), key.split(".")
    return len(wanted) == len(given) and all(token in ("*", other) for token, other in zip(wanted, given, strict=True))


def _away(error: StoreUnavailable) -> Failure:
    return Failure(reason=Reason.STORE_UNAVAILABLE, detail=f"the records do not answer: {error}", cause=error)
