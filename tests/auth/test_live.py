"""A call gets a token that is valid: the one there is, or a new one, which one sidecar fetched once for all."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from sidecar.auth.live import TICK_SECONDS
from sidecar.auth.refresh import ANSWER_SECONDS, NOTICE_SECONDS, PATIENCE_SECONDS, SEND_SECONDS
from sidecar.auth.token_answer import Granted, Refused, Unanswered
from sidecar.credential import Refreshing, Status
from sidecar.model import Failure, Reason
from sidecar.sandbox.scripted import ManualClock
from tests.auth.renewing import WHO, Sidecar, StrictEndpoint, access, credential, settled, stored
from tests.store.test_credential import MemoryStore, reason_of

pytestmark = pytest.mark.anyio


async def test_a_valid_token_is_used_as_it_is(one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock) -> None:
    """No request, no write."""
    await one.store.save(*WHO, credential(clock))
    async with one.serving():
        assert access(await one.load()) == "access-1"
        await settled(one)
    assert endpoint.asked == []


async def test_many_calls_on_an_ended_token_are_one_renewal(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """All get the new token."""
    await one.store.save(*WHO, credential(clock, left=-1))
    got: list[str] = []

    async def call() -> None:
        got.append(access(await one.load()))

    async with one.serving(), anyio.create_task_group() as calls:
        for _ in range(10):
            calls.start_soon(call)
    assert got == ["access-2"] * 10
    assert endpoint.asked == ["refresh-1"]
    assert one.told == ["renewed"]


async def test_a_token_that_is_due_serves_while_it_is_renewed(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """The call does not wait for the endpoint."""
    await one.store.save(*WHO, credential(clock, left=100))
    endpoint.gate = anyio.Event()
    async with one.serving():
        assert access(await one.load()) == "access-1"
        await anyio.wait_all_tasks_blocked()
        assert access(await one.load()) == "access-1"
        endpoint.gate.set()
        await settled(one)
        assert access(await one.load()) == "access-2"
    assert endpoint.asked == ["refresh-1"]


async def test_the_record_says_who_spends_the_token_before_it_is_spent(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock, memory: MemoryStore
) -> None:
    """And a new token is stored before a call gets it."""
    await one.store.save(*WHO, credential(clock, left=-1))
    writes: list[int] = []
    endpoint.before = lambda: writes.append(memory.revision)
    async with one.serving():
        found = await one.load()
    assert writes == [2]
    assert memory.revision == 3
    assert access(found) == access(await stored(one)) == "access-2"
    assert (await stored(one)).refreshing is None


async def test_a_cancelled_caller_does_not_cut_a_renewal_off(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """The token is spent and the new one is kept."""
    await one.store.save(*WHO, credential(clock, left=-1))
    endpoint.gate = anyio.Event()
    async with one.serving():
        async with anyio.create_task_group() as calls:
            calls.start_soon(one.load)
            await anyio.wait_all_tasks_blocked()
            calls.cancel_scope.cancel()
        endpoint.gate.set()
        await settled(one)
        assert access(await stored(one)) == "access-2"


async def test_a_call_ends_at_its_deadline(one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock) -> None:
    """However long the endpoint takes; it may be sent again."""
    await one.store.save(*WHO, credential(clock, left=-1))
    endpoint.gate = anyio.Event()
    async with one.serving():
        assert reason_of(await one.load(within=0.05)) is Reason.CREDENTIAL_REFRESHING
        endpoint.gate.set()
        await settled(one)
        assert access(await one.load()) == "access-2"


@pytest.mark.parametrize(
    "outcome",
    [
        Refused(final=False, detail="503", status=503),
        Refused(final=False, detail="200 with HTML", status=200, perhaps_spent=True),
        Unanswered(sent=False, detail="connection refused"),
        Unanswered(sent=True, detail="no answer"),
    ],
)
async def test_a_failing_endpoint_costs_no_credential(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock, outcome: Refused | Unanswered
) -> None:
    """Calls are told to come again, nobody asks again before that, and then it is renewed."""
    await one.store.save(*WHO, credential(clock, left=-1))
    endpoint.outcomes = [outcome]
    async with one.serving():
        failed = await one.load()
        assert reason_of(failed) is Reason.CREDENTIAL_REFRESHING
        again = await one.load()
        assert isinstance(again, Failure)
        assert again.retry_after is not None
        assert len(endpoint.asked) == 1
        clock.advance(again.retry_after)
        assert access(await one.load()) == "access-2"
        assert (await stored(one)).refreshing is None


async def test_a_throttling_endpoint_is_obeyed(one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock) -> None:
    """Nobody asks before the time it told."""
    await one.store.save(*WHO, credential(clock, left=-1))
    endpoint.outcomes = [Refused(final=False, detail="429", status=429, retry_after=40.0)]
    async with one.serving():
        await one.load()
        clock.advance(39.0)
        await one.load()
        assert len(endpoint.asked) == 1
        clock.advance(2.0)
        assert access(await one.load()) == "access-2"


async def test_an_endpoint_that_wants_ever_to_be_left_alone_is_asked_again(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """A `Retry-After` of years ends no connection: after an hour it is tried again."""
    await one.store.save(*WHO, credential(clock, left=-1))
    endpoint.outcomes = [Refused(final=False, detail="429", status=429, retry_after=1e9)]
    async with one.serving():
        await one.load()
        clock.advance(3601.0)
        assert access(await one.load()) == "access-2"


async def test_a_grant_that_was_taken_back_is_told_and_asked_for_once(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """`invalid_grant` is final: the owner must allow access again, and no request is made any more."""
    await one.store.save(*WHO, credential(clock, left=-1))
    endpoint.revoked = True
    async with one.serving():
        for _ in range(3):
            assert reason_of(await one.load()) is Reason.REAUTH_REQUIRED
            clock.advance(3600)
    assert len(endpoint.asked) == 1
    assert one.told == ["reauth_required"]


async def test_a_lost_answer_is_tried_once_more_and_told_as_lost(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """The endpoint rotated and its answer never came: the second use of the token is refused, and that is the end."""
    await one.store.save(*WHO, credential(clock, left=-1))
    endpoint.outcomes = [Unanswered(sent=True, detail="no answer")]
    endpoint.number = 2
    async with one.serving():
        await one.load()
        clock.advance(120)
        assert reason_of(await one.load()) is Reason.REFRESH_LOST
        clock.advance(120)
        assert reason_of(await one.load()) is Reason.REFRESH_LOST
    assert endpoint.asked == ["refresh-1", "refresh-1"]
    assert one.told == ["unanswered", "lost"]


async def test_an_endpoint_that_never_comes_back_holds_nothing_up_for_ever(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given up as unanswered."""
    monkeypatch.setattr("sidecar.auth.refresher.LONGEST_ANSWER_SECONDS", 0.05)
    await one.store.save(*WHO, credential(clock, left=-1))
    endpoint.gate = anyio.Event()
    async with one.serving():
        assert reason_of(await one.load()) is Reason.CREDENTIAL_REFRESHING
    assert one.told == ["unanswered"]


