"""Every promise has a planted bug that turns its test red."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.prove_red.proof import Told, Verdict, prove
from tests.prove_red.row import Row
from tests.prove_red.table import ROWS

ROOT = Path(__file__).parent.parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.prove_red", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", default="", help="rows whose promise, file or test holds this text")
    parser.add_argument("--list", action="store_true", help="print the rows and plant nothing")
    arguments = parser.parse_args()
    rows = [row for row in ROWS if _holds(row, arguments.only)]
    if not rows:
        print(f"no row holds {arguments.only!r}")
        return 1
    if arguments.list:
        print("\n".join(f"{row.promise}\n    {_where(row)}" for row in rows))
        return 0
    began = time.monotonic()
    print(f"{len(rows)} promises; first their tests without a bug", flush=True)
    told = prove(ROOT, rows, _tell)
    return report(told, time.monotonic() - began)


def report(told: Sequence[Told], seconds: float) -> int:
    """Print each promise that nothing holds, and why; the exit code."""
    wrong = [item for item in told if item.verdict is not Verdict.CAUGHT]
    print(f"{len(told) - len(wrong)} of {len(told)} planted bugs were caught, in {seconds:.0f} s")
    for item in wrong:
        print(f"{item.verdict}: {item.row.promise}")
        print("\n".join(f"    {line}" for line in item.why.splitlines()))
    return 1 if wrong else 0


def _tell(told: Told) -> None:
    seconds = f"{told.seconds:.1f} s"
    print(f"{told.verdict:<10} {seconds:>7}  {told.row.promise}\n{'':<19} {_where(told.row)}", flush=True)


def _where(row: Row) -> str:
    return f"{row.file} -> {', '.join(test.removeprefix('tests/') for test in row.tests)}"


def _holds(row: Row, text: str) -> bool:
    return text.lower() in "\n".join((row.promise, row.file, *row.tests)).lower()


if __name__ == "__main__":
    sys.exit(main())
