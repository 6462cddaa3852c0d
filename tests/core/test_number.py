"""Numbers and dates of strangers: every value gives a finite number or none, and no text is a defect."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.number import http_date, number


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (7, 7.0),
        ("7", 7.0),
        (" +7.5 ", 7.5),
        ("-1", -1.0),
        (0, 0.0),
        (True, None),
        (None, None),
        ([7], None),
        ("", None),
        ("soon", None),
        ("1e5", None),
        ("\u0667", None),
        (float("nan"), None),
        (float("inf"), None),
        (1e300, None),
        (10**400, None),
        ("9" * 5000, None),
    ],
)
def test_what_is_a_number(value: Any, found: float | None) -> None:
    """Finite, plain, and not beyond what a time or a count can be."""
    assert number(value) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Thu, 01 Jan 1970 00:00:07 GMT", 7.0),
        ("Thu, 01 Jan 1970 00:00:07 -0000", 7.0),
        ("Thu, 01 Jan 1970 01:00:07 +0100", 7.0),
        ("yesterday", None),
        ("", None),
        (None, None),
        ("Mon, 1 Jan 99999 00:00:00 GMT", None),
    ],
)
def test_what_is_a_date(text: str | None, found: float | None) -> None:
    """By its zone; a machine's own zone has no part in it."""
    assert http_date(text) == found


@given(st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d [-+]\d{1,9}"))
def test_no_date_is_a_defect(text: str) -> None:
    """It is a moment or none."""
    assert http_date(text) is None or isinstance(http_date(text), float)
