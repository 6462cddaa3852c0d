"""Plants each bug in turn and says what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

from tests.prove_red.copy_of_tree import Copy, Ran, copies
from tests.prove_red.row import Row

WORKERS = 2
PACKAGE = "sidecar"


class Verdict(StrEnum):
    """What became of a row. All but the first: nothing holds the product to this promise."""

    CAUGHT = "caught"
    LIVED = "LIVED"
    STALE = "STALE"
    RED_BEFORE = "RED BEFORE"


@dataclass(frozen=True, slots=True)
class Told:
    """A row's end, after how many seconds of tests, and why where it was not caught."""

    row: Row
    verdict: Verdict
    seconds: float = 0.0
    why: str = ""


def prove(root: Path, rows: Sequence[Row], tell: Callable[[Told], None]) -> list[Told]:
    """Every row's end, in the rows' order; `tell` hears each as it is known. First every named test has to pass."""
    with TemporaryDirectory(prefix="prove-red-") as folder:
        made = copies(root, Path(folder).resolve(), WORKERS, PACKAGE)
        free: SimpleQueue[Copy] = SimpleQueue()
        for copy in made:
            free.put(copy)

        def proved(row: Row) -> Told:
            copy = free.get()
            try:
                told = _proved(copy, row, before)
            finally:
                free.put(copy)
            tell(told)
            return told

        with ThreadPoolExecutor(WORKERS) as pool:
            before = [ran for rans in pool.map(_without_bugs, made, _shares(root, rows)) for ran in rans]
            return list(pool.map(proved, rows))


def _shares(root: Path, rows: Sequence[Row]) -> list[list[str]]:
    """The named tests of rows that fit, dealt out to the workers file by file."""
    tests = sorted({test for row in rows if row.stale(root) is None for test in row.tests})
    files = sorted({test.partition("::")[0] for test in tests})
    return [[test for test in tests if test.partition("::")[0] in files[first::WORKERS]] for first in range(WORKERS)]


def _without_bugs(copy: Copy, tests: Sequence[str]) -> list[Ran]:
    ran = copy.run(tests) if tests else Ran(frozenset(), frozenset(), "")
    if ran.passed or not tests:
        return [ran]
    # A file that does not load keeps pytest from running any: one by one the others are seen.
    files = dict.fromkeys(test.partition("::")[0] for test in tests)
    return [copy.run([test for test in tests if test.startswith(f"{file}::")]) for file in files]


def _proved(copy: Copy, row: Row, before: Sequence[Ran]) -> Told:
    why = row.stale(copy.folder)
    if why is not None:
        return Told(row, Verdict.STALE, why=why)
    for test in row.tests:
        if not any(ran.green(test) for ran in before):
            said = "\n".join(ran.said for ran in before if not ran.passed or ran.red(test))
            return Told(row, Verdict.RED_BEFORE, why=f"{test} did not pass without the bug:\n{said}")
    began = time.monotonic()
    with copy.planted(row.file, row.good, row.bad):
        for test in row.tests:
            ran = copy.run([test], "-x")
            if not ran.red(test):
                return Told(row, Verdict.LIVED, time.monotonic() - began, f"{test} did not fail:\n{ran.said}")
    return Told(row, Verdict.CAUGHT, time.monotonic() - began)
