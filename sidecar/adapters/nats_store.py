"""`ports.Store` on JetStream KV: direct gets, and publishes that name the revision they replace.

All that it publishes, with what a permission can hold on to; `<pattern>` are keys with wildcards, such as `acme.>`:

| what | subject |
|---|---|
| read | `$JS.API.DIRECT.GET.KV_<bucket>.$KV.<bucket>.<key>` |
| write, delete | `$KV.<bucket>.<key>` |
| list, watch | `$JS.API.CONSUMER.CREATE.KV_<bucket>.<name>.$KV.<bucket>.<pattern>` |
| keep pace while listing or watching | `$JS.FC.KV_<bucket>.<name>.<id>` |

`<name>` is random. Nothing else is asked: no `STREAM.INFO`, no `DIRECT.GET` with a payload, and of consumers no `INFO`,
`DELETE` or `MSG.NEXT`. Answers and messages come to inboxes of our own.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime

from sidecar.adapters.nats_jetstream import (
    API,
    NO_ROOM,
    STATUS,
    WRONG_LAST_SEQUENCE,
    Answer,
    ApiError,
    JetStreamBus,
    decode,
    delivery,
    description,
)
from sidecar.adapters.nats_reader import HEARTBEAT_SECONDS, stored
from sidecar.adapters.nats_watch import watch
from sidecar.ports import (
    BusError,
    Entry,
    Message,
    NoResponders,
    StoreConflict,
    StoreFull,
    StoreInProcess,
    StoreUnavailable,
    StoreUntouched,
)

READ_SECONDS = 2.0
ATTEMPT_SECONDS = 2.0

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
MESSAGE_ID = "Nats-Msg-Id"
TTL = "Nats-TTL"  # whole seconds; https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-43.md
OPERATION = "KV-Operation"
LIMIT_MARKER = "Nats-Marker-Reason"  # the server's own mark of what expired; our buckets do not ask for it
SEQUENCE = "Nats-Sequence"
WRITTEN = "Nats-Time-Stamp"  # of a direct get, RFC 3339; ADR-31 of NATS
DELETION = {OPERATION: "PURGE"}  # it takes the place of the value: a bucket keeps the last message of a key
NOT_FOUND = "404"
DUPLICATE_IN_PROCESS = 10158
REFUSED = range(400, 500)

# https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-8.md (keys); no empty token.
KEY = re.compile(r"[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*")
PATTERN = re.compile(r"([-/_=a-zA-Z0-9]+|\*)(\.([-/_=a-zA-Z0-9]+|\*))*(\.>)?|>")
LAST = re.compile(r"wrong last sequence: (\d+)")


class _Ack(Answer, frozen=True, kw_only=True):
    seq: int = 0


class NatsStore:
    """`ports.Store`. Reads may lag behind writes on a cluster: decide by `put`, never by `get`.

    A watch that was lost is noticed within three heartbeats.
    """

    def __init__(
        self,
        bus: JetStreamBus,
        *,
        read_seconds: float = READ_SECONDS,
        attempt_seconds: float = ATTEMPT_SECONDS,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._bus = bus
        self._read_seconds = read_seconds
        self._attempt_seconds = attempt_seconds
        self._heartbeat_seconds = heartbeat_seconds

    async def get(self, bucket: str, key: str) -> Entry | None:
        subject = f"{API}.DIRECT.GET.KV_{bucket}.{_subject(bucket, key)}"
        try:
            reply = await self._bus.request(subject, b"", timeout=self._read_seconds)
        except NoResponders:
            raise StoreUntouched(f"bucket {bucket} does not exist, or JetStream is away") from None
        except BusError as error:
            raise StoreUnavailable(f"bucket {bucket} cannot be read: {error}") from error
        headers = reply.headers or {}
        if headers.get(STATUS) == NOT_FOUND:
            return None
        if SEQUENCE not in headers:
            raise StoreUnavailable(f"bucket {bucket} cannot be read: {headers.get(STATUS)} {description(headers)}")
        return _entry(key, reply.data, headers, int(headers[SEQUENCE]))

    async def put(
        self, bucket: str, key: str, value: bytes | None, *, message_id: str, expected: int, ttl: int | None = None
    ) -> int:
        headers = {EXPECTED: str(expected), MESSAGE_ID: message_id}
        if ttl is not None:
            headers[TTL] = str(ttl)
        if value is None:
            headers |= DELETION
        elif len(value) > self._bus.max_payload:
            raise StoreFull(f"a record of {len(value)} bytes is more than NATS takes ({self._bus.max_payload})")
        subject = _subject(bucket, key)
        try:
            reply = await self._bus.request(subject, value or b"", headers=headers, timeout=self._attempt_seconds)
        except NoResponders:
            raise StoreUntouched(f"bucket {bucket} does not exist, or JetStream is away") from None
        except BusError as error:
            raise StoreUnavailable(str(error)) from error
        ack = decode(reply.data, _Ack)
        if ack.error is not None:
            raise _refusal(ack.error)
        return ack.seq

    async def keys(self, bucket: str, pattern: str) -> list[str]:
        options = {"deliver_policy": "last_per_subject", "headers_only": True}
        everything = stored(self._bus, f"KV_{bucket}", _subjects(bucket, pattern), options)
        async with contextlib.aclosing(everything) as messages:
            return sorted([_key(bucket, message) async for message in messages if not _deleted(message.headers or {})])

    async def some(self, bucket: str, pattern: str, most: int) -> list[Entry]:
        """Records whose keys match, oldest first, at most so many. Raises StoreUnavailable."""
        found: list[Entry] = []
        options = {"deliver_policy": "last_per_subject"}
        everything = stored(self._bus, f"KV_{bucket}", _subjects(bucket, pattern), options)
        async with contextlib.aclosing(everything) as messages:
            async for message in messages:
                headers, sequence = message.headers or {}, delivery(message).sequence
                if not _deleted(headers):
                    found.append(_entry(_key(bucket, message), message.data, headers, sequence))
                if len(found) == most:
                    break
        return found

    async def watch(self, bucket: str, pattern: str, told: Callable[[Entry | None], None]) -> None:
        def changed(message: Message | None, sequence: int) -> None:
            if message is None:
                told(None)
            else:
                told(_entry(_key(bucket, message), message.data, message.headers or {}, sequence))

        await watch(self._bus, f"KV_{bucket}", _subjects(bucket, pattern), changed, self._heartbeat_seconds)


def _refusal(error: ApiError) -> Exception:
    said = f"{error.description} ({error.err_code})"
    if error.err_code in WRONG_LAST_SEQUENCE:
        last = LAST.search(error.description)
        return StoreConflict(said, int(last[1]) if last else None)
    if error.err_code in NO_ROOM:
        return StoreFull(said)
    if error.err_code == DUPLICATE_IN_PROCESS:
        return StoreInProcess(said)
    return StoreUntouched(said) if error.code in REFUSED else StoreUnavailable(said)


def _entry(key: str, value: bytes, headers: Mapping[str, str], revision: int) -> Entry:
    return Entry(
        key,
        value,
        revision,
        headers.get(MESSAGE_ID, ""),
        _whole(headers.get(EXPECTED)),
        _whole(headers.get(TTL)),
        _deleted(headers),
        _moment(headers.get(WRITTEN)),
    )


def _deleted(headers: Mapping[str, str]) -> bool:
    return OPERATION in headers or LIMIT_MARKER in headers


def _whole(text: str | None) -> int | None:
    """A number of our own writing; other writers may write what they like."""
    return int(text) if text is not None and text.isdecimal() else None


def _moment(text: str | None) -> float | None:
    try:
        return None if text is None else datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _subject(bucket: str, key: str) -> str:
    if not KEY.fullmatch(key):
        raise ValueError(f"not a key: {key!r}")
    return f"$KV.{bucket}.{key}"


def _subjects(bucket: str, pattern: str) -> str:
    if not PATTERN.fullmatch(pattern):
        raise ValueError(f"not a pattern of keys: {pattern!r}")
    return f"$KV.{bucket}.{pattern}"


def _key(bucket: str, message: Message) -> str:
    return message.subject.removeprefix(f"$KV.{bucket}.")
