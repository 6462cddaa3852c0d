"""Durable calls in simulated worlds: sidecars take words, run calls, keep what came of them, die and stand still."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sidecar.core import durable
from sidecar.core.durable import Delivery, Effect, Event, Todo
from sidecar.core.rerun import WITHDRAWN, Ran
from sidecar.durable import DurableCall, Stage
from sidecar.kept import KeptFailure, KeptSuccess
from sidecar.model import Access, Failure, Outcome, Reason, SideEffect, Success, TraceContext
from tests.sim.cancels import Fence, cancel, fenced
from tests.sim.waiting import Line, Once, Shelf, Word, in_progress, stopped, unknown_owner
from tests.sim.world import World

DurableStep = Callable[[Delivery, Event, float, float], tuple[Delivery, Effect]]
SIDECARS, CALLS, LATE_CALLS = 3, 8, 2
TROUBLE_SECONDS, SETTLED_SECONDS = 300.0, 3600.0
SKEW_SECONDS, LONGEST_STILL = 2.0, 60.0
AT_ONCE = 4


class Sidecar:
    """One process: takes words, follows each as the step says, dies, stands still, starts again."""

    def __init__(self, place: Place, name: int) -> None:
        self.place, self.world, self.name = place, place.world, name
        self.life, self.running = 0, 0
        self.still_until = 0.0
        self.skew = self.world.random.uniform(-SKEW_SECONDS, SKEW_SECONDS)
        self.held: dict[str, Following] = {}
        self.ending: set[str] = set()
        self.take()

    def take(self) -> None:
        """Look for a word now and then."""
        calm = 1.0 if self.place.once.troubled else 20.0
        self.world.after(self.world.random.uniform(0.1, 1.0) * calm, self.take)
        if self.world.now < self.still_until or self.running >= AT_ONCE:
            return
        word = self.place.line.next(self)
        if word is not None:
            self.running += 1
            follow = Following(self, word)
            follow.give(durable.Began())

    def kill(self) -> None:
        self.world.fault("kill", str(self.name))
        self.life += 1
        self.running, self.held, self.ending = 0, {}, set()
        self.still_until = self.world.now + self.world.random.uniform(0.5, 10)

    def pause(self) -> None:
        self.world.fault("pause", str(self.name))
        self.still_until = self.world.now + self.world.random.uniform(5, LONGEST_STILL)


class Following:
    """One delivery of a word in one life of a sidecar."""

    def __init__(self, sidecar: Sidecar, word: Word) -> None:
        self.sidecar, self.place, self.world = sidecar, sidecar.place, sidecar.world
        self.word, self.life = word, sidecar.life
        self.state = Delivery(word.number, word.timely)
        self.over = self.sent = self.stopped = False
        self.beat()

    def beat(self) -> None:
        if not self.over and self.life == self.sidecar.life:
            if self.world.now >= self.sidecar.still_until:
                self.place.line.hold(self.word, self.sidecar)
            self.world.after(5.0, self.beat)

    def later(self, seconds: float, event: Callable[[], Event]) -> None:
        """Hear of it when so much time went by, and not while standing still or after death."""

        def hear() -> None:
            if self.life != self.sidecar.life:
                return
            if self.world.now < self.sidecar.still_until:
                self.world.at(self.sidecar.still_until, hear)
                return
            self.give(event())

        self.world.after(seconds, hear)

    def give(self, event: Event) -> None:
        wall = self.world.now + self.sidecar.skew
        self.state, effect = self.place.step(self.state, event, wall, self.world.random.random())
        self.world.tell(f"{self.sidecar.name} {self.word.call_id} {type(event).__name__} {type(effect).__name__}")
        self.perform(effect)

    def perform(self, effect: Effect) -> None:
        place = self.place
        match effect:
            case durable.Ack():
                if not place.trouble("lost ack", 0.1):
                    place.line.ack(self.word)
                self.end()
            case durable.GiveBack():
                place.line.give_back(self.word)
                self.end()
            case durable.Leave():
                self.end()
            case _:
                self.carry_out(effect)

    def carry_out(self, effect: Todo) -> None:
        call_id, place, soon = self.word.call_id, self.place, self.world.random.uniform(0.001, 0.2)
        match effect:
            case durable.Look():
                self.later(soon, lambda: place.look(call_id))
            case durable.Bury():
                self.later(soon, lambda: place.bury(call_id))
            case durable.Run(call):
                self.run(call)
            case durable.Write(call, revision, _):
                self.later(soon, lambda: place.write(call_id, call, revision))
            case durable.SayLater(at):
                self.later(soon, lambda: place.say_later(call_id, at))
            case durable.Tell(_):
                place.told.add(call_id)
                self.later(soon, durable.Told)
            case durable.Pause(seconds):
                self.later(seconds, durable.Woke)

    def end(self) -> None:
        self.over = True
        self.sidecar.running -= 1

    def run(self, call: DurableCall) -> None:
        """Run it under its key; what is sent may happen though nobody learns of it."""
        call_id, once, world = self.word.call_id, self.place.once, self.world
        if call_id in self.sidecar.held or call_id in self.sidecar.ending:
            self.later(0.0, durable.Busy)
            return
        if once.keyed and call_id in once.bars:
            self.later(0.01, lambda: Ran(WITHDRAWN))
            return
        self.place.begins(call_id)
        owner = once.pending.get(call_id)
        if once.keyed and call_id in once.done:
            kept = once.done[call_id]
            self.later(0.01, lambda: Ran(kept[0], kept[1]))
            return
        if once.keyed and owner is not None:
            if owner[0].life == owner[1]:
                self.later(1.0, lambda: Ran(in_progress()))
                return
            once.done[call_id] = (unknown_owner(), 1)
            self.later(1.0, lambda: Ran(*once.done[call_id]))
            return
        once.pending[call_id], once.since[call_id] = (self.sidecar, self.life), world.now
        self.sidecar.held[call_id] = self
        answer, takes = once.answer(), world.random.uniform(0.05, 20.0 if world.chance(0.1) else 2.0)
        reaches = isinstance(answer, Success) or answer.reason is Reason.OUTCOME_UNKNOWN

        def sent() -> None:
            if self.life == self.sidecar.life and reaches and not self.stopped:
                self.sent = True
                once.sent(call_id)
                self.place.ambush(self)

        world.after(takes / 2, sent)
        self.later(takes, lambda: self.ran(answer))

    def ran(self, answer: Outcome) -> Event:
        once, call_id = self.place.once, self.word.call_id
        self.sidecar.held.pop(call_id, None)
        once.pending.pop(call_id, None)
        if self.stopped:
            answer = stopped(sent=self.sent)
        unknown = isinstance(answer, Failure) and answer.side_effect is SideEffect.UNKNOWN
        final = isinstance(answer, Success) or unknown or answer.reason is Reason.PROVIDER_REJECTED
        if final:
            once.done[call_id] = (answer, 1)
        return Ran(answer, 1)


class Place:
    """The queue, the records, the provider, the sidecars; and what was promised."""

    def __init__(self, world: World, step: DurableStep, fence: Fence, *, keyed: bool) -> None:
        self.world, self.step, self.fence = world, step, fence
        self.line, self.shelf, self.once = Line(world), Shelf(world), Once(world, keyed)
        self.promised: dict[str, float] = {}
        self.told: set[str] = set()
        self.withdrawn: set[str] = set()  # told as cancelled before they began
        self.sidecars = [Sidecar(self, number) for number in range(SIDECARS)]

    def trouble(self, name: str, probability: float) -> bool:
        if self.once.troubled and self.world.chance(probability):
            self.world.fault(name)
            return True
        return False

    def submit(self, call_id: str, due: float | None = None) -> None:
        """As `submit.py` does: the record, then the word, and only then the promise."""
        if due is None and self.world.chance(0.3):
            due = self.world.now + self.world.random.uniform(5, 120)
        call = DurableCall(
            provider="p",
            operation="o",
            access=Access.WRITE,
            input=b"{}",
            timeout_ms=30_000,
            trace=TraceContext("", ""),
            submitted=self.world.now,
            due=due,
        )
        self.shelf.write(call_id, call, 0)
        if self.trouble("submit cut off", 0.1):
            return
        self.line.put(call_id, due or self.world.now, timely=due is not None)
        self.promised[call_id] = due or 0.0

    def ambush(self, following: Following) -> None:
        """Now and then whoever sent a call dies before it can tell, and somebody cancels it."""
        call_id = following.word.call_id
        if self.once.troubled and self.world.chance(0.05):
            following.sidecar.kill()
            self.world.after(self.world.random.uniform(1, 10), partial(self.cancel, call_id))

    def cancel(self, call_id: str) -> None:
        cancel(self, call_id, self.fence)

    def forge(self, call_id: str) -> None:
        """A word that nobody needed: what was meant to be said once is said by two."""
        self.world.fault("a word too many", call_id)
        self.line.put(call_id, 0.0, timely=False)

    def look(self, call_id: str) -> Event:
        if self.trouble("store away", 0.05):
            return durable.Shown(Failure(reason=Reason.STORE_UNAVAILABLE, detail=""))
        revision, found = self.shelf.read(call_id, stale=self.trouble("stale read", 0.15))
        return durable.Shown(found, revision)

    def bury(self, call_id: str) -> Event:
        if self.trouble("write lost", 0.1):
            return durable.NotGone()
        return durable.NotGone() if self.shelf.truth(call_id) else durable.Gone()

    def write(self, call_id: str, call: DurableCall, revision: int) -> Event:
        if self.trouble("write lost", 0.1):
            return durable.NotStored()
        if not self.shelf.write(call_id, call, revision):
            return durable.Overtaken()
        return durable.NotStored() if self.trouble("answer to a write lost", 0.1) else durable.Stored()

    def say_later(self, call_id: str, at: float) -> Event:
        if self.trouble("put off lost", 0.15):
            return durable.NotPutOff()
        self.line.put(call_id, at, timely=True)
        return durable.NotPutOff() if self.trouble("answer to a put off lost", 0.1) else durable.PutOff()

    def begins(self, call_id: str) -> None:
        due = self.promised.get(call_id, 0.0)
        early = due - SKEW_SECONDS
        self.world.check("nothing runs before its time", self.world.now >= early, f"{call_id} {due - self.world.now}")

    def judge(self) -> None:
        """When all trouble is over for long."""
        check = self.world.check
        for call_id in self.promised:
            call, happened = self.shelf.truth(call_id), self.once.happened.get(call_id, 0)
            check("an acknowledged call is kept", call is not None, call_id)
            if call is None:
                continue
            check("an acknowledged call comes to an end", call.stage is not Stage.WAITING, f"{call_id} {call}")
            check("its end is told", call_id in self.told, call_id)
            ended = call.ended
            if isinstance(ended, KeptSuccess):
                check("what is told as done happened once", happened == 1, f"{call_id} {happened}")
            elif isinstance(ended, KeptFailure):
                self.world.outcomes[ended.reason] += 1
                none = ended.side_effect is SideEffect.NONE
                check("what is told as nothing was nothing", not none or happened == 0, f"{call_id} {happened}")
            self.world.outcomes[call.stage] += 1
        for call_id in self.withdrawn:
            done = self.once.happened.get(call_id, 0)
            check("what was told as cancelled before it began is not done", done == 0, call_id)
        for call_id, number in self.once.happened.items():
            check("nothing happens twice", number <= 1, f"{call_id} {number}")
        check("no word is left", not self.line.words, self.line.words)


def simulate(seed: int, step: DurableStep = durable.step, *, keyed: bool = True, fence: Fence = fenced) -> World:
    """One world: calls are submitted in the midst of trouble, then it settles."""
    world = World(seed)
    place = Place(world, step, fence, keyed=keyed)
    for number in range(CALLS):
        world.at(world.random.uniform(0, TROUBLE_SECONDS / 2), partial(place.submit, f"c{number}"))
    for _ in range(6):
        victim = world.random.choice(place.sidecars)
        world.at(world.random.uniform(0, TROUBLE_SECONDS), world.random.choice((victim.kill, victim.pause)))
    for number in range(CALLS):
        if world.chance(0.3):
            world.at(world.random.uniform(0, TROUBLE_SECONDS), partial(place.forge, f"c{number}"))
    for number in range(CALLS):
        if world.chance(0.4):
            world.at(world.random.uniform(0, TROUBLE_SECONDS), partial(place.cancel, f"c{number}"))
    for number in range(LATE_CALLS):
        call_id, calm = f"late{number}", TROUBLE_SECONDS + LONGEST_STILL
        world.at(world.random.uniform(0, TROUBLE_SECONDS), partial(place.submit, call_id, calm + 60.0))
        world.at(world.random.uniform(calm, calm + 30.0), partial(place.cancel, call_id))
    world.run(TROUBLE_SECONDS)
    place.once.troubled = False
    world.run(TROUBLE_SECONDS + SETTLED_SECONDS)
    place.judge()
    return world
