"""What the callers were told of calls with idempotency keys, held against what the provider did: their promises."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from sidecar.model import Failure, Outcome, Reason, SideEffect, Success
from tests.sim.actor import Actor
from tests.sim.provider import Provider
from tests.sim.world import World

SLACK_SECONDS = 0.01


@dataclass(slots=True)
class Job:
    """What is to be done once. `again`: sending it twice is safe; `keys`: as the provider does it once for a key."""

    key: str
    again: bool
    keys: bool


@dataclass(slots=True)
class Asked:
    """One call: whose, for what, until when, and how it ended. `run` names it where it is one of a durable call.
    `doubt`: an earlier one may have been sent; `nothing`: it is known to have done nothing.
    """

    name: str
    job: Job
    payload: str
    actor: Actor
    life: int
    deadline: float
    still_before: float
    final: bool
    run: str | None = None
    sent: bool = False
    doubt: bool = False
    nothing: bool = False
    outcome: Outcome | None = None

    @property
    def request(self) -> str:
        return f"{self.job.key}/{self.payload}"


@dataclass
class Deeds:
    """Every call of one run. `settle` looks at what can be judged in the end only."""

    world: World
    provider: Provider
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)

    def told(self, asked: Asked, outcome: Outcome) -> None:
        world = self.world
        world.check("a call ends once", asked.outcome is None, asked)
        late = asked.actor.now - asked.deadline - (asked.actor.stood_still - asked.still_before)
        world.check("a call ends by its deadline", late <= SLACK_SECONDS, f"{asked.name} {late:.3f} s late")
        asked.outcome = outcome
        done = self.provider.done[asked.request]
        if isinstance(outcome, Success):
            world.outcomes["ok"] += 1
            world.check("what is told as done was done", done >= 1, asked)
            if not asked.job.again:
                first = self.answers.setdefault(asked.request, outcome.body)
                world.check("all are told alike", outcome.body == first, f"{asked.name} {outcome.body!r} {first!r}")
            return
        world.outcomes[str(outcome.reason)] += 1
        if outcome.reason is Reason.IDEMPOTENCY_MISMATCH:
            world.check("a refusal of another input sends nothing", not asked.sent, asked)

    def cancels(self, run: str) -> None:
        """Who cancelled this run is told that nothing was done, and will be."""
        self.cancelled.add(run)
        self.world.outcomes["cancelled"] += 1
        begun = [asked.name for asked in self.asked if asked.run == run and asked.sent and not asked.nothing]
        self.world.check("what is told as cancelled had not begun", not begun, f"{run} {begun}")

    def sends(self, asked: Asked) -> None:
        self.world.check("what was told as cancelled is not sent", asked.run not in self.cancelled, asked.name)
        asked.sent = True

    def ended(self, asked: Asked, outcome: Outcome) -> None:
        """What the one who sent it knows now, and will tell."""
        if isinstance(outcome, Failure) and outcome.side_effect is SideEffect.NONE:
            asked.nothing = not self.total(asked.job)
            self.world.check("what is known to have done nothing did nothing", asked.nothing, asked)

    def total(self, job: Job) -> int:
        """How often the provider did anything for this key."""
        return sum(times for request, times in self.provider.done.items() if request.startswith(f"{job.key}/"))

    def settle(self) -> None:
        by_job: dict[str, list[Asked]] = defaultdict(list)
        for asked in self.asked:
            by_job[asked.job.key].append(asked)
        for calls in by_job.values():
            job = calls[0].job
            inputs = [request for request in {call.request for call in calls} if self.provider.done[request]]
            if not job.again or job.keys:
                self.world.check("a key is done once", self.total(job) <= 1, f"{job} {self.total(job)}")
            self.world.check("a key does one thing", len(inputs) <= 1, f"{job} {inputs}")
            for call in calls:
                self._ended(call)
                if call.final:
                    self._stays(call, calls)

    def _ended(self, call: Asked) -> None:
        gone = call.life != call.actor.life
        self.world.check("every call of a living process ends", gone or call.outcome is not None, call)

    def _stays(self, final: Asked, calls: list[Asked]) -> None:
        """Asked once more when all is calm: there is an answer, and what was told before is told again."""
        outcome = final.outcome
        passing = {Reason.IN_PROGRESS, Reason.STORE_UNAVAILABLE, Reason.STORE_FULL}
        answered = isinstance(outcome, Success) or (isinstance(outcome, Failure) and outcome.reason not in passing)
        self.world.check("in the end every key has its answer", answered, f"{final.name} {outcome}")
        for call in calls:
            lived = call.life == call.actor.life
            if call.request == final.request and lived and isinstance(call.outcome, Success) and not call.final:
                same = isinstance(outcome, Success) and (call.job.again or outcome.body == call.outcome.body)
                # A full store may keep that it was done, not its output.
                same = same or (isinstance(outcome, Failure) and outcome.side_effect is SideEffect.DONE)
                self.world.check("what was told as done stays done", same, f"{call.name} {final.name} {outcome}")
