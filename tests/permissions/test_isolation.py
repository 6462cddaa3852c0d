"""A scoped sidecar's whole configuration in a stranger's hand, its NATS user and its key: what of others it gets."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from sidecar.adapters.key_file import create_key_file
from sidecar.adapters.nats_bus import NatsBus
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.tenant_keys import TenantKeys
from sidecar.nats_config import OWN, SHARED
from sidecar.permissions import BUCKETS, CALLS, FLOWS, KEYED, QUOTAS
from sidecar.ports import KeyUnavailable, SealBroken
from sidecar.settings import Settings
from sidecar.streams import lacking
from tests.fixtures_nats import until
from tests.permissions.connection import Wire
from tests.permissions.place import Form, Place, place

pytestmark = pytest.mark.anyio

BUCKET = BUCKETS[0]
STREAM = f"KV_{BUCKET}"
MINE, THEIRS = f"$KV.{BUCKET}.{SHARED}.alice.github", f"$KV.{BUCKET}.{OWN}.alice.github"
API = "$JS.API"
INBOX = f"_INBOX.{SHARED}.sidecar"
PLACE = f"{BUCKET}|{OWN}.alice.github"


@dataclass(slots=True)
class Stolen:
    """The thief's connection, as the scoped sidecar of `acme`; and what there is to steal, `globex`'s record."""

    there: Place
    wire: Wire
    theirs: bytes
    owner: NatsStore

    async def asks(self, subject: str, body: object = None) -> list[bytes]:
        """What comes back, after the server has had its say."""
        before = len(self.wire.arrived)
        self.wire.publish(subject, json.dumps(body).encode() if body is not None else b"", f"{INBOX}.answer")
        await self.settled()
        return [message.payload for message in self.wire.arrived[before:] if not message.status.startswith("503")]

    async def answer(self, subject: str, body: object = None, headers: Mapping[str, str] | None = None) -> bytes:
        """The answer to a question that is allowed."""
        inbox = f"{INBOX}.answer.{secrets.token_hex(4)}"
        self.wire.publish(subject, json.dumps(body).encode() if body is not None else b"", inbox, headers)
        await until(lambda: any(message.subject == inbox for message in self.wire.arrived))
        return next(message.payload for message in self.wire.arrived if message.subject == inbox)

    async def settled(self) -> None:
        """Answers of JetStream come from its own tasks: a write that it acknowledges comes after them."""
        await self.wire.settled()
        await self.owner.get(BUCKET, f"{OWN}.alice.github")
        await self.wire.settled()


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One server for all thefts."""
    made = place(Form.SINGLE, tmp_path_factory.mktemp("single"))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(made) as there:
        yield there


@pytest.fixture
async def stolen(single: Place, tmp_path: Path) -> AsyncIterator[Stolen]:
    """Both tenants have a record, each written by its own sidecar; the thief is connected."""
    theirs = keys_of(tmp_path).seal(OWN, PLACE, b"globex-secret")
    async with single.wire(f"{SHARED}-sidecar") as wire:
        owner, mine = await single.bus(f"{OWN}-sidecar"), await single.bus(f"{SHARED}-sidecar")
        await written(NatsStore(owner), f"{OWN}.alice.github", theirs)
        await written(NatsStore(mine), f"{SHARED}.alice.github", b"own")
        await mine.close()
        wire.subscribe(f"{INBOX}.>")
        await wire.settled()
        yield Stolen(single, wire, theirs, NatsStore(owner))
        await owner.close()


async def written(store: NatsStore, key: str, value: bytes) -> None:
    """The record holds this value now, whatever it held before."""
    entry = await store.get(BUCKET, key)
    await store.put(BUCKET, key, value, message_id=secrets.token_hex(8), expected=entry.revision if entry else 0)


def keys_of(folder: Path, *tenants: str) -> TenantKeys:
    """The keys of these tenants, or of both."""
    for tenant in (SHARED, OWN):
        if not (folder / tenant).exists():
            create_key_file(folder / tenant)

    def files_of(tenant: str) -> list[Path]:
        if tenants and tenant not in tenants:
            raise KeyUnavailable(f"there is no key of {tenant} here")
        return [folder / tenant]

    return TenantKeys(files_of, anyio.current_time)


