"""Records: sealed to their place, read by their format, and told as what is known of them, on a real nats-server."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import anyio
import msgspec
import pytest

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_server import embedded_server
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import bucket, provision
from sidecar.adapters.system import SystemClock, SystemRandom
from sidecar.model import Failure, Reason
from sidecar.scope import Scope
from sidecar.store.record import Found, Older, Records, record_key, record_names, record_pattern, record_patterns
from tests.fixtures_nats import frozen
from tests.nats.between import Between, api_error, lost

pytestmark = pytest.mark.anyio

KEYS = FileKeys({"k1": bytes(32)})
KEY = "acme.alice.github"


class Note(msgspec.Struct, frozen=True):
    """The third format of a note."""

    text: str
    author: str
    format: Literal[3] = 3


class NoteBefore(msgspec.Struct, frozen=True):
    """The second."""

    words: list[str]
    format: Literal[2] = 2


def upgraded(note: NoteBefore) -> Note:
    return Note(" ".join(note.words), "unknown")


def notes(store: NatsStore, name: str, keys: FileKeys = KEYS) -> Records[Note]:
    older = Older(NoteBefore, upgraded)
    return Records(store, keys, SystemClock(), SystemRandom(), name, Note, format_number=3, older=older)


@pytest.fixture
async def store(bus: NatsBus, fresh_name: str) -> AsyncIterator[NatsStore]:
    """A store that has one bucket, called like `fresh_name`."""
    await provision(bus, (bucket(fresh_name),))
    yield NatsStore(bus)
    await bus.request(f"$JS.API.STREAM.DELETE.KV_{fresh_name}", b"", timeout=5)


@pytest.fixture
def records(store: NatsStore, fresh_name: str) -> Records[Note]:
    return notes(store, fresh_name)


async def written(records: Records[Note], text: str = "hello", revision: int | None = None, key: str = KEY) -> int:
    done = await records.write("acme", key, Note(text, "alice"), revision, within=30)
    assert isinstance(done, int), done
    return done


async def plant(store: NatsStore, name: str, key: str, value: bytes) -> None:
    """Bytes in the bucket that no record of ours was sealed to."""
    there = await store.get(name, key)
    await store.put(name, key, value, message_id=f"planted in {key}", expected=there.revision if there else 0)


def failure_of(found: object) -> Failure:
    """The failure that was told, of the store or of the record itself."""
    failure = found.value if isinstance(found, Found) else found
    assert isinstance(failure, Failure), found
    return failure


async def test_written_changed_and_deleted(records: Records[Note]) -> None:
    """Each over exactly the revision that is named; afterwards the key is free."""
    first = await written(records)
    second = await written(records, "changed", first)
    found = await records.read("acme", KEY)
    assert isinstance(found, Found)
    assert (found.value, found.revision) == (Note("changed", "alice"), second)
    assert found.written is not None
    assert await records.keys("acme.>") == [KEY]
    assert failure_of(await records.delete(KEY, first, within=30)).reason is Reason.CAS_CONFLICT
    assert await records.delete(KEY, second, within=30) is None
    assert await records.read("acme", KEY) is None
    assert await records.keys("acme.>") == []
    assert await written(records, "again") > second


@pytest.mark.parametrize("made_by", ["us", "another"])
async def test_a_change_of_another_is_a_conflict(records: Records[Note], made_by: str) -> None:
    """What is there was changed or made by somebody else: look and decide again."""
    first = await written(records)
    await written(records, "theirs", first)
    known = first if made_by == "us" else None
    failure = failure_of(await records.write("acme", KEY, Note("mine", "bob"), known, within=30))
    assert (failure.reason, failure.detail) == (Reason.CAS_CONFLICT, f"record {KEY} was changed meanwhile")


async def test_a_record_for_a_second(records: Records[Note]) -> None:
    """With a ttl it vanishes by itself, and can be made again."""
    assert isinstance(await records.write("acme", KEY, Note("lease", "a"), None, ttl=1, within=30), int)
    with anyio.fail_after(20):
        while await records.read("acme", KEY) is not None:  # noqa: ASYNC110 - the server decides
            await anyio.sleep(0.05)
    await written(records)


async def test_a_flipped_bit(records: Records[Note], store: NatsStore, fresh_name: str) -> None:
    """Wherever in the stored bytes it is, the record does not open, and is told as corrupt."""
    await written(records)
    entry = await store.get(fresh_name, KEY)
    assert entry is not None
    for position in range(0, len(entry.value), 7):
        value = bytearray(entry.value)
        value[position] ^= 0x10
        await plant(store, fresh_name, f"acme.p{position}.github", bytes(value))
        found = await notes(store, fresh_name).read("acme", f"acme.p{position}.github")
        assert failure_of(found).reason is Reason.CREDENTIAL_CORRUPT
    await plant(store, fresh_name, KEY, entry.value[:-1] + b"x")
    assert failure_of(await records.read("acme", KEY)).reason is Reason.CREDENTIAL_CORRUPT


async def test_a_record_moved_elsewhere(
    records: Records[Note], store: NatsStore, bus: NatsBus, fresh_name: str
) -> None:
    """Swapped with another tenant's, under another key, or in another bucket it does not open, with the key at hand."""
    await written(records)
    entry = await store.get(fresh_name, KEY)
    assert entry is not None
    other = f"{fresh_name}2"
    await provision(bus, (bucket(other),))
    await plant(store, fresh_name, "evil.alice.github", entry.value)
    await plant(store, fresh_name, "acme.bob.github", entry.value)
    await plant(store, other, KEY, entry.value)
    for tenant, key, name in (
        ("evil", "evil.alice.github", fresh_name),
        ("evil", KEY, fresh_name),
        ("acme", "acme.bob.github", fresh_name),
        ("acme", KEY, other),
    ):
        found = await notes(store, name).read(tenant, key)
        assert failure_of(found).reason is Reason.CREDENTIAL_CORRUPT
    await bus.request(f"$JS.API.STREAM.DELETE.KV_{other}", b"", timeout=5)


