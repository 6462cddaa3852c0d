"""`ports.Store` on JetStream KV: direct gets, and publishes that name the revision they replace."""

from __future__ import annotations

import contextlib
import itertools
import re
import secrets

import anyio
import msgspec

from sidecar.adapters.nats_jetstream import (
    API,
    NO_ROOM,
    STATUS,
    WRONG_LAST_SEQUENCE,
    Answer,
    JetStreamBus,
    decode,
    description,
)
from sidecar.adapters.nats_reader import stored
from sidecar.ports import BusError, Entry, NoResponders, StoreConflict, StoreFull, StoreUnavailable

READ_SECONDS = 2.0
WRITE_SECONDS = 5.0
ATTEMPT_SECONDS = 2.0
PAUSE_SECONDS = 0.1

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
MESSAGE_ID = "Nats-Msg-Id"
OPERATION = "KV-Operation"
LIMIT_MARKER = "Nats-Marker-Reason"
SEQUENCE = "Nats-Sequence"
NOT_FOUND = "404"

# https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-8.md (keys); no empty token.
KEY = re.compile(r"[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*")
PATTERN = re.compile(r"([-/_=a-zA-Z0-9]+|\*)(\.([-/_=a-zA-Z0-9]+|\*))*(\.>)?|>")


class _Ack(Answer, frozen=True, kw_only=True):
    seq: int = 0


class _Last(msgspec.Struct, frozen=True):
    """The last message of a key: `entry` is None when it deleted the key, `message_id` names the write."""

    entry: Entry | None
    revision: int
    message_id: str


class NatsStore:
    """`ports.Store`. Reads may lag behind writes on a cluster: decide by `create` and `update`, never by `get`.

    A write is repeated within `write_seconds` under the same message id until its outcome is known.
    """

    def __init__(
        self, bus: JetStreamBus, *, read_seconds: float = READ_SECONDS, write_seconds: float = WRITE_SECONDS
    ) -> None:
        self._bus = bus
        self._read_seconds = read_seconds
        self._write_seconds = write_seconds

    async def get(self, bucket: str, key: str) -> Entry | None:
        last = await self._last(bucket, key)
        return last.entry if last else None

    async def create(self, bucket: str, key: str, value: bytes) -> int:
        try:
            return await self._write(bucket, key, value, 0)
        except StoreConflict:
            last = await self._last(bucket, key)
            if last is None or last.entry is not None:
                raise
            return await self._write(bucket, key, value, last.revision)  # over the marker of a deletion

    async def update(self, bucket: str, key: str, value: bytes, revision: int) -> int:
        return await self._write(bucket, key, value, revision)

    async def delete(self, bucket: str, key: str, revision: int) -> None:
        await self._write(bucket, key, b"", revision, {OPERATION: "DEL"})

    async def keys(self, bucket: str, pattern: str) -> list[str]:
        if not PATTERN.fullmatch(pattern):
            raise ValueError(f"not a pattern of keys: {pattern!r}")
        head = f"$KV.{bucket}."
        options = {"deliver_policy": "last_per_subject", "headers_only": True}
        found: list[str] = []
        async with contextlib.aclosing(stored(self._bus, f"KV_{bucket}", head + pattern, options)) as messages:
            async for message in messages:
                headers = message.headers or {}
                if OPERATION not in headers and LIMIT_MARKER not in headers:
                    found.append(message.subject.removeprefix(head))
        return sorted(found)

    async def _last(self, bucket: str, key: str) -> _Last | None:
        subject = f"{API}.DIRECT.GET.KV_{bucket}.{_subject(bucket, key)}"
        try:
            reply = await self._bus.request(subject, b"", timeout=self._read_seconds)
        except NoResponders:
            text = f"bucket {bucket} does not answer: it does not exist, or JetStream is away"
            raise StoreUnavailable(text) from None
        except BusError as error:
            raise StoreUnavailable(f"bucket {bucket} cannot be read: {error}") from error
        headers = reply.headers or {}
        if headers.get(STATUS) == NOT_FOUND:
            return None
        if SEQUENCE not in headers:
            raise StoreUnavailable(f"bucket {bucket} cannot be read: {headers.get(STATUS)} {description(headers)}")
        revision = int(headers[SEQUENCE])
        deleted = OPERATION in headers or LIMIT_MARKER in headers
        return _Last(None if deleted else Entry(key, reply.data, revision), revision, headers.get(MESSAGE_ID, ""))

    async def _write(
        self, bucket: str, key: str, value: bytes, revision: int, more: dict[str, str] | None = None
    ) -> int:
        if len(value) > self._bus.max_payload:
            raise StoreFull(f"a record of {len(value)} bytes is more than NATS takes ({self._bus.max_payload})")
        message_id = secrets.token_hex(12)
        headers = {EXPECTED: str(revision), MESSAGE_ID: message_id, **(more or {})}
        said = "no answer in time"
        with anyio.move_on_after(self._write_seconds):
            for repeated in itertools.chain((False,), itertools.repeat(True)):
                if repeated:
                    await anyio.sleep(PAUSE_SECONDS)
                answer = await self._attempt(_subject(bucket, key), value, headers)
                error = answer.error if isinstance(answer, _Ack) else None
                if isinstance(answer, _Ack) and error is None:
                    return answer.seq
                if error and error.err_code in NO_ROOM:
                    raise StoreFull(f"bucket {bucket} is full: {error.description}")
                if error and error.err_code in WRONG_LAST_SEQUENCE:
                    # The server compares revisions before it looks for repetitions: an earlier attempt of ours may be
                    # the write that came first.
                    last = await self._last(bucket, key) if repeated else None
                    if last and last.message_id == message_id:
                        return last.revision
                    raise StoreConflict(f"{key} of bucket {bucket} was written meanwhile")
                said = error.description if error else str(answer)
        raise StoreUnavailable(f"bucket {bucket} could not be written: {said}")

    async def _attempt(self, subject: str, value: bytes, headers: dict[str, str]) -> _Ack | str:
        """JetStream's answer, or why there is none."""
        try:
            limit = min(ATTEMPT_SECONDS, self._write_seconds)
            return decode((await self._bus.request(subject, value, headers=headers, timeout=limit)).data, _Ack)
        except NoResponders:
            return "it does not exist, or JetStream is away"
        except (BusError, StoreUnavailable) as error:
            return str(error)


def _subject(bucket: str, key: str) -> str:
    if not KEY.fullmatch(key):
        raise ValueError(f"not a key: {key!r}")
    return f"$KV.{bucket}.{key}"
