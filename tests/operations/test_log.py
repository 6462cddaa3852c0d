"""One record is one line: whatever was logged, by whomever."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import msgspec
import pytest

from sidecar.log import MAX_MESSAGE, MAX_TRACEBACK, JsonLines, TextLines, configure_log, defect

NOISE = ["a\nb", "\r\n\r\n", "\x1b[31mred\x1b[0m", "\x00", "\x85\u2028\u2029", "\ud800", "x" * 1_000_000, "\u202eabc"]


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back after the test."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def record(message: str, *args: object, error: Exception | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("sidecar.worker", logging.WARNING, __file__, 1, message, args, exc_info)


def broken(error: Exception, cause: Exception | None = None) -> None:
    raise error from cause


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """The error with a traceback, as it is caught."""
    try:
        broken(error, cause)
    except type(error):
        return error
    pytest.fail("nothing was raised")


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("form", [JsonLines(), TextLines()])
def test_one_record_one_line(form: logging.Formatter, noise: str) -> None:
    """No line break, no colour, no megabyte gets out; what was said around it does."""
    line = form.format(record("the name %s is odd", noise))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "\x00" not in line
    assert len(line) <= 2 * MAX_MESSAGE
    assert "the name" in line
    line.encode()


def test_what_was_there_can_be_read() -> None:
    """In text as escapes, in JSON as it was; what was cut off shows as that."""
    noise = record("the name %s", "a\n\x1b[31m")
    assert TextLines().format(noise).endswith(r"the name a\n\x1b[31m")
    assert msgspec.json.decode(JsonLines().format(noise))["message"] == "the name a\n\x1b[31m"
    long = record("x" * 1_000_000)
    assert TextLines().format(long).endswith("x...")
    assert msgspec.json.decode(JsonLines().format(long))["message"].endswith("x...")


@pytest.mark.parametrize("noise", NOISE)
def test_an_exception_in_json(noise: str) -> None:
    """Is a member of the one line, and bounded."""
    line = JsonLines().format(record("it broke", error=raised(ValueError(noise))))
    assert len(line.splitlines()) == 1
    told = msgspec.json.decode(line)
    assert set(told) == {"time", "level", "logger", "message", "exception"}
    assert (told["level"], told["logger"], told["message"]) == ("warning", "sidecar.worker", "it broke")
    assert len(told["exception"]) <= MAX_TRACEBACK + 3


@pytest.mark.parametrize("noise", NOISE)
def test_an_exception_in_text(noise: str) -> None:
    """Follows on indented lines of its own, none of which looks like a record."""
    first, *rest = TextLines().format(record("it broke", error=raised(ValueError(noise)))).split("\n")
    assert first.endswith("sidecar.worker: it broke")
    assert rest
    assert all(line.startswith("    ") for line in rest)
    assert all(line.isprintable() for line in rest)


def test_a_defect_is_told_without_its_secrets() -> None:
    """What kind of error and where, its words redacted; of what caused it, nothing."""
    error = raised(KeyError("canary-of-the-mine"), raised(ValueError("canary in the cause")))
    told = defect(error, ["canary-of-the-mine"])
    line = JsonLines().format(logging.LogRecord("sidecar", logging.ERROR, "", 1, "it broke", (), told))
    assert "KeyError: '[redacted]'" in line
    assert "test_log.py" in line
    assert "canary in the cause" not in line


@pytest.mark.parametrize(("form", "first"), [("json", "{"), ("auto", "{"), ("text", "")])
def test_every_record_goes_to_the_one_stream(root: logging.Logger, form: str, first: str) -> None:
    """Libraries' too, from warnings up; JSON where nobody watches."""
    stream = io.StringIO()
    configure_log(form, "info", stream)
    logging.getLogger("sidecar.app").info("started")
    logging.getLogger("sidecar.app").debug("not shown")
    logging.getLogger("nats").info("not shown")
    logging.getLogger("nats").warning("slow")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.startswith("{") is (first == "{") for line in lines)