PUBLISHED = {
    "direct get by subject": (f"{API}.DIRECT.GET.{STREAM}.{THEIRS}", None),
    "direct get by wildcard": (f"{API}.DIRECT.GET.{STREAM}.$KV.{BUCKET}.>", None),
    "direct get by star": (f"{API}.DIRECT.GET.{STREAM}.$KV.{BUCKET}.*.alice.github", None),
    "direct get by payload": (f"{API}.DIRECT.GET.{STREAM}", {"last_by_subj": THEIRS}),
    "direct get by sequence": (f"{API}.DIRECT.GET.{STREAM}", {"seq": 1}),
    "batch direct get": (f"{API}.DIRECT.GET.{STREAM}", {"batch": 10, "next_by_subj": f"$KV.{BUCKET}.>", "seq": 1}),
    "multi_last direct get": (f"{API}.DIRECT.GET.{STREAM}", {"multi_last": [f"$KV.{BUCKET}.>"]}),
    "message get": (f"{API}.STREAM.MSG.GET.{STREAM}", {"last_by_subj": THEIRS}),
    "stream info with subjects": (f"{API}.STREAM.INFO.{STREAM}", {"subjects_filter": ">"}),
    "stream names": (f"{API}.STREAM.NAMES", {"subject": THEIRS}),
    "stream list": (f"{API}.STREAM.LIST", {}),
    "a stream that copies": (f"{API}.STREAM.CREATE.X", {"name": "X", "sources": [{"name": STREAM}]}),
    "a stream's snapshot": (f"{API}.STREAM.SNAPSHOT.{STREAM}", {"deliver_subject": f"{INBOX}.s"}),
    "consumer with their filter": (f"{API}.CONSUMER.CREATE.{STREAM}.x.{THEIRS}", {"stream_name": STREAM}),
    "consumer with a wider filter": (f"{API}.CONSUMER.CREATE.{STREAM}.x.$KV.{BUCKET}.>", {"stream_name": STREAM}),
    "consumer without a filter": (f"{API}.CONSUMER.CREATE.{STREAM}.x", {"stream_name": STREAM}),
    "ephemeral consumer": (f"{API}.CONSUMER.CREATE.{STREAM}", {"stream_name": STREAM}),
    "durable consumer": (f"{API}.CONSUMER.DURABLE.CREATE.{STREAM}.x", {"stream_name": STREAM}),
    "consumer info": (f"{API}.CONSUMER.INFO.{STREAM}.theirs", None),
    "consumer next": (f"{API}.CONSUMER.MSG.NEXT.{STREAM}.theirs", {"batch": 1}),
    "consumer delete": (f"{API}.CONSUMER.DELETE.{STREAM}.theirs", None),
    "consumer names": (f"{API}.CONSUMER.NAMES.{STREAM}", {}),
    "consumer list": (f"{API}.CONSUMER.LIST.{STREAM}", {}),
    "consumer of the trace": (f"{API}.CONSUMER.CREATE.SIDECAR_TRACE.x.sidecar.trace.{OWN}.>", {}),
    "write over the record": (THEIRS, "forged"),
    "delete a message": (f"{API}.STREAM.MSG.DELETE.{STREAM}", {"seq": 1}),
    "purge": (f"{API}.STREAM.PURGE.{STREAM}", {"filter": THEIRS}),
    "publish their trace": (f"sidecar.trace.{OWN}.alice.github.finished", {}),
    "publish their result": (f"sidecar.result.{OWN}.alice.x", {}),
    "call as them": (f"sidecar.read.{OWN}.alice.github.users.me", {}),
    "call as a neighbour": (f"sidecar.write.{SHARED}.alice.github.issues.create", {}),
    "administrate them": (f"sidecar.admin.{OWN}.alice.github.revoke", {}),
    "answer into their inbox": (f"_INBOX.{OWN}.agent.x", {}),
    "take their quota": (f"sidecar.quota.{OWN}.all", {}),
    "own their quota": (f"$KV.{QUOTAS}.{OWN}.own.7", "forged"),
    "run their durable calls": (f"$JS.API.CONSUMER.MSG.NEXT.SIDECAR_QUEUE.{OWN}", {"batch": 1}),
    "wake their durable calls": (f"sidecar.queue.{OWN}", {}),
    "wake them later": (f"sidecar.later.{OWN}.at.7", {}),
    "write their idempotency records": (f"$KV.{KEYED}.{OWN}.alice.github.issues=2Ecreate.0", "forged"),
    "write their durable calls": (f"$KV.{CALLS}.{OWN}.alice.1", "forged"),
    "own everybody's quota": (f"$KV.{QUOTAS}.-.own.7", "forged"),
}


