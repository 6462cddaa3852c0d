"""The 2 AM trace: from the events of a call alone, what happened to it and why, as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from sidecar.model import Access, SideEffect
from sidecar.trace.line import Paint, Tone, columns, counted, ending, plain, seconds, unpainted
from sidecar.wire.event import Admin, Attempt, Auth, CallEvent, Event, Finished, Started, Wait, decoder, event_name

WIDE = 1_000  # characters of what a provider said, and of the reasons
URL_WIDE = 200
LIMIT_HEADERS = ("retry-after", "x-ratelimit-", "x-rate-limit-", "ratelimit")
FIRST_FAILURE_STATUS = 400


def trace_text(events: Sequence[CallEvent], paint: Paint = unpainted) -> str:
    """Everything known of a call, for a person. Runs that share one call id are shown one after the other: two callers
    chose the same, or a durable call was put off.
    """
    runs: list[list[CallEvent]] = []
    latest: dict[str, list[CallEvent]] = {}
    for event in events:
        again = isinstance(event, Started) and any(
            isinstance(known, Finished) for known in latest.get(event.span_id, ())
        )
        if again or event.span_id not in latest:
            latest[event.span_id] = []
            runs.append(latest[event.span_id])
        latest[event.span_id].append(event)
    return "\n\n".join("\n".join(_run(run, paint)) for run in runs)


def read_event(data: bytes) -> Event | None:
    """The event that these bytes hold; None where they hold none that this version knows."""
    try:
        event: Event = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return event


def event_line(event: Event, paint: Paint = unpainted) -> str:
    """One event as one line, for following along."""
    clock, name = plain(event.time[11:23], 12), event_name(event)
    if isinstance(event, Admin):
        who, call, text = f"{event.tenant} / {event.connection} / {event.provider}", "", _administered(event, paint)
    elif isinstance(event, Auth):
        who, call, text = f"{event.tenant} / {event.connection} / {event.provider}", "", _renewed(event, paint)
    else:
        who, call, text = _who(event), ending(event.call_id), _what(event, paint)
    return f"{paint(clock, Tone.DIM)}  {call:<8}  {name:<8}  {plain(who, URL_WIDE)}  {text}"


# --- one run of a call -----------------------------------------------------------------------------------------------


def _run(events: Sequence[CallEvent], paint: Paint) -> Iterable[str]:
    started = next((event for event in events if isinstance(event, Started)), None)
    finished = next((event for event in reversed(events) if isinstance(event, Finished)), None)
    yield from _heading(events[0], started, finished, paint)
    yield ""
    attempts = 0
    for event in events:
        match event:
            case Started():
                yield _row(0, "accepted")
            case Wait():
                yield _row(event.elapsed_ms, f"wait     {event.seconds:.3f} s   {_wait_for(event, attempts)}")
            case Attempt():
                attempts = event.attempt
                yield from _attempt(event, paint)
            case Finished():
                yield _row(event.elapsed_ms, f"finished {_ended(event, paint)}")
    yield ""
    yield f"why: {_why(started, finished, attempts)}"


def _heading(first: CallEvent, started: Started | None, finished: Finished | None, paint: Paint) -> list[str]:
    access = f"{started.access}  " if started else ""
    time = f"{first.time[:10]} {first.time[11:23]} UTC"
    deadline = f"deadline {started.timeout_ms / 1000:g} s" if started else ""
    catalogue = f"catalogue {plain(started.catalog_hash)}" if started else ""
    rows = [
        [f"{access}{plain(_who(first), URL_WIDE)}", plain(time), _verdict(finished)],
        [f"call {plain(first.call_id)}", catalogue, deadline],
    ]
    top, *rest = columns(rows, "   ")
    return [paint(top, _tone(finished)), *rest, _origin(first, started)]


def _origin(first: CallEvent, started: Started | None) -> str:
    """Where it came from and where it ran: what other systems know it by."""
    trace = f"trace {plain(first.trace_id)}"
    if started is None:
        return trace
    caller = f" from span {plain(started.parent_span_id)}" if started.parent_span_id else ""
    page = ", a further page" if started.cursor is not None else ""
    given = f"input {counted(started.input_bytes, 'byte')}, sha256 {plain(started.input_sha256)[:12]}{page}"
    return f"{trace}{caller} · sidecar {plain(started.sidecar)} · {given}"


def _row(elapsed_ms: float, text: str) -> str:
    return f"{elapsed_ms / 1000:8.3f}  {text}"


def _attempt(event: Attempt, paint: Paint) -> Iterable[str]:
    """The exchange at the moment it began; its event was told when it ended."""
    began = max(0.0, event.elapsed_ms - event.duration_ms)
    if event.token_valid_s is not None:
        yield _row(began, f"auth     token valid for {_roughly(event.token_valid_s)}")
    yield _row(began, f"attempt {event.attempt}  {_exchange(event, paint)}")
    under = " " * 12
    limits = [
        f"{name} {value}" for name, value in event.response_headers.items() if name.lower().startswith(LIMIT_HEADERS)
    ]
    if event.said:
        yield f"{under}said     {plain(event.said.strip(), WIDE)}"
    if limits and event.reason is not None:
        yield f"{under}limits   {plain(', '.join(limits), WIDE)}"
    if event.decided and event.reason is not None:
        yield f"{under}decided  {plain(event.decided, WIDE)}"


def _exchange(event: Attempt, paint: Paint) -> str:
    request = f"{plain(event.method)} {plain(event.url, URL_WIDE)}"
    words = [] if event.status is None else [str(event.status)]
    if event.reason is not None and (event.status is None or event.status < FIRST_FAILURE_STATUS):
        words.append(str(event.reason))
    result = paint(
        f"{' '.join(words)} after {seconds(event.duration_ms / 1000)}", Tone.GOOD if event.reason is None else Tone.BAD
    )
    known = f"   request id {plain(event.provider_request_id, 100)}" if event.provider_request_id else ""
    return f"{request}   {result}{known}"


def _wait_for(event: Wait, attempts: int) -> str:
    if event.bucket is not None:
        return f"bucket {plain(event.bucket)}: {plain(event.why)}"
    if event.jitter is None:  # no exchange went before it: for its turn, or put off
        return plain(event.why)
    return f"before attempt {attempts + 1} (jitter {event.jitter:.2f})"


def _ended(event: Finished, paint: Paint) -> str:
    """How it ended, what is known about the provider's side, and what to do."""
    if event.outcome == "ok":
        words = ["ok"] if event.status is None else ["ok", str(event.status)]
        if event.dry_run:
            words.append("dry run: nothing was sent")
        elif event.output_bytes is not None:
            words.append(counted(event.output_bytes, "byte"))
        return paint(" · ".join(words), Tone.GOOD)
    words = [paint(f"{plain(event.code or 'UNKNOWN')} / {plain(event.outcome)}", _tone(event))]
    if event.side_effect is not None:
        words.append(f"side effect {event.side_effect}")
    if event.provider_code is not None:
        words.append(f"{plain(event.provider)} calls it {plain(event.provider_code, 100)}")
    if event.retry_after_ms is not None:
        words.append(f"again in {seconds(event.retry_after_ms / 1000)}")
    if event.hint is not None:
        words.append(plain(event.hint, WIDE))
    return " · ".join(words)


