"""A response body of bounded size: while it arrives, memory holds the limit and one small decoded piece at most."""

from __future__ import annotations

import zlib

from sidecar.model import Reason

PIECE = 64 * 1024  # bytes that one step of decoding may add
SLICE = 4096  # encoded bytes that are decoded at a time: zlib copies what is behind a member, and members can be tiny
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
    """A body in gzip, of one or more members (RFC 1952 section 2.2).

    The encoded bytes are counted too: only a body made of empty members or blocks decodes to less than it is.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._encoded = 0
        self._member = zlib.decompressobj(GZIP)

    def feed(self, chunk: bytes) -> Reason | None:
        self._encoded += len(chunk)
        if self._encoded > self._limit + PIECE:
            return Reason.RESPONSE_TOO_LARGE
        try:
            for start in range(0, len(chunk), SLICE):
                reason = self._decode(chunk[start : start + SLICE])
                if reason is not None:
                    return reason
        except zlib.error:
            return Reason.BAD_PROVIDER_RESPONSE
        return None

    def _decode(self, encoded: bytes) -> Reason | None:
        while encoded:
            if self._member.eof:
                self._member = zlib.decompressobj(GZIP)
            reason = super().feed(self._member.decompress(encoded, PIECE))
            if reason is not None:
                return reason
            encoded = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        return None

    def whole(self) -> bytes | Reason:
        if self._encoded and not self._member.eof:
            return Reason.RESPONSE_TRUNCATED
        return super().whole()
