"""Headers as they are on the wire, as `httpx.Headers`."""

from __future__ import annotations

from collections.abc import Iterable

import httpx


class RawHeaders(httpx.Headers):
    """Made of bytes that are headers already: HTTPX's own way looks at each name and value again, which costs more than
    the rest of a request. Like HTTPX it keeps each name beside its lower-case form.
    """

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._list = [(name, name.lower(), value) for name, value in raw]
        self._encoding = None  # HTTPX finds it when it is asked for

    def __repr__(self) -> str:
        return f"RawHeaders({sorted({lower.decode('ascii', 'replace') for _, lower, _ in self._list})})"  # no values
