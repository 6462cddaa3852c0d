"""Numbers and moments as strangers write them: in headers, and in JSON. What makes no sense is None."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

DECIMAL = re.compile(r"[-+]?[0-9]{1,20}(\.[0-9]{0,20})?")
TOO_LARGE = 1e15


def number(value: Any) -> float | None:
    """A finite number, from a number or its plain decimal text; booleans and words are none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str):
        value = value.strip()  # of more than float() knows: the separators below the blank too
        if not DECIMAL.fullmatch(value):
            return None
    try:
        found = float(value)
    except OverflowError:  # an integer of hundreds of digits, which JSON may hold
        return None
    return found if abs(found) < TOO_LARGE else None  # nan and inf too


def http_date(text: str | None) -> float | None:
    """Unix seconds of a date in a header (RFC 9110 section 5.6.7); without a zone it is UTC."""
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def date_time(value: Any) -> float | None:
    """Unix seconds of a moment in words: a date of HTTP, or one of RFC 3339; without a zone it is UTC."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return http_date(value)
