"""Calls at a provider in trouble: breaker, retries and their budget, as one process of ours runs them.

The provider has weather: it works, it fails, it is away, it loses answers, it throttles. Its own log says what was
done; what callers were told is held against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from sidecar.core.breaker import Breaker, BreakerPolicy, Entry, closed_for, entered, left, shown
from sidecar.core.retry import Decision, RetryPolicy, retry
from sidecar.core.retry_budget import RetryBudget
from sidecar.model import Access, Failure, Outcome, Reason, SideEffect, Success, retryable
from tests.sim.world import World

RUN_SECONDS = 120.0
AFTER_SECONDS = 120.0
POLICY, RETRIES, BUDGET = BreakerPolicy(), RetryPolicy(), RetryBudget()
WEATHERS = ("fine", "fails", "away", "loses", "throttles", "mixed")
LIMITED = 429
KNOWN = (SideEffect.NONE, SideEffect.UNKNOWN, SideEffect.DONE)


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides; a test plants its bug in one of them."""

    closed_for: Callable[[Breaker, float], float] = closed_for
    entered: Callable[[Breaker], tuple[Breaker, Entry]] = entered
    left: Callable[..., Breaker] = left
    shown: Callable[[BreakerPolicy, Outcome, float], bool | None] = shown
    retry: Callable[..., Decision] = retry
    cost: Callable[[Reason], int] = BUDGET.cost
    earned: Callable[[int, int], int] = BUDGET.earned


@dataclass(slots=True)
class Call:
    name: str
    tenant: str
    access: Access
    repeatable: bool
    deadline: float
    attempts: int = 0
    cost: int = 0
    side_effect: SideEffect = SideEffect.NONE
    last: Failure | None = None


@dataclass(slots=True)
class Provider:
    """Its weather, and its log."""

    world: World
    weather: str = "fine"
    since: float = 0.0
    arrived: list[float] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    def turns(self, weather: str) -> None:
        self.weather, self.since = weather, self.world.now
        self.world.fault(weather)

    def take(self, call: Call) -> Outcome:
        """What comes back of one request that reached it, and whether it did something."""
        dice, weather = self.world.random, self.weather
        if weather == "mixed":
            weather = dice.choice(WEATHERS[:5])
        if weather == "away":
            return Failure(reason=Reason.CONNECT_FAILED, detail="refused")
        self.arrived.append(self.world.now)
        if weather == "throttles":
            return Failure(
                reason=Reason.PROVIDER_RATE_LIMITED,
                detail="429",
                provider_status=LIMITED,
                retry_after=dice.uniform(0, 3),
            )
        if weather == "fine" or dice.random() < 0.5:
            self.done[call.name] += 1
        unsure = SideEffect.UNKNOWN if call.access is Access.WRITE else SideEffect.NONE
        if weather == "fails":
            return Failure(reason=Reason.PROVIDER_5XX, detail="500", provider_status=500, side_effect=unsure)
        if weather == "loses":
            return Failure(reason=Reason.OUTCOME_UNKNOWN, detail="reset", side_effect=unsure)
        return Success(body=b"{}")


