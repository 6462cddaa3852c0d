"""One finding of the doctor, and how it is printed."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from sidecar.trace.line import Paint, Tone, plain, unpainted

WIDE = 600


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


TONES = {Level.OK: Tone.GOOD, Level.WARN: Tone.WARN, Level.FAIL: Tone.BAD}


class Line(msgspec.Struct, frozen=True):
    """`what` was looked at, what was seen, and how to mend it."""

    level: Level
    what: str
    seen: str
    mend: str = ""


def ok(what: str, seen: str) -> Line:
    return Line(Level.OK, what, seen)


def warn(what: str, seen: str, mend: str) -> Line:
    return Line(Level.WARN, what, seen, mend)


def fail(what: str, seen: str, mend: str) -> Line:
    return Line(Level.FAIL, what, seen, mend)


def lines_text(lines: Sequence[Line], paint: Paint = unpainted) -> str:
    """A line for each finding; below it, what to do."""
    said: list[str] = []
    for line in lines:
        level = paint(line.level, TONES[line.level]) + " " * (4 - len(line.level))
        said.append(f"{level}  {line.what:<11} {plain(line.seen, WIDE)}".rstrip())
        if line.mend:
            said.append(f"{'':18}-> {plain(line.mend, WIDE)}")
    return "\n".join(said)
