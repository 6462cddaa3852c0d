"""What a connect flow may do next. Pure: no clock, no dice, no store.

A link is opened by one browser, once; the provider's answer counts once, and only from the browser that opened the link
(RFC 9700 section 4.7), with the state that was given (RFC 6749 section 10.12) and from the issuer that was asked (RFC
9207). What cannot be told from a stranger's try leaves the flow as it is: nobody ends another's flow by guessing.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from sidecar.auth.kind import CONTROL
from sidecar.auth.scopes import wanted_scopes
from sidecar.credential import may_be_kept
from sidecar.kinds import OAuth2
from sidecar.store.flow import Flow, Place, Stage, digest, flow_id
from sidecar.wire.subject import NAME, is_name

T = TypeVar("T")

COOKIE = "sidecar-connect-"
ID = re.compile(r"[0-9a-f]{32}")
SAID = 300


class Ending(StrEnum):
    """How a flow, or one step of a browser in it, ends: each has its own page."""

    CONNECTED = "connected"
    ACCESS_DENIED = "access_denied"
    PROVIDER_ERROR = "provider_error"
    LINK_GONE = "link_gone"
    LINK_USED = "link_used"
    ALREADY_ANSWERED = "already_answered"
    WRONG_STATE = "wrong_state"
    WRONG_ISSUER = "wrong_issuer"
    NO_COOKIE = "no_cookie"
    CODE_REFUSED = "code_refused"
    OTHER_ACCOUNT = "other_account"
    NOT_VERIFIED = "not_verified"
    DISABLED = "disabled"
    REVOKED = "revoked"
    NO_ANSWER = "no_answer"
    UNAVAILABLE = "unavailable"
    MALFORMED = "malformed"
    FOREIGN_REQUEST = "foreign_request"


class Ended(msgspec.Struct, frozen=True):
    """The flow goes no further for this browser. `detail` is in words of the provider or ours, without secrets."""

    ending: Ending
    detail: str | None = None


class Returned(msgspec.Struct, frozen=True):
    """The provider's answer, by the redirect's parameters (RFC 6749 section 4.1.2, RFC 9207)."""

    state: str
    code: str | None = None
    error: str | None = None
    description: str | None = None
    issuer: str | None = None
    kept: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"Returned({'a code' if self.code else self.error})"  # the code and the state are nobody's to see


def offered(flow: Flow | None) -> Flow | Ended:
    """The flow whose link is opened: whether it may be shown and begun."""
    if flow is None:
        return Ended(Ending.LINK_GONE)
    return flow if flow.stage is Stage.OFFERED else Ended(Ending.LINK_USED)


def begun(flow: Flow, *, state: str, browser: str, verifier: str, client_id: str, redirect_uri: str) -> Flow:
    """The flow once its owner goes to the provider: bound to this browser, this state and this app."""
    return msgspec.structs.replace(
        flow,
        stage=Stage.BEGUN,
        state=digest(state),
        browser=digest(browser),
        verifier=verifier,
        client_id=client_id,
        redirect_uri=redirect_uri,
    )


def answered(flow: Flow | None, auth: OAuth2, returned: Returned, browser: str) -> Flow | Ended:
    """The flow with the provider's answer taken in, its code ready to be exchanged; or why not (`ends`: for good)."""
    if flow is None:
        return Ended(Ending.LINK_GONE)
    if not _same(flow.browser, browser):
        return Ended(Ending.NO_COOKIE)
    if not _same(flow.state, returned.state):
        return Ended(Ending.WRONG_STATE)
    if flow.stage is not Stage.BEGUN:
        return Ended(Ending.ALREADY_ANSWERED, flow.account if flow.stage is Stage.CONNECTED else None)
    # Who declares to name itself always does (RFC 9207 section 2.4). Others do at times, as Google does:
    # https://github.com/openiddict/openiddict-core/issues/2428
    silent = returned.issuer is None and not auth.issuer_always
    if auth.issuer is not None and returned.issuer != auth.issuer and not silent:
        return Ended(Ending.WRONG_ISSUER, returned.issuer and short(returned.issuer))
    if returned.error is not None:
        denied = returned.error == Ending.ACCESS_DENIED
        said = ": ".join(short(text) for text in (returned.error, returned.description) if text)
        return Ended(Ending.ACCESS_DENIED if denied else Ending.PROVIDER_ERROR, said)
    if not returned.code:
        return Ended(Ending.PROVIDER_ERROR, "it sent no code")
    return msgspec.structs.replace(flow, stage=Stage.ANSWERED)


class Link(msgspec.Struct, frozen=True, array_like=True):
    """What the path of a link says: whose flow, and the secret that opens it."""

    tenant: str
    connection: str
    provider: str
    secret: str

    @property
    def place(self) -> Place:
        return Place(self.tenant, self.connection, self.provider, flow_id(self.secret))

    def __repr__(self) -> str:
        return f"Link({self.place})"  # never what opens it


def link_code(link: Link) -> str:
    return _encoded(link)


