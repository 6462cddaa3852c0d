"""A call with an idempotency key is done once, and answered alike, by whichever sidecar it reaches."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import msgspec
import pytest

from sidecar.core.once import PATIENCE_SECONDS
from sidecar.kept import Done, Pending
from sidecar.model import Failure, Reason, SideEffect, Success
from tests.build import CREATE_ITEM, provider
from tests.execute.house import LOST, OK, REFUSED
from tests.once.house import KEY, KEYED, Blocked, Fleet, failed, succeeded

pytestmark = pytest.mark.anyio

CREATED = httpx.Response(201, content=b'{"id": 7,  "name": "\xc3\xa9"}', headers={"content-type": "application/json"})
LIMITED = httpx.Response(429, headers={"retry-after": "3600"})
REJECTED = httpx.Response(400, json={"error": "no"})
TRUNCATED = Failure(reason=Reason.RESPONSE_TRUNCATED, detail="cut off", side_effect=SideEffect.DONE)


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with anyio.create_task_group() as tasks:
        yield Fleet(tasks)
        tasks.cancel_scope.cancel()


async def test_a_repetition_gets_the_first_answer_to_the_byte(fleet: Fleet) -> None:
    """At another sidecar too: nothing is sent, and it says whose answer it is."""
    first, second = fleet.sidecar(CREATED), fleet.sidecar()
    ended = await first.run(call_id="018f0000-0000-7000-8000-00000000000a")
    again = await second.run()
    assert again.outcome == ended.outcome
    assert succeeded(again.outcome).body == CREATED.content
    assert (again.replayed, again.attempts, second.sent) == ("018f0000-0000-7000-8000-00000000000a", 1, 0)
    assert second.house.finished.replayed == again.replayed
    assert second.house.finished.attempts == 0


async def test_the_order_of_fields_makes_no_other_input(fleet: Fleet) -> None:
    """What is the same input is so however it is written."""
    first, second = fleet.sidecar(CREATED), fleet.sidecar()
    await first.run("http.request", payload=b'{"method":"POST","path":"/a","json":{"x":1,"y":2}}')
    again = await second.run("http.request", payload=b'{"json": {"y":2, "x":1}, "path":"/a", "method":"POST"}')
    assert again.replayed is not None


async def test_the_same_key_with_another_input_is_refused(fleet: Fleet) -> None:
    """Nothing is sent: one of the two would not be done, or be answered with the other's outcome."""
    sidecar = fleet.sidecar(CREATED)
    await sidecar.run()
    failure = await sidecar.failure(payload=b'{"title": "y"}')
    assert (failure.reason, failure.side_effect) == (Reason.IDEMPOTENCY_MISMATCH, SideEffect.NONE)
    assert sidecar.sent == 1


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "other"},
        {"connection": "other"},
        {"operation": "items.replace"},
        {"key": KEY + "2"},
    ],
)
async def test_keys_are_each_operations_and_connections_own(fleet: Fleet, other: dict[str, Any]) -> None:
    """The same key of another tenant, connection or operation is another key."""
    sidecar = fleet.sidecar(CREATED, CREATED)
    await sidecar.run()
    ended = await sidecar.run(**other)
    assert isinstance(ended.outcome, Success)
    assert (ended.replayed, sidecar.sent) == (None, 2)


async def test_a_call_without_a_key_asks_no_store(fleet: Fleet) -> None:
    """It pays nothing for the keys of others."""
    sidecar = fleet.sidecar(CREATED, CREATED)
    fleet.memory.away = "refusing"
    for _ in range(2):
        assert isinstance((await sidecar.run(key=None)).outcome, Success)
    assert fleet.memory.reads == 0


async def test_a_dry_run_uses_no_key(fleet: Fleet) -> None:
    """Nothing is sent, so nothing is kept."""
    sidecar = fleet.sidecar()
    assert isinstance((await sidecar.run(dry_run=True)).outcome, Success)
    assert fleet.records == {}


