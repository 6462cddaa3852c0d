"""Headers made of bytes are those that HTTPX would make of them."""

from __future__ import annotations

import httpx
from hypothesis import given
from hypothesis import strategies as st

from sidecar.raw_headers import RawHeaders

NAMES = st.sampled_from([b"Date", b"date", b"X-Rate", b"Set-Cookie", b"x"])
RAW = st.lists(st.tuples(NAMES, st.binary(max_size=8)), max_size=6)


@given(RAW)
def test_they_are_what_httpx_makes(raw: list[tuple[bytes, bytes]]) -> None:
    """Whoever looks at them sees no difference, and a response or request takes them."""
    ours, theirs = RawHeaders(raw), httpx.Headers(raw)
    assert ours.raw == theirs.raw
    assert ours == theirs
    for made in (
        ours,
        httpx.Response(200, headers=ours).headers,
        httpx.Request("GET", "https://a", headers=ours).headers,
    ):
        for name in ("date", "DATE", "set-cookie", "x-rate", "missing"):
            assert made.get(name) == theirs.get(name)
            assert made.get_list(name) == theirs.get_list(name)
    assert (ours.raw, ours.multi_items(), ours.encoding) == (theirs.raw, theirs.multi_items(), theirs.encoding)


@given(RAW, st.booleans())
def test_they_can_be_changed(raw: list[tuple[bytes, bytes]], looked_at: bool) -> None:
    """As HTTPX's own, whether anybody looked a name up before or not; what was taken from them changes nothing."""
    ours, theirs = RawHeaders(raw), httpx.Headers(raw)
    ours.raw.append((b"not", b"ours"))
    for made in (ours, theirs):
        if looked_at:
            made.get("date")
        made["X-Rate"] = "1"
        made["new"] = "2"
        made.pop("date", None)
    assert (ours.raw, ours) == (theirs.raw, theirs)


def test_nothing_of_httpx_is_missing() -> None:
    """They are made without HTTPX's own way of making them."""
    made = RawHeaders([])
    assert all(hasattr(made, name) for name in vars(httpx.Headers()))


def test_they_show_names_alone() -> None:
    """One of them may hold the credential."""
    assert repr(RawHeaders([(b"X-Key", b"hunter2"), (b"Accept", b"*/*")])) == "RawHeaders(['accept', 'x-key'])"
