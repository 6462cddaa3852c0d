"""How a sidecar becomes the owner of a partition, stays it, and leaves it. A write over the last revision decides, and
nothing else does: reads only tell a name.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from sidecar.core.quota.asking import Asking, Then
from sidecar.core.quota.event import Away, Refused, Say, SendAll, Stored
from sidecar.core.quota.keeping import restored, state
from sidecar.core.quota.message import NotMine, Took
from sidecar.core.quota.owner import Owner
from sidecar.core.quota.pace import LATEST
from sidecar.core.quota.record import Claim, State, claim_of, encode, state_of
from sidecar.core.quota.turn import Answer, Turn

SWEEP = 10.0  # seconds between two looks for budgets that nobody uses


class Step(Enum):
    IDLE = auto()
    CLAIMING = auto()  # the record of the owner is being written, or read to learn whose it is
    OPENING = auto()  # it is ours; what the last owner left is being learnt
    OWNING = auto()
    LEAVING = auto()


class Seat:
    """Of one partition. `named` is told who owns it, whenever that is learnt; `opened` when it is this sidecar."""

    def __init__(self, partition: int, named: Callable[[str, int, Turn], None], opened: Callable[[Turn], None]) -> None:
        self.partition = partition
        self.step = Step.IDLE
        self.owner: Owner | None = None  # kept past the lease: nobody else may have owned it since
        self._named = named
        self._opened = opened
        self._epoch = 0
        self._revision = 0  # of our own claim
        self._until = float("-inf")  # the end of the lease
        self._claimed = 0.0
        self._over_own = False  # the claim took the place of one that a past life of this sidecar wrote
        self._state_revision: int | None = None
        self._recording = State(left=False, ep=0)
        self._writing = False
        self._written = float("-inf")
        self._swept = float("-inf")
        self._next_try = float("-inf")
        self._left: Callable[[Turn], None] | None = None
        self._asking = Asking(partition)
        self.store_away = False
        self.tried = float("-inf")  # when a claim was last written, or was to be

    def owns(self, now: float) -> bool:
        """Whether it may grant now."""
        return self.step is Step.OWNING and now < self._until

    @property
    def empty(self) -> bool:
        return self.step is Step.IDLE and self.owner is None

    # To become the owner.

    def seek(self, turn: Turn) -> None:
        """Try to become the owner, unless a try is under way or was made a moment ago."""
        if self.step is Step.IDLE and turn.now >= self._next_try:
            self._next_try = turn.now + turn.pace.again * (1 + 0.4 * turn.jitter)
            self._over_own = False
            self._claim(turn)

    def due(self) -> float:
        """When the next try may be."""
        return self._next_try

    def _claim(self, turn: Turn) -> None:
        self.step = Step.CLAIMING
        started = self.tried = turn.now

        def then(turn: Turn, answer: Answer) -> None:
            self.store_away = isinstance(answer, Away)
            if isinstance(answer, Stored):
                self._have_claimed(started, answer.revision, turn)
            elif isinstance(answer, Refused):
                self._asking.get(turn, "own", self._learn)
            else:
                self.step = Step.IDLE

        self._asking.put(turn, "own", encode(Claim(turn.me)), self._revision, then, ttl=turn.pace.ttl)

    def _learn(self, turn: Turn, answer: Answer) -> None:
        """Whose record it is. Ours, if a write of ours had no answer: then it is written once more."""
        self.step = Step.IDLE
        self.store_away = isinstance(answer, Away)
        if not isinstance(answer, Stored):
            return
        claim = claim_of(answer.value, answer.revision)
        if claim is not None and claim.o == turn.me:
            self._revision, self._over_own = answer.revision, True
            self._claim(turn)
        elif claim is not None:
            self._revision = 0
            self._forget(turn)
            self._named(claim.o, claim.ep, turn)
        elif self._revision != answer.revision:
            self._revision = answer.revision  # of a deletion, or 0 where the store has forgotten it
            self._claim(turn)

    def _have_claimed(self, started: float, revision: int, turn: Turn) -> None:
        self._epoch = self._revision = revision
        self._until = started + turn.pace.lease
        self._claimed = turn.now
        self.step = Step.OPENING
        self._asking.later(started + turn.pace.renew, self._renew, turn)
        if self.owner is not None and self._state_revision is not None:
            self._open_again(self.owner, self._state_revision, turn)
        else:
            self._open(turn, None, 0, 0.0)

    # To learn what the last owner left.

    def _open(self, turn: Turn, last: State | None, revision: int, age: float) -> None:
        """Take the state over, by a write over what was read; without any, nobody ever owned this partition."""
        owner = self._new_owner(last, age, turn)

        def then(turn: Turn, answer: Answer) -> None:
            if isinstance(answer, Stored):
                self._own(owner, answer.revision, turn)
            elif isinstance(answer, Refused) and answer.last is not None:
                self._asking.get(turn, "st", self._read)
            else:
                self._again(turn)

        self._put_state(owner, revision, then, turn)

    def _read(self, turn: Turn, answer: Answer) -> None:
        if isinstance(answer, Stored):
            self._open(turn, state_of(answer.value), answer.revision, answer.age or 0.0)
        else:
            self._again(turn)

    def _again(self, turn: Turn) -> None:
        """The store did not answer: read the state again, as long as the claim holds."""
        self.store_away = True
        if turn.now >= self._until:
            self.step = Step.IDLE
            return
        self._asking.later(turn.now + turn.pace.again, self._read_again, turn)

    def _read_again(self, turn: Turn) -> None:
        if self.step is Step.OPENING:
            self._asking.get(turn, "st", self._read)

    def _open_again(self, owner: Owner, revision: int, turn: Turn) -> None:
        """Nobody owned it in between if the state is as we left it: the ledger is whole."""

        def then(turn: Turn, answer: Answer) -> None:
            if isinstance(answer, Stored):
                owner.epoch = owner.answers.epoch = self._epoch
                self._own(owner, answer.revision, turn)
                return
            self._forget(turn)
            if isinstance(answer, Refused):
                self._asking.get(turn, "st", self._read)
            else:
                self._again(turn)

        self._put_state(owner, revision, then, turn)

    def _put_state(self, owner: Owner, revision: int, then: Then, turn: Turn) -> None:
        """What it says comes true once it is written: `recorded` takes it from `_recording`."""
        owner.ahead.promise(turn)
        self._recording = state(owner, turn)
        self._asking.put(turn, "st", encode(self._recording), revision, then)

    def _new_owner(self, last: State | None, age: float, turn: Turn) -> Owner:
        owner = Owner(self.partition, self._epoch, turn)
        owner.lending.roster = frozenset((turn.me,))
        if last is not None:
            if not last.left:
                # The store frees a claim so much later than its lease ended; over our own there was no such time.
                gap = 0.0 if self._over_own else turn.pace.ttl - turn.pace.lease
                owner.cold = self._claimed - gap + turn.pace.horizon + LATEST
                owner.lending.take_over(last, turn)
                owner.opens = turn.now + turn.pace.sync if owner.lending.missing else turn.now
            restored(owner, last, age, turn)
        return owner

    def _own(self, owner: Owner, revision: int, turn: Turn) -> None:
        self.owner = owner
        self._state_revision = revision
        self._written = float("-inf")  # what is waited for first is written at once
        self.step = Step.OWNING
        owner.until = self._until
        owner.recorded(self._recording, turn)
        turn.effects.append(SendAll(Took(self.partition, self._epoch)))
        if owner.cold > float("-inf"):
            turn.effects.append(Say(f"took over the quotas of partition {self.partition} from an owner that is gone"))
        if owner.lending.missing:
            turn.later(owner.lending.missing_until, owner.lending.forgive, owner.life)
        self._named(turn.me, self._epoch, turn)
        self._opened(turn)
        owner.resume(turn)

    # To stay the owner.

    def _renew(self, turn: Turn) -> None:
        if self.step not in (Step.OPENING, Step.OWNING):
            return
        owner = self.owner
        if self.step is Step.OWNING and owner is not None and owner.idle(turn):
            self.leave(turn, None)
            return
        started = self.tried = turn.now

        def then(turn: Turn, answer: Answer) -> None:
            self.store_away = isinstance(answer, Away)
            if isinstance(answer, Stored):
                self._renewed(started, answer.revision, turn)
            elif isinstance(answer, Refused) and answer.last is not None:
                self._asking.get(turn, "own", self._whose)
            elif isinstance(answer, Refused):  # a write is under way there: that may last
                self._asking.later(turn.now + turn.pace.again, self._ask_whose, turn)
            else:
                self._asking.later(max(turn.now, started + turn.pace.again), self._renew, turn)

        value = encode(Claim(turn.me, self._epoch))
        self._asking.put(turn, "own", value, self._revision, then, ttl=turn.pace.ttl)

    def _renewed(self, started: float, revision: int, turn: Turn) -> None:
        """A write over our own last revision: nobody owned it in between, however long that was."""
        self._revision = revision
        self._until = started + turn.pace.lease
        self._asking.later(started + turn.pace.renew, self._renew, turn)
        if self.step is Step.OWNING and self.owner is not None:
            if turn.now - self._swept > SWEEP:
                self._swept = turn.now
                self.owner.sweep(turn)
            late = turn.now >= self.owner.until
            self.owner.until = self._until
            self.owner.resume(turn)
            if late:
                self._opened(turn)

    def _ask_whose(self, turn: Turn) -> None:
        if self.step in (Step.OPENING, Step.OWNING):
            self._asking.get(turn, "own", self._whose)

    def _whose(self, turn: Turn, answer: Answer) -> None:
        """Refused: a write of ours without an answer came first, or the record ended, or somebody else has it."""
        if self.step not in (Step.OPENING, Step.OWNING):
            return
        claim = claim_of(answer.value, answer.revision) if isinstance(answer, Stored) else None
        if isinstance(answer, Away):
            self._asking.later(turn.now + turn.pace.again, self._renew, turn)
        elif claim is not None and isinstance(answer, Stored) and claim.o == turn.me:
            self._revision = answer.revision
            if claim.ep == self._epoch:
                self._renew(turn)
            else:  # a claim of ours that came late, when the record had ended: others may have owned it in between
                self._end_life()
                self._claim(turn)
        elif claim is not None:
            self._lose(turn)
            self._named(claim.o, claim.ep, turn)
        else:
            self._revision = answer.revision if isinstance(answer, Stored) else 0
            self._end_life()
            self._claim(turn)

    def _lose(self, turn: Turn) -> None:
        turn.effects.append(Say(f"does not own the quotas of partition {self.partition} any more"))
        self._end_life()
        self.step, self._revision, self._until = Step.IDLE, 0, float("-inf")
        self._forget(turn)

    def deposed(self, epoch: int, turn: Turn) -> None:
        """Another one says that it took over: it has the record, so that what is known here is past."""
        if epoch > self._epoch and self.step in (Step.IDLE, Step.OPENING, Step.OWNING):
            if self.step is not Step.IDLE:
                self._lose(turn)
            self._revision = 0
            self._forget(turn)

    def _forget(self, turn: Turn) -> None:
        if self.owner is not None:
            self.owner.until = min(self.owner.until, turn.now)
            self.owner.life.over = True
        self.owner, self._state_revision = None, None

    # What a next owner has to know.

    def write_down(self, turn: Turn) -> None:
        """Write the state where the owner waits for it: roster, how long slots are held, what it may grant ahead."""
        owner = self.owner
        if owner is None or self.step is not Step.OWNING or self._writing or self._state_revision is None:
            return
        spacing = owner.ahead.due()
        if spacing is None:
            return
        at = self._written + spacing
        if at > turn.now:
            self._asking.later(at, self.write_down, turn)
            return
        self._writing, self._written = True, turn.now

        def then(turn: Turn, answer: Answer) -> None:
            self._writing = False
            if isinstance(answer, Stored):
                self._state_revision = answer.revision
                owner.recorded(self._recording, turn)
            else:
                self._writing = True
                self._asking.get(turn, "st", self._rewritten)

        self._put_state(owner, self._state_revision, then, turn)

    def _rewritten(self, turn: Turn, answer: Answer) -> None:
        """After a write without an answer: whether it happened. The next write says the same and more."""
        self._writing = False
        if not isinstance(answer, Stored):
            self._asking.later(turn.now + turn.pace.again, self._reread, turn)
            return
        found = state_of(answer.value)
        if found is not None and found.ep == self._epoch:
            self._state_revision = answer.revision
            self.write_down(turn)

    def _reread(self, turn: Turn) -> None:
        if self.step is Step.OWNING and not self._writing:
            self._writing = True
            self._asking.get(turn, "st", self._rewritten)

    # To leave in order.

    def leave(self, turn: Turn, left: Callable[[Turn], None] | None) -> None:
        """Write down everything, then free the claim: the next owner goes on without a pause. `left` is told then."""
        owner = self.owner
        self._left = left
        if self.step is not Step.OWNING or owner is None or self._state_revision is None or not self.owns(turn.now):
            self._quit(turn)
            return
        everything = encode(state(owner, turn, left=True))
        if len(everything) > turn.pace.room or owner.ahead.unknown(0.0, turn.now):
            self._quit(turn)  # the record stays as after a crash, and the claim ends by itself
            return
        self.step = Step.LEAVING
        owner.until = turn.now  # nothing is granted any more: what is written is all

        def then(turn: Turn, answer: Answer) -> None:
            if isinstance(answer, Stored):
                self._asking.put(turn, "own", None, self._revision, self._freed)
            else:
                self._quit(turn)

        self._asking.put(turn, "st", everything, self._state_revision, then)

    def _freed(self, turn: Turn, _answer: Answer) -> None:
        turn.effects.append(SendAll(NotMine(self.partition)))
        self._quit(turn)

    def _quit(self, turn: Turn) -> None:
        self._forget(turn)
        self._end_life()
        self.step, self._revision, self._until = Step.IDLE, 0, float("-inf")
        self._named("", 0, turn)
        if self._left is not None:
            self._left(turn)

    def jumped(self, turn: Turn) -> None:
        """Nothing that is known counts any more."""
        self._forget(turn)
        self._end_life()
        self.step, self._revision, self._until = Step.IDLE, 0, float("-inf")

    def _end_life(self) -> None:
        self._asking.end_life()
        self._writing = False
