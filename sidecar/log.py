"""Logs on stderr: JSON lines for machines, or text for a person. One record is one line; there is none per call."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TextIO

from sidecar.core.redact import redact_text
from sidecar.trace.line import plain
from sidecar.wire.event import timestamp

MAX_MESSAGE = 4_096
MAX_TRACEBACK = 4 * MAX_MESSAGE  # its end says more than its beginning
LIBRARIES = ("nats", "uvicorn", "asyncio")


def configure_log(form: str, level: str, stream: TextIO = sys.stderr) -> None:
    """Send every log record of the process to the stream. `form` is `json`, `text`, or `auto` (text on a terminal)."""
    as_text = form == "text" or (form == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextLines() if as_text else JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


class Defect(Exception):
    """An error in words that hold no secret; its traceback is the error's own."""


def defect(error: Exception, secrets: Sequence[str] = ()) -> tuple[type[Defect], Defect, TracebackType | None]:
    """What a log record says of an error that should not have been (its `exc_info`)."""
    words = Defect(f"{type(error).__name__}: {redact_text(str(error)[:MAX_MESSAGE], secrets)}")
    return Defect, words, error.__traceback__


class JsonLines(logging.Formatter):
    """`{"time", "level", "logger", "message"}`, with `exception` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _encodable(_begin(record.getMessage())),
        }
        if record.exc_info:
            line["exception"] = _encodable(_end(self.formatException(record.exc_info)))
        return json.dumps(line)  # in ASCII: no character of a stranger breaks the line


def _begin(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}..."


def _end(text: str) -> str:
    return text if len(text) <= MAX_TRACEBACK else f"...{text[-MAX_TRACEBACK:]}"


def _encodable(text: str) -> str:
    """The text with a lone surrogate, which no UTF-8 holds, written as its escape."""
    return text.encode(errors="backslashreplace").decode()


class TextLines(logging.Formatter):
    """`12:00:01 info    sidecar.app: message`; an exception follows on lines of its own, indented."""

    def format(self, record: logging.LogRecord) -> str:
        clock = self.formatTime(record, "%H:%M:%S")
        line = f"{clock} {record.levelname.lower():<7} {record.name}: {plain(record.getMessage(), MAX_MESSAGE)}"
        if record.exc_info:
            trace = _end(self.formatException(record.exc_info))
            line += "".join(f"\n    {plain(part, MAX_MESSAGE)}" for part in trace.splitlines())
        return line
