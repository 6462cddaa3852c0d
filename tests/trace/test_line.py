"""Text for a terminal: one line, bounded, and nothing in it that steers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.trace.line import columns, counted, ending, plain, seconds


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoë's mail", "Zoë's mail"),
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("two\nlines\r\tand a tab", r"two\nlines\r\tand a tab"),
        ("pay\u202e001", r"pay\u202e001"),
        ("C1: \x9b31m", r"C1: \x9b31m"),
        ("lone \ud800", r"lone \ud800"),
        ("x" * 11, "x" * 10 + "..."),
    ],
)
def test_plain(text: str, shown: str) -> None:
    """Controls, bidi marks and lone surrogates are shown as escapes; what is too long is cut and says so."""
    assert plain(text, 10 if text.startswith("xxx") else 300) == shown


@given(st.text())
def test_plain_is_always_one_printable_line(text: str) -> None:
    """Whatever comes in, what goes out is printable, and at most ten times the limit long."""
    shown = plain(text, 20)
    assert shown.isprintable()
    assert len(shown) <= 20 * 10 + 3


def test_columns() -> None:
    """Cells stand below each other; the last one of a row is not padded, and may be missing."""
    assert columns([["a", "bbb", "c"], ["aaaa", "b"], ["a", "b", "cc"]]) == ["a     bbb  c", "aaaa  b", "a     b    cc"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0004, "0.4 ms"),
        (0.0412, "41.2 ms"),
        (0.212, "212 ms"),
        (0.9996, "1.00 s"),
        (5.108, "5.11 s"),
        (75, "75.00 s"),
    ],
)
def test_seconds(value: float, words: str) -> None:
    """Milliseconds below a second, else seconds."""
    assert seconds(value) == words


def test_counted() -> None:
    """One of a thing is told in the singular."""
    assert [counted(number, "attempt") for number in (0, 1, 2000)] == ["0 attempts", "1 attempt", "2,000 attempts"]


def test_ending() -> None:
    """The end of a call id is what people type."""
    assert ending("0193a5f2-7b1c-7d2e-8f00-1234567890ab") == "567890ab"