async def test_an_unknown_outcome_is_told_alike_and_never_sent_again(fleet: Fleet) -> None:
    """A POST that got no answer may have been done: whoever repeats it is told so, and nothing else happens."""
    first, second = fleet.sidecar(LOST), fleet.sidecar(CREATED)
    ended, again = await first.run(), await second.run()
    assert failed(ended.outcome).reason is Reason.OUTCOME_UNKNOWN
    assert again.outcome == ended.outcome
    assert (second.sent, again.again) == (0, False)


@pytest.mark.parametrize("answer", [LIMITED, REJECTED, REFUSED], ids=["limited", "rejected", "unsent"])
async def test_what_certainly_did_nothing_frees_the_key(fleet: Fleet, answer: Any) -> None:
    """A limit is not replayed for a day: the next call with the key is carried out, also with another input."""
    sidecar = fleet.sidecar(answer, answer, answer)
    assert (await sidecar.failure()).side_effect is SideEffect.NONE
    assert fleet.records == {}
    before = sidecar.sent
    fleet.clock.advance(4000)
    sidecar.house.sender.answers[:] = [CREATED]
    ended = await sidecar.run(payload=b'{"title": "mended"}')
    assert isinstance(ended.outcome, Success)
    assert (ended.replayed, sidecar.sent) == (None, before + 1)


async def test_a_write_that_may_be_repeated_is_sent_again(fleet: Fleet) -> None:
    """A PUT without an answer: the caller is told that the same call is safe, and the next one is carried out."""
    sidecar = fleet.sidecar(LOST, LOST, LOST)
    ended = await sidecar.run("items.replace")
    failure = failed(ended.outcome)
    assert (failure.side_effect, ended.again, sidecar.sent) == (SideEffect.UNKNOWN, True, 3)
    assert "same idempotency key" in (failure.hint or "")
    sidecar.house.sender.answers[:] = [OK]
    assert isinstance((await sidecar.run("items.replace")).outcome, Success)
    assert (await sidecar.run("items.replace")).replayed is not None
    assert sidecar.sent == 4


async def test_doubt_stays_until_it_is_known(fleet: Fleet) -> None:
    """An earlier attempt may have done it, so a refusal now does not say that nothing happened, nor frees the key."""
    sidecar = fleet.sidecar(LOST, LOST, LOST)
    await sidecar.run("items.replace")
    sidecar.house.sender.answers[:] = [REJECTED]
    failure = await sidecar.failure("items.replace")
    assert (failure.reason, failure.side_effect) == (Reason.PROVIDER_REJECTED, SideEffect.UNKNOWN)
    mismatch = await sidecar.failure("items.replace", payload=b'{"title": "other"}')
    assert mismatch.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_a_provider_that_takes_keys_is_given_one(fleet: Fleet) -> None:
    """A lost answer is asked for again under the same id, in this call and by the next with the key."""
    first, second = fleet.sidecar(LOST, LOST, LOST, acme=KEYED), fleet.sidecar(OK, acme=KEYED)
    ended = await first.run()
    assert (failed(ended.outcome).reason, ended.again) == (Reason.OUTCOME_UNKNOWN, True)
    assert isinstance((await second.run(call_id="018f0000-0000-7000-8000-00000000000b")).outcome, Success)
    given = [request.headers["idempotency-key"] for request in (*first.house.sender.sent, *second.house.sender.sent)]
    assert len(given) == 4
    assert len(set(given)) == 1
    assert KEY not in given[0]


@pytest.mark.parametrize("operation", ["items.replace", "items.create"])
async def test_an_id_that_a_client_chooses_is_the_keys(fleet: Fleet, operation: str) -> None:
    """In a path or by a hook: a call that is sent again after a crash is the same thing at the provider."""
    chosen = CREATE_ITEM | {"method": "PUT", "path": "/items/{call_id}"}
    hooked = CREATE_ITEM | {"repeatable": True, "hooks": {"input": "with_id"}}
    code = "def with_id(values):\n    return {'title': values['call_id']}\n"
    acme = provider(operations={"items.create": hooked, "items.replace": chosen}, code=code)
    first, second = fleet.sidecar(LOST, LOST, LOST, acme=acme), fleet.sidecar(OK, acme=acme)
    assert (await first.run(operation)).again
    ended = await second.run(operation, call_id="018f0000-0000-7000-8000-00000000000c")
    assert isinstance(ended.outcome, Success)
    sent = [(request.url, request.content) for request in (*first.house.sender.sent, *second.house.sender.sent)]
    assert len(sent) == 4
    assert len(set(sent)) == 1


