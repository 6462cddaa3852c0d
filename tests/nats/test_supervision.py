"""What is done about a link, and when; with a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sidecar.adapters.nats_supervision import Do, LinkWatch, Pace, Supervision

PACE = Pace(tick=0.5, check=2.5, doubt=2.0, silent=5.0, attempt=15.0, heal=60.0)


class Story:
    """A watch, and what it asked for at which moment."""

    def __init__(self, pace: Pace = PACE) -> None:
        self.now = 0.0
        self.watch = LinkWatch(pace, 0.0)
        self.asked: list[tuple[float, Do]] = []

    def doubtful(self) -> bool:
        return self.watch.doubtful

    def pass_seconds(
        self, seconds: float, *, connected: bool = True, stuck: bool = False, answers: bool = True
    ) -> None:
        """Tick by tick; a check is answered at once, or never."""
        end = self.now + seconds
        while self.now < end:
            self.now += PACE.tick
            do = self.watch.tick(self.now, connected=connected, stuck=stuck)
            if do is not Do.NOTHING:
                self.asked.append((self.now, do))
            if do is Do.CHECK and answers:
                self.watch.proved(self.now)

    def when(self, what: Do) -> list[float]:
        return [moment for moment, do in self.asked if do is what]


def test_a_link_that_answers_is_only_asked() -> None:
    """Nothing but a check now and then, for an hour."""
    story = Story()
    story.pass_seconds(3600)
    assert {do for _, do in story.asked} == {Do.CHECK}
    assert len(story.asked) == 3600 / PACE.check
    assert not story.watch.doubtful


def test_a_silent_link_is_doubted_and_then_left() -> None:
    """From the last proof to the doubt at most 5 s, to another connection at most 9 s."""
    story = Story()
    story.pass_seconds(0.5)  # the last answer
    story.pass_seconds(4.5, answers=False)
    assert not story.doubtful()
    story.pass_seconds(0.5, answers=False)
    assert story.doubtful()
    story.pass_seconds(3.0, answers=False)
    assert story.when(Do.REBUILD) == [8.5]


def test_a_new_connection_is_asked_at_once() -> None:
    """Whoever reconnected has to prove it before the next interval."""
    story = Story()
    story.pass_seconds(1)
    story.watch.moved(story.now)
    story.pass_seconds(0.5)
    assert story.when(Do.CHECK) == [0.5, 1.5]


def test_a_late_answer_is_an_answer() -> None:
    """A link that was doubted and then answers is trusted again and not left."""
    story = Story()
    story.pass_seconds(5, answers=False)
    assert story.doubtful()
    assert story.watch.proved(story.now) == 4.5
    assert not story.doubtful()
    story.pass_seconds(20)
    assert story.when(Do.REBUILD) == []


@pytest.mark.parametrize(
    ("stuck", "rebuilt"),
    [(True, [0.5, 1.0, 1.5]), (False, [])],
    ids=["no task of the client works at it", "it is connecting"],
)
def test_a_client_that_does_nothing_is_helped(stuck: bool, rebuilt: list[float]) -> None:
    """Connecting is left to the client while it works at it."""
    story = Story()
    story.pass_seconds(1.5, connected=False, stuck=stuck)
    assert story.when(Do.REBUILD) == rebuilt


def test_connecting_that_does_not_go_on_is_begun_anew() -> None:
    """An attempt that neither fails nor succeeds for 15 s, in whatever it hangs; one that fails is going on."""
    story = Story()
    story.pass_seconds(14, connected=False)
    story.watch.moved(story.now)
    story.pass_seconds(15, connected=False)
    assert story.when(Do.REBUILD) == []
    story.pass_seconds(0.5, connected=False)
    assert story.when(Do.REBUILD) == [29.5]


def test_gives_up_once_after_the_time_stated() -> None:
    """60 s without a link that is proved, whether or not it said to be connected meanwhile."""
    story = Story()
    for _ in range(40):
        story.pass_seconds(1, connected=False)
        story.watch.moved(story.now)
        story.pass_seconds(1, answers=False)
        story.watch.moved(story.now)
    assert story.when(Do.GIVE_UP) == [61.0]
    assert story.watch.ill_seconds(story.now) > PACE.heal


def test_gives_up_on_a_link_that_only_looks_well() -> None:
    """It says to be connected the whole time, is left for another as often as it is silent, and never answers."""
    story = Story()
    story.pass_seconds(120, answers=False)
    assert len(story.when(Do.REBUILD)) > 10
    assert story.when(Do.GIVE_UP) == [64.0]  # the first doubt comes after 3.5 s


def test_a_healthy_link_is_never_given_up() -> None:
    """Not even where the time stated is shorter than the time between two checks."""
    story = Story(replace(PACE, heal=1.0))
    story.pass_seconds(600)
    assert story.when(Do.GIVE_UP) == []


def test_our_own_pause_is_not_the_links_fault() -> None:
    """After ten minutes in which this process stood still a check under way has what was left of its time."""
    story = Story()
    story.pass_seconds(1, answers=False)
    story.now += 600
    story.pass_seconds(1, answers=False)
    assert not story.doubtful()
    story.pass_seconds(20, answers=False)
    assert story.when(Do.REBUILD)[0] == 605.5


class Asked:
    """A link that looks well; it keeps what it was asked, and how many messages were proved."""

    is_connected, stuck = True, False

    def __init__(self) -> None:
        self.tokens: list[bytes] = []
        self.proved: list[int] = []

    def ask(self, _subject: str, token: bytes) -> int:
        self.tokens.append(token)
        return 7

    def prove(self, number: int) -> None:
        self.proved.append(number)

    def rebuild(self, _why: str) -> None:
        raise AssertionError("nothing is wrong with the link")


@pytest.mark.anyio
async def test_only_the_answer_to_the_last_question_is_proof() -> None:
    """Not what somebody else sends there, nor the same answer a second time: what was published since is not proved."""
    link = Asked()
    supervision = Supervision(link, "echo", PACE)
    supervision._step(asyncio.get_running_loop().time())
    for token in (b"", b"another", link.tokens[0][:-1]):
        supervision.heard(token)
    assert link.proved == []
    supervision.heard(link.tokens[0])
    supervision.heard(link.tokens[0])
    assert link.proved == [7]
