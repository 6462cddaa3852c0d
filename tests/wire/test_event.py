"""Trace events: one shape per event, read back as they were written."""

from __future__ import annotations

import re

import msgspec
import pytest

from sidecar.model import Access, Code, Reason, SideEffect
from sidecar.wire.event import Admin, Attempt, Event, Finished, Started, Wait, decoder, encoder, event_name, timestamp

ABOUT = {
    "time": "2026-11-21T10:00:00.000000Z",
    "call_id": "0190a8b0-1234-7abc-8def-0123456789ab",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "span_id": "00f067aa0ba902b7",
    "tenant": "acme",
    "connection": "alice",
    "provider": "github",
    "operation": "issues.list",
    "elapsed_ms": 1.5,
}
EVENTS: list[Event] = [
    Started(
        **ABOUT,  # type: ignore[arg-type]  # mypy sees one type for all values of the dict
        access=Access.READ,
        timeout_ms=30_000,
        input_bytes=2,
        input_sha256="ab",
        catalog_hash="cd",
        sidecar="x",
    ),
    Attempt(**ABOUT, attempt=1, method="GET", url="https://api.github.com/x", duration_ms=3.0, status=200),  # type: ignore[arg-type]  # as above
    Wait(**ABOUT, seconds=2.0, why="the quota is used up", bucket="search"),  # type: ignore[arg-type]  # as above
    Finished(  # as above
        **ABOUT,  # type: ignore[arg-type]  # as above
        outcome=Reason.OUTCOME_UNKNOWN,
        code=Code.UNKNOWN,
        side_effect=SideEffect.UNKNOWN,
        why=("attempt 1: lost",),
    ),
    Admin(
        time=ABOUT["time"],  # type: ignore[arg-type]  # as above
        tenant="acme",
        connection="-",
        provider="-",
        verb="list",
        outcome="ok",
    ),
]


@pytest.mark.parametrize("event", EVENTS, ids=event_name)
def test_an_event_reads_back(event: Event) -> None:
    """What a sidecar publishes, a reader of the trace decodes to the same value."""
    assert decoder.decode(encoder.encode(event)) == event


@pytest.mark.parametrize("event", EVENTS, ids=event_name)
def test_an_event_names_itself_as_its_subject_does(event: Event) -> None:
    """The member `event` is the last token of the subject."""
    assert msgspec.json.decode(encoder.encode(event))["event"] == event_name(event)


def test_an_attempt_has_opentelemetrys_names() -> None:
    """https://opentelemetry.io/docs/specs/semconv/http/http-spans/"""
    written = msgspec.json.decode(encoder.encode(EVENTS[1]))
    assert {"http.request.method", "url.full", "http.response.status_code"} <= written.keys()


@pytest.mark.parametrize(
    ("wall", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (1_795_255_200.25, "2026-11-21T10:00:00.250000Z"),
        (1_795_255_200.0, "2026-11-21T10:00:00.000000Z"),
    ],
)
def test_times_are_rfc3339_in_utc(wall: float, text: str) -> None:
    """Always with microseconds, so that times sort as text."""
    assert timestamp(wall) == text
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", timestamp(wall))


def test_an_event_is_one_line() -> None:
    """Newlines and escape sequences of a provider's words are escaped: one event, one line of a log."""
    finished = Finished(**ABOUT, outcome="ok", detail="a\nb\x1b[31m\x00")  # type: ignore[arg-type]  # as above
    line = encoder.encode(finished)
    assert b"\n" not in line
    assert b"\x1b" not in line
