"""How long a limited answer says to wait: in seconds, milliseconds, epochs, dates, in headers and bodies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx

from sidecar.core.dig import dig
from sidecar.core.number import date_time, http_date, number
from sidecar.core.structured import items
from sidecar.manifest import RetryAfter, Unit

# What a bare number in a reset header counts, by its size: no limit lasts 30 years, no epoch is of 1973.
LEAST_EPOCH_SECONDS = 1e9
LEAST_EPOCH_MILLISECONDS = 1e11
ENDLESS = re.compile(r"\s*[0-9]{15,40}\s*")  # seconds too many for a clock are no leave to come back at once
NEVER = 1e12
USUAL = ("ratelimit", "x-ratelimit", "x-rate-limit")  # `<it>-remaining`, `<it>-reset`


def retry_after(sources: tuple[RetryAfter, ...], headers: httpx.Headers, body: Any, wall: float) -> float | None:
    """Seconds to wait as the answer tells, or None. The manifest's sources come first, then `Retry-After` (RFC 9110
    section 10.2.3). The provider's own Date is its clock, so that a difference of clocks does not count.
    """
    now = provider_clock(headers, wall)
    found = [_source(source, headers, body, now) for source in sources]
    found.append(_header(headers.get("retry-after"), now))
    waits = [wait for wait in found if wait is not None]
    if not waits:
        return None
    # `Retry-After: 0` beside a later reset means the reset.
    return max(next((wait for wait in waits if wait > 0), 0.0), 0.0)


def usual_reset(headers: httpx.Headers, wall: float) -> float | None:
    """Seconds until a used-up limit starts anew, by the headers that many providers have in common, or None.

    https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ and what was in use before it.
    """
    now = provider_clock(headers, wall)
    resets = [seconds for item in items(headers.get("ratelimit", "")) if (seconds := _used_up(item.parameters))]
    for name in USUAL:
        left, reset = number(first(headers.get(f"{name}-remaining"))), headers.get(f"{name}-reset")
        seconds = _bare(reset, now) if left is None or left <= 0 else None
        if seconds is not None:
            resets.append(seconds)
    return max((seconds for seconds in resets if seconds > 0), default=None)


def until(unit: Unit, value: Any, now: float) -> float | None:
    """Seconds from `now` to what is said in this unit; below 0 where it is past, None where it makes no sense."""
    said = date_time(value) if unit == "date" else number(first(value) if isinstance(value, str) else value)
    if said is None:
        return None
    match unit:
        case "seconds":
            return said
        case "milliseconds":
            return said / 1000
        case "epoch_milliseconds":
            return said / 1000 - now
        case _:
            return said - now


def provider_clock(headers: httpx.Headers, wall: float) -> float:
    """Unix seconds by the provider's clock, as its answer says; else ours."""
    return http_date(headers.get("date")) or wall


def first(text: str | None) -> str | None:
    """The first value of a header that may list several, with what qualifies each behind it (`100, 100;w=60`)."""
    return None if text is None else text.partition(",")[0].partition(";")[0].strip()


def _source(source: RetryAfter, headers: httpx.Headers, body: Any, now: float) -> float | None:
    return until(source.unit, headers.get(source.header) if source.header else dig(body, source.path or ""), now)


def _header(text: str | None, now: float) -> float | None:
    said = number(first(text))
    if said is not None:
        return said
    if ENDLESS.fullmatch(text or ""):
        return NEVER
    date = http_date(text)
    return None if date is None else date - now


def _used_up(parameters: Mapping[str, str]) -> float | None:
    left = number(parameters.get("r", parameters.get("remaining")))
    return number(parameters.get("t", parameters.get("reset"))) if left is not None and left <= 0 else None


def _bare(text: str | None, now: float) -> float | None:
    """Seconds to a reset that nobody described."""
    said = number(first(text))  # a date has a comma, and is no number either way
    if said is None:
        return None if text is None else until("date", text, now)
    if said >= LEAST_EPOCH_MILLISECONDS:
        return until("epoch_milliseconds", said, now)
    return until("epoch_seconds", said, now) if said >= LEAST_EPOCH_SECONDS else said
