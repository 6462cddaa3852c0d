"""Header names of the wire, and reading them without regard to case."""

from __future__ import annotations

from collections.abc import Mapping

CALL_ID = "Call-Id"
TIMEOUT_MS = "Timeout-Ms"
DRY_RUN = "Dry-Run"
CURSOR = "Cursor"
NEXT_CURSOR = "Next-Cursor"
IDEMPOTENCY_KEY = "Idempotency-Key"
IDEMPOTENT_REPLAYED = "Idempotent-Replayed"
NOT_BEFORE = "Not-Before"
FIELDS = "Fields"
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
PROVIDER_STATUS = "Provider-Status"
ATTEMPTS = "Attempts"
CATALOG_HASH = "Catalog-Hash"
CONTENT_TYPE = "Content-Type"
ERROR_CODE = "Nats-Service-Error-Code"
ERROR = "Nats-Service-Error"
UNCLEAR = ""  # no header's name: `ports.Message` tells under it what could not be read


def by_lower_case(headers: Mapping[str, str] | None) -> dict[str, str]:
    """The headers by lower-case name. What came with different values is left out, and named under UNCLEAR."""
    if not headers:
        return {}
    given = {name.lower(): value.strip() for name, value in headers.items()}
    if len(given) == len(headers) and UNCLEAR not in given:
        return given
    unclear = set(given.get(UNCLEAR, "").split())
    unclear |= {name.lower() for name, value in headers.items() if given[name.lower()] != value.strip()}
    if unclear:
        given[UNCLEAR] = " ".join(sorted(unclear))
    return {name: value for name, value in given.items() if name not in unclear}


def one_line(text: str, limit: int = 512) -> str:
    """A header value: no line breaks or other controls (they would split the header block), at most `limit` long."""
    return "".join(char if char.isprintable() else " " for char in text[:limit])
