"""What an owner has to say to each sidecar at the end of a turn, in one message."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sidecar.core.quota.message import Credit, Delay, Denial, Grant, Permit, Serial


class Answer(msgspec.Struct):
    """To one sidecar."""

    permits: list[Permit] = []
    denials: list[Denial] = []
    delays: list[Delay] = []
    credits: list[Credit] = []
    recalled: list[tuple[str, Serial]] = []


class Answers:
    """Collected during a turn. Only who was heard can be answered: permits count from a moment that it named."""

    def __init__(self, partition: int, epoch: int) -> None:
        self.partition = partition
        self.epoch = epoch
        self._heard: dict[str, tuple[float, float]] = {}
        self._answers: dict[str, Answer] = {}

    def hear(self, sender: str, sent: float, now: float) -> None:
        self._heard[sender] = (sent, now)

    def to(self, sender: str) -> Answer:
        answer = self._answers.get(sender)
        if answer is None:
            answer = self._answers[sender] = Answer()
        return answer

    def forget(self, sender: str) -> None:
        self._answers.pop(sender, None)

    def collected(self, now: float) -> Sequence[tuple[str, Grant]]:
        """All that is to be said, each once."""
        if not self._answers:
            return ()
        answers, self._answers = self._answers, {}
        return [(sender, self._grant(sender, answer, now)) for sender, answer in answers.items()]

    def _grant(self, sender: str, answer: Answer, now: float) -> Grant:
        sent, received = self._heard.get(sender, (float("-inf"), now))
        return Grant(
            self.partition,
            self.epoch,
            sent,
            now - received,
            tuple(answer.permits),
            tuple(answer.denials),
            tuple(answer.delays),
            tuple(answer.credits),
            tuple(answer.recalled),
        )
