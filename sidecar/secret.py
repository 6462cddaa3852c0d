"""A secret that cannot be shown by accident."""

from __future__ import annotations

import hmac
from typing import NoReturn

SHOWN = "[secret]"


class Secret:
    """A value that only `reveal()` gives. Printing, formatting, logging, encoding or pickling it does not."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value; call it only where the value is used or sealed."""
        return self._value

    def __repr__(self) -> str:
        return SHOWN

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return SHOWN

    def __eq__(self, other: object) -> bool:
        if other is self:
            return True
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")