def test_nobody_else_asks_while_an_answer_may_come() -> None:
    """From the fence on: sending it in time, and its answer, end before another may take over."""
    assert SEND_SECONDS + ANSWER_SECONDS < PATIENCE_SECONDS + NOTICE_SECONDS


async def test_two_sidecars_renew_once(memory: MemoryStore, endpoint: StrictEndpoint, clock: ManualClock) -> None:
    """Whoever comes second waits for the first."""
    one, two = Sidecar(memory, endpoint, clock), Sidecar(memory, endpoint, clock)
    await one.store.save(*WHO, credential(clock, left=-1))
    got: list[str] = []

    async def call(sidecar: Sidecar) -> None:
        got.append(access(await sidecar.load()))

    async with one.serving(), two.serving(), anyio.create_task_group() as calls:
        for sidecar in (one, two) * 4:
            calls.start_soon(call, sidecar)
    assert got == ["access-2"] * 8
    assert endpoint.asked == ["refresh-1"]


async def test_a_dead_sidecars_attempt_is_taken_over(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """After patience by our own clock, not before."""
    left = msgspec.structs.replace(credential(clock, left=-1), refreshing=Refreshing(owner="dead", attempt="dead.1.1"))
    await one.store.save(*WHO, left)
    began = clock.now()
    async with one.serving():
        assert access(await one.load()) == "access-2"
    assert clock.now() - began >= PATIENCE_SECONDS
    assert endpoint.asked == ["refresh-1"]


async def test_a_dead_sidecar_that_had_spent_the_token_is_told_as_a_loss(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """One further request, and no more."""
    left = msgspec.structs.replace(credential(clock, left=-1), refreshing=Refreshing(owner="dead", attempt="dead.1.1"))
    await one.store.save(*WHO, left)
    endpoint.number = 2
    async with one.serving():
        assert reason_of(await one.load()) is Reason.REFRESH_LOST
        assert reason_of(await one.load()) is Reason.REFRESH_LOST
    assert len(endpoint.asked) == 1


async def test_a_sidecar_that_stood_still_overwrites_nothing(
    memory: MemoryStore, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """Its attempt was taken over: its tokens are dropped, and it uses the other's."""
    one, two = Sidecar(memory, endpoint, clock), Sidecar(memory, endpoint, clock)
    await one.store.save(*WHO, credential(clock, left=-1))
    async with one.serving(), two.serving():
        endpoint.gate = still = anyio.Event()
        async with anyio.create_task_group() as calls:
            calls.start_soon(one.load)
            await anyio.wait_all_tasks_blocked()
            endpoint.gate = None
            assert access(await two.load()) == "access-2"
            other = credential(clock, 9).tokens
            assert other is not None
            endpoint.outcomes = [Granted(tokens=other)]  # this server forgives
            still.set()
        await settled(one)
        revision = memory.revision
        assert access(await one.load()) == access(await two.load()) == "access-2"
        assert memory.revision == revision
    assert endpoint.asked == ["refresh-1", "refresh-1"]
    assert (one.told, two.told) == (["late"], ["renewed"])


async def test_what_an_operator_does_meanwhile_stays(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """Disabled during a renewal, the connection is disabled, and the new tokens are kept."""
    await one.store.save(*WHO, credential(clock, left=-1))
    endpoint.gate = anyio.Event()
    async with one.serving():
        async with anyio.create_task_group() as calls:
            calls.start_soon(one.load)
            await anyio.wait_all_tasks_blocked()
            await one.store.set_status(*WHO, Status.DISABLED)
            endpoint.gate.set()
        assert reason_of(await one.load()) is Reason.CONNECTION_DISABLED
        found = await stored(one)
    assert (access(found), found.status, found.refreshing) == ("access-2", Status.DISABLED, None)


async def test_a_revoked_connection_gets_no_token_back(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """What a renewal brings after it is dropped."""
    await one.store.save(*WHO, credential(clock, left=-1))
    endpoint.gate = anyio.Event()
    async with one.serving():
        async with anyio.create_task_group() as calls:
            calls.start_soon(one.load)
            await anyio.wait_all_tasks_blocked()
            await one.store.set_status(*WHO, Status.REVOKED)
            endpoint.gate.set()
        await settled(one)
        found = await stored(one)
    assert (found.tokens, found.status) == (None, Status.REVOKED)


async def test_a_new_grant_meanwhile_is_not_overwritten(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """Its owner allowed access again while the old token was being renewed."""
    await one.store.save(*WHO, credential(clock, left=-1))
    endpoint.gate = anyio.Event()
    async with one.serving():
        async with anyio.create_task_group() as calls:
            calls.start_soon(one.load)
            await anyio.wait_all_tasks_blocked()
            await one.store.save(*WHO, credential(clock, 77))
            endpoint.gate.set()
        assert access(await one.load()) == "access-77"
        assert access(await stored(one)) == "access-77"


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
async def test_a_clock_that_jumps_renews_nothing(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock, jump: float
) -> None:
    """The wall clock is looked at once for each token."""
    await one.store.save(*WHO, credential(clock))
    async with one.serving():
        await one.load()
        clock._ahead += jump
        assert access(await one.load()) == "access-1"
        await settled(one)
    assert endpoint.asked == []


async def test_a_sidecar_whose_clock_is_ahead_renews_once(
    memory: MemoryStore, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """Ten minutes ahead, with tokens of five: one renewal, not one for each call."""
    ahead = ManualClock(wall=clock.wall() + 600)
    endpoint.clock, endpoint.lifetime = ahead, 300.0
    one = Sidecar(memory, endpoint, ahead)
    await one.store.save(*WHO, credential(clock, left=300, lifetime=300))
    async with one.serving():
        for _ in range(10):
            assert access(await one.load()) == "access-2"
    assert len(endpoint.asked) == 1


class SteppedClock(ManualClock):
    """Sleeps end when the test lets them."""

    def __init__(self) -> None:
        super().__init__()
        self.step = anyio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds == TICK_SECONDS:
            await self.step.wait()
            self.step = anyio.Event()
        else:
            await super().sleep(seconds)


async def test_what_calls_used_is_renewed_in_the_background(memory: MemoryStore) -> None:
    """Nobody waits for it: when the next call comes, the new token is there. What no call uses is left alone."""
    clock = SteppedClock()
    endpoint = StrictEndpoint(clock)
    one = Sidecar(memory, endpoint, clock)
    await one.store.save(*WHO, credential(clock))
    async with one.serving(background=True):
        await one.load()
        for seconds, asked in ((3000, 0), (460, 1), (10, 1), (3700, 1)):
            clock.advance(seconds)
            clock.step.set()
            await anyio.wait_all_tasks_blocked()
            await settled(one)
            assert len(endpoint.asked) == asked


async def test_a_sidecar_that_ends_begins_no_renewal(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """And says so."""
    await one.store.save(*WHO, credential(clock, left=-1))
    async with one.serving():
        assert await one.refresher.stop(1.0) == 0
        assert reason_of(await one.load()) is Reason.SHUTTING_DOWN
    assert endpoint.asked == []


async def test_the_end_waits_for_what_was_asked_for(one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock) -> None:
    """A token that is spent is followed by its new one into the store."""
    await one.store.save(*WHO, credential(clock, left=100))
    endpoint.gate = anyio.Event()
    async with one.serving(), anyio.create_task_group() as tasks:
        await one.load()
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(one.refresher.stop, 5.0)
        await anyio.wait_all_tasks_blocked()
        endpoint.gate.set()
    assert access(await stored(one)) == "access-2"
