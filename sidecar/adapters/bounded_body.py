"""A response body of bounded size: while it arrives, memory holds the limit and one small decoded piece at most."""

from __future__ import annotations

import zlib

from sidecar.model import Reason

PIECE = 64 * 1024  # bytes that one step of decoding may add
SLICE = 4096  # encoded bytes that are decoded at a time: zlib copies what is behind a member, and members can be tiny
MAX_MEMBERS = 16_384  # of one body
MOST_ENCODED = 16  # encoded bytes for each decoded one, above which a body is made to cost
GZIP = 16 + zlib.MAX_WBITS  # a gzip header and trailer are demanded, https://zlib.net/manual.html#Advanced


class PlainBody:
    """A body that is not encoded. `feed` returns why to stop reading, or None."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._body: bytes | bytearray = b""  # one buffer, as two million pieces of two bytes would take 100 MB

    def feed(self, chunk: bytes) -> Reason | None:
        self._size += len(chunk)
        if self._size > self._limit:
            return Reason.RESPONSE_TOO_LARGE
        if not self._body:
            self._body = chunk
        elif isinstance(self._body, bytes):
            self._body = bytearray(self._body) + chunk
        else:
            self._body += chunk
        return None

    def whole(self) -> bytes | Reason:
        return bytes(self._body)


class GzipBody(PlainBody):
    """A body in gzip, of one or more members (RFC 1952 section 2.2). It is decoded in slices, however small its pieces.

    The encoded bytes and the members are counted too: a body may be all members, or blocks, that hold nothing. One that
    was flushed at every byte is up to eight times what it decodes to.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._encoded = 0
        self._members = 1
        self._waiting = bytearray()
        self._member = zlib.decompressobj(GZIP)

    def feed(self, chunk: bytes) -> Reason | None:
        self._waiting += chunk
        return self._decode() if len(self._waiting) >= SLICE else None

    def _decode(self) -> Reason | None:
        encoded, self._waiting = self._waiting, bytearray()
        try:
            for start in range(0, len(encoded), SLICE):
                part = encoded[start : start + SLICE]
                self._encoded += len(part)
                reason = self._decode_slice(part)
                if reason is not None:
                    return reason
                if self._encoded > self._limit + PIECE + MOST_ENCODED * self._size:
                    return Reason.RESPONSE_TOO_LARGE
        except zlib.error:
            return Reason.BAD_PROVIDER_RESPONSE
        return None

    def _decode_slice(self, encoded: bytes | bytearray) -> Reason | None:
        while encoded:
            if self._member.eof:
                self._members += 1
                if self._members > MAX_MEMBERS:
                    return Reason.RESPONSE_TOO_LARGE
                self._member = zlib.decompressobj(GZIP)
            reason = super().feed(self._member.decompress(encoded, PIECE))
            if reason is not None:
                return reason
            encoded = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        return None

    def whole(self) -> bytes | Reason:
        reason = self._decode()
        if reason is not None:
            return reason
        if self._encoded and not self._member.eof:
            return Reason.RESPONSE_TRUNCATED
        return super().whole()
