"""One sealed record: read, create or change by compare-and-set; what goes wrong is told as a failure."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from sidecar.model import Failure, Reason
from sidecar.ports import Keys, KeyUnavailable, SealBroken, Store, StoreConflict, StoreFull, StoreUnavailable

T = TypeVar("T")


class Found(msgspec.Struct, Generic[T], frozen=True):
    """A record's value, or why it does not open; and the revision that a change must name."""

    value: T | Failure
    revision: int


class Records(Generic[T]):
    """The records of one kind in one bucket, each sealed to its tenant, bucket and key."""

    def __init__(self, store: Store, keys: Keys, bucket: str, kind: type[T]) -> None:
        self._store = store
        self._keys = keys
        self._bucket = bucket
        self._decoder = msgspec.json.Decoder(kind)

    async def read(self, tenant: str, key: str) -> Found[T] | Failure | None:
        """The record, None when there is none, a failure when the store does not answer."""
        try:
            entry = await self._store.get(self._bucket, key)
        except StoreUnavailable as error:
            return self._away(error)
        return None if entry is None else Found(self._open(tenant, key, entry.value), entry.revision)

    async def write(self, tenant: str, key: str, value: T, revision: int | None) -> int | Failure:
        """Write over exactly this revision (None: the record must not be there); returns the new one."""
        try:
            sealed = self._keys.seal(tenant, self._place(key), msgspec.json.encode(value))
            if revision is None:
                return await self._store.create(self._bucket, key, sealed)
            return await self._store.update(self._bucket, key, sealed, revision)
        except KeyUnavailable as error:
            detail = f"record {key} cannot be sealed: {error}"
            return Failure(reason=Reason.KEY_UNAVAILABLE, detail=detail, cause=error)
        except StoreConflict as error:
            return Failure(reason=Reason.CAS_CONFLICT, detail=f"record {key} was changed meanwhile", cause=error)
        except StoreFull as error:
            return Failure(reason=Reason.STORE_FULL, detail=f"{self._bucket} is full: {error}", cause=error)
        except StoreUnavailable as error:
            detail = f"{self._bucket} did not confirm the write of {key}; whether it happened is unknown: {error}"
            return Failure(reason=Reason.STORE_UNAVAILABLE, detail=detail, cause=error)

    async def keys(self, pattern: str) -> list[str] | Failure:
        try:
            return await self._store.keys(self._bucket, pattern)
        except StoreUnavailable as error:
            return self._away(error)

    def _open(self, tenant: str, key: str, sealed: bytes) -> T | Failure:
        what = f"record {key} cannot be opened"
        try:
            return self._decoder.decode(self._keys.open(tenant, self._place(key), sealed))
        except KeyUnavailable as error:
            return Failure(reason=Reason.KEY_UNAVAILABLE, detail=f"{what}: {error}", cause=error)
        except SealBroken as error:
            return Failure(reason=Reason.CREDENTIAL_CORRUPT, detail=f"{what}: {error}", cause=error)
        except msgspec.DecodeError as error:
            why = "its content is not of a form that this version reads"
            return Failure(reason=Reason.CREDENTIAL_CORRUPT, detail=f"{what}: {why}", cause=error)

    def _away(self, error: StoreUnavailable) -> Failure:
        return Failure(reason=Reason.STORE_UNAVAILABLE, detail=f"{self._bucket} does not answer: {error}", cause=error)

    def _place(self, key: str) -> str:
        return f"{self._bucket}|{key}"
