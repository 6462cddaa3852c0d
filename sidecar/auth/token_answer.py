"""What the answer of a token endpoint means (RFC 6749 section 5), for every provider by the facts of its manifest.

Tokens come out only of an answer that holds an access token. Anything else leaves what was there before as it is.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeGuard

import msgspec
from httpx import Headers

from sidecar.core.dig import dig, dig_text
from sidecar.core.number import http_date, number
from sidecar.core.page import split_url
from sidecar.core.redact import beginning, redact_text
from sidecar.core.wait import retry_after
from sidecar.credential import Tokens, may_be_kept
from sidecar.kinds import Issued, TokenAnswer
from sidecar.secret import Secret

LONGEST_LIFE = 10 * 365 * 86_400.0  # seconds; who says more says "for ever"
LONGEST_TOKEN = 32 * 1024
SAID = 300
OK = range(200, 300)
MOVED = range(300, 400)
REFUSALS = range(400, 500)
THROTTLED = 429
UNDECIDED = frozenset({408, 425, THROTTLED})  # they say nothing of the grant


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens. `kept` are values that stay with the connection, `client_id` the app that the tokens are bound to."""

    tokens: Tokens
    kept: Mapping[str, str] = {}
    client_id: str | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """No tokens. `final`: the grant is gone for good. `retry_after` in seconds.

    `perhaps_spent`: the endpoint may have acted all the same, so that a refresh token that rotates may be used up.
    """

    final: bool
    detail: str
    code: str | None = None
    status: int | None = None
    retry_after: float | None = None
    perhaps_spent: bool = False


class Unanswered(msgspec.Struct, frozen=True, kw_only=True):
    """No answer. `sent`: a byte of the request may have left, so the endpoint may have acted."""

    sent: bool
    detail: str
    retry_after: float | None = None


TokenOutcome = Granted | Refused | Unanswered


def read(
    auth: Issued,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    asked_at: float,
    before: Tokens | None,
    secrets: Sequence[str] = (),
) -> Granted | Refused:
    """What a token endpoint's answer means, in words that repeat no secret. `asked_at` is Unix seconds when the request
    began: lifetimes count from there, so that no clock of the provider's matters. `before` are the tokens that were to
    be renewed. Only a refusal of the grant itself is final: a 5xx may be anybody's, a redirect is not followed (RFC
    6749 section 3.2 knows none), and 429 is about us.
    """
    answer, whole = auth.answer, decoded(body)
    named = dig_text(whole, answer.error)
    code, said = _line(named, secrets), _line(dig_text(whole, answer.description), secrets)
    if status in MOVED:
        where = beginning(_host(headers.get("location")), SAID, secrets)
        detail = f"the token endpoint answered {status}, a redirect to {where}; redirects are not followed"
        return Refused(final=False, detail=detail, status=status)
    if status not in OK:
        return Refused(
            final=status in REFUSALS and status not in UNDECIDED and named in answer.final_errors,
            detail=_words(f"the token endpoint answered {status}", code, said),
            code=code,
            status=status,
            retry_after=retry_after((), Headers(headers), None, asked_at),
            perhaps_spent=status not in REFUSALS,
        )
    if _is_error(answer, whole):
        # A refresh token that the endpoint names as bad is not spent by that; a token that came along may be.
        spent = _first(whole, answer.access_token) is not None
        final = named in answer.final_errors
        detail = _words(f"the token endpoint answered {status} with an error", code, said)
        return Refused(final=final, detail=detail, code=code, status=status, perhaps_spent=spent)
    access = _first(whole, answer.access_token)
    if not _is_token(access):
        what = "no access token" if access is None else "an access token that no header can carry"
        detail = f"the token endpoint answered {status} with {_form(whole)} and {what}"
        return Refused(final=False, detail=detail, status=status, perhaps_spent=True)
    lifetime = _lifetime(answer, whole, access, http_date(headers.get("date")) or asked_at)
    tokens = Tokens(
        access=Secret(access),
        refresh=_refresh(_first(whole, answer.refresh_token), before),
        expires=None if lifetime is None else asked_at + lifetime,
        lifetime=lifetime,
        scopes=_scopes(_first(whole, answer.scope)) or (before.scopes if before else ()),
    )
    return Granted(tokens=tokens, kept=kept_of(answer.keep, whole))


