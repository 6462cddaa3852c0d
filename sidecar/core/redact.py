"""What may be shown of a request and an answer: an allow-list of headers, and text with secrets cut out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from urllib.parse import parse_qsl, quote, quote_plus, urlencode

import msgspec

from sidecar.model import Failure, Problem

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
# Every pattern here takes time in proportion to the text: what is matched is text of strangers.
A_SECRET_WORD = re.compile(WORDS_OF_SECRETS, re.IGNORECASE)
SECRET_NAME = re.compile(rf"(?:^|[_-]|(?-i:(?<=[a-z])(?=[A-Z])))(?:{WORDS_OF_SECRETS})$", re.IGNORECASE)
LONGEST_NAME = 80
LONGEST_VALUE = 512  # of a header that is shown
FIELD_NAME = re.compile(r"""(?<![\w-])([\w-]++)["']?\s*+[:=]\s*+""")
FIELD_VALUE = re.compile(r""""(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?|[^\s,;&}\]]+""", re.DOTALL)
SECRET_SHAPE = re.compile(
    r"(?i:bearer|basic)\s++[A-Za-z0-9._~+/=-]{6,}"
    r"|\bgh[oprsu]_[A-Za-z0-9]{10,}|\bgithub_pat_\w{10,}|\bxox[a-z]-[A-Za-z0-9-]{8,}|\bsy[tr]_\w{8,}"
    r"|\bsk_(?:live|test)_\w{8,}|(?<![\w-])eyJ[\w-]{8,}+\.[\w-]+(?:\.[\w-]+)?"
)
WRITTEN_ALIKE = re.compile(r"[A-Za-z0-9_.~-]+")  # in a URL, in JSON, anywhere
SHORT = 8  # characters; a shorter secret is cut out only where it stands alone


class Hidden(tuple[str, ...]):  # noqa: SLOT001  # `forms` needs a place
    """Secrets that are cut out again and again: how they may be written is worked out once."""

    @cached_property
    def forms(self) -> list[str]:
        return _forms(tuple(self))

    def __repr__(self) -> str:
        return REDACTED


def redact_headers(headers: Iterable[tuple[str | bytes, str | bytes]], secrets: Sequence[str] = ()) -> dict[str, str]:
    """The headers that may be shown, by lower-case name; of the others not even the value's length."""
    shown: dict[str, str] = {}
    for name, value in headers:
        if len(name) <= LONGEST_NAME and (known := _shown(name)):
            shown[known] = value if isinstance(value, str) else _text(value)
    forms, words = _forms(secrets), " ".join(shown.values())
    if len(words) <= LONGEST_VALUE and not any(map(words.__contains__, forms)):
        return shown
    return {name: _cut(value, forms)[:LONGEST_VALUE] for name, value in shown.items()}


@lru_cache(maxsize=1_024)  # providers say the same names again and again
def _shown(name: str | bytes) -> str | None:
    lower = (name if isinstance(name, str) else _text(name)).lower()
    return lower if lower in SHOWN_HEADERS or lower.startswith(SHOWN_PREFIXES) else None


def redact_url(url: str) -> str:
    """The URL with the values of secret-named query parameters cut out."""
    head, mark, query = url.partition("?")
    if not mark or not A_SECRET_WORD.search(query):
        return url
    pairs = parse_qsl(query, keep_blank_values=True)
    if not any(_is_secret(name) for name, _ in pairs):
        return url
    shown = [(name, REDACTED if _is_secret(name) else value) for name, value in pairs]
    return f"{head}?{urlencode(shown, quote_via=quote, safe='[]')}"


def redact_text(text: str, secrets: Sequence[str] = ()) -> str:
    """The text without the secrets given, without values of secret-named fields, and without known token shapes."""
    return _without_secret_fields(SECRET_SHAPE.sub(REDACTED, without_secrets(text, secrets)))


def without_secrets(text: str, secrets: Sequence[str]) -> str:
    """The text without the secrets given, also where they are written as in a URL or in JSON."""
    return _cut(text, _forms(secrets))


def redact_failure(failure: Failure, secrets: Sequence[str]) -> Failure:
    """The failure without the secrets given, in whatever the provider said."""
    forms = _forms(secrets)
    return msgspec.structs.replace(
        failure,
        detail=_cut(failure.detail, forms),
        hint=failure.hint and _cut(failure.hint, forms),
        problems=tuple(_cut_problem(problem, forms) for problem in failure.problems),
        provider_code=failure.provider_code and _cut(failure.provider_code, forms),
        provider_request_id=failure.provider_request_id and _cut(failure.provider_request_id, forms),
    )


def said(content: bytes, secrets: Sequence[str] = ()) -> str | None:
    """What a failed answer said: its first 4 KiB as text, redacted."""
    if not content:
        return None
    text = redact_text(content[: 2 * MAX_SAID].decode(errors="replace"), secrets)
    if len(content) > 2 * MAX_SAID:
        # A secret on the edge was not recognised; where much was cut out before it, the edge would be shown.
        text = text[: -len(next(iter(_forms(secrets)), " "))]
    return text if len(text) <= MAX_SAID else f"{text[:MAX_SAID]}..."


def _forms(secrets: Sequence[str]) -> list[str]:
    """How a provider may write secrets back: plain, as in a URL or a form, as in JSON; the longest first."""
    if not secrets:
        return []
    if isinstance(secrets, Hidden):
        return secrets.forms
    forms: set[str] = set()
    for secret in filter(None, secrets):
        if WRITTEN_ALIKE.fullmatch(secret):
            forms.add(secret)
            continue
        in_json = msgspec.json.encode(secret).decode()[1:-1]
        in_ascii_json = json.dumps(secret)[1:-1]
        forms |= {secret, quote(secret, safe=""), quote_plus(secret), in_json, in_ascii_json}
    return sorted(forms, key=len, reverse=True)


def _cut(text: str, forms: Sequence[str]) -> str:
    for form in forms:
        if len(form) >= SHORT:
            text = text.replace(form, REDACTED)
        elif form in text:
            text = re.sub(rf"(?<![^\W_]){re.escape(form)}(?![^\W_])", REDACTED, text)
    return text


def _text(header: bytes) -> str:
    """A part of a header, which may hold any bytes (RFC 9110 section 5.5)."""
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")


def _is_secret(name: str) -> bool:
    return SECRET_NAME.search(name[-LONGEST_NAME:]) is not None


def _without_secret_fields(text: str) -> str:
    kept: list[str] = []
    end = 0
    for match in FIELD_NAME.finditer(text):
        if match.start() < end or not _is_secret(match[1]):
            continue
        value = FIELD_VALUE.match(text, match.end())
        if value is not None:
            kept += [text[end : match.end()], REDACTED]
            end = value.end()
    return "".join([*kept, text[end:]])


def _cut_problem(problem: Problem, forms: Sequence[str]) -> Problem:
    return Problem(
        _cut(problem.pointer, forms),
        _cut(problem.detail, forms),
        tuple(_cut(allowed, forms) for allowed in problem.allowed),
        problem.nearest and _cut(problem.nearest, forms),
    )