def _why(started: Started | None, finished: Finished | None, attempts: int) -> str:
    if finished is None:
        return _unended(started, attempts)
    if finished.why:
        return plain("; ".join(finished.why), 2 * WIDE)
    if finished.dry_run:
        return "a dry run: everything was checked, nothing was sent"
    return "the first attempt succeeded" if finished.attempts else "it was answered without asking the provider"


def _unended(started: Started | None, attempts: int) -> str:
    lost = "no end was recorded: the call still runs, or its sidecar ended in the middle of it"
    if started is None or started.access is Access.READ:
        return lost
    if attempts:
        return f"{lost}; the write was sent: look at the provider whether it happened"
    return f"{lost}; the write may have been sent: look at the provider whether it happened"


# --- words -----------------------------------------------------------------------------------------------------------


def _who(event: CallEvent) -> str:
    return f"{event.tenant} / {event.connection} / {event.provider}.{event.operation}"


def _what(event: CallEvent, paint: Paint) -> str:
    match event:
        case Started():
            return f"{event.access}, deadline {event.timeout_ms / 1000:g} s"
        case Wait():
            return (
                f"{event.seconds:.3f} s: {f'bucket {plain(event.bucket)}: ' if event.bucket else ''}{plain(event.why)}"
            )
        case Attempt():
            return f"{event.attempt}  {_exchange(event, paint)}"
        case Finished():
            after = f"after {seconds(event.elapsed_ms / 1000)}, {counted(event.attempts, 'attempt')}"
            return f"{_ended(event, paint)}   {after}"


def _administered(event: Admin, paint: Paint) -> str:
    tone = Tone.GOOD if event.outcome == "ok" else Tone.BAD
    detail = f": {plain(event.detail)}" if event.detail else ""
    return f"{plain(event.verb)}  {paint(plain(event.outcome), tone)}{detail}"


def _renewed(event: Auth, paint: Paint) -> str:
    tone = Tone.GOOD if event.outcome == "renewed" else Tone.BAD
    valid = f", valid for {_roughly(event.valid_s)}" if event.valid_s is not None else ""
    detail = f": {plain(event.detail)}" if event.detail else ""
    return f"token {paint(event.outcome.replace('_', ' '), tone)}{valid}{detail}"


def _roughly(value: float) -> str:
    """How long a token lives: `41 min`, `3 h`, `12 s`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if value >= 2 * size:
            return f"{value / size:.0f} {unit}"
    return f"{max(value, 0.0):.0f} s"


def _verdict(finished: Finished | None) -> str:
    if finished is None:
        return "no end recorded"
    after = f"after {seconds(finished.elapsed_ms / 1000)}"
    if finished.outcome == "ok":
        return f"dry run {after}" if finished.dry_run else f"done {after}"
    return f"{'outcome unknown' if finished.side_effect is SideEffect.UNKNOWN else 'failed'} {after}"


def _tone(finished: Finished | None) -> Tone:
    if finished is None or finished.side_effect is SideEffect.UNKNOWN:
        return Tone.WARN
    return Tone.GOOD if finished.outcome == "ok" else Tone.BAD