@pytest.mark.parametrize("how", list(PUBLISHED))
async def test_what_is_asked_of_another_tenant_is_refused(stolen: Stolen, how: str) -> None:
    """The server refuses the question itself; nothing comes back, and the record stays as it was."""
    subject, body = PUBLISHED[how]
    assert await stolen.asks(subject, body) == []
    assert stolen.wire.was_refused("publish", subject)
    await unharmed(stolen)


async def test_own_questions_are_answered(stolen: Stolen) -> None:
    """The same questions about the own record are answered: the refusals above are not the server's being away."""
    assert await stolen.answer(f"{API}.DIRECT.GET.{STREAM}.{MINE}") == b"own"
    made = await stolen.answer(*consumer("mine", MINE, filter_subject=MINE))
    assert json.loads(made)["num_pending"] == 1
    assert stolen.wire.refused == set()


CONFIGS: dict[str, dict[str, object]] = {
    "their filter": {"filter_subject": THEIRS},
    "a wider filter": {"filter_subject": f"$KV.{BUCKET}.>"},
    "no filter": {},
    "several filters": {"filter_subjects": [MINE, THEIRS]},
    "both ways": {"filter_subject": MINE, "filter_subjects": [MINE, THEIRS]},
}


@pytest.mark.parametrize("how", list(CONFIGS))
async def test_a_payload_that_says_more_than_the_subject_is_refused(stolen: Stolen, how: str) -> None:
    """A consumer whose subject is allowed and whose payload names other records is not made, and delivers nothing."""
    answer = await stolen.answer(*consumer("sly", MINE, **CONFIGS[how]))
    assert "error" in json.loads(answer)
    await unharmed(stolen)


@pytest.mark.parametrize("body", [{"last_by_subj": THEIRS}, {"multi_last": [f"$KV.{BUCKET}.>"]}, {"seq": 1}])
async def test_a_direct_get_with_subject_and_payload_gets_nothing(stolen: Stolen, body: object) -> None:
    """The payload does not outdo the subject."""
    assert await stolen.answer(f"{API}.DIRECT.GET.{STREAM}.{MINE}", body) == b""
    assert stolen.wire.arrived[-1].status.startswith("408")


async def test_a_consumer_of_another_is_not_taken_over(stolen: Stolen) -> None:
    """Who knows the name of another's consumer cannot make it their own."""
    owner = await stolen.there.bus(f"{OWN}-sidecar")
    body = json.dumps({"stream_name": STREAM, "config": watching("theirs", f"_INBOX.{OWN}.sidecar.w", THEIRS)}).encode()
    heard: list[bytes] = []
    await owner.subscribe(f"_INBOX.{OWN}.sidecar.w", lambda message: heard.append(message.data))
    await owner.request(f"{API}.CONSUMER.CREATE.{STREAM}.theirs.{THEIRS}", body, timeout=20)
    answer = await stolen.answer(*consumer("theirs", MINE, filter_subject=MINE))
    assert "error" in json.loads(answer)
    await until(lambda: heard == [stolen.theirs])
    await owner.close()
    await unharmed(stolen)


