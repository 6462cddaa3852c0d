"""What was promised and what is there: the accounting of writes under faults. No clock, no I/O.

Every record under load is a list that grows by compare-and-set, one entry a write, and no two writes append the same
entry. The last value of a record is therefore its whole history, and each outcome that a writer was told can be held
against it: not only that acknowledged writes stay, but that what was refused did not happen all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """What a writer was told of one write."""

    WRITTEN = "written"
    UNKNOWN = "unknown"  # it may have happened, and may happen yet
    CONFLICT = "conflict"  # another write came first; this one did not happen
    REFUSED = "refused"  # it did not happen, for another reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many writes were told what, and which of them the records contradict (as `key: entry`)."""

    told: Mapping[Outcome, int]
    happened: int  # of those whose outcome was unknown
    lost: tuple[str, ...]  # told as written, and not there
    denied: tuple[str, ...]  # told as not happened, and there
    strange: tuple[str, ...]  # twice there, or there though nobody wrote it

    @property
    def kept(self) -> bool:
        return not (self.lost or self.denied or self.strange)


@dataclass(slots=True)
class Ledger:
    """Every write that was begun, by key and entry. A write counts as unknown until its outcome is told."""

    writes: dict[str, dict[int, Outcome]] = field(default_factory=dict)
    begun: int = 0

    def begin(self, key: str) -> int:
        """The entry that this write shall append."""
        self.begun += 1
        self.writes.setdefault(key, {})[self.begun] = Outcome.UNKNOWN
        return self.begun

    def tell(self, key: str, entry: int, outcome: Outcome) -> None:
        self.writes[key][entry] = outcome

    def verdict(self, found: Mapping[str, Sequence[int]]) -> Verdict:
        """Hold what was told against what the records hold; a key that is missing holds nothing."""
        happened = 0
        lost: list[str] = []
        denied: list[str] = []
        strange: list[str] = []
        for key, outcomes in self.writes.items():
            there = Counter(found.get(key, ()))
            strange += [f"{key}: {entry}" for entry, times in there.items() if times > 1 or entry not in outcomes]
            for entry, outcome in outcomes.items():
                match outcome:
                    case Outcome.WRITTEN if entry not in there:
                        lost.append(f"{key}: {entry}")
                    case Outcome.UNKNOWN if entry in there:
                        happened += 1
                    case Outcome.CONFLICT | Outcome.REFUSED if entry in there:
                        denied.append(f"{key}: {entry}")
        strange += [key for key in found if key not in self.writes]
        told = Counter(outcome for outcomes in self.writes.values() for outcome in outcomes.values())
        return Verdict(told, happened, tuple(lost), tuple(denied), tuple(strange))
