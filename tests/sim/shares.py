"""What sidecars that share quotas let go and refused, held against what they promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sidecar.core.quota.event import Effect, Event, Go, Refuse, Send, Told, Wait
from sidecar.core.quota.limit import Demand
from sidecar.core.quota.message import Grant
from sidecar.core.quota.seat import Seat
from tests.sim.cluster import Cluster
from tests.sim.denials import Denials
from tests.sim.world import World

if TYPE_CHECKING:
    from tests.sim.pacer import Pacer

ROUNDING = 1e-6
VOID = "permit void"
OVERRUN_SECONDS = 0.05  # what an answer may be late, beyond what the process stood still
TOLD_SECONDS = 0.1  # in which what one sidecar was told has reached the others
DRIFT = 0.02  # how far two clocks' rates are apart at most
LET_GO_ONCE = "an exchange is let go or refused, once"
IN_TIME = "an exchange is let go or refused by its deadline"
NOT_PAST = "nothing is let go for a moment past its deadline"
AFTER = "a refusal names a moment past the deadline"
ONE_OWNER = "only the one whom the store names as owner grants"
ONE_LEASE = "no two sidecars believe that they own a partition"
CLOSED = "what the provider closed stays closed"
ANSWERED = "every exchange of a living process is answered"
SERVED = "when all trouble is over everything is served again"
SILENT = "who has nothing to do says and writes nothing"


@dataclass(slots=True)
class Exchange:
    """One exchange of a process, from when it wants to start. `ended`: how, None while it is not answered."""

    name: str
    demand: Demand
    deadline: float
    pacer: Pacer
    began: float
    still_before: float
    ended: str | None = None
    go: Go | None = None
    sent: bool = False
    sent_at: float = 0.0
    estimate: Wait | None = None
    jumps: int = 0


@dataclass
class Shares:
    """Every exchange of one run. `peaceful` while nothing is lost, so that all sidecars hear what one says."""

    world: World
    cluster: Cluster
    peaceful: bool = True
    kept: list[Exchange] = field(default_factory=list)
    _closed: dict[tuple[str, str], float] = field(default_factory=dict)
    _open: dict[str, Exchange] = field(default_factory=dict)
    _denials: Denials = field(init=False)
    _owner: dict[int, tuple[Pacer, str, Seat]] = field(
        default_factory=dict
    )  # who last believed that it owns a partition

    def __post_init__(self) -> None:
        self._denials = Denials(self.world, self.cluster)

    def begun(self, pacer: Pacer, name: str, demand: Demand, deadline: float) -> Exchange:
        exchange = Exchange(name, demand, deadline, pacer, self.world.now, pacer.actor.stood_still)
        self._open[name] = exchange
        self.kept.append(exchange)
        return exchange

    def goes(self, pacer: Pacer, go: Go) -> None:
        exchange = self._answers(pacer, go.call, "let go")
        if exchange is None:
            return
        exchange.go = go
        exchange.jumps = pacer.jumps
        world = self.world
        starts = max(go.earliest, pacer.actor.now)
        world.check(NOT_PAST, go.earliest <= exchange.deadline + ROUNDING, (go, exchange.deadline))
        for key in exchange.demand.keys:
            closed = self._closed.get((pacer.me, key))
            if closed is not None:
                world.check(CLOSED, starts + ROUNDING >= closed, (go, key, closed))

    def refused(self, pacer: Pacer, refuse: Refuse) -> None:
        exchange = self._answers(pacer, refuse.call, "refused away" if refuse.away else "refused")
        if exchange is not None:
            left = 0.0 if refuse.away else exchange.deadline - pacer.actor.now
            self.world.check(AFTER, refuse.retry_after > max(left, 0.0) - ROUNDING, (refuse, left))

    def waits(self, pacer: Pacer, wait: Wait) -> None:
        exchange = self._open.get(wait.call)
        if exchange is not None and exchange.estimate is None:
            exchange.estimate = wait

    def sent(self, exchange: Exchange) -> None:
        exchange.sent_at = self.world.now
        self.world.outcomes["sent"] += 1
        self.world.tell(f"sent {exchange.name}")

    def missed(self, exchange: Exchange) -> None:
        """Its permit was void when it was about to be used; another exchange takes its place."""
        exchange.ended = VOID
        self.world.outcomes[VOID] += 1

    def left(self, exchange: Exchange) -> None:
        self.world.outcomes["left"] += 1
        exchange.ended = "left"
        self._open.pop(exchange.name, None)

    def died(self, exchange: Exchange) -> None:
        exchange.ended = exchange.ended or "died"
        self._open.pop(exchange.name, None)

    def gone(self, pacer: Pacer) -> None:
        self.world.outcomes["left in order"] += 1
        self.world.tell(f"{pacer.me} is gone")

    def told(self, pacers: Sequence[Pacer], teller: Pacer, told: Told) -> None:
        """The provider says "not before" to one of them; where nothing is lost all of them know soon."""
        world = self.world
        world.tell(f"{teller.me} is told {told.keys} {told.seconds:.3f}")
        self._close(teller, told.keys, teller.actor.now + told.seconds)
        if not self.peaceful:
            return

        def know() -> None:
            for pacer in pacers:
                if pacer.actor.alive and pacer is not teller and pacer.me in there:
                    self._close(pacer, told.keys, pacer.actor.now + told.seconds * (1 - DRIFT) - TOLD_SECONDS)

        there = {pacer.me for pacer in pacers if pacer.node is not None}
        world.after(TOLD_SECONDS, know)

    def stepped(self, pacer: Pacer, heard: Event, effects: Sequence[Effect]) -> None:
        """A node took a step."""
        self._denials.stepped(pacer, heard, effects)
        for effect in effects:
            if type(effect) is Send and type(effect.message) is Grant and effect.message.permits:
                self._owns(pacer, effect.message.partition)
        for part in getattr(pacer.node, "parts", ()):
            if part.seat.owns(pacer.actor.now):
                self._alone(pacer, part.partition, part.seat)

    def settle(self) -> None:
        """When everything that was asked must have been answered."""
        for exchange in self.kept:
            gone = exchange.ended is not None
            self.world.check(ANSWERED, gone, (exchange.name, exchange.deadline, exchange.pacer.actor.now))

    def _answers(self, pacer: Pacer, call: str, how: str) -> Exchange | None:
        exchange = self._open.pop(call, None)
        self.world.check(LET_GO_ONCE, exchange is not None, (pacer.me, call, how))
        assert exchange is not None
        late = pacer.actor.now - exchange.deadline - (pacer.actor.stood_still - exchange.still_before)
        self.world.check(IN_TIME, late <= OVERRUN_SECONDS, (call, how, late))
        self.world.outcomes[how] += 1
        exchange.ended = how
        return exchange

    def _owns(self, pacer: Pacer, partition: int) -> None:
        held = self.cluster.bucket.last(f"-.own.{partition}", self.world.now)
        named = held is not None and pacer.me.encode() in held.write.value
        self.world.check(ONE_OWNER, named, (pacer.me, partition, held))

    def _alone(self, pacer: Pacer, partition: int, seat: Seat) -> None:
        before = self._owner.get(partition)
        if before is not None and before[2] is not seat:
            other, me, its = before
            lives = other.node is not None and other.me == me and not other.jumped
            believes = lives and its.owns(other.actor.now)
            self.world.check(ONE_LEASE, not believes, (pacer.me, other.me, partition))
        self._owner[partition] = (pacer, pacer.me, seat)

    def _close(self, pacer: Pacer, keys: Sequence[str], until: float) -> None:
        for key in keys:
            before = self._closed.get((pacer.me, key), 0.0)
            self._closed[pacer.me, key] = max(before, until)
