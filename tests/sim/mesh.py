"""Core NATS between sidecars: messages are mostly there at once; they may be lost, late or there twice.

Of one sender to one receiver they keep their order, as one connection to one server gives it.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from sidecar.core.quota.event import Heard, Undelivered
from sidecar.core.quota.message import Message
from tests.sim.actor import Actor
from tests.sim.world import Act, World

HOP_SECONDS = (0.0001, 0.0008)
LATE_SECONDS = (0.005, 1.5)


class Listener(Protocol):
    """A sidecar on the mesh."""

    me: str
    actor: Actor

    def on(self, event: Heard | Undelivered) -> None: ...


class Loss(NamedTuple):
    """How likely it is that a message is lost, late, or comes twice."""

    lost: float = 0.0
    late: float = 0.0
    twice: float = 0.0


FAIR = Loss()


class Mesh:
    """Who is there, and what carries messages between them."""

    def __init__(self, world: World, loss: Loss = FAIR) -> None:
        self.loss = loss
        self.sent = 0
        self.away = False  # the whole server
        self.cut_off: set[str] = set()  # by the names of processes: nothing reaches them, and nobody knows
        self._world = world
        self._there: dict[str, Listener] = {}
        self._last: dict[tuple[str, str], float] = {}

    def join(self, listener: Listener) -> None:
        self._there[listener.me] = listener

    def part(self, me: str) -> None:
        """Its connection is closed: the server knows at once."""
        self._there.pop(me, None)

    def calm(self) -> None:
        self.loss, self.away = FAIR, False
        self.cut_off.clear()

    def send(self, sender: Listener, to: str, message: Message, *, certain: bool) -> None:
        self.sent += 1
        there = self._there.get(to)
        if there is None and certain and not self._dark(sender):
            self._carry(to, sender, lambda: sender.on(Undelivered(to, message)))
        elif there is not None and not self._lost(sender, there):
            self._bring(sender, there, message)

    def send_all(self, sender: Listener, message: Message) -> None:
        self.sent += 1
        for there in [*self._there.values()]:
            if there is not sender and not self._lost(sender, there):
                self._bring(sender, there, message)

    def _bring(self, sender: Listener, there: Listener, message: Message) -> None:
        heard = Heard(sender.me, message)
        for _ in range(2 if self.loss.twice and self._world.chance(self.loss.twice) else 1):
            self._carry(sender.me, there, lambda: there.on(heard))

    def _carry(self, sender: str, there: Listener, act: Act) -> None:
        world, life = self._world, there.actor.life
        seconds = HOP_SECONDS
        if self.loss.late and world.chance(self.loss.late):
            world.fault("late message")
            seconds = LATE_SECONDS
        way = (sender, there.me)
        arrives = self._last[way] = max(self._last.get(way, 0.0), world.now + world.random.uniform(*seconds))
        world.at(arrives, lambda: there.actor.hear(life, act))

    def _dark(self, one: Listener) -> bool:
        return self.away or one.actor.name in self.cut_off

    def _lost(self, sender: Listener, there: Listener) -> bool:
        if self._dark(sender) or self._dark(there):
            return True
        if self.loss.lost and self._world.chance(self.loss.lost):
            self._world.fault("lost message")
            return True
        return False