async def test_a_truncated_answer_is_asked_for_again_where_the_provider_takes_keys(fleet: Fleet) -> None:
    """It was done; under the same key the provider says once more what came of it."""
    sidecar = fleet.sidecar(TRUNCATED, acme=KEYED)
    ended = await sidecar.run()
    assert (failed(ended.outcome).side_effect, ended.again) == (SideEffect.DONE, True)
    sidecar.house.sender.answers[:] = [OK]
    assert isinstance((await sidecar.run()).outcome, Success)


async def test_who_comes_meanwhile_waits_for_the_first_answer(fleet: Fleet) -> None:
    """At another sidecar too: it gets that answer, within its own deadline."""
    there = Blocked(CREATED)
    first, second = fleet.sidecar(network=there), fleet.sidecar()
    outcomes: list[Any] = []

    async def repeat() -> None:
        await there.has_it.wait()
        outcomes.append(await second.run())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(repeat)
        tasks.start_soon(first.run)
        await there.has_it.wait()
        while fleet.memory.reads < 3:
            await anyio.lowlevel.checkpoint()
        there.go_on.set()
    [again] = outcomes
    assert succeeded(again.outcome).body == CREATED.content
    assert (again.replayed is not None, second.sent) == (True, 0)


async def test_who_waits_in_vain_is_told_at_its_own_deadline(fleet: Fleet) -> None:
    """The first call goes on; the other may come again with the same key, and is told when."""
    there = Blocked(CREATED)
    first, second = fleet.sidecar(network=there), fleet.sidecar()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.run)
        await there.has_it.wait()
        began = fleet.clock.now()
        ended = await second.run(timeout=2.0)
        took = fleet.clock.now() - began
        there.go_on.set()
    failure = failed(ended.outcome)
    assert (failure.reason, failure.side_effect) == (Reason.IN_PROGRESS, SideEffect.UNKNOWN)
    assert (failure.retry_after, ended.again) == (1.0, True)
    assert took == pytest.approx(2.0)
    assert (await second.run()).replayed is not None


async def dead(fleet: Fleet, operation: str = "items.create", **also: Any) -> None:
    """Leave the record of a sidecar that was killed while it waited for the answer."""
    sidecar = fleet.sidecar(network=(busy := Blocked(OK)), **also)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: sidecar.run(operation))
        await busy.has_it.wait()
        there = dict(fleet.memory.entries)
        tasks.cancel_scope.cancel()
    for _ in range(20):  # what it would still write, were it alive
        await anyio.lowlevel.checkpoint()
    fleet.memory.entries = there


async def test_a_dead_owners_post_is_told_as_unknown(fleet: Fleet) -> None:
    """It may have been done, so it is never sent again under this key; all who ask are told alike."""
    await dead(fleet)
    sidecar, other = fleet.sidecar(OK), fleet.sidecar(OK)
    began = fleet.clock.now()
    ended = await sidecar.run()
    assert fleet.clock.now() - began == pytest.approx(PATIENCE_SECONDS, abs=1.0)
    failure = failed(ended.outcome)
    assert (failure.reason, failure.side_effect) == (Reason.OUTCOME_UNKNOWN, SideEffect.UNKNOWN)
    assert failure.hint
    assert (await other.run()).outcome == ended.outcome
    assert sidecar.sent + other.sent == 0


@pytest.mark.parametrize(
    ("operation", "acme"), [("items.replace", {}), ("items.create", {"acme": KEYED})], ids=["method", "provider key"]
)
async def test_what_is_safe_is_done_again_when_its_owner_died(
    fleet: Fleet, operation: str, acme: dict[str, Any]
) -> None:
    """An idempotent method, or a provider that takes keys: the next one sends it, and its answer counts."""
    await dead(fleet, operation, **acme)
    sidecar = fleet.sidecar(OK, **acme)
    ended = await sidecar.run(operation)
    assert isinstance(ended.outcome, Success)
    assert (ended.replayed, sidecar.sent) == (None, 1)


