"""One promise, and the single mistake that would break it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """`good` stands exactly once in `file`; with `bad` in its place each of `tests` (node ids) must fail."""

    promise: str
    file: str
    good: str
    bad: str
    tests: tuple[str, ...]

    def stale(self, root: Path) -> str | None:
        """Why the row does not fit the tree any more; None when it does."""
        path = root / self.file
        if not path.is_file():
            return f"there is no {self.file}"
        times = path.read_text(encoding="utf-8").count(self.good)
        if times != 1:
            return f"`good` stands {times} times in {self.file}, not once"
        gone = [test for test in self.tests if not _exists(root, test)]
        return f"there is no test {gone[0]}" if gone else None


def _exists(root: Path, test: str) -> bool:
    file, _, name = test.partition("::")
    return name.partition("[")[0] in _tests_of(root / file)


@cache
def _tests_of(path: Path) -> frozenset[str]:
    """The names of the test functions of a file; none where it cannot be read."""
    try:
        module = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return frozenset()
    return frozenset(node.name for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
