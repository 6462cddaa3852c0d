"""Headers as they are on the wire, as `httpx.Headers`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import httpx


class RawHeaders(httpx.Headers):
    """Made of bytes that are headers already: HTTPX's own way looks at each name and value again, which costs more than
    the rest of a request.
    """

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._raw = list(raw)
        self._encoding = None  # HTTPX finds it when it is asked for

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """Names and values as they are on the wire."""
        return super().raw if "_list" in vars(self) else self._raw.copy()

    @cached_property
    def _list(self) -> list[tuple[bytes, bytes, bytes]]:  # type: ignore[override]  # HTTPX sets it when it makes one
        """Each name beside its lower-case form, where HTTPX looks and writes: many are only passed on."""
        return [(name, name.lower(), value) for name, value in self._raw]

    def __repr__(self) -> str:
        return f"RawHeaders({sorted({lower.decode('ascii', 'replace') for _, lower, _ in self._list})})"  # no values