def link_of(code: str) -> Link | None:
    """The link of this code; None where it is none of ours."""
    link = _decoded(code, Link)
    return link if link is not None and _is_place(link.place) else None


class Browser(msgspec.Struct, frozen=True):
    """What the cookie of a browser says: which flow it began, and the secret that shows that it did."""

    place: Place
    secret: str

    def __repr__(self) -> str:
        return f"Browser({self.place})"  # never its secret


def cookie_name(state: str, *, secure: bool) -> str:
    """Each flow has a cookie of its own, so that one browser can connect two accounts at once. `__Host-`: no other
    host, and nothing in between, can have set it (RFC 6265bis section 4.1.3.2); browsers take it over TLS only.
    """
    return f"{'__Host-' if secure else ''}{COOKIE}{digest(state)[:16]}"


def cookie_value(browser: Browser) -> str:
    return _encoded(browser)


def browser_of(state: str | None, cookies: Mapping[str, str], *, secure: bool) -> Browser | Ended:
    """Who comes back from the provider, by the state that it brings and the cookies that it carries."""
    value = cookies.get(cookie_name(state, secure=secure)) if state else None
    if value is None:
        prefix = f"{'__Host-' if secure else ''}{COOKIE}"
        others = any(name.startswith(prefix) for name in cookies)
        return Ended(Ending.WRONG_STATE if others else Ending.NO_COOKIE)
    browser = _decoded(value, Browser)
    return browser if browser is not None and _is_place(browser.place) else Ended(Ending.NO_COOKIE)


ENDS = frozenset({Ending.WRONG_ISSUER, Ending.ACCESS_DENIED, Ending.PROVIDER_ERROR})


def ends(ended: Ended) -> bool:
    """Whether this ends the flow itself: the right browser brought the provider's answer."""
    return ended.ending in ENDS


def over(flow: Flow, ended: Ended, account: str | None = None) -> Flow:
    """The flow at its end: what is left of it tells how it went, and holds no secret."""
    return msgspec.structs.replace(
        flow,
        stage=Stage.CONNECTED if ended.ending is Ending.CONNECTED else Stage.FAILED,
        verifier=None,
        account=account,
        ending=ended.ending,
        detail=ended.detail,
    )


def account_fits(expected: str | None, account: str | None) -> bool:
    """Whether the account is the one that is expected; names of accounts are compared without case."""
    return expected is None or (account is not None and account.casefold() == expected.casefold())


def returned(auth: OAuth2, parameters: Mapping[str, str]) -> Returned | None:
    """The redirect's parameters taken apart; None where there is no state."""
    state = parameters.get("state")
    if not state:
        return None
    kept = {name: parameters[name] for name in auth.callback if name in parameters}
    return Returned(
        state=state,
        code=parameters.get("code"),
        error=parameters.get("error"),
        description=parameters.get("error_description"),
        issuer=parameters.get("iss"),
        kept={name: value for name, value in kept.items() if may_be_kept(value)},
    )


def scopes_for(auth: OAuth2, operations: Iterable[str], wanted: Iterable[str]) -> tuple[str, ...]:
    """The scopes that those of the operations need which are wanted (glob patterns)."""
    patterns = tuple(wanted)
    return wanted_scopes(auth, [name for name in operations if any(fnmatchcase(name, one) for one in patterns)])


def may_return(url: str, allowed: Iterable[str]) -> bool:
    """Whether a browser may be sent there: the same scheme, host and port as one of the allowed URLs, and a path that
    is that one's or below it.
    """
    if not url.isascii() or not url.isprintable() or "\\" in url or " " in url:
        return False
    return any(_below(url, base) for base in allowed)


def short(text: str) -> str:
    """What somebody else said, on one line and not long."""
    said = " ".join(CONTROL.sub(" ", text).split())
    return said if len(said) <= SAID else f"{said[: SAID - 3]}..."


def _below(url: str, base: str) -> bool:
    try:
        given, wanted = urlsplit(url), urlsplit(base)
        ports = given.port, wanted.port
    except ValueError:
        return False
    if (
        "@" in given.netloc
        or (given.scheme, given.hostname) != (wanted.scheme, wanted.hostname)
        or ports[0] != ports[1]
    ):
        return False
    if any(segment in (".", "..") or "%2e" in segment.lower() for segment in given.path.split("/")):
        return False
    folder = wanted.path.rstrip("/")
    return given.path.rstrip("/") == folder or given.path.startswith(f"{folder}/")


def _same(known: str | None, shown: str) -> bool:
    return known is not None and hmac.compare_digest(known, digest(shown))


def _is_place(place: Place) -> bool:
    """Whether there can be such a flow: names come from a browser here."""
    return (
        is_name(place.tenant)
        and is_name(place.connection)
        and bool(NAME.fullmatch(place.provider) and ID.fullmatch(place.id))
    )


def _encoded(value: object) -> str:
    return urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")


def _decoded(text: str, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kind)
    except (ValueError, RecursionError):
        return None
