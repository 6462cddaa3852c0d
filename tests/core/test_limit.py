"""The quota: never more than it allows in any window, nobody held up by a budget that is not theirs."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from itertools import count

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.limit import SOON, TOLD, Bucket, Budgets, Key, Reservation, budgets, close, idle, leave, reserve
from sidecar.manifest import Quota
from sidecar.model import Failure, Reason, SideEffect

GENERAL = Quota(name="general", scope="connection", rate=10, per=1, burst=3)
SEARCH = Quota(name="search", scope="connection", rate=1, per=2, burst=1, operations=("search.*",))
APP = Quota(name="app", scope="app", rate=5, per=1, burst=2)
TENANT = Quota(name="tenant", scope="tenant", rate=2, per=1, burst=2, operations=("*.create", "search.*"))
QUOTAS = (GENERAL, SEARCH, APP, TENANT)
FAR = 1e9


NOWHERE: frozenset[Key] = frozenset()


class Buckets:
    """The buckets of a process, as the executor keeps them."""

    def __init__(self) -> None:
        self.kept: dict[Key, Bucket] = {}

    def reserve(
        self, wanted: Budgets, now: float, deadline: float = FAR, lines: frozenset[Key] = NOWHERE
    ) -> Reservation:
        reserved = reserve(wanted, self.kept, now, deadline, lines)
        assert not isinstance(reserved, Failure), reserved
        self.kept.update(reserved.buckets)
        return reserved

    def start(self, wanted: Budgets, now: float, lines: frozenset[Key] = NOWHERE) -> float:
        """When the next step may be: `now` means that the exchange starts."""
        return self.reserve(wanted, now, lines=lines).at

    def refusal(self, wanted: Budgets, now: float, deadline: float) -> Failure:
        failure = reserve(wanted, self.kept, now, deadline)
        assert isinstance(failure, Failure), failure
        return failure


def wanted(
    operation: str, connection: str = "alice", tenant: str = "acme", quotas: tuple[Quota, ...] = QUOTAS
) -> Budgets:
    return budgets(quotas, "github", tenant, connection, operation)


ONLY_SEARCH = budgets((SEARCH,), "github", "acme", "alice", "search.x")

# --- whose budget ----------------------------------------------------------------------------------------------------


def test_an_operation_takes_from_the_budgets_that_name_it() -> None:
    """By glob patterns over its name; the last one is what the provider may close."""
    assert [quota.name for _, quota in wanted("issues.list")] == ["general", "app", "told"]
    assert [quota.name for _, quota in wanted("issues.create")] == ["general", "app", "tenant", "told"]
    assert [quota.name for _, quota in wanted("search.issues")] == ["general", "search", "app", "tenant", "told"]


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        (("acme", "alice"), {"general", "app", "tenant", "told"}),
        (("acme", "bob"), {"app", "tenant"}),
        (("other", "alice"), {"app"}),
    ],
)
def test_a_scope_says_whose_a_budget_is(other: tuple[str, str], shared: set[str]) -> None:
    """The app's budget is everybody's, a tenant's its connections', a connection's its own."""
    mine = {key for key, _ in wanted("issues.create", "alice", "acme")}
    theirs = {key for key, _ in wanted("issues.create", other[1], other[0])}
    assert {key.name for key in mine & theirs} == shared


def test_budgets_of_two_providers_are_two() -> None:
    """Also of the same name."""
    assert not {key for key, _ in budgets((APP,), "github", "t", "c", "x")} & {
        key for key, _ in budgets((APP,), "gitlab", "t", "c", "x")
    }


# --- one budget ------------------------------------------------------------------------------------------------------


def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    """Three of a burst of three, then one every tenth of a second."""
    only, buckets = wanted("x", quotas=(GENERAL,)), Buckets()
    starts = [buckets.start(only, 100.0) for _ in range(6)]
    assert starts == [100.0, 100.0, 100.0, *(pytest.approx(100.0 + n / 10) for n in (1, 2, 3))]


def test_what_is_not_used_comes_back_but_not_more_than_the_burst() -> None:
    """After a long pause there is one burst, not a year's worth."""
    only, buckets = wanted("x", quotas=(GENERAL,)), Buckets()
    for _ in range(3):
        buckets.start(only, 0.0)
    assert [buckets.start(only, 1e6) for _ in range(4)] == [1e6, 1e6, 1e6, pytest.approx(1e6 + 0.1)]


def test_what_waits_past_the_deadline_is_refused_at_once() -> None:
    """Nobody waits for what cannot come: told with the bucket, and when it would."""
    buckets = Buckets()
    assert buckets.start(ONLY_SEARCH, 0.0) == 0.0
    failure = buckets.refusal(ONLY_SEARCH, 0.5, deadline=2.0)
    assert failure.reason is Reason.LOCAL_RATE_LIMITED
    assert failure.side_effect is SideEffect.NONE
    assert failure.retry_after == pytest.approx(1.5)
    assert failure.bucket == "search"
    assert "bucket search of github" in failure.detail


