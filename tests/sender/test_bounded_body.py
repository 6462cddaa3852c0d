"""Bodies of bounded size: decoded exactly, whatever the pieces, and never beyond the limit."""

from __future__ import annotations

import gzip
import random
import zlib
from typing import Any
from zlib import decompressobj

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.bounded_body import MAX_MEMBERS, PIECE, SLICE, GzipBody, PlainBody
from sidecar.model import Reason


def fed(body: PlainBody, data: bytes, step: int) -> Reason | bytes:
    for start in range(0, len(data), step):
        reason = body.feed(data[start : start + step])
        if reason is not None:
            return reason
    return body.whole()


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=4), st.integers(1, 500))
def test_any_split_of_any_members_decodes(members: list[bytes], step: int) -> None:
    """One gzip member or several (RFC 1952 section 2.2), cut anywhere, decode to what was packed."""
    packed = b"".join(gzip.compress(member) for member in members)
    assert fed(GzipBody(10_000), packed, step) == b"".join(members)


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
@pytest.mark.parametrize("coding", ["plain", "gzip"])
def test_the_limit_is_exact(size: int, coding: str) -> None:
    """A body of the limit is whole, one byte more is too large."""
    noise = random.Random(1).randbytes(size)
    wire = noise if coding == "plain" else gzip.compress(noise)
    kind = PlainBody if coding == "plain" else GzipBody
    assert fed(kind(size), wire, 1000) == noise
    if size:
        assert fed(kind(size - 1), wire, 1000) is Reason.RESPONSE_TOO_LARGE


def test_empty_members_are_bounded_too() -> None:
    """Encoded bytes that decode to nothing are counted as well."""
    assert fed(GzipBody(1000), gzip.compress(b"") * 10_000, 4096) is Reason.RESPONSE_TOO_LARGE


@pytest.mark.parametrize(("more", "taken"), [(0, True), (1, False)])
def test_so_many_members_and_no_more(more: int, *, taken: bool) -> None:
    """A member costs the same whatever it holds, so their number has a limit of its own."""
    packed = gzip.compress(b"", mtime=0) * (MAX_MEMBERS + more)
    assert fed(GzipBody(PIECE * 100), packed, 4096) == (b"" if taken else Reason.RESPONSE_TOO_LARGE)


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_a_body_that_is_flushed_at_every_byte_is_whole(step: int) -> None:
    """A server that flushes each byte sends seven for one: what counts is the body that comes of it."""
    packing = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    flushed = [packing.compress(b"%d" % (n % 10)) + packing.flush(zlib.Z_SYNC_FLUSH) for n in range(20_000)]
    packed = b"".join(flushed) + packing.flush()
    assert len(packed) > 6 * 20_000
    assert fed(GzipBody(20_000), packed, step) == b"0123456789" * 2_000


def test_flushes_of_nothing_are_bounded() -> None:
    """A stream that goes on and never holds anything ends when it is larger than any body may be."""
    packing = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    packed = packing.compress(b"x") + packing.flush(zlib.Z_SYNC_FLUSH) + b"\0\0\0\xff\xff" * 20_000
    assert fed(GzipBody(1000), packed, 4096) is Reason.RESPONSE_TOO_LARGE


class Counted:
    """zlib's decompressor: how often such were asked, and what they were given. They copy what is behind a member."""

    asked = 0
    given = 0

    def __init__(self, kind: int) -> None:
        self._known = decompressobj(kind)

    def decompress(self, encoded: bytes, most: int) -> bytes:
        Counted.asked += 1
        Counted.given += len(encoded)
        return self._known.decompress(encoded, most)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._known, name)


def test_a_crowd_of_members_costs_what_its_bytes_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is behind a member is not copied again for each: the loop would stand still for a third of a second."""
    member, number = gzip.compress(b"", mtime=0), 12_500
    monkeypatch.setattr(zlib, "decompressobj", Counted)
    monkeypatch.setattr(Counted, "given", 0)
    assert fed(GzipBody(250_000), member * number, 250_000) == b""
    assert Counted.given <= number * SLICE


def test_a_body_in_single_bytes_is_decoded_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are put together before they are decoded: one by one they cost forty times what their bytes do."""
    noise = random.Random(1).randbytes(5 * SLICE)
    packed = gzip.compress(noise)
    monkeypatch.setattr(zlib, "decompressobj", Counted)
    monkeypatch.setattr(Counted, "asked", 0)
    assert fed(GzipBody(len(noise)), packed, 1) == noise
    assert Counted.asked == len(packed) // SLICE + 1


@pytest.mark.parametrize("cut", range(1, 28))
def test_a_stream_cut_short_is_truncated(cut: int) -> None:
    """A gzip stream that lacks its end, wherever it was cut, is no body."""
    packed = gzip.compress(b"hello, world", mtime=0)
    assert fed(GzipBody(1000), packed[:-cut], 7) is Reason.RESPONSE_TRUNCATED


@pytest.mark.parametrize(
    "wire", [b"hello", gzip.compress(b"hello", mtime=0) + b"more", b"\x1f\x8b\x08\xff", b"\x1f\x8b\x00"]
)
def test_what_is_not_gzip_is_bad(wire: bytes) -> None:
    """Other bytes than gzip, before or after a stream, are refused."""
    assert fed(GzipBody(1000), wire + bytes(64), 1000) is Reason.BAD_PROVIDER_RESPONSE


def test_a_changed_byte_is_noticed() -> None:
    """A wrong checksum is refused: no decoded byte is used before its check."""
    packed = bytearray(gzip.compress(b"hello, world" * 50, mtime=0))
    packed[-8] ^= 1
    assert fed(GzipBody(1000), bytes(packed), 1000) is Reason.BAD_PROVIDER_RESPONSE
