"""What may be shown of a request and an answer: an allow-list of headers, and text with secrets cut out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import parse_qsl, quote, urlencode

REDACTED = "[redacted]"
MAX_SAID = 4_096

SHOWN_HEADERS = frozenset(
    {
        "accept", "age", "allow", "cache-control", "connection", "content-encoding", "content-length", "content-type",
        "date", "etag", "expires", "last-modified", "retry-after", "server", "user-agent", "via", "x-request-id",
        "request-id", "x-github-request-id", "x-slack-req-id", "cf-ray", "traceparent", "www-authenticate",
    }
)  # fmt: skip
SHOWN_PREFIXES = ("x-ratelimit-", "x-rate-limit-", "ratelimit", "x-github-api-version", "x-sandbox")
WORDS_OF_SECRETS = (
    r"token|(?:api|access|secret|private)[_-]?key|secret|passw(?:or)?d|passphrase|authorization|cookie"
    r"|session(?:_?id)?|credentials?|signature|sig|assertion|code_verifier"
)
SECRET_QUERY = re.compile(rf"(?:[\w-]*[_-])?(?:{WORDS_OF_SECRETS})", re.IGNORECASE)
SECRET_FIELD = re.compile(
    rf"""(["']?\b(?:[\w-]*[_-])?(?:{WORDS_OF_SECRETS})["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[^\s,;&}}\]]+)""",
    re.IGNORECASE,
)
SECRET_SHAPE = re.compile(
    r"(?i:bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"
    r"|\bgh[oprsu]_[A-Za-z0-9]{10,}|\bgithub_pat_\w{10,}|\bxox[a-z]-[A-Za-z0-9-]{8,}|\bsy[tr]_\w{8,}"
    r"|\bsk_(?:live|test)_\w{8,}|\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]+)?"
)


def redact_headers(headers: Iterable[tuple[str, str]] | Mapping[str, str]) -> dict[str, str]:
    """The headers that may be shown, by lower-case name; of the others not even the value's length."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    shown: dict[str, str] = {}
    for name, value in pairs:
        lower = name.lower()
        if lower in SHOWN_HEADERS or lower.startswith(SHOWN_PREFIXES):
            shown[lower] = value[:512]
    return shown


def redact_url(url: str) -> str:
    """The URL with the values of secret-named query parameters cut out."""
    head, mark, query = url.partition("?")
    if not mark or not SECRET_QUERY.search(query):
        return url
    pairs = [
        (name, REDACTED if SECRET_QUERY.fullmatch(name) else value)
        for name, value in parse_qsl(query, keep_blank_values=True)
    ]
    return f"{head}?{urlencode(pairs, quote_via=quote, safe='[]')}"


def redact_text(text: str, secrets: Sequence[str] = ()) -> str:
    """The text without the secrets given, without values of secret-named fields, and without known token shapes."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, REDACTED)
    text = SECRET_SHAPE.sub(REDACTED, text)
    return SECRET_FIELD.sub(rf"\1{REDACTED}", text)


def said(content: bytes, secrets: Sequence[str] = ()) -> str | None:
    """What a failed answer said: its first 4 KiB as text, redacted. A secret on the edge is cut with room to spare."""
    if not content:
        return None
    text = redact_text(content[: 2 * MAX_SAID].decode(errors="replace"), secrets)
    return text if len(text) <= MAX_SAID else f"{text[:MAX_SAID]}..."
