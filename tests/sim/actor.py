"""A process of ours in the simulated world: it runs protocols, stands still, dies, comes back, and its clock is off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from tests.sim.world import Act, World

State = TypeVar("State")
Event = TypeVar("Event")
Effect = TypeVar("Effect")

MOMENT = 1e-6  # seconds; no timer is shorter, so that time goes on whatever a clock's rounding leaves

# A protocol: a pure step. `now` is the actor's own clock in seconds, `random` uniform in [0, 1).
Step = Callable[[State, Event, float, float], tuple[State, Sequence[Effect]]]


class Actor:
    """What it was to do while it stood still happens when it goes on; what it was to do when it died never does."""

    def __init__(self, world: World, name: str, *, clock_offset: float = 0.0, clock_rate: float = 1.0) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.life = 0
        self.clock_offset = clock_offset
        self.clock_rate = clock_rate  # seconds of its own in a true one
        self.stood_still = 0.0  # seconds, together
        self._still_until = 0.0

    @property
    def now(self) -> float:
        """Monotonic seconds of this process: from an origin of its own, which another start does not share."""
        return self.world.now * self.clock_rate + self.clock_offset

    def after(self, seconds: float, act: Act) -> None:
        """Do this then, by its own clock, if this life of the process lasts so long."""
        life = self.life
        self.world.after(max(seconds / self.clock_rate, MOMENT), lambda: self._do(life, act))

    def hear(self, life: int, act: Act) -> None:
        """Do this now that an answer came, if the life that asked for it lasts; when it goes on, if it stands still."""
        self._do(life, act)

    def pause(self, seconds: float) -> None:
        until = max(self._still_until, self.world.now + seconds)
        self.stood_still += until - max(self._still_until, self.world.now)
        self._still_until = until
        self.world.fault("pause", f"{self.name} {seconds:.3f}")

    def kill(self) -> None:
        self.alive = False
        self.life += 1
        self.world.fault("kill", self.name)

    def restart(self, clock_offset: float) -> None:
        self.alive = True
        self._still_until = 0.0
        self.clock_offset = clock_offset
        self.world.tell(f"restart {self.name}")

    def _do(self, life: int, act: Act) -> None:
        if life != self.life:
            return
        if self.world.now < self._still_until:
            self.world.at(self._still_until, lambda: self._do(life, act))
            return
        act()


class Running(Generic[State, Event, Effect]):
    """One run of a protocol in an actor: events in, effects out to whoever performs them."""

    def __init__(
        self,
        actor: Actor,
        step: Step[State, Event, Effect],
        state: State,
        perform: Callable[[Effect], None],
    ) -> None:
        self._actor = actor
        self._step = step
        self._perform = perform
        self.state = state

    def give(self, event: Event) -> None:
        """Take one step, and perform what it wants, in order."""
        world = self._actor.world
        self.state, effects = self._step(self.state, event, self._actor.now, world.random.random())
        for effect in effects:
            self._perform(effect)
