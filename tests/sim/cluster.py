"""JetStream as a client reaches it: the bucket's model behind a network, with what happens to real clusters."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.sim.kv import KEY_IN_PROCESS, WRONG_LAST_SEQUENCE, Ack, Bucket, Proposal, Refused, Stored, Write
from tests.sim.network import Network, Weather
from tests.sim.world import World

TEMPORARILY_UNAVAILABLE = 10008
NO_ROOM = 10077
COMMIT_SECONDS = (0.0002, 0.003)
SLOW_COMMIT_SECONDS = (0.5, 6.0)
DEPOSED_SECONDS = (0.05, 2.0)
STALE_SECONDS = (0.0, 15.0)  # an isolated old leader was seen to answer reads for more than 14 s


class Nobody(NamedTuple):
    """503, no responders: JetStream is away, known at once."""


class Seen(NamedTuple):
    """The answer to a direct get; None is its 404."""

    stored: Stored | None


class Climate(NamedTuple):
    """What kinds of trouble this cluster has, and how much of it."""

    weather: Weather = Weather()
    clustered: bool = False
    stale: float = 0.0
    slow_commit: float = 0.0
    outages: int = 0
    seconds: float = 60.0


Answer = Callable[[Ack | Refused | Nobody], None]
Look = Callable[[Seen | Nobody], None]


def climate(world: World, seconds: float) -> Climate:
    """A climate for a run of so many seconds: of three runs one is fair, one rainy, one a storm."""
    dice = world.random
    force = dice.choice((0.0, 0.03, 0.12))
    weather = Weather(*(dice.uniform(0, force) for _ in range(4)))
    clustered = world.chance(0.7)
    outages = dice.randint(0, 4) if force else 0
    stale, slow = dice.uniform(0, 4 * force), dice.uniform(0, force)
    return Climate(weather, clustered, stale, slow, outages, seconds)


class Cluster:
    """One bucket and the servers that keep it. `answer` and `look` are called when, and if, an answer comes."""

    def __init__(self, world: World, climate: Climate) -> None:
        self.bucket = Bucket(clustered=climate.clustered)
        self._world = world
        self._climate = climate
        self._network = Network(world, climate.weather)
        self._outage: str | None = None
        self._isolated_at: float | None = None
        self._deposed: Deposed | None = None
        self._commits_until = 0.0
        for _ in range(climate.outages):
            world.after(world.random.uniform(0, climate.seconds), self._have_trouble)

    def write(self, write: Write, answer: Answer) -> None:
        self._network.request(lambda: self._take(write, answer))

    def look(self, key: str, answer: Look) -> None:
        self._network.request(lambda: self._show(key, answer))

    def calm(self) -> None:
        """No new trouble from now on, and what there is ends."""
        self._network.weather = Weather()
        self._climate = Climate(clustered=self._climate.clustered)
        self._outage = self._isolated_at = self._deposed = None

    def go_away(self, kind: str, seconds: float) -> None:
        """No write gets through for so long; of `REFUSALS` the kind, or silence."""
        if self._outage is None:
            self._world.fault(kind)
            self._outage = kind
            self._world.after(seconds, self._recover)

    def _take(self, write: Write, answer: Answer) -> None:
        if self._deposed is not None and (heard := self._deposed.hear(write, self._world.now)) is not None:
            self._world.fault("refused by a deposed leader", write.message_id)
            self._reply(answer, heard)
        if (trouble := self._trouble(write)) is not None:
            if trouble != "silence":
                self._reply(answer, REFUSALS[trouble])
            return
        said = self.bucket.propose(write, self._world.now)
        if not isinstance(said, Proposal):
            self._reply(answer, said)
        elif self._climate.clustered:
            self._commit_later(said, answer)
        else:
            self._commit(said, answer)

    def _commit_later(self, proposal: Proposal, answer: Answer) -> None:
        world, seconds = self._world, COMMIT_SECONDS
        if world.chance(self._climate.slow_commit):
            world.fault("slow commit", proposal.write.message_id)
            seconds = SLOW_COMMIT_SECONDS
        # One log: nothing is committed before what was proposed before it.
        self._commits_until = max(self._commits_until, world.now + world.random.uniform(*seconds))
        world.at(self._commits_until, lambda: self._commit(proposal, answer))

    def _commit(self, proposal: Proposal, answer: Answer) -> None:
        if self.bucket.in_flight(proposal):  # else its leader is gone, and nobody answers any more
            ack = self.bucket.commit(proposal, self._world.now)
            self._world.tell(f"stored {ack.revision} {proposal.write.key} {proposal.write.message_id}")
            self._reply(answer, ack)

    def _reply(self, answer: Answer, said: Ack | Refused | Nobody) -> None:
        self._network.answer(lambda: answer(said))

    def _show(self, key: str, look: Look) -> None:
        if self._outage == "nobody":
            self._network.answer(lambda: look(Nobody()))
            return
        if self._outage in {"silence", "isolated"} and self._world.chance(0.3):
            self._world.fault("silence", f"look {key}")
            return
        seen = Seen(self.bucket.last(key, self._known_at(key)))
        self._network.answer(lambda: look(seen))

    def _known_at(self, key: str) -> float:
        """The moment that the replica which answers knows of: now, or one that is past."""
        world = self._world
        if self._isolated_at is not None and world.chance(0.5):
            world.fault("look at an isolated leader", key)
            return self._isolated_at
        if self._climate.clustered and world.chance(self._climate.stale):
            world.fault("look at a lagging replica", key)
            return world.now - world.random.uniform(*STALE_SECONDS)
        return world.now

    def _trouble(self, write: Write) -> str | None:
        """What a write meets in place of a leader."""
        outage = self._outage
        if outage is None or (outage == "isolated" and self._world.chance(0.5)):
            return None  # isolated: the majority has a leader, who is asked as often as the old one
        outage = "silence" if outage == "isolated" else outage
        self._world.fault(outage, write.message_id)
        return outage

    def _have_trouble(self) -> None:
        """One outage, as long as an election or a restart lasts."""
        world = self._world
        if self._outage is not None or self._climate.seconds <= world.now:
            return
        kinds = ("nobody", "silence", "unavailable", "full", "restart")
        kind = world.random.choice((*kinds, "isolated", "leader change") if self._climate.clustered else kinds)
        world.fault(kind)
        if kind == "restart":
            self.bucket.restart(world.now)
            kind = "nobody"
        elif kind in {"isolated", "leader change"}:
            self._isolated_at = world.now if kind == "isolated" else None
            self.bucket.change_leader(world.random.randint(0, 3), world.now)
            kind = "isolated" if kind == "isolated" else "silence"
        self._outage = kind
        world.after(world.random.uniform(0.05, 9.0), self._recover)

    def _recover(self) -> None:
        """After an isolation the old leader is heard again, and for a moment does not know that it is none."""
        if self._isolated_at is not None:
            self._deposed = Deposed(self.bucket, self._isolated_at)
            self._world.after(self._world.random.uniform(*DEPOSED_SECONDS), self._end_deposed)
        self._outage = self._isolated_at = None
        self._world.tell("the cluster is whole")

    def _end_deposed(self) -> None:
        self._deposed = None


class Deposed:
    """A leader that another one replaced while it was cut off. It hears writes as the true one does, takes what it
    believes in and never finishes it, and refuses the rest by what it holds.
    """

    def __init__(self, bucket: Bucket, since: float) -> None:
        self._bucket = bucket
        self._since = since
        self._taken: set[str] = set()

    def hear(self, write: Write, now: float) -> Refused | None:
        held = self._bucket.last(write.key, self._since)
        last = held.revision if held and held.expires > now else 0
        if write.key in self._taken:
            return Refused(KEY_IN_PROCESS, "wrong last sequence")
        if write.expected == last:
            self._taken.add(write.key)
            return None
        return Refused(WRONG_LAST_SEQUENCE, f"wrong last sequence: {last}")


REFUSALS: dict[str, Refused | Nobody] = {
    "nobody": Nobody(),
    "unavailable": Refused(TEMPORARILY_UNAVAILABLE, "JetStream system temporarily unavailable"),
    "full": Refused(NO_ROOM, "maximum bytes exceeded"),
}
