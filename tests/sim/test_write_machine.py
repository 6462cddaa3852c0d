"""The record's write protocol against an adversary, who chooses what reaches the bucket, when, and what comes back."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidecar.store import write
from sidecar.store.write import Conflict, Full, Outcome, Unreached, Wanted, Writing, Written
from tests.sim.cluster import Nobody, Seen
from tests.sim.kv import Bucket, Write
from tests.sim.writer import answer_to_look, answer_to_put

OURS = "ours"
DEADLINE = 20.0
REVISIONS = st.sampled_from((None, 1))


class OneWrite(RuleBasedStateMachine):
    """One write, its attempts in the network, and others who write, delete and let expire what it is about."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.others = 0
        self.under_way: list[Write] = []
        self.outcome: Outcome | None = None

    @initialize(expected=REVISIONS, ttl=st.sampled_from((None, 2)), clustered=st.booleans(), deleted=st.booleans())
    def begin(self, expected: int | None, ttl: int | None, clustered: bool, deleted: bool) -> None:
        self.bucket = Bucket(clustered=clustered)
        if expected is not None:
            self.bucket.publish(Write("k", b"", 0, "before", delete=deleted), 0.0)
        wanted = Wanted(key="k", value=b"v", expected=expected, message_id=OURS, deadline=DEADLINE, ttl=ttl)
        self.state = Writing(wanted)
        self.give(write.Began())

    def give(self, event: write.Event) -> None:
        self.state, self.effect = write.step(self.state, event, self.now, 0.5)
        if isinstance(self.effect, write.Done):
            self.outcome = self.effect.outcome
        if isinstance(self.effect, write.Put):
            put = self.effect
            wanted = self.state.wanted
            self.under_way.append(Write("k", wanted.value or b"", put.expected, put.message_id, wanted.ttl))

    def asks(self, kind: type[write.Effect]) -> bool:
        return isinstance(self.effect, kind)

    @precondition(lambda self: self.asks(write.Put))
    @rule(answered=st.booleans())
    def put_arrives(self, answered: bool) -> None:
        """It is carried out, and its answer comes or is lost."""
        said = self.bucket.publish(self.under_way.pop(), self.now)
        self.give(answer_to_put(said) if answered else write.NoAnswer("no reply"))

    @precondition(lambda self: self.asks(write.Put))
    @rule()
    def put_is_late(self) -> None:
        """It is on its way still when nobody waits for its answer any more."""
        self.give(write.NoAnswer("no reply"))

    @precondition(lambda self: self.asks(write.Put))
    @rule(in_process=st.booleans())
    def put_is_in_process(self, in_process: bool) -> None:
        """A leader has it, or nobody is there."""
        if in_process:
            self.give(write.InProcess())
        else:
            self.under_way.pop()
            self.give(answer_to_put(Nobody()))

    @rule()
    def a_late_put_arrives(self) -> None:
        if self.under_way and not (self.asks(write.Put) and len(self.under_way) == 1):
            self.bucket.publish(self.under_way.pop(0), self.now)

    @precondition(lambda self: self.asks(write.Look))
    @rule(behind=st.sampled_from((0.0, 0.0, 1.0, 30.0)), answered=st.booleans())
    def look(self, behind: float, answered: bool) -> None:
        """The replica that answers may know of the past only."""
        seen = Seen(self.bucket.last("k", max(0.0, self.now - behind)))
        self.give(answer_to_look(seen if answered else Nobody()))

    @precondition(lambda self: self.asks(write.Sleep))
    @rule()
    def wake(self) -> None:
        assert isinstance(self.effect, write.Sleep)
        self.now += self.effect.seconds
        self.give(write.Woke())

    @rule(ttl=st.sampled_from((None, 1)), delete=st.booleans())
    def another_writes(self, ttl: int | None, delete: bool) -> None:
        self.others += 1
        revision = self.bucket.revision("k", self.now)
        self.bucket.publish(Write("k", b"", revision, f"other{self.others}", ttl, delete), self.now)

    @rule()
    def another_forgets_the_ids(self) -> None:
        self.bucket.restart(self.now)

    @rule(seconds=st.sampled_from((0.1, 1.0, 3.0)))
    def time_goes_by(self, seconds: float) -> None:
        """Only while somebody else is asked, as our own timers would wake us."""
        if not self.asks(write.Sleep):
            self.now += seconds

    @invariant()
    def what_is_told_is_true(self) -> None:
        ours = [stored for stored in self.bucket.log if stored.write.message_id == OURS] if self.outcome else []
        match self.outcome:
            case Written(revision):
                assert revision in [stored.revision for stored in ours]
            case Conflict() | Full() | Unreached():
                assert not ours  # and never will be: late attempts go on arriving

    @invariant()
    def it_is_over_by_its_deadline(self) -> None:
        asked = self.outcome is None and self.now >= DEADLINE
        assert not (asked and self.asks(write.Sleep))

    def teardown(self) -> None:
        """Everything that is under way arrives."""
        for late in self.under_way:
            self.bucket.publish(late, self.now)
        self.under_way.clear()
        if hasattr(self, "bucket"):
            self.what_is_told_is_true()


TestOneWrite = OneWrite.TestCase
TestOneWrite.settings = settings(derandomize=True, max_examples=300, stateful_step_count=30, deadline=None)
