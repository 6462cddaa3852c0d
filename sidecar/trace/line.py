"""Text for a person: one record is one line, and nothing that came from outside can steer a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

GAP = "  "


class Tone(StrEnum):
    """What a piece of text means to the eye. Whoever prints chooses the colours, or none."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    DIM = "dim"
    STRONG = "strong"


Paint = Callable[[str, Tone], str]


def unpainted(text: str, _: Tone) -> str:
    return text


def plain(text: str, limit: int = 300) -> str:
    """The text as one line, at most `limit` characters of it: controls and other invisible ones as escapes."""
    cut = text if len(text) <= limit else f"{text[:limit]}..."
    return cut if cut.isprintable() else "".join(char if char.isprintable() else escaped(char) for char in cut)


def escaped(char: str) -> str:
    r"""The character as Python writes it: `\x1b`, `\n`, `\u202e`."""
    return char.encode("unicode_escape").decode()


def columns(rows: Sequence[Sequence[str]], gap: str = GAP) -> list[str]:
    """The rows as lines with their cells one below the other; the last cell of a row is not padded."""
    count = max((len(row) for row in rows), default=0)
    widths = [max((len(row[index]) for row in rows if len(row) > index + 1), default=0) for index in range(count)]
    return [
        gap.join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)), *row[-1:]]).rstrip()
        for row in rows
    ]


def seconds(value: float) -> str:
    """A duration in words: `41 ms` below a second, else `3.20 s`."""
    if value < 0.0995:  # noqa: PLR2004
        return f"{value * 1000:.3g} ms"
    return f"{value * 1000:.0f} ms" if value < 0.9995 else f"{value:.2f} s"  # noqa: PLR2004


def counted(number: int, noun: str) -> str:
    """`1 attempt`, `2 attempts`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def ending(call_id: str) -> str:
    """The end of a call id that people use in its place."""
    return plain(call_id)[-8:]