def test_those_who_wait_are_counted_against_the_deadline_of_the_next() -> None:
    """With nine waiting at one per two seconds the next is refused at once, not after twenty seconds."""
    buckets = Buckets()
    ats = [buckets.reserve(ONLY_SEARCH, 0.0, deadline=19.0).at for _ in range(10)]
    assert ats == [pytest.approx(2.0 * n) for n in range(10)]
    assert buckets.refusal(ONLY_SEARCH, 0.0, deadline=19.0).retry_after == pytest.approx(20.0)


def test_who_comes_later_does_not_go_first() -> None:
    """A unit that somebody waits for is not taken by a newcomer, however the moments fall."""
    buckets = Buckets()
    buckets.start(ONLY_SEARCH, 0.0)
    waiting = buckets.reserve(ONLY_SEARCH, 0.0)
    assert waiting.at == 2.0
    assert buckets.start(ONLY_SEARCH, 2.0) == 4.0
    assert buckets.start(ONLY_SEARCH, 2.0, waiting.lines) == 2.0


def test_who_gives_up_leaves_the_line() -> None:
    """The next one need not wait for a call that ended."""
    buckets = Buckets()
    buckets.start(ONLY_SEARCH, 0.0)
    waiting = buckets.reserve(ONLY_SEARCH, 0.0)
    buckets.kept.update(leave(waiting.lines, buckets.kept))
    assert buckets.start(ONLY_SEARCH, 0.0) == 2.0


def test_without_a_quota_nothing_waits() -> None:
    """Only what the provider says can close it."""
    only, buckets = wanted("x", quotas=()), Buckets()
    assert [buckets.start(only, 5.0) for _ in range(1_000)] == [5.0] * 1_000
    assert buckets.kept == {}


# --- several budgets -------------------------------------------------------------------------------------------------


def test_a_call_that_waits_for_one_budget_does_not_hold_up_the_others() -> None:
    """Twenty searches in line at one per two seconds: another operation of the same connection starts at once."""
    buckets = Buckets()
    for _ in range(20):
        buckets.start(wanted("search.issues"), 0.0)
    assert buckets.start(wanted("issues.list"), 0.0) == 0.0
    assert buckets.start(wanted("issues.list", connection="bob"), 0.0) == pytest.approx(
        0.2
    )  # two of the app's are gone


def test_a_connection_told_to_wait_takes_nothing_of_what_all_share() -> None:
    """A 429 of one connection with a minute to wait costs nobody else a unit."""
    buckets = Buckets()
    mine = wanted("issues.list")
    buckets.kept.update(close(mine, buckets.kept, 60.0))
    for _ in range(10):
        assert buckets.start(mine, 0.0) == 60.0
    assert buckets.start(wanted("issues.list", connection="bob"), 0.0) == 0.0
    assert buckets.start(wanted("issues.list", connection="carol"), 0.0) == 0.0


def test_a_place_in_a_line_is_kept_over_a_short_wait_elsewhere() -> None:
    """Whoever waited for the slow budget does not go to its end because the fast one is used up for a moment."""
    buckets, quotas = Buckets(), (SEARCH, APP)
    search, other = wanted("search.issues", quotas=quotas), wanted("issues.list", "bob", quotas=quotas)
    assert buckets.start(search, 0.0) == 0.0
    first, second = buckets.reserve(search, 0.0), buckets.reserve(search, 0.0)
    assert (first.at, second.at) == (2.0, 4.0)
    assert [buckets.start(other, 2.0) for _ in range(2)] == [2.0, 2.0]  # the app's burst is gone
    again = buckets.reserve(search, 2.0, lines=first.lines)
    assert again.at == pytest.approx(2.2)
    assert again.bucket == "app"
    assert {key.name for key in again.lines} == {"search", "app"}
    assert buckets.start(search, again.at, again.lines) == again.at


def test_a_place_in_a_line_is_not_kept_over_a_long_wait_elsewhere() -> None:
    """Whoever is told to wait for a minute does not stand in the way of others for that minute."""
    buckets, quotas = Buckets(), (APP,)
    mine, theirs = wanted("x", quotas=quotas), wanted("x", "bob", quotas=quotas)
    assert [buckets.start(mine, 0.0) for _ in range(2)] == [0.0, 0.0]
    waiting = buckets.reserve(mine, 0.0)
    buckets.kept.update(close(mine, buckets.kept, 60.0))
    told = buckets.reserve(mine, waiting.at, lines=waiting.lines)
    assert (told.at, told.closed, told.lines) == (60.0, True, NOWHERE)
    assert buckets.start(theirs, waiting.at) == waiting.at


class Use(msgspec.Struct, frozen=True):
    at: float
    operation: str
    connection: str
    tenant: str


ARRIVALS = st.lists(
    st.builds(
        Use,
        at=st.floats(0, 5),
        operation=st.sampled_from(["issues.list", "issues.create", "search.issues", "search.create"]),
        connection=st.sampled_from(["alice", "bob"]),
        tenant=st.sampled_from(["acme", "other"]),
    ),
    max_size=40,
)


