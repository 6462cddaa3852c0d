"""What was counted, beside what it must be."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple


class Figure(NamedTuple):
    """One line of the table. `must` says the promise in words; empty where the figure is only told."""

    what: str
    seen: str
    must: str = ""
    holds: bool = True


def equal(what: str, seen: int, must: int) -> Figure:
    return Figure(what, str(seen), str(must), seen == must)


def at_least(what: str, seen: float, must: float) -> Figure:
    return Figure(what, f"{seen:g}", f">= {must:g}", seen >= must)


def at_most(what: str, seen: float, must: float, unit: str = "") -> Figure:
    return Figure(what, f"{seen:.4g}{unit}", f"<= {must:g}{unit}", seen <= must)


def told(what: str, seen: object) -> Figure:
    """A figure that is for the note alone."""
    return Figure(what, str(seen))


def listed(counted: Counter[str]) -> str:
    return ", ".join(f"{number} {word}" for word, number in counted.most_common()) or "none"


def table(title: str, figures: Iterable[Figure]) -> str:
    rows = list(figures)
    widest = max(len(row.what) for row in rows)
    lines = [title]
    for row in rows:
        mark = "  " if row.holds else "!!"
        lines.append(f" {mark} {row.what:{widest}}  {row.seen}{f'   (must be {row.must})' if row.must else ''}")
    return "\n".join(lines)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