def refuses(refused: Refused) -> bool:
    """Whether the endpoint refuses what it was asked for, and is not merely in trouble."""
    if refused.status is None:
        return False
    return (refused.status in REFUSALS and refused.status not in UNDECIDED) or (
        refused.status in OK and refused.code is not None
    )


def kept_of(keep: Mapping[str, str], body: object) -> dict[str, str]:
    """The values that stay with the connection, of those that the answer holds."""
    found = {name: dig_text(body, (path,)) for name, path in keep.items()}
    return {name: text for name, text in found.items() if text and may_be_kept(text)}


def decoded(body: bytes) -> object:
    """The answer as values; None where it is not JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _is_error(answer: TokenAnswer, body: object) -> bool:
    """Whether an answer of status 200 says that it is none (Slack's `ok`, GitHub's `error`)."""
    test = answer.success
    if test is not None and dig(body, test.path) != test.equals:
        return True
    return any(dig(body, path) for path in answer.error)


def _first(body: object, paths: Sequence[str]) -> Any:
    """What the first path that leads to something leads to; an empty text is nothing."""
    return next((value for path in paths if (value := dig(body, path)) not in (None, "")), None)


def _is_token(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= LONGEST_TOKEN and value.isascii() and value.isprintable()


def _refresh(value: object, before: Tokens | None) -> Secret | None:
    """The refresh token: a server that sends none lets the one before live on (RFC 6749 section 6)."""
    if isinstance(value, str) and len(value) <= LONGEST_TOKEN:
        return Secret(value)
    return before.refresh if before else None


def _lifetime(answer: TokenAnswer, whole: object, token: str, now: float) -> float | None:
    """Seconds that the token lives. An end is told by the provider's clock, so it is compared with that (`now`).

    What makes no sense (null, 0, -1, words) says nothing: the token is used until the provider rejects it.
    """
    said = number(_first(whole, answer.expires_in))
    if said is not None and answer.expires_unit == "milliseconds":
        said /= 1000
    if said is None:
        end = _moment(_first(whole, answer.expires_at))
        if end is None and answer.expires_in_token:
            end = _end_of_jwt(token)
        said = None if end is None else end - now
    if said is None or said <= 0:
        return answer.lifetime
    return min(said, LONGEST_LIFE)


def _end_of_jwt(token: str) -> float | None:
    """When a JWT ends, in Unix seconds (RFC 7519 section 4.1.4). It is not checked: it only says when to renew."""
    payload = token.split(".")[1:2]
    try:
        claims = decoded(base64.urlsafe_b64decode(f"{payload[0]}{'=' * (-len(payload[0]) % 4)}") if payload else b"")
    except (binascii.Error, ValueError):
        return None
    return number(dig(claims, "exp"))


def _moment(value: object) -> float | None:
    """Unix seconds of an RFC 3339 text, or of a number of seconds."""
    seconds = number(value)
    if seconds is not None or not isinstance(value, str):
        return seconds
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _scopes(value: object) -> tuple[str, ...]:
    """The scopes of a list, or of a text with spaces (RFC 6749 section 3.3) or commas (GitHub, Slack) between."""
    if isinstance(value, list):
        return tuple(item for item in value if isinstance(item, str))
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else ()


def _form(body: object) -> str:
    return "JSON" if isinstance(body, dict) else "no JSON object"


def _words(said: str, code: str | None, description: str | None) -> str:
    # Apart: a code such as INVALID_CREDENTIALS before a colon would look like the name of a secret.
    about = ": ".join(redact_text(text) for text in (code, description) if text)
    return f"{said}: {about}" if about else said


def _line(said: str | None, secrets: Sequence[str]) -> str | None:
    """Words of a stranger, on one line, not long, and without the secrets."""
    return "".join(sign if sign.isprintable() else " " for sign in beginning(said, SAID, secrets)) if said else None


def _host(url: str | None) -> str:
    try:
        return (split_url(url).hostname if url else None) or "nowhere"
    except ValueError:
        return "nowhere"