@pytest.mark.parametrize(("sent_before", "side_effect"), [(True, SideEffect.DONE), (False, SideEffect.NONE)])
async def test_an_id_that_is_there_already_was_this_calls(
    fleet: Fleet, *, sent_before: bool, side_effect: SideEffect
) -> None:
    """After a crash the provider says that the id, made of the key, is taken: it was done, and that is told from then
    on. Where nobody can have sent it, it is somebody else's, and the key is free.
    """
    rule = {"reason": "PROVIDER_CONFLICT", "status": [409], "done_before": True}
    chosen = {"items.create": CREATE_ITEM | {"repeatable": True, "path": "/items/{call_id}"}}
    acme = provider(operations=chosen, errors={"rules": [rule]})
    if sent_before:
        await dead(fleet, acme=acme)
    sidecar = fleet.sidecar(httpx.Response(409), httpx.Response(409), acme=acme)
    for _ in range(2):
        failure = await sidecar.failure()
        assert (failure.reason, failure.side_effect) == (Reason.PROVIDER_CONFLICT, side_effect)
    assert sidecar.sent == (1 if sent_before else 2)


async def test_short_calls_find_out_together_that_an_owner_died(fleet: Fleet) -> None:
    """Calls that give up before the time is over need not begin to wait anew each time."""
    await dead(fleet)
    sidecar = fleet.sidecar()
    reasons = [(await sidecar.failure(timeout=4.0)).reason for _ in range(5)]
    assert reasons[:3] == [Reason.IN_PROGRESS] * 3
    assert reasons[-1] is Reason.OUTCOME_UNKNOWN


async def test_an_owner_that_lives_after_all_knows_better(fleet: Fleet) -> None:
    """It stood still for so long that it was given up; its answer takes the place of the unknown outcome."""
    there = Blocked(CREATED)
    first, second = fleet.sidecar(network=there), fleet.sidecar()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: first.run(timeout=200.0))
        await there.has_it.wait()
        assert (await second.failure()).reason is Reason.OUTCOME_UNKNOWN
        there.go_on.set()
    again = await second.run()
    assert succeeded(again.outcome).body == CREATED.content
    [kept] = fleet.records.values()
    assert isinstance(kept.state, Done)
    assert not kept.state.judged


async def test_nobody_speaks_for_another_one(fleet: Fleet) -> None:
    """Who stood still for so long that another one did its call does not say that nothing was done."""
    there = Blocked(REJECTED)
    first, second = fleet.sidecar(network=there, acme=KEYED), fleet.sidecar(OK, acme=KEYED)
    outcomes: list[Any] = []

    async def stand_still() -> None:
        outcomes.append(await first.run(timeout=200.0))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stand_still)
        await there.has_it.wait()
        assert isinstance((await second.run()).outcome, Success)
        there.go_on.set()
    [ended] = outcomes
    assert failed(ended.outcome).side_effect is SideEffect.UNKNOWN
    assert (await first.run()).replayed is not None


@pytest.mark.parametrize(("away", "reason"), [("refusing", Reason.STORE_UNAVAILABLE), ("full", Reason.STORE_FULL)])
async def test_nothing_is_sent_that_cannot_be_kept(fleet: Fleet, away: Any, reason: Reason) -> None:
    """Without its record a call could be done twice: it is refused before anything leaves."""
    sidecar = fleet.sidecar(CREATED)
    fleet.memory.full = away == "full"
    fleet.memory.away = "no" if away == "full" else away
    ended = await sidecar.run()
    failure = failed(ended.outcome)
    assert (failure.reason, failure.side_effect, sidecar.sent) == (reason, SideEffect.NONE, 0)
    assert ended.again


