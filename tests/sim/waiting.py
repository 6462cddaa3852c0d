"""The world of durable calls: a queue that says words again, records that are read late, keys, a provider."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from sidecar.durable import DurableCall
from sidecar.kept import Done, Free, Pending, State, kept_outcome
from sidecar.model import Failure, Outcome, Reason, SideEffect, Success
from tests.sim.world import World

HOLD_SECONDS = 15.0
SUCCESS = Success(body=b"{}")


@dataclass(eq=False)
class Word:
    """One word: which call it wakes, how many times it was said, when it may be said, by whom it is held."""

    call_id: str
    at: float
    timely: bool = False
    number: int = 0
    holder: object = None
    held_until: float = 0.0


class Line:
    """Words that are said until they are acknowledged."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.words: list[Word] = []

    def put(self, call_id: str, at: float, *, timely: bool) -> None:
        self.words.append(Word(call_id, at, timely))

    def next(self, holder: object) -> Word | None:
        """The first word that may be said; it is this holder's for a while."""
        now = self._world.now
        free = [word for word in self.words if word.at <= now and (word.holder is None or word.held_until <= now)]
        if not free:
            return None
        word = min(free, key=lambda one: (one.number, one.at))
        word.number, word.holder, word.held_until = word.number + 1, holder, now + HOLD_SECONDS
        return word

    def hold(self, word: Word, holder: object) -> None:
        if word.holder is holder:
            word.held_until = self._world.now + HOLD_SECONDS

    def ack(self, word: Word) -> None:
        if word in self.words:
            self.words.remove(word)

    def give_back(self, word: Word) -> None:
        word.holder = None


class Shelf:
    """Records with their revisions; a late read may show anything that was there before."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._versions: dict[str, list[tuple[int, DurableCall | None]]] = {}
        self._revision = 0

    def truth(self, call_id: str) -> DurableCall | None:
        return self._versions.get(call_id, [(0, None)])[-1][1]

    def read(self, call_id: str, *, stale: bool) -> tuple[int, DurableCall | None]:
        versions = [(0, None), *self._versions.get(call_id, [])]
        return self._world.random.choice(versions[:-1] or versions) if stale else versions[-1]

    def write(self, call_id: str, call: DurableCall | None, revision: int) -> bool:
        """False where another revision stands there."""
        versions = self._versions.setdefault(call_id, [])
        if (versions[-1][0] if versions and versions[-1][1] else 0) != revision:
            return False
        self._revision += 1
        versions.append((self._revision, call))
        return True


class Alive(Protocol):
    """Who dies and starts again: each life has its number."""

    life: int


@dataclass
class Once:
    """Idempotency keys as they promise to be (tests/sim/once.py looks at that), and the provider behind them."""

    world: World
    keyed: bool = True
    troubled: bool = True
    done: dict[str, tuple[Outcome, int]] = field(default_factory=dict)
    pending: dict[str, tuple[Alive, int]] = field(default_factory=dict)  # by whom, in which of its lives
    since: dict[str, float] = field(default_factory=dict)  # when the record of each key was made last
    bars: dict[str, Free] = field(default_factory=dict)  # by cancels, before anybody began
    happened: dict[str, int] = field(default_factory=dict)

    def record(self, key: str) -> State | None:
        """What stands at the key."""
        if key in self.done:
            outcome = kept_outcome(self.done[key][0])
            return Done(fingerprint="", attempt="", call_id=key, attempts=1, outcome=outcome)
        return Pending("", str(self.since[key])) if key in self.pending else self.bars.get(key)

    def bar(self, key: str, bar: Free, over: State | None) -> bool:
        """Write it where exactly this stands; false where another does."""
        if self.record(key) != over:
            return False
        self.bars[key] = bar
        return True

    def answer(self) -> Outcome:
        """What the provider, or the way to it, answers to one run."""
        if not self.troubled or self.world.chance(0.4):
            return SUCCESS
        reason = self.world.random.choice(
            [
                Reason.CONNECT_FAILED,
                Reason.LOCAL_RATE_LIMITED,
                Reason.PROVIDER_RATE_LIMITED,
                Reason.SHUTTING_DOWN,
                Reason.OUTCOME_UNKNOWN,
                Reason.PROVIDER_REJECTED,
            ]
        )
        unknown = reason is Reason.OUTCOME_UNKNOWN
        return Failure(reason=reason, detail="", side_effect=SideEffect.UNKNOWN if unknown else SideEffect.NONE)

    def sent(self, key: str) -> None:
        self.happened[key] = self.happened.get(key, 0) + 1


def unknown_owner() -> Failure:
    return Failure(reason=Reason.OUTCOME_UNKNOWN, detail="its owner is gone", side_effect=SideEffect.UNKNOWN)


def in_progress() -> Failure:
    return Failure(reason=Reason.IN_PROGRESS, detail="", retry_after=1.0)


def stopped(*, sent: bool) -> Failure:
    effect = SideEffect.UNKNOWN if sent else SideEffect.NONE
    return Failure(reason=Reason.CANCELLED_BY_CALLER, detail="told to stop", side_effect=effect)
