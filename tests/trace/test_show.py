"""The 2 AM trace, from events alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.model import Access, Code, Reason, SideEffect
from sidecar.trace.line import Tone
from sidecar.trace.show import event_line, read_event, trace_text
from sidecar.wire.event import Admin, Attempt, Auth, CallEvent, Event, Finished, Started, Wait, encoder

ABOUT: dict[str, Any] = {
    "time": "2026-11-21T02:14:07.120123Z",
    "call_id": "0193a5f2-7b1c-7d2e-8f00-1234567890ab",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "span_id": "00f067aa0ba902b7",
    "tenant": "acme",
    "connection": "alice",
    "provider": "jira",
    "operation": "issues.create",
}


def started(**changed: Any) -> Started:
    known = {
        "elapsed_ms": 0.1,
        "access": Access.WRITE,
        "timeout_ms": 10_000,
        "input_bytes": 120,
        "input_sha256": "ab" * 32,
        "catalog_hash": "3c1e5a9b00112233",
        "sidecar": "f1e2d3c4",
    }
    return Started(**{**ABOUT, **known, **changed})


def attempt(**changed: Any) -> Attempt:
    known = {
        "elapsed_ms": 5107.0,
        "duration_ms": 1902.0,
        "attempt": 1,
        "method": "POST",
        "url": "https://acme.example/rest/api/3/issue",
        "status": 503,
        "reason": Reason.PROVIDER_5XX,
        "decided": "no retry: the write may have been done",
    }
    return Attempt(**{**ABOUT, **known, **changed})


def finished(**changed: Any) -> Finished:
    known: dict[str, Any] = {"elapsed_ms": 5108.0, "outcome": "ok", "status": 201, "attempts": 1, "output_bytes": 2345}
    return Finished(**{**ABOUT, **known, **changed})


def wait(**changed: Any) -> Wait:
    return Wait(**{**ABOUT, "elapsed_ms": 1.0, "seconds": 3.2, "why": "the quota is used up", **changed})


UNKNOWN: dict[str, Any] = {
    "outcome": "PROVIDER_5XX",
    "code": Code.UNKNOWN,
    "side_effect": SideEffect.UNKNOWN,
    "status": 503,
    "output_bytes": None,
    "hint": "look whether it happened: sidecar call jira.issues.search",
    "why": ("waited 3.200 s for bucket points", "jira answered 503: Service temporarily unavailable"),
}


def test_the_whole_story() -> None:
    """Who and when, each step at its moment, what the provider said, what was decided, what is known, and why."""
    events: list[CallEvent] = [
        started(parent_span_id="00f067aa0ba902b8"),
        wait(bucket="points"),
        attempt(provider_request_id="8c1f", said='{"errorMessages": ["Down"]}', response_headers={"retry-after": "30"}),
        finished(**UNKNOWN),
    ]
    assert trace_text(events).splitlines() == [
        "write  acme / alice / jira.issues.create    2026-11-21 02:14:07.120 UTC   outcome unknown after 5.11 s",
        "call 0193a5f2-7b1c-7d2e-8f00-1234567890ab   catalogue 3c1e5a9b00112233    deadline 10 s",
        (
            "trace 4bf92f3577b34da6a3ce929d0e0e4736 from span 00f067aa0ba902b8 · sidecar f1e2d3c4"
            " · input 120 bytes, sha256 abababababab"
        ),
        "",
        "   0.000  accepted",
        "   0.001  wait     3.200 s   bucket points: the quota is used up",
        "   3.205  attempt 1  POST https://acme.example/rest/api/3/issue   503 after 1.90 s   request id 8c1f",
        '            said     {"errorMessages": ["Down"]}',
        "            limits   retry-after 30",
        "            decided  no retry: the write may have been done",
        (
            "   5.108  finished UNKNOWN / PROVIDER_5XX · side effect unknown"
            " · look whether it happened: sidecar call jira.issues.search"
        ),
        "",
        "why: waited 3.200 s for bucket points; jira answered 503: Service temporarily unavailable",
    ]


@pytest.mark.parametrize(
    ("events", "line"),
    [
        ([finished()], "   5.108  finished ok · 201 · 2,345 bytes"),
        ([finished(dry_run=True, status=None, attempts=0)], "   5.108  finished ok · dry run: nothing was sent"),
        (
            [finished(**{**UNKNOWN, "provider_code": "slow", "retry_after_ms": 1200, "hint": None})],
            "   5.108  finished UNKNOWN / PROVIDER_5XX · side effect unknown · jira calls it slow · again in 1.20 s",
        ),
        (
            [attempt(), wait(why="retry in 0.5 s: ...", jitter=0.37)],
            "   0.001  wait     3.200 s   before attempt 2 (jitter 0.37)",
        ),
        (
            [attempt(status=None, reason=Reason.CONNECT_FAILED, said="refused")],
            "   3.205  attempt 1  POST https://acme.example/rest/api/3/issue   CONNECT_FAILED after 1.90 s",
        ),
        (
            [attempt(status=200, reason=Reason.PROVIDER_REJECTED)],
            "   3.205  attempt 1  POST https://acme.example/rest/api/3/issue   200 PROVIDER_REJECTED after 1.90 s",
        ),
        (
            [attempt(elapsed_ms=1.0)],
            "   0.000  attempt 1  POST https://acme.example/rest/api/3/issue   503 after 1.90 s",
        ),
    ],
)
def test_steps(events: list[CallEvent], line: str) -> None:
    """Each kind of step says what matters of it."""
    assert line in trace_text(events).splitlines()


def test_a_success_says_nothing_of_its_answer() -> None:
    """Of an attempt that succeeded neither decision nor limits are told."""
    text = trace_text([attempt(status=200, reason=None, decided="done", response_headers={"x-ratelimit-limit": "9"})])
    assert "decided" not in text
    assert "limits" not in text


LOST = "no end was recorded: the call still runs, or its sidecar ended in the middle of it"


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([started(), finished()], "the first attempt succeeded"),
        ([started(), finished(attempts=0)], "it was answered without asking the provider"),
        ([started(), finished(dry_run=True)], "a dry run: everything was checked, nothing was sent"),
        ([started(access=Access.READ), attempt()], LOST),
        ([started(), attempt()], f"{LOST}; the write was sent: look at the provider whether it happened"),
        ([started()], f"{LOST}; the write may have been sent: look at the provider whether it happened"),
        ([attempt()], LOST),
    ],
)
def test_why(events: list[CallEvent], why: str) -> None:
    """The last line is the reason in plain words, also where the end is missing."""
    assert trace_text(events).splitlines()[-1] == f"why: {why}"


def test_two_runs_of_one_call_id_stand_apart() -> None:
    """A caller may send one call id twice: each run is told by itself."""
    events: list[CallEvent] = [started(), started(span_id="2"), finished(), finished(span_id="2", **UNKNOWN)]
    first, second = trace_text(events).split("\n\nwrite  ")
    assert "done after" in first
    assert "outcome unknown after" in second


def test_each_time_that_a_durable_call_is_taken_up_stands_apart() -> None:
    """It is put off and taken up again under one span: each has its own beginning, end and reason."""
    put_off = finished(outcome="CIRCUIT_OPEN", code=Code.UNAVAILABLE, why=("it is left alone",), output_bytes=None)
    events: list[CallEvent] = [started(), put_off, started(time="2026-11-21T10:00:32.000Z"), attempt(), finished()]
    first, second = trace_text(events).split("\n\nwrite  ")
    assert "CIRCUIT_OPEN" in first
    assert "10:00:32" in second
    assert "done after" in second
    assert "CIRCUIT_OPEN" not in second


EVIL = "\x1b[2J\nwhy: all is well\u202e"


@pytest.mark.parametrize(
    "event",
    [
        started(tenant=EVIL, connection=EVIL, catalog_hash=EVIL, sidecar=EVIL, parent_span_id=EVIL, time=EVIL),
        attempt(method=EVIL, url=EVIL, said=EVIL, decided=EVIL, provider_request_id=EVIL),
        attempt(response_headers={"retry-after": EVIL}),
        wait(why=EVIL, bucket=EVIL),
        finished(**{**UNKNOWN, "outcome": EVIL, "hint": EVIL, "provider_code": EVIL, "why": (EVIL,)}),
    ],
)
def test_nothing_from_outside_steers_the_terminal(event: CallEvent) -> None:
    """Text of providers and callers adds no line and no control."""
    for text in (trace_text([event]), event_line(event)):
        assert all(line.isprintable() for line in text.split("\n"))
        assert not any(line.startswith("why: all") for line in text.split("\n"))
    assert "\n" not in event_line(event)


def test_what_a_provider_says_is_bounded() -> None:
    """A long answer does not bury the rest."""
    assert max(map(len, trace_text([attempt(said="x" * 4096)]).splitlines())) < 1100


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (started(), "started   acme / alice / jira.issues.create  write, deadline 10 s"),
        (
            wait(bucket="points"),
            "wait      acme / alice / jira.issues.create  3.200 s: bucket points: the quota is used up",
        ),
        (
            finished(),
            "finished  acme / alice / jira.issues.create  ok · 201 · 2,345 bytes   after 5.11 s, 1 attempt",
        ),
    ],
)
def test_one_line_for_each_event(event: CallEvent, line: str) -> None:
    """Following along: the time, the end of the call id, the event, whose, and what."""
    assert event_line(event) == f"02:14:07.120  567890ab  {line}"


def test_an_operator_s_act_is_one_line_too() -> None:
    """What was done to a connection is told with its outcome."""
    event = Admin(
        time=ABOUT["time"], tenant="acme", connection="a", provider="jira", verb="verify", outcome="BUG", detail="why"
    )
    assert event_line(event) == "02:14:07.120            admin     acme / a / jira  verify  BUG: why"


def test_colours_are_the_printer_s() -> None:
    """The text is the same, whatever paints it."""

    def paint(text: str, tone: Tone) -> str:
        return f"<{tone}>{text}</>"

    text = trace_text([started(), attempt(), finished(**UNKNOWN)], paint)
    assert "<bad>503 after 1.90 s</>" in text
    assert "<warn>UNKNOWN / PROVIDER_5XX</>" in text


@pytest.mark.parametrize("event", [started(), attempt(), wait(), finished()])
def test_events_are_read_as_they_were_published(event: Event) -> None:
    """What one version writes it reads."""
    assert read_event(encoder.encode(event)) == event


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"event": "auth"}', b'{"event": "wait"}'])
def test_what_is_no_event_that_we_know_is_none(data: bytes) -> None:
    """An event of a newer version, or no event at all, ends nothing."""
    assert read_event(data) is None


def test_events_may_grow() -> None:
    """A field that a newer version added is passed over."""
    grown = {**msgspec.json.decode(encoder.encode(wait())), "later": 1}
    assert read_event(msgspec.json.encode(grown)) == wait()


@pytest.mark.parametrize(
    ("outcome", "valid_s", "detail", "line"),
    [
        ("renewed", 3599.0, None, "token renewed, valid for 60 min"),
        ("renewed", None, None, "token renewed"),
        ("lost", None, "invalid_grant", "token lost: invalid_grant"),
        ("reauth_required", None, "x\x1b[2J", "token reauth required: x\\x1b[2J"),
    ],
)
def test_a_renewal_is_one_line_too(outcome: Any, valid_s: float | None, detail: str | None, line: str) -> None:
    """What came of it, and how long the new token lives."""
    event = Auth(
        time=ABOUT["time"],
        tenant="acme",
        connection="a",
        provider="jira",
        outcome=outcome,
        valid_s=valid_s,
        detail=detail,
    )
    assert event_line(event) == f"02:14:07.120            auth      acme / a / jira  {line}"


def test_how_long_the_token_was_valid_stands_before_the_attempt() -> None:
    """Where its provider says how long it lives."""
    text = trace_text([started(), attempt(token_valid_s=41 * 60.0), finished(**UNKNOWN)])
    assert "auth     token valid for 41 min" in text
    assert "auth " not in trace_text([started(), attempt(), finished(**UNKNOWN)])


@pytest.mark.parametrize(
    "why", ["put off: CIRCUIT_OPEN: it is left alone", "other calls were under way: its turn came then"]
)
def test_a_wait_before_any_exchange_says_what_for(why: str) -> None:
    """A call put off for later, or one that waited for its turn, waits for no attempt: the line says why it does."""
    lines = trace_text([wait(why=why)])
    assert f"wait     3.200 s   {why}" in lines
    assert "before attempt" not in lines