def starts_of(arrivals: list[Use], quotas: tuple[Quota, ...], closings: Mapping[float, float]) -> list[Use]:
    """When each call starts, stepping as the executor does: wait until told, then reserve again."""
    buckets, order, started = Buckets(), count(), list[Use]()
    steps = [(use.at, next(order), use, NOWHERE) for use in arrivals]
    heapq.heapify(steps)
    pending = sorted(closings.items())
    while steps:
        now, _, use, lines = heapq.heappop(steps)
        asked = budgets(quotas, "github", use.tenant, use.connection, use.operation)
        while pending and pending[0][0] <= now:
            at, seconds = pending.pop(0)
            buckets.kept.update(close(asked, buckets.kept, at + seconds))
        assert next(order) < 20_000, "they wait for each other for ever"
        reserved = buckets.reserve(asked, now, lines=lines)
        if reserved.at <= now:
            started.append(msgspec.structs.replace(use, at=now))
        else:
            heapq.heappush(steps, (reserved.at, next(order), use, reserved.lines))
    assert not any(bucket.waiting for bucket in buckets.kept.values())
    return started


@given(
    ARRIVALS,
    st.lists(
        st.builds(
            Quota,
            name=st.sampled_from(["a", "b", "c"]),
            scope=st.sampled_from(["app", "tenant", "connection"]),
            rate=st.sampled_from([0.5, 1, 3, 10]),
            per=st.sampled_from([0.5, 1, 7]),
            burst=st.integers(1, 4),
            operations=st.sampled_from([("*",), ("search.*",), ("*.create",), ("issues.*", "search.create")]),
        ),
        max_size=3,
        unique_by=lambda quota: quota.name,
    ),
    st.dictionaries(st.floats(0, 5), st.floats(0, 3), max_size=2),
)
def test_no_window_ever_holds_more_than_its_budget(
    arrivals: list[Use], quotas: list[Quota], closings: dict[float, float]
) -> None:
    """For every budget and any two starts in it: at most `burst + rate * seconds between them`. Everybody starts."""
    started = starts_of(arrivals, tuple(quotas), closings)
    assert len(started) == len(arrivals)
    taken: dict[Key, list[float]] = {}
    facts: dict[Key, Quota] = {}
    for use in started:
        for key, quota in budgets(quotas, "github", use.tenant, use.connection, use.operation):
            taken.setdefault(key, []).append(use.at)
            facts[key] = quota
    for key, times in taken.items():
        quota = facts[key]
        if not quota.rate:
            continue
        times.sort()
        for first in range(len(times)):
            for last in range(first, len(times)):
                seconds = times[last] - times[first] + 2 * SOON
                assert last - first + 1 <= quota.burst + quota.rate / quota.per * seconds + 1e-6


# --- what the provider says ------------------------------------------------------------------------------------------


def test_a_limit_closes_the_connection_and_nobody_else() -> None:
    """Without a budget of its own for the operation, what was told holds for the connection."""
    buckets = Buckets()
    buckets.kept.update(close(wanted("issues.list"), {}, 50.0))
    assert buckets.start(wanted("issues.list"), 10.0) == 50.0
    assert buckets.start(wanted("search.issues"), 10.0) == 50.0
    assert buckets.start(wanted("issues.list", connection="bob"), 10.0) == 10.0
    assert buckets.start(wanted("issues.list", tenant="other"), 10.0) == 10.0


def test_a_limit_on_an_operation_with_a_budget_closes_that_budget() -> None:
    """GitHub's search is closed, its other calls go on."""
    buckets = Buckets()
    buckets.kept.update(close(wanted("search.issues", quotas=(GENERAL, SEARCH)), {}, 50.0))
    assert buckets.start(wanted("search.issues", quotas=(GENERAL, SEARCH)), 10.0) == 50.0
    assert buckets.start(wanted("issues.list", quotas=(GENERAL, SEARCH)), 10.0) == 10.0


def test_a_closed_bucket_past_the_deadline_is_the_providers_limit() -> None:
    """The failure says whose word it was, and when it opens."""
    buckets = Buckets()
    buckets.kept.update(close(wanted("x"), {}, 86_400.0))
    failure = buckets.refusal(wanted("x"), 0.0, deadline=30.0)
    assert failure.reason is Reason.PROVIDER_RATE_LIMITED
    assert failure.retry_after == 86_400.0
    assert failure.bucket == "told"


def test_a_bucket_is_never_opened_by_an_earlier_time() -> None:
    """Two answers cross: the later time holds."""
    kept = close(wanted("x"), {}, 50.0)
    kept = close(wanted("x"), kept, 20.0)
    (bucket,) = kept.values()
    assert bucket.closed_until == 50.0


def test_what_says_nothing_can_be_forgotten() -> None:
    """A bucket that is full and open is as good as a new one."""
    assert idle(Bucket(), 0.0)
    assert idle(Bucket(5.0, 3.0), 5.0)
    assert not idle(Bucket(5.0, 3.0), 4.9)
    assert not idle(Bucket(5.0, 9.0), 6.0)
    assert not idle(Bucket(waiting=1), 6.0)


def test_what_the_provider_may_close_has_no_rate_of_its_own() -> None:
    """It never makes anybody wait by itself."""
    assert TOLD.rate == 0
