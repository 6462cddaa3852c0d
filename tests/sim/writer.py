"""Carries out the effects of the record's write protocol in the simulated world, as the adapter does over NATS."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.ports import Entry
from sidecar.store import write
from sidecar.store.write import Effect, Event, Outcome, Wanted, Writing
from tests.sim.actor import Actor, Running, Step
from tests.sim.cluster import TEMPORARILY_UNAVAILABLE, Cluster, Nobody, Seen
from tests.sim.kv import ID_IN_PROCESS, KEY_IN_PROCESS, WRONG_LAST_SEQUENCE, Ack, Refused, Stored, Write

ATTEMPT_SECONDS = 2.0  # how long an attempt or a look is waited for
SLACK_SECONDS = 0.001  # what a write may last beyond its deadline: nothing but rounding

WriteStep = Step[Writing, Event, Effect]


def record_step(state: Writing, event: Event, now: float, jitter: float) -> tuple[Writing, tuple[Effect, ...]]:
    state, effect = write.step(state, event, now, jitter)
    return state, (effect,)


class Writer:
    """One write of an actor, from its beginning to its outcome; `ended` is told once, if the actor lives so long."""

    def __init__(
        self, actor: Actor, cluster: Cluster, step: WriteStep, wanted: Wanted, ended: Callable[[Outcome], None]
    ) -> None:
        self._actor = actor
        self._cluster = cluster
        self._wanted = wanted
        self._ended = ended
        self._asked = 0
        self._run = Running(actor, step, Writing(wanted), self._perform)

    def begin(self) -> None:
        self._give(write.Began())

    def _give(self, event: Event) -> None:
        self._actor.world.tell(f"{self._wanted.message_id} {event}")
        self._run.give(event)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case write.Put(message_id, expected):
                put = Write(
                    self._wanted.key,
                    self._wanted.value or b"",
                    expected,
                    message_id,
                    self._wanted.ttl,
                    self._wanted.value is None,
                )
                waited = self._waited_for()
                self._cluster.write(put, lambda said: waited(answer_to_put(said)))
            case write.Look():
                waited = self._waited_for()
                self._cluster.look(self._wanted.key, lambda said: waited(answer_to_look(said)))
            case write.Sleep(seconds):
                self._actor.after(seconds, lambda: self._give(write.Woke()))
            case write.Done(outcome):
                self._actor.world.tell(f"{self._wanted.message_id} ended {outcome}")
                self._ended(outcome)

    def _waited_for(self) -> Callable[[Event], None]:
        """Takes the first answer to this question; what comes after the wait is over is not looked at."""
        self._asked += 1
        question, actor = self._asked, self._actor
        life = actor.life

        def take(event: Event) -> None:
            if question == self._asked:
                self._asked += 1
                self._give(event)

        patience = min(ATTEMPT_SECONDS, max(0.0, self._wanted.deadline - actor.now))
        actor.after(patience, lambda: take(write.NoAnswer("no reply")))
        return lambda event: actor.hear(life, lambda: take(event))


def answer_to_put(said: Ack | Refused | Nobody) -> Event:
    match said:
        case Ack(revision, duplicate):
            return write.Acked(revision, duplicate)
        case Nobody():
            return write.NoAnswer("no responders", reached=False)
        case Refused(code, text) if code == WRONG_LAST_SEQUENCE:
            return write.Conflict(int(text.rpartition(" ")[2]))
        case Refused(code, _) if code == KEY_IN_PROCESS:
            return write.Conflict()
        case Refused(code, _) if code == ID_IN_PROCESS:
            return write.InProcess()
        case Refused(code, text) if code == TEMPORARILY_UNAVAILABLE:
            return write.NoAnswer(text)
        case Refused(_, text):
            return write.Full(text)


def answer_to_look(said: Seen | Nobody) -> Event:
    return (
        write.NoAnswer("no responders", reached=False) if isinstance(said, Nobody) else write.Found(entry(said.stored))
    )


def entry(stored: Stored | None) -> Entry | None:
    """A message of the model as a store reads it."""
    if stored is None:
        return None
    written = stored.write
    return Entry(
        written.key, written.value, stored.revision, written.message_id, written.expected, deleted=written.delete
    )
