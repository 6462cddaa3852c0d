"""What comes in: the bytes of a file or of stdin, or the answers of a person at a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

from sidecar.cli.failure import NO_FILE, USAGE, stop

STDIN = "-"


def at_a_terminal() -> bool:
    """Whether somebody can be asked. Python has no stdin where it was closed."""
    return sys.stdin is not None and sys.stdin.isatty()


def read_some(path: str, most: int) -> bytes:
    """What the file holds (`-`: stdin), one byte more than `most` where there is more. Stopped where nothing can be
    read.
    """
    if not path:
        raise stop(USAGE, "the name of the file is empty", "give @FILE, or - for stdin")
    try:
        if path != STDIN:
            with Path(path).expanduser().open("rb") as file:
                return file.read(most + 1)
        if sys.stdin is None:
            raise stop(NO_FILE, "stdin is closed: nothing can be read from it", "give a file, or a pipe")
        return sys.stdin.buffer.read(most + 1)
    except OSError as error:
        raise stop(NO_FILE, f"{'stdin' if path == STDIN else path}: {error.strerror}") from error
