"""The accounting finds each way in which a record can contradict what its writers were told."""

from __future__ import annotations

import pytest

from tests.cluster.ledger import Ledger, Outcome, Verdict

TOLD = (Outcome.WRITTEN, Outcome.UNKNOWN, Outcome.CONFLICT, Outcome.REFUSED, Outcome.WRITTEN)


def judged(*found: int) -> Verdict:
    """The verdict when a record holds `found`; its entries 1 to 5 were told as in TOLD."""
    ledger = Ledger()
    for outcome in TOLD:
        ledger.tell("k", ledger.begin("k"), outcome)
    return ledger.verdict({"k": found})


@pytest.mark.parametrize(
    ("found", "lost", "denied", "strange"),
    [
        pytest.param((1, 5), (), (), (), id="kept"),
        pytest.param((1, 2, 5), (), (), (), id="unknown-happened"),
        pytest.param((1, 2), ("k: 5",), (), (), id="last-lost"),
        pytest.param((5,), ("k: 1",), (), (), id="first-lost"),
        pytest.param((), ("k: 1", "k: 5"), (), (), id="all-lost"),
        pytest.param((1, 3, 5), (), ("k: 3",), (), id="a-conflict-that-happened"),
        pytest.param((1, 4, 5), (), ("k: 4",), (), id="a-refusal-that-happened"),
        pytest.param((1, 5, 5), (), (), ("k: 5",), id="done-twice"),
        pytest.param((1, 5, 9), (), (), ("k: 9",), id="nobody-wrote-it"),
    ],
)
def test_what_was_told_is_held_against_what_is_there(
    found: tuple[int, ...], lost: tuple[str, ...], denied: tuple[str, ...], strange: tuple[str, ...]
) -> None:
    """Lost, denied and strange writes are each named; nothing else is."""
    verdict = judged(*found)
    assert (verdict.lost, verdict.denied, verdict.strange) == (lost, denied, strange)
    assert verdict.kept is not bool(lost or denied or strange)


def test_writes_are_counted_by_what_was_told() -> None:
    """Each outcome is counted, and of the unknown ones those that happened."""
    verdict = judged(1, 2, 5)
    assert verdict.told == {Outcome.WRITTEN: 2, Outcome.UNKNOWN: 1, Outcome.CONFLICT: 1, Outcome.REFUSED: 1}
    assert verdict.happened == 1


def test_a_write_that_was_begun_is_unknown_until_told() -> None:
    """A writer cut off in the middle neither promised nor denied its write."""
    ledger = Ledger()
    entry = ledger.begin("k")
    assert ledger.verdict({}).kept
    assert ledger.verdict({"k": [entry]}).happened == 1


def test_a_record_that_is_missing_lost_everything() -> None:
    """A bucket that is gone is the loss of every write, not an empty success."""
    ledger = Ledger()
    ledger.tell("k", ledger.begin("k"), Outcome.WRITTEN)
    assert ledger.verdict({}).lost == ("k: 1",)


def test_a_record_that_nobody_wrote_is_strange() -> None:
    """A key that appears from nowhere is told."""
    assert Ledger().verdict({"other": [1]}).strange == ("other",)
