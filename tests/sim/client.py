"""A process that counts, keeps documents and takes leases, all by the record's write protocol."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.ports import Entry
from sidecar.store.write import Outcome, Wanted, Written
from tests.sim.actor import Actor
from tests.sim.cluster import Cluster, Nobody, Seen
from tests.sim.ledger import COUNTER, Held, Ledger, number
from tests.sim.world import World
from tests.sim.writer import ATTEMPT_SECONDS, Writer, WriteStep, entry

DOCUMENTS = ("doc.a", "doc.b")
LEASES = ("lease.a", "lease.b")
THINK_SECONDS = (0.01, 0.8)
WRITE_SECONDS = (0.5, 12.0)  # given to one write
Next = Callable[[Entry | None], None]


class Client:
    """One thing after the other, each by chance: look at a key, decide, write. A look is a hint; the write decides."""

    def __init__(self, world: World, cluster: Cluster, ledger: Ledger, step: WriteStep, name: str) -> None:
        self.actor = Actor(world, name, clock_offset=world.random.uniform(-600, 600))
        self.busy = True
        self._world = world
        self._cluster = cluster
        self._ledger = ledger
        self._step = step
        self._writes = 0
        self._held: dict[str, Held] = {}

    def live(self) -> None:
        """Think, act, and so on, until `busy` is false or the process dies."""
        self.actor.after(self._world.random.uniform(*THINK_SECONDS), self._act)

    def come_back(self) -> None:
        """Start again: what it held in memory is gone."""
        self._held.clear()
        self.actor.restart(self._world.random.uniform(-600, 600))
        self.live()

    def _act(self) -> None:
        if not self.busy:
            return
        dice = self._world.random.random()
        if dice < 0.3:
            self._look(COUNTER, self._count)
        elif dice < 0.6:
            key = self._world.random.choice(DOCUMENTS)
            self._look(key, lambda last: self._keep_document(key, last))
        elif dice < 0.65:
            self._write(self._world.random.choice(DOCUMENTS), b"new", None)  # without a look
        else:
            self._lease(self._world.random.choice(LEASES))

    def _count(self, last: Entry | None) -> None:
        value = number(last.value) + 1 if last else 1
        self._write(COUNTER, str(value).encode(), last.revision if last else None)

    def _keep_document(self, key: str, last: Entry | None) -> None:
        if last is None:
            self._write(key, b"new", None)
        elif last.deleted or self._world.chance(0.7):
            self._write(key, b"changed", last.revision)
        else:
            self._write(key, None, last.revision)

    def _lease(self, key: str) -> None:
        held = self._held.get(key)
        ttl = self._world.random.randint(1, 8)
        if held is None or held.until <= self._world.now:
            self._held.pop(key, None)
            self._look(key, lambda last: self._take_lease(key, ttl, last))
        elif self._world.chance(0.6):
            self._hold(key, held.revision, ttl)
        else:
            held.until = self._world.now  # whatever comes of it: from now on it is not ours
            del self._held[key]
            self._write(key, None, held.revision, ttl=ttl)

    def _take_lease(self, key: str, ttl: int, last: Entry | None) -> None:
        if last is None or last.deleted:
            self._hold(key, last.revision if last else None, ttl)
        else:
            self.live()

    def _hold(self, key: str, expected: int | None, ttl: int) -> None:
        """Take or renew. The holder believes in it for its time to live from when it began to ask; while a change of
        that time is not acknowledged, in the shorter of the two.
        """
        asked, before = self._world.now, self._held.get(key)
        if before is not None:
            before.until = min(before.until, asked + ttl)

        def told(outcome: Outcome) -> None:
            if isinstance(outcome, Written) and self._world.now < asked + ttl:  # else it is over already
                if before is not None:
                    before.until = min(before.until, self._world.now)
                held = Held(self.actor.name, key, outcome.revision, self._world.now, asked + ttl)
                self._ledger.leases.append(held)
                self._held[key] = held

        self._write(key, b"held", expected, ttl=ttl, told=told)

    def _look(self, key: str, then: Next) -> None:
        """One direct get; without an answer, something else is done."""
        answered = False

        def take(seen: Seen | Nobody | None) -> None:
            nonlocal answered
            if answered:
                return
            answered = True
            if isinstance(seen, Seen):
                then(entry(seen.stored))
            else:
                self.live()

        life = self.actor.life
        self._cluster.look(key, lambda seen: self.actor.hear(life, lambda: take(seen)))
        self.actor.after(ATTEMPT_SECONDS, lambda: take(None))

    def _write(
        self,
        key: str,
        value: bytes | None,
        expected: int | None,
        *,
        ttl: int | None = None,
        told: Callable[[Outcome], None] = lambda _outcome: None,
    ) -> None:
        self._writes += 1
        message_id = f"{self.actor.name}.{self._writes}"
        unique = None if value is None else value + b" " + message_id.encode()
        deadline = self.actor.now + self._world.random.uniform(*WRITE_SECONDS)
        wanted = Wanted(key=key, value=unique, expected=expected, message_id=message_id, deadline=deadline, ttl=ttl)

        def ended(outcome: Outcome) -> None:
            self._ledger.ended(message_id, outcome)
            told(outcome)
            self.live()

        self._ledger.begun(self.actor, wanted)
        Writer(self.actor, self._cluster, self._step, wanted, ended).begin()
