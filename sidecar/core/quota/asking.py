"""The two records of a partition, as one life of its ownership asks for them: `own`, who owns it, and `st`, its state.

Answers to a life that is over, and looks that it planned, are not heard: they say nothing about what is now.
"""

from __future__ import annotations

from collections.abc import Callable

from sidecar.core.quota.event import Get, Put
from sidecar.core.quota.turn import Answer, Life, Turn

Then = Callable[[Turn, Answer], None]


class Asking:
    """Of one partition."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._life = Life()

    def put(
        self, turn: Turn, kind: str, value: bytes | None, expected: int, then: Then, ttl: int | None = None
    ) -> None:
        """Write over exactly this revision; None deletes."""
        turn.effects.append(Put(self._ticket(then, turn), self._key(kind, turn), value, expected, ttl))

    def get(self, turn: Turn, kind: str, then: Then) -> None:
        """Read."""
        turn.effects.append(Get(self._ticket(then, turn), self._key(kind, turn)))

    def later(self, at: float, look: Callable[[Turn], None], turn: Turn) -> None:
        """Look at that moment."""
        turn.later(at, look, self._life)

    def end_life(self) -> None:
        """What was asked and planned so far is past."""
        self._life.over = True
        self._life = Life()

    def _key(self, kind: str, turn: Turn) -> str:
        return f"{turn.scope}.{kind}.{self._partition}"

    def _ticket(self, then: Then, turn: Turn) -> int:
        life = self._life

        def answered(turn: Turn, answer: Answer) -> None:
            if not life.over:
                then(turn, answer)

        return turn.ticket(answered)
