"""A sidecar that shares quotas in the simulated world: it performs what its node decides, and sends what it lets go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sidecar.core.quota import event
from sidecar.core.quota.event import Asked, Effect, Event, Go, Refuse
from sidecar.core.quota.limit import Demand
from tests.sim.actor import Actor
from tests.sim.cluster import Cluster, Nobody, Seen
from tests.sim.judge import Strict
from tests.sim.kv import KEY_IN_PROCESS, WRONG_LAST_SEQUENCE, Ack, Refused, Write
from tests.sim.mesh import Mesh
from tests.sim.shares import Exchange, Shares
from tests.sim.world import World

SCOPE = "-"
ROUNDING = 1e-5  # seconds; more than a clock with a large origin rounds by
STORE_SECONDS = 2.0  # how long an answer of the store is waited for
GONE_SECONDS = 2.0  # how long a process that ends waits for its node
PUNCTUAL_SECONDS = 0.002  # a loop that has little to do is so late
LATE_SECONDS = 0.08
WAY_SECONDS = 0.005  # to the provider, at least


class Node(Protocol):
    """A sidecar's part in shared quotas."""

    def on(self, event: Event, now: float, jitter: float) -> list[Effect]: ...


MakeNode = Callable[[str, str], Node]


@dataclass(frozen=True, slots=True)
class Habit:
    """What the exchanges of a world are like: how long the provider takes, how much its way varies, by how much the
    loop is late with a write, how often by much more, and how often a caller gives up.
    """

    seconds: tuple[float, float] = (0.01, 0.1)
    variation: float = 0.02
    punctual: float = PUNCTUAL_SECONDS
    late: float = 0.0
    leaves: float = 0.0


