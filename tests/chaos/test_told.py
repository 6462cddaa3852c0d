"""What agents were told, held against what was done: each kind of contradiction is found, and the truth is none."""

from __future__ import annotations

import pytest

from tests.chaos.told import NO_REPLY, NOBODY, Answers, Reconciled, Told, quantile, reconciled
from tests.upstream import Arrived, Log

NONE = Reconciled(twice=0, denied=0, missing=0, unknown=0, unanswered=0)


def told(reason: str = "", side_effect: str = "", title: str = "a", number: int = 1) -> Told:
    return Told(title, number, 1_000, 0.0, 0.5, reason, side_effect)


def log(*titles: str) -> Log:
    return Log(
        [
            Arrived(number, float(number), 1, "POST", "/items", 201, title=title, did=True)
            for number, title in enumerate(titles)
        ]
    )


@pytest.mark.parametrize(
    ("answers", "done", "expected"),
    [
        ([told()], ["a"], NONE),
        ([told()], ["a", "a"], NONE._replace(twice=1)),
        ([told()], [], NONE._replace(missing=1)),
        ([told("BAD_PROVIDER_RESPONSE", "done")], [], NONE._replace(missing=1)),
        ([told("LOCAL_RATE_LIMITED", "none")], [], NONE),
        ([told("LOCAL_RATE_LIMITED", "none")], ["a"], NONE._replace(denied=1)),
        ([told(NOBODY)], ["a"], NONE._replace(denied=1)),
        ([told("OUTCOME_UNKNOWN", "unknown")], ["a"], NONE._replace(unknown=1)),
        ([told("OUTCOME_UNKNOWN", "unknown")], [], NONE._replace(unknown=1)),
        ([told(NO_REPLY)], ["a"], NONE._replace(unanswered=1)),
        ([told(NO_REPLY), told(number=2)], ["a"], NONE),  # the last answer counts
        ([told(NO_REPLY), told("SHUTTING_DOWN", "none", number=2)], ["a"], NONE._replace(denied=1)),
        ([told(title="b")], ["a", "a", "b"], NONE),  # others' titles are none of theirs
    ],
)
def test_what_was_told_is_held_against_what_was_done(
    answers: list[Told], done: list[str], expected: Reconciled
) -> None:
    """By title, from the upstream's log."""
    assert reconciled(Answers(answers), log(*done)) == expected


def test_an_overrun_counts_from_the_deadline() -> None:
    """Below zero before it."""
    assert Told("a", 1, 400, began=10.0, ended=10.45).overrun == pytest.approx(0.05)
    assert told().overrun == pytest.approx(-0.5)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 3), (0.999, 4), (1.0, 4)])
def test_a_quantile_is_a_value_that_was_there(share: float, expected: float) -> None:
    """Of few values the highest are the last ones."""
    assert quantile(share, [3, 1, 4, 2]) == expected
