"""Headers that list named items: what they say, and nothing of what they do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.structured import Item, items


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('"default";r=50;t=30', [Item("default", {"r": "50", "t": "30"})]),
        ("default;r=50", [Item("default", {"r": "50"})]),
        (
            '"burst";q=100;w=1, "daily" ; q=1000 ;w=86400;pk=:Y2h=:',
            [Item("burst", {"q": "100", "w": "1"}), Item("daily", {"q": "1000", "w": "86400", "pk": ":Y2h=:"})],
        ),
        ('"a, b";r=1;unit="requests", c;r=2', [Item("a, b", {"r": "1", "unit": "requests"}), Item("c", {"r": "2"})]),
        ("100;w=60", [Item("100", {"w": "60"})]),
        ("limit=100, remaining=50, reset=5", [Item(None, {"limit": "100", "remaining": "50", "reset": "5"})]),
        ("limit=100;remaining=50", [Item(None, {"limit": "100", "remaining": "50"})]),
        ("", []),
        (";;;", []),
        ('"open', []),
        ('"a";r=1, ???', [Item("a", {"r": "1"})]),
    ],
)
def test_items(text: str, found: list[Item]) -> None:
    """In the form of RFC 9651 and in the one before; up to where it makes no sense."""
    assert items(text) == found


@given(st.text(alphabet='ab"\\;,= r=1.\t', max_size=3_000))
def test_any_text_is_read(text: str) -> None:
    """Strangers write it: it costs no exception, and not the time of a pattern that tries everything."""
    items(text)
