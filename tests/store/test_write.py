"""The write protocol, against a model of a bucket whose answers a test or Hypothesis loses, delays and falsifies."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.ports import Entry
from sidecar.store.write import (
    LONGEST_PAUSE,
    Acked,
    Began,
    Conflict,
    Done,
    Doubt,
    Effect,
    Event,
    Found,
    Full,
    InProcess,
    Look,
    NoAnswer,
    Outcome,
    Put,
    Sleep,
    Unknown,
    Unreached,
    Wanted,
    Woke,
    Writing,
    Written,
    step,
)

KEY = "acme.alice.github"
DEADLINE = 100.0


def wanted(expected: int | None = 7, *, ttl: int | None = None) -> Wanted:
    return Wanted(key=KEY, value=b"v", expected=expected, message_id="ours", deadline=DEADLINE, ttl=ttl)


def seen(revision: int, *, by: str = "theirs", follows: int | None = None, deleted: bool = False) -> Found:
    return Found(Entry(KEY, b"", revision, by, follows, deleted))


def play(events: list[Event], expected: int | None = 7) -> list[Effect]:
    """The effects of these events, one second apart; the state carried along."""
    state, effects = Writing(wanted(expected)), []
    for second, event in enumerate(events):
        state, effect = step(state, event, float(second), 0.5)
        effects.append(effect)
    return effects


LOST = NoAnswer("no reply within 2 s")


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        pytest.param([Acked(8)], Written(8), id="written"),
        pytest.param([Conflict(8)], Conflict(8), id="another-came-first"),
        pytest.param([Conflict(0), Woke(), Acked(8)], Written(8), id="a-deposed-leader-refuses-the-true-one-writes"),
        pytest.param([Conflict(0), Woke(), Conflict(8), seen(8, by="ours")], Written(8), id="deposed-then-our-own"),
        pytest.param([Conflict(5), Woke(), Conflict(8), seen(8, follows=7)], Conflict(8), id="behind-then-theirs"),
        pytest.param([LOST, Woke(), Conflict(5), Woke(), Acked(8)], Written(8), id="a-leader-behind-does-not-fence"),
        pytest.param([Conflict(), Woke(), Acked(8)], Written(8), id="one-in-process-that-never-was-written"),
        pytest.param([Full("maximum bytes exceeded")], Full("maximum bytes exceeded"), id="no-room"),
        pytest.param([LOST, Woke(), Acked(8, duplicate=True)], Written(8), id="acknowledged-again"),
        pytest.param([LOST, Woke(), Conflict(8), seen(8, by="ours")], Written(8), id="our-own-write-refuses-us"),
        pytest.param([InProcess(), Woke(), Conflict(8), seen(8, by="ours")], Written(8), id="in-process-is-no-answer"),
        pytest.param([LOST, Woke(), Conflict(8), seen(8, follows=7)], Conflict(8), id="theirs-replaced-what-we-named"),
        pytest.param([LOST, Woke(), Conflict(9), seen(9, follows=8)], Unknown(Doubt.OVERTAKEN), id="theirs-came-later"),
        pytest.param([LOST, Woke(), Conflict(9), seen(9)], Unknown(Doubt.OVERTAKEN), id="theirs-names-nothing"),
        pytest.param([LOST, Woke(), Full("full"), seen(8, by="ours")], Written(8), id="full-by-our-own-write"),
        pytest.param(
            [NoAnswer("503", reached=False), Woke(), Conflict(9)], Conflict(9), id="nobody-there-then-another"
        ),
    ],
)
def test_what_answers_prove(events: list[Event], outcome: Outcome) -> None:
    """Each chain of answers ends in what it proves, no more."""
    effects = play([Began(), *events])
    assert effects[-1] == Done(outcome)
    assert not any(isinstance(effect, Done) for effect in effects[:-1])


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        pytest.param(seen(12, by="ours", follows=0), Written(12), id="ours"),
        pytest.param(seen(12, follows=0), Unknown(Doubt.OVERTAKEN), id="the-one-that-refused-us"),
        pytest.param(seen(14, follows=13), Unknown(Doubt.OVERTAKEN), id="a-newer-one"),
        pytest.param(seen(11, follows=0), None, id="a-stale-one"),
        pytest.param(Found(None), None, id="nothing-yet"),
    ],
)
def test_a_creation_refused_after_silence(found: Found, outcome: Outcome | None) -> None:
    """A key may have been made several times over, so another's creation is never proof that ours did not happen; one
    older than what refused us proves nothing at all.
    """
    effects = play([Began(), LOST, Woke(), Conflict(12), found], expected=None)
    assert effects[3] == Look()
    assert effects[-1] == Done(outcome) if outcome else isinstance(effects[-1], Sleep)


@pytest.mark.parametrize("found", [Found(None), seen(3), seen(7)])
def test_a_stale_read_decides_nothing(found: Found) -> None:
    """A look that shows what we replaced, older, or nothing, is repeated; nothing is put again meanwhile."""
    effects = play([Began(), LOST, Woke(), Conflict(8), found, Woke(), found, Woke(), seen(8, by="ours")])
    assert [type(effect) for effect in effects[3:]] == [Look, Sleep, Look, Sleep, Look, Done]
    assert effects[-1] == Done(Written(8))


def test_a_look_without_an_answer_is_repeated() -> None:
    """A read that fails proves nothing."""
    effects = play([Began(), LOST, Woke(), Conflict(8), LOST, Woke(), seen(8, by="ours")])
    assert effects[-2:] == [Look(), Done(Written(8))]


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        pytest.param(LOST, Unknown(Doubt.NO_ANSWER, LOST.said), id="silence"),
        pytest.param(InProcess(), Unknown(Doubt.NO_ANSWER), id="in-process"),
        pytest.param(NoAnswer("503", reached=False), Unreached("503"), id="nobody-there"),
    ],
)
def test_what_stays_open_at_the_deadline(event: Event, outcome: Outcome) -> None:
    """Silence to the end is unknown; nobody there to the end is known not to have happened."""
    state, _ = step(Writing(wanted()), Began(), 0, 0.5)
    assert step(state, event, DEADLINE, 0.5)[1] == Done(outcome)
    state, pause = step(state, event, DEADLINE - 0.01, 0.5)
    assert isinstance(pause, Sleep)
    assert pause.seconds <= 0.01 + 1e-9
    assert step(state, Woke(), DEADLINE, 0.5)[1] == Done(outcome)


def test_a_write_too_late_to_begin() -> None:
    """Nothing is sent after the deadline."""
    assert step(Writing(wanted()), Began(), DEADLINE, 0.5)[1] == Done(Unreached())


def test_what_could_have_expired_is_not_put_again() -> None:
    """A creation that lives 2 s is given up after 2 s: put again later it could be a second one."""
    state, _ = step(Writing(wanted(None, ttl=2)), Began(), 10, 0.5)
    assert isinstance(step(state, LOST, 11.9, 0.5)[1], Sleep)
    assert step(state, LOST, 12, 0.5)[1] == Done(Unknown(Doubt.NO_ANSWER, LOST.said))


@given(st.integers(0, 60), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_and_are_bounded(pauses: int, jitter: float) -> None:
    """Between 25 ms and 1.5 s, spread by the jitter."""
    state = Writing(wanted(), until=DEADLINE, pauses=pauses)
    _, pause = step(state, LOST, 0, jitter)
    assert isinstance(pause, Sleep)
    assert 0.025 <= pause.seconds <= 1.5 * LONGEST_PAUSE


@dataclass
class Bucket:
    """One key of a bucket: its leader, a copy that lags, and the requests that are still on their way."""

    log: list[Entry] = field(default_factory=list)  # every message ever, also those that are gone
    alive: bool = False  # whether the last message of the log is still there
    sequence: int = 6
    known: dict[str, int] = field(default_factory=dict)  # message ids that the server remembers
    underway: list[Put] = field(default_factory=list)

    @property
    def last(self) -> int:
        return self.log[-1].revision if self.alive else 0

    def put(self, put: Put) -> Event:
        if put.expected != self.last:  # before the ids, as nats-server 2.15 does on one server
            return Conflict(self.last)
        if put.message_id in self.known:
            return Acked(self.known[put.message_id], duplicate=True)
        self.sequence += 1
        self.log.append(Entry(KEY, b"", self.sequence, put.message_id, put.expected))
        self.alive = True
        self.known[put.message_id] = self.sequence
        return Acked(self.sequence)

    def times(self, message_id: str) -> int:
        return sum(entry.message_id == message_id for entry in self.log)


ANSWERS = ["given", "given", "lost", "delayed", "nobody", "in process", "full", "stale", "nothing"]
OTHERS = ["rests", "rests", "rests", "writes", "writes blindly", "deletes", "expires", "forgets ids", "delivers"]


@settings(max_examples=400)
@given(st.data(), st.sampled_from([None, 7]))
def test_the_outcome_is_true_whatever_happens(data: st.DataObject, expected: int | None) -> None:
    """Through lost, delayed and repeated attempts, stale reads, other writers, expiry and a server that forgets its
    message ids: what is said to be written is, once; what is said not to be, is not and never will be; and the end
    comes in time.
    """
    bucket = Bucket()
    if expected:
        bucket.put(Put("first", 0))
    state, now, effects = Writing(wanted(expected)), 0.0, list[Effect]()
    event: Event = Began()
    while not (effects and isinstance(effects[-1], Done)):
        assert now <= DEADLINE + 3  # the last attempt's own wait
        state, effect = step(state, event, now, data.draw(st.floats(0, 0.99)))
        effects.append(effect)
        event, now = answer(bucket, effect, now, data.draw(st.sampled_from(ANSWERS)))
        others(bucket, data.draw(st.sampled_from(OTHERS)), expected)
    before = bucket.times("ours")
    bucket.alive = bucket.alive and data.draw(st.booleans())
    for late in bucket.underway:
        bucket.put(late)
    assert {effect for effect in effects if isinstance(effect, Put)} <= {Put("ours", expected or 0)}
    match effects[-1].outcome:
        case Written(revision):
            assert [entry.revision for entry in bucket.log if entry.message_id == "ours"][:1] == [revision]
            assert before == 1
        case Conflict() | Full() | Unreached():
            assert bucket.times("ours") == 0


def answer(bucket: Bucket, effect: Effect, now: float, fate: str) -> tuple[Event, float]:
    match effect:
        case Put():
            return attempt(bucket, effect, fate), now + (3 if fate in ("lost", "delayed") else 0.1)
        case Look() if fate == "lost":
            return LOST, now + 3
        case Look() if fate == "stale" and bucket.log[:-1]:
            return Found(bucket.log[-2]), now + 0.1
        case Look():
            shown = bucket.alive and fate != "nothing"
            return Found(bucket.log[-1] if shown else None), now + 0.1
        case Sleep(seconds):
            return Woke(), now + seconds
        case Done():
            return Woke(), now


def attempt(bucket: Bucket, put: Put, fate: str) -> Event:
    match fate:
        case "nobody":
            return NoAnswer("503", reached=False)
        case "full" if put.message_id not in bucket.known:
            return Full("full")
        case "in process" if bucket.underway:
            return InProcess()
        case "delayed":
            bucket.underway.append(put)
            return LOST
    event = bucket.put(put)
    return LOST if fate == "lost" else event


def others(bucket: Bucket, deed: str, expected: int | None) -> None:
    match deed:
        case "writes":
            bucket.put(Put(f"theirs {bucket.sequence}", bucket.last))
        case "writes blindly":
            bucket.put(Put(f"theirs {bucket.sequence}", bucket.last))
            bucket.log[-1] = msgspec.structs.replace(bucket.log[-1], follows=None)
        case "deletes" if bucket.alive:
            bucket.put(Put(f"theirs {bucket.sequence}", bucket.last))
            bucket.log[-1] = msgspec.structs.replace(bucket.log[-1], deleted=True)
        case "expires" if expected is not None or not bucket.times("ours"):
            # A creation of ours does not vanish while it is being written: it is given up before its ttl is over, and
            # the mark of a deletion stays longer than any write lasts.
            bucket.alive = False
        case "forgets ids":
            bucket.known.clear()
        case "delivers" if bucket.underway:
            bucket.put(bucket.underway.pop())
