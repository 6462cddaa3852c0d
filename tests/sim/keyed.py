"""A process that runs calls with idempotency keys by the protocols of their records, in the simulated world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sidecar.core import once, settle
from sidecar.core.once import BEAT_SECONDS, FENCE_SECONDS, Claiming, Shown, taken_over
from sidecar.core.settle import SETTLE_SECONDS, Settling
from sidecar.kept import Done, Free, Kept, KeptFailure, Open, Pending, State, told_outcome
from sidecar.model import Failure, Outcome, Reason, SideEffect, Success
from sidecar.once import written
from sidecar.store.write import Conflict, Wanted
from sidecar.store.write import Outcome as WriteOutcome
from tests.sim.actor import Actor, Running, Step
from tests.sim.cluster import Cluster, Nobody, Seen
from tests.sim.deeds import Asked, Deeds, Job
from tests.sim.provider import Answered, Cut, Provider
from tests.sim.world import World
from tests.sim.writer import ATTEMPT_SECONDS, Writer, record_step

CALL_SECONDS = (0.5, 30.0)
BETWEEN_SECONDS = (0.05, 4.0)
QUOTA_SECONDS = (0.0, 25.0)  # that a call may wait between its claim and its exchange
WRITE_SECONDS = 5.0
SETTLED_SECONDS = 0.5
DAY = 24 * 3600
RUNS = 3  # of durable calls, for each job
AWAY = Failure(reason=Reason.STORE_UNAVAILABLE, detail="no answer")
UNKNOWN = Failure(reason=Reason.OUTCOME_UNKNOWN, detail="no answer", side_effect=SideEffect.UNKNOWN)
LIMITED = Failure(reason=Reason.PROVIDER_RATE_LIMITED, detail="429")
FAILED = Failure(reason=Reason.PROVIDER_5XX, detail="500", side_effect=SideEffect.UNKNOWN)
LOST = KeptFailure(reason=Reason.OUTCOME_UNKNOWN, detail="its process died", side_effect=SideEffect.UNKNOWN)

ClaimStep = Step[Claiming, once.Event, once.Effect]
SettleStep = Step[Settling, once.Event, settle.Effect]


def claim_step(
    state: Claiming, event: once.Event, now: float, jitter: float
) -> tuple[Claiming, tuple[once.Effect, ...]]:
    state, effect = once.step(state, event, now, jitter)
    return state, (effect,)


def settle_step(
    state: Settling, event: once.Event, now: float, jitter: float
) -> tuple[Settling, tuple[settle.Effect, ...]]:
    state, effect = settle.step(state, event, now, jitter)
    return state, (effect,)


@dataclass(slots=True)
class Hold:
    """The record of a call under way. `waiting` is what is done when the beat that is being written has ended."""

    asked: Asked
    pending: Pending
    revision: int | None
    confirmed: float
    over: bool = False
    busy: bool = False
    waiting: list[Callable[[], None]] = field(default_factory=list)


class Keyed:
    """Calls come by chance while it is `busy`, for any of the jobs."""

    def __init__(
        self,
        world: World,
        cluster: Cluster,
        deeds: Deeds,
        jobs: list[Job],
        name: str,
        *,
        claim: ClaimStep = claim_step,
        settle: SettleStep = settle_step,
    ) -> None:
        self.actor = Actor(world, name, clock_offset=world.random.uniform(-600, 600))
        self.busy = True
        self.ambush: Callable[[Keyed], None] | None = None  # what happens at the worst time, once
        self._world = world
        self._cluster = cluster
        self._deeds = deeds
        self._provider: Provider = deeds.provider
        self._jobs = jobs
        self._claim = claim
        self._settle = settle
        self._named = 0
        self._standing: dict[str, tuple[int, float]] = {}

    def live(self) -> None:
        self.actor.after(self._world.random.uniform(*BETWEEN_SECONDS), self._serve)

    def come_back(self) -> None:
        """Start again: what it held in memory is gone."""
        self._standing.clear()
        self.actor.restart(self._world.random.uniform(-600, 600))
        self.live()

    def _serve(self) -> None:
        if self.busy:
            dice = self._world.random
            job = dice.choice(self._jobs)
            run = f"{job.key}.{dice.randrange(RUNS)}"
            if dice.random() < 0.1:
                self._cancel(job, run)
            else:
                payload = "b" if dice.random() < 0.1 else "a"
                self.call(job, payload, dice.uniform(*CALL_SECONDS), run=run if dice.random() < 0.3 else None)
            self.live()

    def _cancel(self, job: Job, run: str) -> None:
        """As `withdraw.py` does: look, bar it, and only then tell."""

        def seen(shown: Shown) -> None:
            found = shown.found
            bar = None if isinstance(found, Failure) else once.barred(found, run)
            if bar is not None and bar == found:
                self._deeds.cancels(run)
            elif bar is not None:
                self._write(job, bar, None if found is None else shown.revision, wrote, WRITE_SECONDS)

        def wrote(event: once.Event) -> None:
            if isinstance(event, once.Stored):
                self._deeds.cancels(run)

        self._look(job, seen, ATTEMPT_SECONDS)

    def call(self, job: Job, payload: str, seconds: float, *, run: str | None = None, final: bool = False) -> None:
        self._named += 1
        actor = self.actor
        name = f"{actor.name}.{actor.life}.{self._named}"
        asked = Asked(name, job, payload, actor, actor.life, actor.now + seconds, actor.stood_still, final, run)
        self._deeds.asked.append(asked)
        ours = Pending(payload, name)
        lost = Done(fingerprint=payload, attempt=name, call_id=name, attempts=0, outcome=LOST, judged=True)
        standing, since = self._standing.pop(job.key, (0, 0.0))
        state = Claiming(
            ours=ours,
            again=job.again,
            lost=lost,
            deadline=asked.deadline,
            run=run,
            standing=standing,
            since=since,
        )
        hold = Hold(asked, ours, None, actor.now)
        claim: Running[Claiming, once.Event, once.Effect] = Running(
            actor, self._claim, state, lambda effect: self._claiming(claim, hold, effect)
        )
        claim.give(once.Began())

    # --- the claim ---------------------------------------------------------------------------------------------------

    def _claiming(self, run: Running[Claiming, once.Event, once.Effect], hold: Hold, effect: once.Effect) -> None:
        asked = hold.asked
        self._world.tell(f"{asked.name} {asked.job.key} -> {effect}")
        match effect:
            case once.Look():
                self._look(asked.job, run.give, asked.deadline - self.actor.now)
            case once.Write(state, revision):
                hold.confirmed = self.actor.now
                left = min(WRITE_SECONDS, max(0.0, asked.deadline - self.actor.now))
                self._write(asked.job, state, revision, run.give, left)
            case once.Pause(seconds):
                self.actor.after(seconds, lambda: run.give(once.Woke()))
            case once.Go(pending, revision):
                hold.pending, hold.revision, asked.doubt = pending, revision, pending.doubt
                self._fall_into_ambush()
                self._beat_later(hold)
                wait = self._world.random.uniform(*QUOTA_SECONDS) if self._world.chance(0.2) else 0.0
                self.actor.after(min(wait, max(0.0, asked.deadline - self.actor.now)), lambda: self._fence(hold))
            case once.Replay(done):
                self._deeds.told(asked, told_outcome(done.outcome))
            case once.Stop(failure, abandoned):
                if run.state.standing:
                    self._standing[asked.job.key] = (run.state.standing, run.state.since)
                self._deeds.told(asked, failure)
                if abandoned is not None:
                    hold.pending, hold.revision = abandoned, None
                    self._begin_to_settle(hold, settle.abandoned(abandoned))

    # --- the exchange ------------------------------------------------------------------------------------------------

    def _fence(self, hold: Hold) -> None:
        """Send, on a record that was confirmed a moment ago."""
        now, asked = self.actor.now, hold.asked
        if now >= asked.deadline:
            self._end(hold, Failure(reason=Reason.BEFORE_SEND, detail="too late"))
        elif now - hold.confirmed >= FENCE_SECONDS:
            self._end(hold, AWAY)
        else:
            self._send(hold)

    def _send(self, hold: Hold) -> None:
        asked, actor, life = hold.asked, self.actor, self.actor.life
        self._deeds.sends(asked)
        answered = False

        def take(said: Answered | Cut | None) -> None:
            nonlocal answered
            if not answered:
                answered = True
                self._end(hold, _outcome(asked, said))

        key = asked.request if asked.job.keys else ""
        self._provider.exchange(asked.request, lambda said: actor.hear(life, lambda: take(said)), key=key)
        actor.after(max(0.0, asked.deadline - actor.now), lambda: take(None))

    def _end(self, hold: Hold, outcome: Outcome) -> None:
        """The outcome is known: kept first, told then, without waiting for long."""
        asked = hold.asked
        doubt = asked.doubt or taken_over(self.actor.now - hold.confirmed, again=asked.job.again)
        if doubt and isinstance(outcome, Failure) and outcome.side_effect is SideEffect.NONE:
            outcome = msgspec.structs.replace(outcome, side_effect=SideEffect.UNKNOWN)
        self._deeds.ended(asked, outcome)
        self._fall_into_ambush()
        wanted = settle.wanted(hold.pending, outcome, again=asked.job.again, call_id=asked.name, attempts=1)

        def tell() -> None:
            if asked.outcome is None:
                self._deeds.told(asked, outcome)

        hold.over = True

        def begin() -> None:
            self._begin_to_settle(hold, wanted, tell)

        self.actor.after(max(0.0, min(SETTLED_SECONDS, asked.deadline - self.actor.now)), tell)
        if hold.busy:
            hold.waiting.append(begin)
        else:
            begin()

    # --- the record --------------------------------------------------------------------------------------------------

    def _beat_later(self, hold: Hold) -> None:
        self.actor.after(BEAT_SECONDS, lambda: self._beat(hold))

    def _beat(self, hold: Hold) -> None:
        if hold.over:
            return
        if hold.revision is None:
            self._look(hold.asked.job, lambda shown: self._found(hold, shown), ATTEMPT_SECONDS)
            return
        hold.busy, began = True, self.actor.now

        def wrote(event: once.Event) -> None:
            hold.busy = False
            if isinstance(event, once.Stored):
                hold.revision, hold.confirmed = event.revision, began
            elif not isinstance(event, once.Refused):
                hold.revision = None
            for act in hold.waiting:
                act()
            self._beat_later(hold)

        self._write(hold.asked.job, hold.pending, hold.revision, wrote, BEAT_SECONDS)

    def _found(self, hold: Hold, shown: once.Event) -> None:
        ours = isinstance(shown, Shown) and isinstance(shown.found, Pending)
        if ours and isinstance(shown, Shown) and shown.found == hold.pending:
            hold.revision = shown.revision
            self._beat(hold)
        else:
            self._beat_later(hold)

    def _begin_to_settle(
        self, hold: Hold, wanted: Done | Open | Free | None, settled: Callable[[], None] = lambda: None
    ) -> None:
        hold.over = True
        state = Settling(
            attempt=hold.pending.attempt,
            wanted=wanted,
            smaller=settle.smaller(wanted) if isinstance(wanted, Done) else None,
            revision=hold.revision,
            until=self.actor.now + SETTLE_SECONDS,
        )
        run: Running[Settling, once.Event, settle.Effect] = Running(
            self.actor, self._settle, state, lambda effect: self._settling(run, hold, effect, settled)
        )
        run.give(once.Began())

    def _settling(
        self,
        run: Running[Settling, once.Event, settle.Effect],
        hold: Hold,
        effect: settle.Effect,
        settled: Callable[[], None],
    ) -> None:
        job = hold.asked.job
        self._world.tell(f"{hold.asked.name} settles {job.key} {type(effect).__name__}")
        match effect:
            case once.Look():
                self._look(job, run.give, ATTEMPT_SECONDS)
            case once.Write(state, revision):
                self._write(job, state, revision, run.give, WRITE_SECONDS)
            case settle.Delete(revision):
                self._write(job, None, revision, run.give, WRITE_SECONDS)
            case once.Pause(seconds):
                self.actor.after(seconds, lambda: run.give(once.Woke()))
            case settle.Over():
                settled()

    def _look(self, job: Job, then: Callable[[Shown], None], seconds: float) -> None:
        answered = False

        def take(seen: Seen | Nobody | None) -> None:
            nonlocal answered
            if answered:
                return
            answered = True
            if not isinstance(seen, Seen):
                then(Shown(AWAY))
            elif seen.stored is None or seen.stored.write.delete:
                then(Shown(None))
            else:
                then(Shown(msgspec.json.decode(seen.stored.write.value, type=Kept).state, seen.stored.revision))

        life = self.actor.life
        self._cluster.look(job.key, lambda seen: self.actor.hear(life, lambda: take(seen)))
        self.actor.after(max(0.0, min(ATTEMPT_SECONDS, seconds)), lambda: take(None))

    def _write(
        self, job: Job, state: State | None, revision: int | None, then: Callable[[once.Event], None], seconds: float
    ) -> None:
        """As the store does: a creation takes the place of a deletion's mark."""
        value = None if state is None else msgspec.json.encode(Kept(state))
        deadline = self.actor.now + seconds

        def wrote(outcome: WriteOutcome) -> None:
            if revision is None and isinstance(outcome, Conflict):
                self._mark(job, deadline, lambda mark: self._over_mark(job, value, mark, outcome, deadline, then))
            else:
                then(written(job.key, outcome))

        self._put(job, value, revision, deadline, wrote)

    def _mark(self, job: Job, deadline: float, then: Callable[[int | None], None]) -> None:
        """The revision of a deletion's mark, where the record is one."""
        answered = False

        def take(seen: Seen | Nobody | None) -> None:
            nonlocal answered
            if not answered:
                answered = True
                stored = seen.stored if isinstance(seen, Seen) else None
                then(stored.revision if stored is not None and stored.write.delete else None)

        life = self.actor.life
        self._cluster.look(job.key, lambda seen: self.actor.hear(life, lambda: take(seen)))
        self.actor.after(max(0.0, min(ATTEMPT_SECONDS, deadline - self.actor.now)), lambda: take(None))

    def _over_mark(
        self,
        job: Job,
        value: bytes | None,
        mark: int | None,
        outcome: WriteOutcome,
        deadline: float,
        then: Callable[[once.Event], None],
    ) -> None:
        if mark is None:
            then(written(job.key, outcome))
        else:
            self._put(job, value, mark, deadline, lambda second: then(written(job.key, second)))

    def _put(
        self, job: Job, value: bytes | None, revision: int | None, deadline: float, ended: Callable[[Any], None]
    ) -> None:
        self._named += 1
        message_id = f"{self.actor.name}.{self.actor.life}.w{self._named}"
        wanted = Wanted(key=job.key, value=value, expected=revision, message_id=message_id, deadline=deadline, ttl=DAY)
        Writer(self.actor, self._cluster, record_step, wanted, ended).begin()

    def _fall_into_ambush(self) -> None:
        if self.ambush is not None and self._world.chance(0.3):
            ambush, self.ambush = self.ambush, None
            self._world.after(self._world.random.uniform(0, 0.004), lambda: ambush(self))


def _outcome(asked: Asked, said: Answered | Cut | None) -> Outcome:
    match said:
        case Answered(status=200):
            return Success(body=asked.request.encode() if asked.job.keys else asked.name.encode())
        case Answered(status=429):
            return LIMITED
        case Answered():
            return FAILED
        case _:
            return UNKNOWN
