"""Connecting without a way back for the browser: the command begins in its place, a person brings the address back.

The cookie that binds the answer to whoever began stays in this process (RFC 9700 section 4.7).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec

from sidecar.adapters.tls import on_any_python
from sidecar.cli.failure import BAD_REPLY, NO_SIDECAR, Stopped, stop

ONWARD = re.compile(r'http-equiv="refresh" content="0; url=([^"]+)"')
HEADING = re.compile(r"<h1[^>]*>(.*?)</h1>", re.DOTALL)
SECONDS = 60.0  # the provider is asked for tokens, and for the account
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
HINT = "is the sidecar of the same version as this command? sidecar doctor says"


class Begun(msgspec.Struct, frozen=True):
    """Where a person allows access, and the cookie that finishing needs."""

    url: str
    cookie: str

    def __repr__(self) -> str:
        return "Begun(...)"  # never the cookie


def begin(link: str) -> Begun:
    """Use the link up, as a browser does with its button."""
    with _client(link) as client:
        answer = _sent(client, httpx.Request("POST", link))
    onward = ONWARD.search(answer.text)
    cookies = SimpleCookie()
    for value in answer.headers.get_list("set-cookie"):
        cookies.load(value)
    if onward is None or len(cookies) != 1:
        raise stop(BAD_REPLY, f"the page of the link says: {_heading(answer.text)}", HINT)
    ((name, morsel),) = cookies.items()
    return Begun(unescape(onward[1]), f"{name}={morsel.value}")


def finish(link: str, begun: Begun, pasted: str) -> str:
    """Bring the provider's answer to the sidecar; what its page says."""
    url = httpx.URL(link).copy_with(raw_path=b"/callback?" + urlsplit(pasted).query.encode())
    with _client(link) as client:
        return _heading(_sent(client, httpx.Request("GET", url, headers={"cookie": begun.cookie})).text)


def wrong_with(pasted: str, redirect_uri: str, begun: Begun) -> str | None:
    """Why this is not the address at which the browser ends; None where it is."""
    try:
        given, wanted = urlsplit(pasted), urlsplit(redirect_uri)
        parameters, asked = parse_qs(given.query), parse_qs(urlsplit(begun.url).query)
    except ValueError:
        return "it is no address"
    if (given.scheme, given.netloc, given.path) != (wanted.scheme, wanted.netloc, wanted.path) or not pasted.isascii():
        return f"it begins with {redirect_uri}"
    if not _has_answer(parameters):
        return "it ends with ?code=... or ?error=...: take all of it"
    if parameters.get("state") != asked.get("state"):
        return "it is of another try: take the address at which the browser ends now"
    return None


def _has_answer(parameters: Mapping[str, list[str]]) -> bool:
    return "code" in parameters or "error" in parameters


def _client(link: str) -> httpx.Client:
    """No proxy of the environment is asked for what is on this machine."""
    foreign = httpx.URL(link).host not in LOOPBACK
    trust = on_any_python(httpx.create_ssl_context(trust_env=foreign))
    return httpx.Client(verify=trust, timeout=SECONDS, trust_env=foreign)


def _sent(client: httpx.Client, request: httpx.Request) -> httpx.Response:
    try:
        return client.send(request)
    except httpx.HTTPError as error:
        raise _unreached(request.url, error) from error


def _unreached(url: httpx.URL, error: httpx.HTTPError) -> Stopped:
    where = f"{url.scheme}://{url.netloc.decode()}"
    hint = "run it on the machine of `sidecar dev`, or look at SIDECAR_PUBLIC_URL of the sidecar"
    return stop(NO_SIDECAR, f"the pages at {where} cannot be reached: {type(error).__name__}", hint)


def _heading(text: str) -> str:
    found = HEADING.search(text)
    return unescape(found[1]).strip()[:200] if found else "nothing that this command understands"
