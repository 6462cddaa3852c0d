"""A cancel of a durable call in a simulated world: every sidecar hears it, and does as `withdraw.py` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sidecar.core.durable import Stored
from sidecar.core.once import barred
from sidecar.core.rerun import withdrawn
from sidecar.durable import DurableCall, Stage
from sidecar.kept import State
from tests.sim.waiting import Once

if TYPE_CHECKING:
    from tests.sim.durable import Place, Sidecar

Fence = Callable[[Once, str, State | None], bool]


def fenced(once: Once, key: str, found: State | None) -> bool:
    """Whether nobody can begin the call any more, whose key was seen so."""
    bar = barred(found, key)
    return bar is not None and (bar == found or once.bar(key, bar, over=found))


def cancel(place: Place, call_id: str, fence: Fence) -> None:
    """Somebody cancels the call. Who stands still hears of it later, who is dead never."""
    place.world.fault("cancel", call_id)
    for sidecar in place.sidecars:
        Hearing(place, sidecar, call_id, fence).later(0.01, lambda hearing: hearing.begin())


class Hearing:
    """One sidecar that heard it."""

    def __init__(self, place: Place, sidecar: Sidecar, call_id: str, fence: Fence) -> None:
        self.place, self.sidecar, self.call_id, self.fence = place, sidecar, call_id, fence
        self.life = sidecar.life

    def later(self, seconds: float, act: Callable[[Hearing], None]) -> None:
        """Go on after so much time, and not while standing still or after death."""
        world = self.place.world

        def go_on() -> None:
            if self.life != self.sidecar.life:
                return
            if world.now < self.sidecar.still_until:
                world.at(self.sidecar.still_until, go_on)
                return
            act(self)

        world.after(seconds, go_on)

    def soon(self, act: Callable[[Hearing], None]) -> None:
        self.later(self.place.world.random.uniform(0.001, 0.2), act)

    def begin(self) -> None:
        """Who runs the call tells it to stop; the others look whether it waits."""
        running = self.sidecar.held.get(self.call_id)
        if running is not None:
            running.stopped = True
        elif self.call_id not in self.sidecar.ending:
            self.sidecar.ending.add(self.call_id)
            self.soon(Hearing.look)

    def look(self) -> None:
        revision, found = self.place.shelf.read(self.call_id, stale=self.place.trouble("stale read", 0.15))
        if found is None or found.stage is not Stage.WAITING or self.place.trouble("store away", 0.05):
            self.end()
        else:
            self.soon(lambda hearing: hearing.look_at_key(found, revision))

    def look_at_key(self, found: DurableCall, revision: int) -> None:
        """A look may be late, however long the record has been there."""
        stale = self.place.trouble("stale look at a key", 0.1)
        state = None if stale else self.place.once.record(self.call_id)
        self.soon(lambda hearing: hearing.bar(found, revision, state))

    def bar(self, found: DurableCall, revision: int, state: State | None) -> None:
        """Only who knows that the key is barred goes on."""
        place = self.place
        barred = not place.trouble("write lost", 0.1) and self.fence(place.once, self.call_id, state)
        if barred and not place.trouble("answer to a write lost", 0.1):
            self.soon(lambda hearing: hearing.write(withdrawn(found), revision))
        else:
            self.end()

    def write(self, ended: DurableCall, revision: int) -> None:
        stored = isinstance(self.place.write(self.call_id, ended, revision), Stored)
        if stored:
            self.place.withdrawn.add(self.call_id)
            self.place.told.add(self.call_id)
        self.end()

    def end(self) -> None:
        self.sidecar.ending.discard(self.call_id)