class Pacer:
    """One process. `me` is its name in this life; another start has another."""

    def __init__(
        self, world: World, mesh: Mesh, cluster: Cluster, strict: Strict, shares: Shares, name: str, make: MakeNode
    ) -> None:
        self.actor = Actor(world, name)
        self.habit = Habit()
        self.me = ""
        self.node: Node | None = None
        self.ending = False
        self.storeless = False  # nothing of it reaches the store
        self.wakes: float | None = None
        self.written = 0
        self.jumps = 0
        self._world = world
        self._mesh = mesh
        self._cluster = cluster
        self._strict = strict
        self._shares = shares
        self._make = make
        self._waiting: dict[str, Exchange] = {}
        self._asked = 0
        self._alarm = 0
        self.jumped = False  # its clock stood still, and it has not been told yet

    def start(self, *, clock_offset: float, clock_rate: float = 1.0) -> None:
        self.actor.clock_rate = clock_rate
        self.actor.restart(clock_offset)
        self.me = f"{self.actor.name}.{self.actor.life}"
        self.node = self._make(self.me, SCOPE)
        self.ending, self.wakes = False, None
        self._waiting = {}
        self._mesh.join(self)

    def kill(self) -> None:
        self.actor.kill()
        self._vanish()

    def freeze(self, seconds: float) -> None:
        """Its machine is kept as a snapshot and goes on later: its clock knows nothing of the time between."""
        self._world.fault("snapshot", self.actor.name)
        self.actor.pause(seconds)
        self.actor.clock_offset -= seconds * self.actor.clock_rate
        self.jumped = True

    def leave(self) -> None:
        """It ends in order: takes no more calls, lets those under way end, and hands over."""
        self.ending = True
        if self._waiting:
            self.actor.after(0.05, self.leave)
            return
        self._world.tell(f"{self.me} leaves")
        self.actor.after(GONE_SECONDS, self._end)
        self.on(event.Leaving())

    def ask(self, demand: Demand, seconds: float) -> None:
        """A caller wants an exchange within so many seconds from when this process hears of it."""

        def hear() -> None:
            if not self.ending:
                self._ask(demand, self.actor.now + seconds)

        if self.actor.alive:
            self.actor.hear(self.actor.life, hear)

    def on(self, heard: Event) -> None:
        """One step of the node, and all that it wants done."""
        if self.node is None:
            return
        if self.jumped:
            self.jumped = False
            self.jumps += 1
            self.on(event.Jumped())
        actor, world = self.actor, self._world
        effects = self.node.on(heard, actor.now, world.random.random())
        for effect in effects:
            self._perform(effect)
        self._shares.stepped(self, heard, effects)

    def _ask(self, demand: Demand, deadline: float) -> None:
        self._asked += 1
        name = f"{self.me}.{self._asked}"
        exchange = self._shares.begun(self, name, demand, deadline)
        self._waiting[name] = exchange
        if self.habit.leaves and self._world.chance(self.habit.leaves):
            self.actor.after(self._world.random.uniform(0.0, deadline - self.actor.now), lambda: self._leaves(name))
        self.on(Asked(name, demand, deadline))

    def _leaves(self, name: str) -> None:
        """Its caller does not wait any more."""
        exchange = self._waiting.get(name)
        if exchange is not None and not exchange.sent:
            self._shares.left(exchange)
            del self._waiting[name]
            self.on(event.Left(name))

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Go():
                self._go(effect)
            case event.Wait():
                self._shares.waits(self, effect)
            case Refuse():
                self._shares.refused(self, effect)
                self._waiting.pop(effect.call, None)
            case event.Put():
                self._put(effect)
            case event.Get():
                self._get(effect)
            case event.Wake(at):
                self._wake(at)
            case event.Gone():
                self._shares.gone(self)
                self.actor.after(0.0, self._end)
            case _:
                self._speak(effect)

    def _speak(self, effect: Effect) -> None:
        match effect:
            case event.Send(to, message, certain):
                self._mesh.send(self, to, message, certain=certain)
            case event.SendAll(message):
                self._mesh.send_all(self, message)
            case event.Say(what, bucket):
                self._world.tell(f"{self.me} says {what} {bucket}")

    def _go(self, go: Go) -> None:
        self._shares.goes(self, go)
        exchange = self._waiting.get(go.call)
        if exchange is None:
            return
        late = LATE_SECONDS if self._world.chance(self.habit.late) else self.habit.punctual
        wait = max(0.0, go.earliest - self.actor.now) + self._world.random.uniform(0.0, late)
        self.actor.after(wait, lambda: self._write(exchange, go.latest))

    def _write(self, exchange: Exchange, latest: float) -> None:
        """The last moment before the first byte: only now is the permit looked at."""
        world, actor, habit = self._world, self.actor, self.habit
        if exchange.name not in self._waiting:
            return
        if self.jumped or exchange.jumps != self.jumps or actor.now > latest:
            self._shares.missed(exchange)
            del self._waiting[exchange.name]
            self.on(event.Unused(exchange.name))
            if actor.now < exchange.deadline:
                self._ask(exchange.demand, exchange.deadline)
            return
        exchange.sent = True
        self._shares.sent(exchange)
        self.on(event.Began(((exchange.name, actor.now),)))
        # Nobody waits longer for an answer, and the provider sees that.
        seconds = min(world.random.uniform(*habit.seconds), max(0.0, exchange.deadline - actor.now))
        way = WAY_SECONDS + world.random.uniform(0.0, habit.variation)
        world.after(way, lambda: self._strict.take(exchange.demand, exchange.name, seconds))
        life = actor.life
        world.after(way + seconds + WAY_SECONDS, lambda: actor.hear(life, lambda: self._answered(exchange)))

    def _answered(self, exchange: Exchange) -> None:
        del self._waiting[exchange.name]
        self.on(event.Ended(exchange.name))

    def _put(self, put: event.Put) -> None:
        self.written += 1
        message_id = f"{self.me}.{put.ticket}"
        write = Write(put.key, put.value or b"", put.expected, message_id, put.ttl, delete=put.value is None)
        answer = self._answer(put.ticket)

        def said(said: Ack | Refused | Nobody) -> None:
            match said:
                case Ack(revision):
                    answer(event.Stored(put.ticket, revision))
                case Refused(code, text) if code == WRONG_LAST_SEQUENCE:
                    answer(event.Refused(put.ticket, int(text.rpartition(" ")[2])))
                case Refused(code, _) if code == KEY_IN_PROCESS:
                    answer(event.Refused(put.ticket))
                case Refused() | Nobody():
                    answer(event.Away(put.ticket))

        if not self.storeless:
            self._cluster.write(write, said)

    def _get(self, get: event.Get) -> None:
        answer = self._answer(get.ticket)

        def said(said: Seen | Nobody) -> None:
            if isinstance(said, Nobody):
                answer(event.Away(get.ticket))
            elif said.stored is None:
                answer(event.Stored(get.ticket))
            else:
                stored = said.stored
                value = None if stored.write.delete else stored.write.value
                answer(event.Stored(get.ticket, stored.revision, value, self._world.now - stored.at))

        if not self.storeless:
            self._cluster.look(get.key, said)

    def _answer(self, ticket: int) -> Callable[[Event], None]:
        """Takes the first answer to this ticket; when none comes in time the store is away."""
        actor, life, open_ = self.actor, self.actor.life, True

        def take(heard: Event) -> None:
            nonlocal open_
            if open_:
                open_ = False
                self.on(heard)

        actor.after(STORE_SECONDS, lambda: take(event.Away(ticket)))
        return lambda heard: actor.hear(life, lambda: take(heard))

    def _wake(self, at: float | None) -> None:
        self._alarm += 1
        self.wakes = at
        if at is None:
            return
        alarm = self._alarm

        def ring() -> None:
            if alarm != self._alarm:
                return
            if self.actor.now < at - ROUNDING:  # its clock stood still meanwhile
                self.actor.after(at - self.actor.now, ring)
                return
            self.wakes = None
            self.on(event.Woke())

        self.actor.after(at - self.actor.now, ring)

    def _end(self) -> None:
        """The process is over, in order or because it waited long enough."""
        if self.actor.alive:
            self.actor.alive = False
            self.actor.life += 1
            self._vanish()

    def _vanish(self) -> None:
        self.node = None
        self._mesh.part(self.me)
        for exchange in self._waiting.values():
            self._shares.died(exchange)
        self._waiting = {}