class Caller:
    """One process: the attempt loop of `execute.py` without what it waits for, and the judge of what it does."""

    def __init__(self, world: World, provider: Provider, rules: Rules) -> None:
        self.world = world
        self.provider = provider
        self.rules = rules
        self.breaker = Breaker()
        self.tokens: dict[str, int] = {}
        self.succeeded: Counter[str] = Counter()
        self.wasted: Counter[str] = Counter()  # retries that did not help, by tenant
        self.under_way = 0
        self.failed_in_a_row = 0
        self.open_since: float | None = None
        self.probes = 0
        self.ends = 0

    def begin(self, call: Call) -> None:
        world, now = self.world, self.world.now
        wait = self.rules.closed_for(self.breaker, now)
        if now >= call.deadline or wait > 0:
            reason = Reason.BEFORE_SEND if now >= call.deadline else Reason.CIRCUIT_OPEN
            self._end(call, call.last or Failure(reason=reason, detail="", retry_after=wait))
            return
        self.breaker, entry = self.rules.entered(self.breaker)
        self._judge_entry(call, entry)
        call.attempts += 1
        self.under_way += 1
        world.after(world.random.uniform(0.01, 0.2), lambda: self._answered(call, entry, now))

    def _judge_entry(self, call: Call, entry: Entry) -> None:
        world = self.world
        world.check("no attempt begins at or past the deadline", world.now < call.deadline, call)
        if self.open_since is not None:
            self.probes += 1
            world.check("one probe at a time", self.probes == 1, call)
            world.check("an open breaker is left alone", world.now >= self.open_since + 0.9 * POLICY.open_seconds, call)
            world.check("what passes an open breaker is its probe", entry.probe, call)
        world.check("a breaker opens after five failures in a row", self.failed_in_a_row < 5 or entry.probe, call)

    def _answered(self, call: Call, entry: Entry, began: float) -> None:
        world, rules = self.world, self.rules
        self.under_way -= 1
        cancelled = world.chance(0.02)
        result = self.provider.take(call)
        works = None if cancelled else rules.shown(POLICY, result, world.now - began)
        before = self.breaker
        self.breaker = rules.left(POLICY, before, entry, works=works, now=world.now)
        answered = isinstance(result, Success) or result.provider_status == LIMITED
        self._judge_breaker(before, entry, works=None if cancelled else answered)
        effect = SideEffect.DONE if isinstance(result, Success) else result.side_effect
        if call.access is Access.WRITE:
            if cancelled:
                effect = SideEffect.UNKNOWN
            call.side_effect = max(call.side_effect, effect, key=KNOWN.index)
        if cancelled:
            self._end(call, Failure(reason=Reason.CANCELLED_BY_CALLER, detail="", side_effect=call.side_effect))
        else:
            self._after(call, result)

    def _judge_breaker(self, before: Breaker, entry: Entry, *, works: bool | None) -> None:
        if entry.probe:
            self.probes -= 1
        if works is not None and entry.opened == before.opened:
            self.failed_in_a_row = 0 if works else self.failed_in_a_row + 1
        if self.breaker.until is None:
            self.open_since = None
        elif before.until is None or self.breaker.opened != before.opened:
            self.open_since = self.world.now
            self.world.tell("opened")

    def _after(self, call: Call, result: Outcome) -> None:
        world, rules = self.world, self.rules
        if isinstance(result, Success):
            self.succeeded[call.tenant] += 1
            self.tokens[call.tenant] = rules.earned(self.tokens.get(call.tenant, BUDGET.most), call.cost)
            self.wasted[call.tenant] -= bool(call.cost)
            self._end(call, result)
            return
        call.last = result
        decision = rules.retry(
            RETRIES,
            call.attempts,
            result,
            access=call.access,
            repeatable=call.repeatable,
            jitter=world.random.random(),
            left=call.deadline - world.now,
        )
        tokens, cost = self.tokens.get(call.tenant, BUDGET.most), rules.cost(result.reason)
        if decision.delay is None or tokens < cost or rules.closed_for(self.breaker, world.now) > 0:
            self._end(call, result)
            return
        self.tokens[call.tenant] = tokens - cost
        call.cost = cost
        self.wasted[call.tenant] += 1
        room = (BUDGET.most + self.succeeded[call.tenant]) / BUDGET.throttled
        world.check("retries that do not help are few", self.wasted[call.tenant] <= room + self.under_way, call.tenant)
        world.after(decision.delay, lambda: self.begin(call))

    def _end(self, call: Call, result: Outcome) -> None:
        world, done = self.world, self.provider.done[call.name]
        self.ends += 1
        world.outcomes["ok" if isinstance(result, Success) else str(result.reason)] += 1
        world.tell(f"{call.name} {call.attempts} {getattr(result, 'reason', 'ok')}")
        if call.access is Access.READ:
            return
        world.check("a write that cannot be repeated is done once", call.repeatable or done <= 1, call)
        if isinstance(result, Failure):
            told = max(call.side_effect, result.side_effect, key=KNOWN.index)
            world.check("what was done is not told as undone", told is not SideEffect.NONE or done == 0, call)
            again = Failure(reason=result.reason, detail="", side_effect=told)
            world.check("what may be sent again was not done", not retryable(again, call.access) or done == 0, call)


def simulate(seed: int, rules: Rules | None = None) -> World:
    """The world of this seed after its run. Raises Violated when a promise was not kept."""
    world = World(seed)
    dice, provider = world.random, Provider(world)
    caller = Caller(world, provider, rules or Rules())
    rate, number, moment = dice.choice((0.3, 1.0, 5.0)), 0, 0.0
    while moment < RUN_SECONDS + AFTER_SECONDS:
        moment += dice.expovariate(rate)
        number += 1
        access = dice.choice((Access.READ, Access.WRITE))
        repeatable = access is Access.READ or dice.random() < 0.3
        deadline = moment + dice.choice((0.1, 2.0, 30.0))
        call = Call(f"c{number}", dice.choice(("a", "a", "b")), access, repeatable, deadline)
        world.at(moment, lambda call=call: caller.begin(call))  # type: ignore[misc]  # the call as it is now
    turn = 0.0
    while (turn := turn + dice.uniform(1, 60)) < RUN_SECONDS:
        world.at(turn, lambda: provider.turns(dice.choice(WEATHERS)))
    world.at(RUN_SECONDS, lambda: provider.turns("fine"))
    world.run(RUN_SECONDS + POLICY.open_seconds + 20)
    before = world.outcomes["ok"]
    world.run(RUN_SECONDS + AFTER_SECONDS + 60)
    world.check("a breaker closes by itself", caller.breaker.until is None and world.outcomes["ok"] > before)
    world.check("every call has one end", caller.ends == number, (caller.ends, number))
    world.check("everything that was begun has ended", caller.under_way == 0)
    return world
