r"""Values by dotted path out of decoded JSON: `error.code`, `errors.0.message`, `items.-1.id` (the last element),
`errors.*.message` (every element). A dot behind a backslash belongs to the name beside it: `@odata\.nextLink`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

SEVERAL = "; "
ALL = "*"
DOT = re.compile(r"(?<!\\)\.")


def dig(body: Any, path: str) -> Any:
    """The value at the path, or None. With `*` in the path: the list of what every element holds there."""
    found = find(body, path)
    return found[0] if found else None


def find(body: Any, path: str) -> list[Any]:
    """The value at the path, in a list, which is empty where there is none; a null is a value."""
    names = path_of(path)
    found = list(walk(body, names))
    return [found] if ALL in names else found


def dig_text(body: Any, paths: Sequence[str]) -> str | None:
    """The first non-empty value of the paths as text; a list is joined with `; ` (`SEVERAL`)."""
    for path in paths:
        value = dig(body, path)
        if isinstance(value, list):
            value = SEVERAL.join(str(item) for item in value if isinstance(item, str | int | float))
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
            return str(value)
    return None


@lru_cache(maxsize=1_024)  # paths come from manifests
def path_of(name: str) -> tuple[str, ...]:
    """The names that a dotted path is made of."""
    return tuple(part.replace("\\.", ".") for part in DOT.split(name))


def walk(value: Any, names: Sequence[str]) -> Iterator[Any]:
    if not names:
        yield value
        return
    head, rest = names[0], names[1:]
    if head == ALL:
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from walk(item, rest)
    elif isinstance(value, dict) and head in value:
        yield from walk(value[head], rest)
    elif head == "-1" and isinstance(value, list) and value:
        yield from walk(value[-1], rest)
    elif isinstance(value, list) and head.isdecimal() and len(head) < 9 and int(head) < len(value):  # noqa: PLR2004
        yield from walk(value[int(head)], rest)
