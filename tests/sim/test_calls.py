"""Breaker, retries and their budget keep their promises at a provider in trouble; each can be seen to break."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from sidecar.core.breaker import Breaker, BreakerPolicy, Entry, closed_for, entered, left, shown
from sidecar.core.retry import Decision, retry
from sidecar.model import Outcome
from tests.sim.calls import BUDGET, Rules, simulate
from tests.sim.world import Violated

SEEDS = range(60)


def test_every_promise_holds_in_every_world() -> None:
    """Every weather was met, every promise looked at, none broken."""
    faults, checks, outcomes = Counter[str](), Counter[str](), Counter[str]()
    for seed in SEEDS:
        world = simulate(seed)
        faults += world.faults
        checks += world.checks
        outcomes += world.outcomes
    assert set(faults) == {"fine", "fails", "away", "loses", "throttles", "mixed"}
    assert len(checks) == 12
    assert {"ok", "CIRCUIT_OPEN", "PROVIDER_5XX", "OUTCOME_UNKNOWN", "CONNECT_FAILED", "CANCELLED_BY_CALLER"} <= set(
        outcomes
    )


def test_a_seed_is_one_world() -> None:
    """The same seed gives the same bytes; another seed gives others."""
    trace = simulate(7).trace
    assert simulate(7).trace == trace
    assert simulate(8).trace != trace


def many_probes(breaker: Breaker, now: float) -> float:
    return 0.0 if breaker.until is None else max(0.0, breaker.until - now)


def six(_policy: BreakerPolicy, breaker: Breaker, entry: Entry, **also: Any) -> Breaker:
    return left(BreakerPolicy(failures=6), breaker, entry, **also)


def ten_seconds(_policy: BreakerPolicy, breaker: Breaker, entry: Entry, **also: Any) -> Breaker:
    return left(BreakerPolicy(open_seconds=10), breaker, entry, **also)


def late_news(policy: BreakerPolicy, breaker: Breaker, entry: Entry, **also: Any) -> Breaker:
    return left(policy, breaker, Entry(breaker.opened, entry.probe), **also)


def lost_probe(policy: BreakerPolicy, breaker: Breaker, entry: Entry, *, works: bool | None, **also: Any) -> Breaker:
    return breaker if works is None else left(policy, breaker, entry, works=works, **also)


def never_closes(policy: BreakerPolicy, breaker: Breaker, entry: Entry, *, works: bool | None, **also: Any) -> Breaker:
    return left(policy, breaker, entry, works=False if entry.probe else works, **also)


def no_probe(breaker: Breaker) -> tuple[Breaker, Entry]:
    return breaker, Entry(breaker.opened, probe=False)


def blind(policy: BreakerPolicy, result: Outcome, lasted: float) -> bool | None:
    return shown(policy, result, lasted) or None


def bold(*known: Any, repeatable: bool, **also: Any) -> Decision:
    return retry(*known, repeatable=True, **also)


def tireless(*known: Any, left: float, **also: Any) -> Decision:
    return retry(*known, left=left + 60, **also)


def sure(breaker: Breaker) -> tuple[Breaker, Entry]:
    after, entry = entered(breaker)
    return replace(after, probing=False), entry


PLANTED = [
    pytest.param(Rules(closed_for=many_probes), "one probe at a time", id="everybody probes"),
    pytest.param(Rules(entered=sure), "one probe at a time", id="the probe is forgotten"),
    pytest.param(Rules(entered=no_probe), "what passes an open breaker is its probe", id="no probe"),
    pytest.param(Rules(left=six), "a breaker opens after five failures in a row", id="six failures"),
    pytest.param(Rules(left=ten_seconds), "an open breaker is left alone", id="open for ten seconds"),
    pytest.param(Rules(left=late_news), None, id="late news counts"),
    pytest.param(Rules(left=lost_probe), "a breaker closes by itself", id="a cancelled probe is lost"),
    pytest.param(Rules(left=never_closes), "a breaker closes by itself", id="no way back"),
    pytest.param(Rules(closed_for=lambda breaker, now: 0 * closed_for(breaker, now)), None, id="never open"),
    pytest.param(Rules(shown=blind), None, id="failures show nothing"),
    pytest.param(Rules(retry=bold), "a write that cannot be repeated is done once", id="writes are sent again"),
    pytest.param(Rules(cost=lambda _reason: 0), "retries that do not help are few", id="retries cost nothing"),
    pytest.param(Rules(earned=lambda _tokens, _cost: BUDGET.most), "retries that do not help are few", id="all back"),
]


@pytest.mark.parametrize(("rules", "promise"), PLANTED)
def test_a_planted_bug_is_caught(rules: Rules, promise: str | None) -> None:
    """By the promise that it breaks."""
    broken = first_broken(lambda seed: simulate(seed, rules))
    assert broken is not None
    assert promise is None or broken == promise


def first_broken(run: Callable[[int], object]) -> str | None:
    for seed in range(400):
        try:
            run(seed)
        except Violated as violated:
            return violated.invariant
    return None