async def test_the_key_is_not_at_hand(records: Records[Note], store: NatsStore, fresh_name: str) -> None:
    """A record under another key is KEY_UNAVAILABLE, which one by name; with both keys at hand it opens."""
    await written(records)
    without = notes(store, fresh_name, FileKeys({"k2": bytes(31) + b"2"}))
    failure = failure_of(await without.read("acme", KEY))
    assert failure.reason is Reason.KEY_UNAVAILABLE
    assert "'k1'" in failure.detail
    both = notes(store, fresh_name, FileKeys({"k1": bytes(32), "k2": bytes(31) + b"2"}))
    found = await both.read("acme", KEY)
    assert isinstance(found, Found)
    assert found.value == Note("hello", "alice")


@pytest.mark.parametrize(
    ("plain", "read"),
    [
        pytest.param({"format": 3, "text": "a b", "author": "bob"}, Note("a b", "bob"), id="this-one"),
        pytest.param({"format": 2, "words": ["a", "b"]}, Note("a b", "unknown"), id="the-one-before"),
        pytest.param(
            {"format": 4, "text": "a b", "author": "bob"}, "in format 4; this one reads up to 3: upgrade it", id="newer"
        ),
        pytest.param({"format": 1, "text": "a b"}, "not of a form that this version reads", id="too-old"),
        pytest.param({"format": 2, "text": "a b"}, "not of a form that this version reads", id="no-such-form"),
        pytest.param({"format": "x"}, "not of a form that this version reads", id="no-number"),
    ],
)
async def test_formats(
    records: Records[Note], store: NatsStore, fresh_name: str, plain: dict[str, object], read: Note | str
) -> None:
    """A version reads its own format and the one before; a newer one is refused with what to do."""
    await plant(store, fresh_name, KEY, KEYS.seal("acme", f"{fresh_name}|{KEY}", msgspec.json.encode(plain)))
    found = await records.read("acme", KEY)
    if isinstance(read, Note):
        assert isinstance(found, Found)
        assert found.value == read
    else:
        assert failure_of(found).reason is Reason.CREDENTIAL_CORRUPT
        assert read in failure_of(found).detail


async def test_a_full_bucket(bus: NatsBus, fresh_name: str) -> None:
    """No room (10077) is STORE_FULL, and what is there stays."""
    await provision(bus, (bucket(fresh_name, max_bytes=3000),))
    records = notes(NatsStore(bus), fresh_name)
    await written(records, "x" * 1500)
    failure = failure_of(await records.write("acme", "acme.bob.github", Note("x" * 1500, "b"), None, within=30))
    assert failure.reason is Reason.STORE_FULL
    assert f"{fresh_name} is full: maximum bytes exceeded" in failure.detail
    found = await records.read("acme", KEY)
    assert isinstance(found, Found)
    assert isinstance(found.value, Note)
    await bus.request(f"$JS.API.STREAM.DELETE.KV_{fresh_name}", b"", timeout=5)


