"""What the clients were told of their writes, held against what the bucket has seen: the promises of the record."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sidecar.store.write import Conflict, Full, Outcome, Unknown, Unreached, Wanted, Written
from tests.sim.actor import Actor
from tests.sim.kv import Bucket, Stored
from tests.sim.world import World
from tests.sim.writer import SLACK_SECONDS

COUNTER = "counter"
DEPOSED = "refused by a deposed leader"


@dataclass(slots=True)
class Line:
    """One write: whose it is, and how it ended for its client (None: it did not, or the client died)."""

    wanted: Wanted
    actor: Actor
    life: int
    still_before: float
    outcome: Outcome | None = None


@dataclass(slots=True)
class Held:
    """A lease as its holder believes in it, in the world's seconds."""

    holder: str
    key: str
    revision: int
    since: float
    until: float


@dataclass
class Ledger:
    """Every write and every lease of one run. `settle` looks at all promises that can be judged in the end only."""

    world: World
    lines: dict[str, Line] = field(default_factory=dict)
    leases: list[Held] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    def begun(self, actor: Actor, wanted: Wanted) -> None:
        self.lines[wanted.message_id] = Line(wanted, actor, actor.life, actor.stood_still)

    def ended(self, message_id: str, outcome: Outcome) -> None:
        line, world = self.lines[message_id], self.world
        world.check("a write ends once", line.outcome is None, f"{message_id} {line.outcome} {outcome}")
        late = line.actor.now - line.wanted.deadline - (line.actor.stood_still - line.still_before)
        world.check("a write ends by its deadline", late <= SLACK_SECONDS, f"{message_id} {late:.3f} s late")
        line.outcome = outcome
        self.outcomes[type(outcome).__name__] += 1

    def settle(self, bucket: Bucket, *, fair: bool) -> None:
        """When everything that was under way has arrived. `fair`: nothing was done to anybody."""
        stored: dict[str, list[Stored]] = {}
        for message in bucket.log:
            stored.setdefault(message.write.message_id, []).append(message)
            self._is_as_wanted(message)
        for message_id, line in self.lines.items():
            self._is_as_told(message_id, line, stored.get(message_id, []))
            if fair:
                happened = message_id in stored
                known = isinstance(line.outcome, Written) if happened else isinstance(line.outcome, Conflict | Unknown)
                self.world.check("in fair weather what happened is known", known, f"{message_id} {line.outcome}")
        self._replaces_what_it_named(bucket)
        self._counts(bucket)
        self._leases_have_one_holder()

    def _is_as_wanted(self, message: Stored) -> None:
        """Whatever of it was told: what is in the bucket is what a client wanted there."""
        write = message.write
        line = self.lines.get(write.message_id)
        self.world.check("every message has a writer", line is not None, message)
        assert line is not None
        wanted = line.wanted
        same = (write.key, write.value, write.delete, write.ttl) == (
            wanted.key,
            wanted.value or b"",
            wanted.value is None,
            wanted.ttl,
        )
        self.world.check("what is stored is what was wanted, with its time to live", same, f"{message} {wanted}")

    def _is_as_told(self, message_id: str, line: Line, stored: list[Stored]) -> None:
        world, told = self.world, f"{message_id} {line.outcome} {[message.revision for message in stored]}"
        match line.outcome:
            case Written(revision):
                there = any(message.revision == revision for message in stored)
                world.check("Written is in the history under its revision", there, told)
            case Conflict() if stored and _may_be_orphaned(line.wanted) and world.faults[DEPOSED]:
                world.outcomes["Conflict of a lease that stands and nobody holds"] += 1
            case Conflict() | Full() | Unreached():
                world.check("what is told not to have happened never happened", not stored, told)
            case Unknown():
                world.checks["Unknown is allowed whatever is true"] += 1
            case None:
                gone = line.life != line.actor.life
                world.check("every write of a living client ends", gone, told)
        # A lease that expired leaves nothing that a late repetition could collide with.
        once = len(stored) <= 1 or (line.wanted.ttl is not None and line.wanted.expected is None)
        world.check("a write happens once", once, told)

    def _replaces_what_it_named(self, bucket: Bucket) -> None:
        """No acknowledged write is lost: whatever stands where it stood was written by one who had it in sight."""
        before: dict[str, Stored] = {}
        for message in bucket.log:
            key, named = message.write.key, self.lines[message.write.message_id].wanted.expected or 0
            last = before.get(key)
            gone = last is None or last.expires <= message.at
            named_it = (named == 0) if last is None else named == last.revision or (gone and named == 0)
            self.world.check("an acknowledged write is never lost", named_it, f"{message} over {last}, named {named}")
            before[key] = message

    def _counts(self, bucket: Bucket) -> None:
        counted = bucket.last(COUNTER, self.world.now)
        total = number(counted.write.value) if counted else 0
        of_counter = [line.outcome for line in self.lines.values() if line.wanted.key == COUNTER]
        least = sum(isinstance(outcome, Written) for outcome in of_counter)
        most = least + sum(outcome is None or isinstance(outcome, Unknown) for outcome in of_counter)
        said = f"{least} <= {total} <= {most}"
        self.world.check("the counter is Written, plus at most the Unknown", least <= total <= most, said)

    def _leases_have_one_holder(self) -> None:
        last: dict[str, Held] = {}
        for held in sorted(self.leases, key=lambda held: held.since):
            earlier = last.get(held.key)
            alone = earlier is None or earlier.until <= held.since or earlier.holder == held.holder
            self.world.check("a lease has one holder at a time", alone, f"{earlier} {held}")
            if earlier is None or held.until > earlier.until:
                last[held.key] = held


def _may_be_orphaned(wanted: Wanted) -> bool:
    """Whether a deposed leader may refuse what the true one stores: it still holds a lease that was released, and whose
    mark of deletion has expired since. No refusal of such a creation proves anything. The lease then stands for its
    time to live and nobody believes in it, which delays others and does no harm.
    """
    return wanted.expected is None and wanted.ttl is not None


def number(value: bytes) -> int:
    """The counter's value; what follows it makes the value this write's alone."""
    return int(value.partition(b" ")[0])
