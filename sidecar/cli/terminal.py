"""Printing: the output alone goes to stdout, everything said about it to stderr; colours only where they help."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click
import msgspec

from sidecar.trace.line import Tone

STYLES: Mapping[Tone, Mapping[str, object]] = {
    Tone.GOOD: {"fg": "green"},
    Tone.WARN: {"fg": "yellow"},
    Tone.BAD: {"fg": "red"},
    Tone.DIM: {"dim": True},
    Tone.STRONG: {"bold": True},
}
MAX_SHOWN = 256 * 1024  # characters of an output that a terminal is given; a pipe gets all of it
JSON = "application/json"
BETWEEN = {*"\t\n\r", *map(chr, range(0xDC80, 0xDD00))}  # what is not within a string; bytes that are no text


def colours(environment: Mapping[str, str]) -> bool | None:
    """Whether to colour: not where the environment says so (https://no-color.org), else as click sees fit (None)."""
    return False if environment.get("NO_COLOR") or environment.get("TERM") == "dumb" else None


def paint(text: str, tone: Tone) -> str:
    """The text in its colour; click takes colours out again where the stream is no terminal."""
    return click.style(text, **STYLES[tone])  # type: ignore[arg-type]  # a table of keyword arguments


def say(text: str) -> None:
    """One thing said about the output."""
    click.echo(text, err=True)


def put(text: str) -> None:
    """Output for a person."""
    click.echo(text)


def put_json(value: object) -> None:
    """Output for a machine: one JSON document. A person may read it on a terminal."""
    click.echo(json_bytes(value))


def json_bytes(value: object) -> bytes:
    """The document, with what could steer a terminal as escapes that mean the same."""
    text = (value if isinstance(value, bytes) else msgspec.json.encode(value)).decode(errors="surrogateescape")
    odd = {ord(char): in_json(char) for char in set(text) if not char.isprintable() and char not in BETWEEN}
    return text.translate(odd).encode(errors="surrogateescape")


def put_body(body: bytes, content_type: str) -> None:
    """An operation's output: as it is into a pipe, readable and harmless on a terminal."""
    if body and sys.stdout is not None and sys.stdout.isatty():  # there is none where it was closed
        click.echo(readable(body, content_type))
    elif body:
        click.echo(body, nl=content_type == JSON)


def readable(body: bytes, content_type: str) -> str:
    """The output for a terminal: JSON indented, other text as it is, each without what could steer the terminal."""
    try:
        text = (msgspec.json.format(body, indent=2) if content_type == JSON and body else body).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"({len(body):,} bytes of {content_type}: send them to a file with > FILE)"
    shown = "".join(char if char.isprintable() or char == "\n" else in_json(char) for char in text[:MAX_SHOWN])
    more = len(text) - MAX_SHOWN
    return shown if more <= 0 else f"{shown}\n({more:,} characters more: send all to a file with > FILE)"


def in_json(char: str) -> str:
    """The escape of a character that JSON knows too."""
    units = char.encode("utf-16-be", "surrogatepass")
    escapes = (f"\\u{units[index : index + 2].hex()}" for index in range(0, len(units), 2))
    return char if char == "\t" else "".join(escapes)
