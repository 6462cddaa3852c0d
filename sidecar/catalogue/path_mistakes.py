"""What is wrong with the paths of a manifest into JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sidecar.core.dig import path_of


def path_mistakes(paths: Mapping[str, str | None]) -> Iterator[str]:
    """Each path, by its key, that has a name which is empty: nothing stands there, and nobody can mean it."""
    for key, path in paths.items():
        if path is not None and not all(path_of(path)):
            yield f"{key}: {path!r} is no path: a name in it is empty"


def listed(key: str, paths: Sequence[str]) -> dict[str, str]:
    """Paths that are tried in order, by their keys."""
    return {f"{key}.{index}": path for index, path in enumerate(paths)}
