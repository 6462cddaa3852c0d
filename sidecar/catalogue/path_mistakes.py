"""What is wrong with the paths of a manifest into JSON, and with the tests of success, which are such paths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from sidecar.core.dig import ALL, path_of
from sidecar.manifest import SuccessTest

INDEX = re.compile("-?[0-9]+")


def path_mistakes(paths: Mapping[str, str | None]) -> Iterator[str]:
    """Each path, by its key, that has a name which is empty: nothing stands there, and nobody can mean it."""
    for key, path in paths.items():
        if path is not None and not all(path_of(path)):
            yield f"{key}: {path!r} is no path: a name in it is empty"


def index_mistakes(key: str, path: str) -> Iterator[str]:
    """A place in a JSON body that counts through a list, as a path into an answer may: what is written there by itself
    is an object, and this would be a name in it. A name that stands alone can only be a name.
    """
    names = path_of(path)
    wrong = next((name for name in names if INDEX.fullmatch(name)), None) if len(names) > 1 else None
    if wrong is not None:
        rule = f"would make an object with the name {wrong!r} in it, not a list"
        yield f"{key}: {path!r} {rule}; take the list whole as one `in: body`, or make it in the input hook"


def success_mistakes(key: str, test: SuccessTest) -> Iterator[str]:
    """What is wrong with a test of success, whose key this is."""
    code, message = listed(f"{key}.code", test.code), listed(f"{key}.message", test.message)
    yield from path_mistakes({f"{key}.path": test.path, **code, **message})
    if ALL in path_of(test.path) and test.equals is not None:
        yield f"{key}.equals: at a path with {ALL} stands a list, which equals no single value; say null, for none"


def listed(key: str, paths: Sequence[str]) -> dict[str, str]:
    """Paths that are tried in order, by their keys."""
    return {f"{key}.{index}": path for index, path in enumerate(paths)}
