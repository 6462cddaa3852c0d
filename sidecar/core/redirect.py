"""What a redirect means: it is never followed, and the URL in it is told only where an operation is to tell it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote_from_bytes, urlunsplit

import httpx

from sidecar.core.page import split_url
from sidecar.core.redact import beginning
from sidecar.model import Access, Failure, Reason, SideEffect
from sidecar.provider import Operation

# After these the answer to a POST lies elsewhere: it may have been done (RFC 9110 section 15.4).
SEE_OTHER = frozenset({302, 303})
ASK_THERE = 307  # the same request elsewhere: of a GET what was asked for is there, of any other nothing was done
WEB = frozenset({"http", "https"})
PRINTED = "".join(map(chr, range(0x21, 0x7F)))  # what of ASCII a URL may hold stays as it is: it may be signed


def redirected(operation: Operation, response: httpx.Response, secrets: Sequence[str]) -> Failure:
    """A redirect is never followed: it would carry the credential to where an answer says."""
    place = beginning(_host(response.headers.get("location", "")), 100, secrets)
    where = f" to host {place}" if place else ""
    uncertain = operation.access is Access.WRITE and response.status_code in SEE_OTHER
    return Failure(
        reason=Reason.REDIRECT_BLOCKED,
        detail=f"the provider answered {response.status_code}, a redirect{where}; it is not followed",
        side_effect=SideEffect.UNKNOWN if uncertain else SideEffect.NONE,
        hint="it may have been moved or renamed; else check the connection's base_url: its scheme, host and path",
        provider_status=response.status_code,
    )


def answers_by_redirect(operation: Operation, response: httpx.Response) -> bool:
    """Whether a redirect is the success of the operation. 301 and 308 say that what was asked for has moved, 300 that
    there are several: no provider that we know documents these as its answer.
    """
    fact, status = operation.fact, response.status_code
    if fact.returns != "location" or not told_places(response.headers):
        return False
    return status in SEE_OTHER or (status == ASK_THERE and fact.method == "GET")


def told_places(headers: httpx.Headers) -> set[bytes]:
    """What Location headers hold: one thing, unless they contradict each other."""
    return {value.strip() for name, value in headers.raw if name.lower() == b"location"} - {b""}


def place_of(headers: httpx.Headers, url: str) -> str | None:
    """The absolute URL that the Location header means, asked for at `url`; None where that is none of the web, or not
    one. What no URL holds is percent-encoded. The query of `url` is left out: it is not told again.
    """
    told = told_places(headers)
    if len(told) != 1:
        return None
    text = quote_from_bytes(told.pop(), safe=PRINTED)
    try:
        place = text if split_url(text).scheme else _resolved(text, url)
        parts = split_url(place)
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return place if is_address and parts.scheme in WEB else None


def _resolved(text: str, url: str) -> str:
    """The relative reference against the URL (RFC 3986 section 5.2), but for its query, which is not told again. The
    standard library would remember what it joined.
    """
    base, parts = split_url(url), split_url(text)
    if parts.netloc:
        return f"{base.scheme}:{text}"
    path = parts.path if parts.path.startswith("/") else f"{base.path.rpartition('/')[0]}/{parts.path}"
    path = _without_dots(path) if parts.path else base.path
    return urlunsplit((base.scheme, base.netloc, path, parts.query, parts.fragment))


def _without_dots(path: str) -> str:
    """The path as it is meant (RFC 3986 section 5.2.4)."""
    kept: list[str] = []
    names = path.split("/")[1:]
    for name in names:
        if name == "..":
            del kept[-1:]
        elif name != ".":
            kept.append(name)
    if names[-1] in {".", ".."}:
        kept.append("")
    return f"/{'/'.join(kept)}"


def _host(url: str) -> str:
    try:
        return split_url(url.strip()).hostname or ""
    except ValueError:
        return ""