# What a header may ask of JetStream: https://docs.nats.io/nats-concepts/jetstream/headers
HEADERS: dict[str, dict[str, str]] = {
    "the stream shall hold this message only": {"Nats-Rollup": "all"},
    "the key shall hold this message only": {"Nats-Rollup": "sub"},
    "publish it there too": {"Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": THEIRS},
    "one of a batch": {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"},
    "count": {"Nats-Incr": "1"},
    "another key's revision": {
        "Nats-Expected-Last-Subject-Sequence": "1",
        "Nats-Expected-Last-Subject-Sequence-Subject": THEIRS,
    },
}


@pytest.mark.parametrize("how", list(HEADERS))
async def test_a_header_reaches_no_further_than_the_subject(stolen: Stolen, how: str) -> None:
    """A write of the own record whose headers ask for more is refused, and others' records stay as they were."""
    answer = json.loads(await stolen.answer(MINE, "x", HEADERS[how]))
    assert "error" in answer
    await unharmed(stolen)


async def test_a_header_does_not_empty_the_trace(stolen: Stolen) -> None:
    """Who may tell events of one tenant cannot take those of the others away."""
    mine = f"sidecar.trace.{SHARED}.alice.github.finished"
    assert "error" in json.loads(await stolen.answer(mine, {}, {"Nats-Rollup": "all"}))
    assert "error" not in json.loads(await stolen.answer(mine, {}))


@pytest.mark.parametrize(
    "subject",
    [
        ">",
        "$KV.>",
        f"$KV.{BUCKET}.>",
        f"$KV.{BUCKET}.*.alice.github",
        THEIRS,
        f"sidecar.read.{OWN}.>",
        "sidecar.read.>",
        "sidecar.read.*.*.github.>",
        f"sidecar.*.{OWN}.>",
        f"sidecar.trace.{OWN}.>",
        f"sidecar.result.{OWN}.>",
        f"sidecar.admin.{OWN}.>",
        "_INBOX.>",
        f"_INBOX.{OWN}.>",
        "_INBOX.*.sidecar.>",
        f"_INBOX.{SHARED}.agent.>",
        "$JS.>",
        "$JS.EVENT.>",
        f"$JS.API.DIRECT.GET.{STREAM}.>",
        "$SYS.>",
    ],
)
async def test_nothing_of_another_tenant_can_be_heard(stolen: Stolen, subject: str) -> None:
    """The subscription is refused, and a write, a call and an answer of the other tenant are not heard."""
    stolen.wire.subscribe(subject)
    await stolen.wire.settled()
    assert stolen.wire.was_refused("subscribe", subject)
    await unharmed(stolen)


async def unharmed(stolen: Stolen) -> None:
    """The other tenant's record is there as it was; writing it anew is not noticed by the thief."""
    entry = await stolen.owner.get(BUCKET, f"{OWN}.alice.github")
    assert entry is not None
    assert entry.value == stolen.theirs
    await written(stolen.owner, entry.key, stolen.theirs)
    await stolen.wire.settled()
    assert not any(stolen.theirs in message.payload for message in stolen.wire.arrived)


def consumer(name: str, pattern: str, **config: object) -> tuple[str, object]:
    made = {**watching(name, f"{INBOX}.watch"), **config}
    return f"{API}.CONSUMER.CREATE.{STREAM}.{name}.{pattern}", {"stream_name": STREAM, "config": made}


def watching(name: str, inbox: str, pattern: str | None = None) -> dict[str, object]:
    config: dict[str, object] = {"name": name, "deliver_subject": inbox, "ack_policy": "none"}
    return config if pattern is None else {**config, "filter_subject": pattern}


async def test_a_stolen_record_does_not_open(tmp_path: Path) -> None:
    """With the key of one tenant no record of another opens, under whatever name; with its own key it does."""
    sealed = keys_of(tmp_path).seal(OWN, PLACE, b"globex-secret")
    assert keys_of(tmp_path).open(OWN, PLACE, sealed) == b"globex-secret"
    stranger = keys_of(tmp_path, SHARED)
    for tenant in (SHARED, OWN):
        with pytest.raises((KeyUnavailable, SealBroken)):
            stranger.open(tenant, PLACE, sealed)


@pytest.mark.parametrize(
    ("user", "settings"),
    [
        ("sidecar", Settings(tenant=SHARED)),
        ("alice-sidecar", Settings(tenant=SHARED, connections=("alice",), providers=("github",))),
    ],
)
async def test_a_scoped_sidecar_works_within_its_rights(single: Place, user: str, settings: Settings) -> None:
    """Its check, its reads, writes, lists and watches of records need no right that it has not."""
    bus = await single.bus(f"{SHARED}-{user}")
    store, key = NatsStore(bus), f"{SHARED}.alice.github"
    assert await lacking(bus, settings) == []
    told: list[object] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.watch, BUCKET, key, told.append)
        await until(lambda: told)
        await written(store, key, b"changed")
        await until(lambda: told[-1] is not None)
        tasks.cancel_scope.cancel()
    assert await store.keys(BUCKET, key) == [key]
    flow = secrets.token_hex(8)
    revision = await store.put(FLOWS, f"{key}.{flow}", b"flow", message_id=user, expected=0, ttl=60)
    found = await store.get(FLOWS, f"{key}.{flow}")
    assert found is not None
    assert (found.revision, found.ttl) == (revision, 60)
    assert bus.counts.permission_violations == 0, bus.last_error
    await bus.close()


