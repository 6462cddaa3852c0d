"""The model of JetStream KV by itself: whatever is asked of it, in whatever order, it stays a store."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from tests.sim.kv import (
    ID_IN_PROCESS,
    KEY_IN_PROCESS,
    WINDOW_SECONDS,
    WRONG_LAST_SEQUENCE,
    Ack,
    Bucket,
    Proposal,
    Refused,
    Write,
)

KEYS = st.sampled_from(("a", "b"))
TTL = st.sampled_from((None, 1, 3))


class AnyBucket(RuleBasedStateMachine):
    """Writes, repetitions, elections, restarts and time in any order, beside a plain dict that says what is there."""

    proposals = Bundle("proposals")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.there: dict[str, tuple[int, bytes, float]] = {}  # revision, value, when it goes
        self.writes = 0

    @initialize(clustered=st.booleans())
    def make(self, clustered: bool) -> None:
        self.clustered = clustered
        self.bucket = Bucket(clustered=clustered)

    @rule(target=proposals, key=KEYS, ttl=TTL, delete=st.booleans(), off_by=st.sampled_from((0, 0, 0, 1, -1)))
    def propose(self, key: str, ttl: int | None, delete: bool, off_by: int) -> tuple[Proposal, Write] | None:
        """A write over the last revision is taken unless another is under way; over any other it is refused."""
        self.writes += 1
        expected = self.revision(key) + off_by
        write = Write(key, b"" if delete else str(self.writes).encode(), expected, f"w{self.writes}", ttl, delete)
        answer = self.bucket.propose(write, self.now)
        if isinstance(answer, Proposal):
            assert off_by == 0
            if self.clustered:
                return answer, write
            self.commit((answer, write))
            return None
        assert isinstance(answer, Refused)
        assert answer.err_code == KEY_IN_PROCESS or (off_by and answer.err_code == WRONG_LAST_SEQUENCE)
        return None

    @rule(proposed=consumes(proposals))
    def commit(self, proposed: tuple[Proposal, Write] | None) -> None:
        """What is committed is there, and so is all that came before it."""
        if proposed and self.bucket.in_flight(proposed[0]):
            ack = self.bucket.commit(proposed[0], self.now)
            assert self.bucket.log[ack.revision - 1].write == proposed[1]
            self.take_over_log()

    @rule(proposed=proposals)
    def repeat(self, proposed: tuple[Proposal, Write] | None) -> None:
        """A repetition of what is under way is told so, whatever revision it names."""
        if proposed and self.bucket.in_flight(proposed[0]):
            answer = self.bucket.propose(proposed[1]._replace(expected=None), self.now)
            assert isinstance(answer, Refused)
            assert answer.err_code == ID_IN_PROCESS

    @rule(survive=st.integers(0, 2))
    def change_leader(self, survive: int) -> None:
        self.bucket.change_leader(survive, self.now)
        self.take_over_log()

    @rule()
    def restart(self) -> None:
        """Nothing that was acknowledged is gone."""
        held = list(self.bucket.log)
        self.bucket.restart(self.now)
        assert self.bucket.log == held

    @rule(seconds=st.sampled_from((0.0, 0.5, 1.0, 3.0, WINDOW_SECONDS)))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def shows_what_is_there(self) -> None:
        for key in ("a", "b"):
            stored = self.bucket.last(key, self.now)
            known = self.there.get(key)
            if known is None or known[2] <= self.now:
                assert stored is None
            else:
                assert stored is not None
                assert (stored.revision, stored.write.value) == known[:2]

    @invariant()
    def shows_some_moment_of_the_past(self) -> None:
        for key in ("a", "b"):
            old = self.bucket.last(key, self.now / 2)
            assert old is None or (old.at <= self.now / 2 < old.expires and old in self.bucket.log)

    def revision(self, key: str) -> int:
        known = self.there.get(key)
        return known[0] if known and known[2] > self.now else 0

    def take_over_log(self) -> None:
        for number, stored in enumerate(self.bucket.log, 1):
            assert stored.revision == number
            self.there[stored.write.key] = (stored.revision, stored.write.value, stored.expires)


TestAnyBucket = AnyBucket.TestCase
TestAnyBucket.settings = settings(derandomize=True, max_examples=150, stateful_step_count=40, deadline=None)


def test_an_id_is_known_for_two_minutes() -> None:
    """Within the window a repetition is a duplicate, after it a write."""
    for seconds, duplicate in ((WINDOW_SECONDS - 1, True), (WINDOW_SECONDS, False)):
        bucket = Bucket()
        bucket.publish(Write("k", b"", None, "A"), 0.0)
        answer = bucket.publish(Write("k", b"", None, "A"), seconds)
        assert answer == (Ack(1, duplicate=True) if duplicate else Ack(2))


@pytest.mark.parametrize(("over", "duplicate"), [(True, False), (False, True)])
def test_a_restart_forgets_ids_that_are_not_held_any_more(over: bool, duplicate: bool) -> None:
    """What was written over or expired is a new write after a restart."""
    bucket = Bucket()
    bucket.publish(Write("k", b"1", 0, "A"), 0.0)
    if over:
        bucket.publish(Write("k", b"2", 1, "B"), 0.0)
    bucket.restart(1.0)
    assert bucket.publish(Write("k", b"1", None, "A"), 1.0) == (Ack(1, duplicate=True) if duplicate else Ack(3))


def test_what_did_not_reach_the_new_leader_never_was() -> None:
    """Of two proposals one survives; the other's key is free and its id unknown."""
    bucket = Bucket(clustered=True)
    first, second = (bucket.propose(Write(key, b"", 0, key), 0.0) for key in ("a", "b"))
    assert isinstance(first, Proposal)
    assert isinstance(second, Proposal)
    bucket.change_leader(1, 1.0)
    assert [bucket.revision(key, 1.0) for key in ("a", "b")] == [1, 0]
    assert not bucket.in_flight(first)
    assert not bucket.in_flight(second)
    assert bucket.publish(Write("a", b"", 0, "a"), 1.0) == Ack(1, duplicate=True)
    assert bucket.publish(Write("b", b"", 0, "b"), 1.0) == Ack(2)
