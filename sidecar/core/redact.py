"""What may be shown of a request and an answer: an allow-list of headers, and text with secrets cut out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from sidecar.core.spelling import SHORT, Spelling, spellings
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


class Hidden(tuple[str, ...]):  # noqa: SLOT001  # its spellings need a place
    """Secrets that are looked for again and again: how they may be written is worked out once."""

    @cached_property
    def spellings(self) -> list[Spelling]:
        """Of all of them, the longest first."""
        return sorted((known for secret in filter(None, self) for known in spellings(secret)), key=len, reverse=True)

    @cached_property
    def kept(self) -> list[str]:
        """What holds a secret holds one of these."""
        return [spelling.kept for spelling in self.spellings]

    @cached_property
    def kept_bytes(self) -> list[bytes]:
        return [kept.encode() for kept in self.kept]

    @cached_property
    def kept_lower(self) -> list[str]:
        return [kept.lower() for kept in self.kept]

    @cached_property
    def long(self) -> Hidden:
        """Those that are found wherever they stand."""
        return Hidden(secret for secret in self if len(secret) >= SHORT)

    def stand_in(self, content: bytes) -> bool:
        """Whether one of them is written there."""
        if not any(map(content.__contains__, self.kept_bytes)):
            return False
        here = (spelling for spelling in self.spellings if spelling.kept.encode() in content)
        return any(spelling.in_bytes.search(content) for spelling in here)

    def __repr__(self) -> str:
        return REDACTED


NO_SECRETS = Hidden()


def redact_headers(headers: Iterable[tuple[str | bytes, str | bytes]], secrets: Sequence[str] = ()) -> dict[str, str]:
    """The headers that may be shown, by lower-case name; of the others not even the value's length."""
    shown: dict[str, str] = {}
    for name, value in headers:
        if len(name) <= LONGEST_NAME and (known := _shown(name)):
            shown[known] = value if isinstance(value, str) else _text(value)
    hidden, words = _hidden(secrets), " ".join((*shown, *shown.values())).lower()
    if any(map(words.__contains__, hidden.kept_lower)):
        shown = {_cut_name(name, hidden): _cut(value, hidden) for name, value in shown.items()}
    if len(words) <= LONGEST_VALUE:
        return shown
    return {name: value[:LONGEST_VALUE] for name, value in shown.items()}


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
    """The text without the secrets given, in whatever spelling."""
    return _cut(text, _hidden(secrets))


def beginning(text: str, most: int, secrets: Sequence[str]) -> str:
    """The first characters of the text without the secrets given. They are cut out first: what is left of one that is
    cut in two is not known.
    """
    hidden = _hidden(secrets)
    if len(text) <= most:
        return _cut(text, hidden)
    longest = max(map(len, hidden.spellings), default=1)
    shown = _cut(text[: 2 * most + longest], hidden)
    return shown[: min(most, len(shown) - longest)] if len(text) > 2 * most + longest else shown[:most]


def redact_failure(failure: Failure, secrets: Sequence[str]) -> Failure:
    """The failure without the secrets given, in whatever the provider said."""
    hidden = _hidden(secrets)
    return msgspec.structs.replace(
        failure,
        detail=_cut(failure.detail, hidden),
        hint=failure.hint and _cut(failure.hint, hidden),
        problems=tuple(_cut_problem(problem, hidden) for problem in failure.problems),
        provider_code=failure.provider_code and _cut(failure.provider_code, hidden),
        provider_request_id=failure.provider_request_id and _cut(failure.provider_request_id, hidden),
    )


def said(content: bytes, secrets: Sequence[str] = ()) -> str | None:
    """What a failed answer said: its first 4 KiB as text, redacted."""
    if not content:
        return None
    hidden = _hidden(secrets)
    text = redact_text(content[: 2 * MAX_SAID].decode(errors="replace"), hidden)
    if len(content) > 2 * MAX_SAID:
        # A secret on the edge was not recognised; where much was cut out before it, the edge would be shown.
        text = text[: -max(map(len, hidden.spellings), default=1)]
    return text if len(text) <= MAX_SAID else f"{text[:MAX_SAID]}..."


def _hidden(secrets: Sequence[str]) -> Hidden:
    if isinstance(secrets, Hidden):
        return secrets
    return Hidden(secrets) if secrets else NO_SECRETS


def _cut(text: str, hidden: Hidden) -> str:
    if not any(map(text.__contains__, hidden.kept)):
        return text
    for spelling in hidden.spellings:
        if spelling.kept in text:
            text = spelling.in_text.sub(REDACTED, text)
    return text


def _cut_name(name: str, hidden: Hidden) -> str:
    """A header's name, in lower case: what is not ours to say of it."""
    if name in SHOWN_HEADERS:
        return name
    for spelling in hidden.spellings:
        if spelling.kept.lower() in name:
            name = spelling.in_name.sub(REDACTED, name)
    return name


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


def _cut_problem(problem: Problem, hidden: Hidden) -> Problem:
    return Problem(
        _cut(problem.pointer, hidden),
        _cut(problem.detail, hidden),
        tuple(_cut(allowed, hidden) for allowed in problem.allowed),
        problem.nearest and _cut(problem.nearest, hidden),
    )