async def test_what_becomes_smaller_fits_a_full_bucket(bus: NatsBus, fresh_name: str) -> None:
    """A revocation and a deletion are taken where hardly anything else is; what grew is refused, and what
    to do is said.
    """
    await provision(bus, (bucket(fresh_name, max_bytes=3000),))
    records = notes(NatsStore(bus), fresh_name)
    revision = await written(records, "x" * 1200)
    others = (records.write("acme", f"acme.u{number}.github", Note("x", "b"), None, within=30) for number in range(99))
    taken = [isinstance(await other, int) for other in others]
    assert not taken[-1]
    refused = failure_of(await records.write("acme", KEY, Note("y" * 1300, "alice"), revision, within=30))
    assert refused.reason is Reason.STORE_FULL
    assert "max_bytes" in (refused.hint or "")
    smaller = await records.write("acme", KEY, Note("", "b"), revision, within=30)
    assert isinstance(smaller, int)
    assert await records.delete(KEY, smaller, within=30) is None
    await bus.request(f"$JS.API.STREAM.DELETE.KV_{fresh_name}", b"", timeout=5)


async def test_no_bucket_and_nothing_written(bus: NatsBus, fresh_name: str) -> None:
    """Nobody serves the bucket (503): the write is known not to have happened, and told so."""
    failure = failure_of(await notes(NatsStore(bus), fresh_name).write("acme", KEY, Note("a", "b"), None, within=0.2))
    assert failure.reason is Reason.STORE_UNAVAILABLE
    assert "nothing was written" in failure.detail
    assert failure.hint is None


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param([lost] * 50, id="silence"),
        pytest.param([api_error(409, 10158, "duplicate message id is in process")] * 50, id="in-process"),
    ],
)
async def test_a_write_that_may_have_happened(
    store: NatsStore, bus: NatsBus, fresh_name: str, trouble: list[object]
) -> None:
    """The operator is told that it is not known, and to look; never that it failed, never that it worked."""
    unheard = NatsStore(Between(bus, list(trouble)), read_seconds=0.001)  # type: ignore[arg-type] # a list of one kind
    failure = failure_of(await notes(unheard, fresh_name).write("acme", KEY, Note("a", "b"), None, within=0.3))
    assert failure.reason is Reason.STORE_UNAVAILABLE
    assert "whether it happened is unknown" in failure.detail
    assert "look at what is there" in (failure.hint or "")


async def test_a_server_that_stalls(tmp_path: Path) -> None:
    """A read says that the store does not answer, a write that its outcome is unknown, both in time."""
    async with embedded_server(tmp_path / "data", logging.getLogger()) as server:
        bus = await connect(server.url)
        await provision(bus, (bucket("b"),))
        records = notes(NatsStore(bus, read_seconds=0.2, attempt_seconds=0.2), "b")
        assert server.process is not None
        async with frozen(server.process.pid):
            with anyio.fail_after(20):
                read = failure_of(await records.read("acme", KEY))
                write = failure_of(await records.write("acme", KEY, Note("a", "b"), None, within=0.5))
        assert (read.reason, write.reason) == (Reason.STORE_UNAVAILABLE, Reason.STORE_UNAVAILABLE)
        assert "b does not answer" in read.detail
        assert "whether it happened is unknown: no answer came" in write.detail
        await bus.close()


@pytest.mark.parametrize(
    ("scope", "patterns"),
    [
        (Scope(), [">"]),
        (Scope("acme"), ["acme.>"]),
        (Scope("a.b", ("alice@x", "bob")), ["a=2Eb.alice=40x.*", "a=2Eb.bob.*"]),
        (Scope("acme", (), ("github", "slack")), ["acme.*.github", "acme.*.slack"]),
        (Scope("acme", ("alice",), ("github",)), ["acme.alice.github"]),
    ],
)
def test_the_keys_of_a_scope(scope: Scope, patterns: list[str]) -> None:
    """What a sidecar watches is what its rights on NATS name."""
    assert record_patterns(scope) == patterns


def test_keys_are_readable_and_lead_back() -> None:
    """One token for each name, `=` for `%`, whatever the names hold."""
    names = ["acme", "alice@example.com", "a=b.*>"]
    assert record_key(*names) == "acme.alice=40example=2Ecom.a=3Db=2E=2A=3E"
    assert record_names(record_key(*names)) == names
    assert record_pattern("acme", None, "github") == "acme.*.github"