async def test_a_claim_whose_answer_was_lost_leaves_nothing_behind(fleet: Fleet) -> None:
    """It was stored, nobody knew, nothing was sent: the next call is not told that it may have been done."""
    sidecar = fleet.sidecar(CREATED)
    stored = fleet.memory.put

    async def silent(*what: Any, **also: Any) -> int:
        await stored(*what, **also)
        fleet.memory.away = "silent"
        await anyio.sleep_forever()
        raise AssertionError

    fleet.memory.put = silent  # type: ignore[method-assign]  # the network, which loses the answer
    failure = await sidecar.failure(timeout=0.2)
    assert failure.reason in {Reason.STORE_UNAVAILABLE, Reason.BEFORE_SEND}
    assert (failure.side_effect, sidecar.sent) == (SideEffect.NONE, 0)
    [kept] = fleet.records.values()
    assert isinstance(kept.state, Pending)
    fleet.memory.put, fleet.memory.away = stored, "no"  # type: ignore[method-assign]  # it is back
    with anyio.fail_after(10):
        while fleet.records:
            await anyio.lowlevel.checkpoint()
    assert isinstance((await fleet.sidecar(CREATED).run()).outcome, Success)


async def test_an_answer_does_not_wait_for_its_record(fleet: Fleet) -> None:
    """While the store has no leader the caller gets its answer; what came of the call is kept as soon as it can be."""
    sidecar = fleet.sidecar(CREATED)

    def go_away() -> None:
        fleet.memory.away, back = "refusing", fleet.clock.now() + 12.0

        def come_back() -> None:
            fleet.memory.away = "no" if fleet.clock.now() >= back else "refusing"

        fleet.memory.before_write = come_back

    sidecar.house.before = go_away
    assert isinstance((await sidecar.run()).outcome, Success)
    again = await sidecar.run()
    assert succeeded(again.outcome).body == CREATED.content
    assert sidecar.sent == 1


async def test_an_output_too_large_to_keep_is_told_so(fleet: Fleet) -> None:
    """The first caller gets it whole; who repeats the call learns that it was done, and nothing is sent again."""
    fleet.max_payload = 20_000
    sidecar = fleet.sidecar(httpx.Response(200, json={"id": random.Random(7).randbytes(20_000).hex()}))
    assert isinstance((await sidecar.run()).outcome, Success)
    again = await sidecar.run()
    failure = failed(again.outcome)
    assert (failure.reason, failure.side_effect) == (Reason.RESPONSE_TOO_LARGE, SideEffect.DONE)
    assert (again.replayed is not None, sidecar.sent) == (True, 1)


async def test_a_long_output_is_kept_packed(fleet: Fleet) -> None:
    """It takes little room, and comes back to the byte."""
    sidecar = fleet.sidecar(httpx.Response(200, json=[{"id": number} for number in range(5_000)]))
    first, again = await sidecar.run(), await sidecar.run()
    assert again.outcome == first.outcome
    [entry] = fleet.memory.entries.values()
    assert len(entry.value) < len(succeeded(first.outcome).body) / 2


async def test_a_record_says_nothing_to_who_lists_or_reads_it(fleet: Fleet) -> None:
    """Neither key nor output can be read in the store, and it vanishes after a day."""
    await fleet.sidecar(CREATED).run()
    [(name, entry)] = fleet.memory.entries.items()
    assert name.startswith("default.default.acme.items=2Ecreate.")
    assert "4711" not in name
    assert CREATED.content[:8] not in entry.value
    assert entry.ttl == 24 * 3600
    state = next(iter(fleet.records.values())).state
    assert "run-4711" not in repr(msgspec.structs.astuple(state))


async def test_a_raw_request_is_done_once(fleet: Fleet) -> None:
    """The same on every path: the raw request keeps its key as any operation does."""
    sidecar = fleet.sidecar(CREATED)
    raw: dict[str, Any] = {"payload": b'{"method": "POST", "path": "/items", "json": {"title": "x"}}'}
    await sidecar.run("http.request", **raw)
    assert (await sidecar.run("http.request", **raw)).replayed is not None
    assert sidecar.sent == 1


async def test_a_read_may_have_a_key(fleet: Fleet) -> None:
    """It is answered from the record as well: the caller asked for the first answer."""
    sidecar = fleet.sidecar(OK)
    await sidecar.run("items.get")
    assert (await sidecar.run("items.get")).replayed is not None