async def test_a_scoped_sidecar_says_what_is_missing(empty_bus: NatsBus) -> None:
    """Without streams it says so by asking within its scope."""
    assert await lacking(empty_bus, Settings(tenant="acme")) == [
        f"bucket {BUCKET} does not exist, or does not allow direct gets",
        f"bucket {FLOWS} does not exist, or does not allow direct gets",
        f"bucket {QUOTAS} does not exist, or does not allow direct gets",
        f"bucket {KEYED} does not exist, or does not allow direct gets",
        f"bucket {CALLS} does not exist, or does not allow direct gets",
        "stream SIDECAR_QUEUE does not exist, or does not allow direct gets",
        "stream SIDECAR_LATER does not exist, or does not allow direct gets",
        "stream SIDECAR_TRACE does not exist, or does not allow direct gets",
    ]


# --- what subjects cannot confine -------------------------------------------------------------------------------------


async def test_in_one_account_a_reply_subject_reaches_everywhere(stolen: Stolen, tmp_path: Path) -> None:
    """A limit we know: JetStream answers to any subject of the account, so who may ask it can spoil another tenant's
    record. It cannot make one that opens.
    """
    stolen.wire.publish(MINE, b"x", THEIRS)
    entry = None
    with anyio.fail_after(20):
        while entry is None or entry.value == stolen.theirs:
            entry = await stolen.owner.get(BUCKET, f"{OWN}.alice.github")
    with pytest.raises(SealBroken):
        keys_of(tmp_path).open(OWN, PLACE, entry.value)


@pytest.mark.parametrize(("connection", "there"), [("alice", True), ("nobody", False)])
async def test_in_one_account_it_can_be_learnt_who_is_there(stolen: Stolen, connection: str, there: bool) -> None:
    """A limit we know: a refused write tells the revision of whatever key it names, and so whether there is one."""
    key = f"$KV.{BUCKET}.{OWN}.{connection}.github"
    headers = {"Nats-Expected-Last-Subject-Sequence": "999", "Nats-Expected-Last-Subject-Sequence-Subject": key}
    refusal = json.loads(await stolen.answer(MINE, "x", headers))["error"]["description"]
    assert (refusal != "wrong last sequence: 0") is there


async def test_in_one_account_who_asks_for_services_can_be_answered(stolen: Stolen) -> None:
    """A limit we know: every sidecar hears `$SRV` and where the answer goes, and JetStream writes there."""
    async with stolen.there.wire(f"{OWN}-operator") as operator:
        operator.subscribe(f"_INBOX.{OWN}.operator.>")
        stolen.wire.subscribe("$SRV.*")
        await stolen.wire.settled()
        operator.publish("$SRV.PING", b"", f"_INBOX.{OWN}.operator.known.1")
        await until(lambda: any(message.subject == "$SRV.PING" for message in stolen.wire.arrived))
        stolen.wire.publish(f"{API}.DIRECT.GET.{STREAM}.{MINE}", b"", f"_INBOX.{OWN}.operator.known.2")
        await until(lambda: operator.arrived)
        assert [message.payload for message in operator.arrived] == [b"own"]


@pytest.mark.parametrize("form", [Form.ACCOUNTS, Form.OPERATOR])
async def test_in_accounts_of_their_own_it_reaches_nobody(form: Form, tmp_path: Path) -> None:
    """The sidecar of a tenant with its own account can do nothing to the records of the others."""
    async with place(form, tmp_path) as there, there.wire(f"{OWN}-sidecar") as wire:
        shared = await there.bus("sidecar")
        store, key = NatsStore(shared), f"{SHARED}.alice.github"
        await written(store, key, b"sealed")
        wire.subscribe(f"_INBOX.{OWN}.sidecar.>")
        wire.publish(THEIRS, b"x", MINE)
        wire.publish(THEIRS, b"x", f"_INBOX.{OWN}.sidecar.ack")
        await until(lambda: wire.arrived)
        entry = await store.get(BUCKET, key)
        assert entry is not None
        assert entry.value == b"sealed"
        await shared.close()
