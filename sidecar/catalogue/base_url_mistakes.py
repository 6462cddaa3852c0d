"""What is wrong with where the API is: told when a manifest is loaded, not when a secret is on its way."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from sidecar.auth.kind import fields_of, kept_names, kind_of, names_somebody, optional_fields_of
from sidecar.core.base_url import PLACEHOLDER, base_url, named_in, server_and_path
from sidecar.kinds import Auth, Issued, Login
from sidecar.manifest import BaseUrl, FixedUrl, KeptUrl, SelfHosted, Subdomain
from sidecar.model import Failure

BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
SUFFIX = re.compile(r"(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?){2,}")
IN_BRACES = re.compile(r"\{[^{}/]*\}")


def base_url_mistakes(fact: BaseUrl, kinds: Collection[Auth]) -> Iterator[str]:
    """Each mistake as `base_url.<key>: rule`. `kinds` are what may say the values of a kept URL."""
    match fact:
        case FixedUrl(url=url):
            yield from _url_mistakes("url", url)
        case SelfHosted(path=path, default=default):
            yield from _path_mistakes(path)
            if default is not None:
                yield from _url_mistakes("default", default)
        case Subdomain(suffix=suffix, path=path):
            yield from _path_mistakes(path)
            yield from _suffix_mistakes("suffix", suffix)
        case KeptUrl():
            yield from _kept_mistakes(fact, kinds)


def relative_mistakes(fact: BaseUrl, auth: Issued) -> Iterator[str]:
    """A URL below the connection's base URL, where that is known from the token only."""
    if not isinstance(fact, KeptUrl):
        return
    for key, url in _urls(auth):
        if url.startswith("/"):
            yield f"{key}: must be absolute, for the base URL is known once there is a token"


def _urls(auth: Issued) -> Iterator[tuple[str, str]]:
    if auth.follow_up is not None:
        yield "follow_up.url", auth.follow_up.url
    match auth:
        case Login(login=login, refresh=refresh):
            yield "login.url", login.url
            if refresh is not None:
                yield "refresh.url", refresh.url
        case _:
            yield "token_url", auth.token_url


def _url_mistakes(key: str, url: str) -> Iterator[str]:
    read = base_url(SelfHosted(), url)
    if isinstance(read, Failure):
        yield f"base_url.{key}: {read.detail.removeprefix('base_url: ')}"


def _path_mistakes(path: str) -> Iterator[str]:
    if not BASE_PATH.fullmatch(path):
        yield f"base_url.path: {path!r} must be empty, or start with / and end without"


def _suffix_mistakes(key: str, suffix: str) -> Iterator[str]:
    # Without the dot, the subdomain `evil` of `example.com` would be evilexample.com.
    if not SUFFIX.fullmatch(suffix):
        yield f"base_url.{key}: {suffix!r} must start with a dot and name a domain, as in .example.com"


def _kept_mistakes(fact: KeptUrl, kinds: Collection[Auth]) -> Iterator[str]:
    """A URL that is made of what the provider says leads to the provider's own hosts alone."""
    for suffix in fact.suffixes:
        yield from _suffix_mistakes("suffixes", suffix)
    no_names = [name for name in IN_BRACES.findall(fact.url) if not PLACEHOLDER.fullmatch(name)]
    for name in no_names:
        yield f"base_url.url: {name} must hold the name of a value, a word of [A-Za-z0-9_]"
    if no_names:
        return
    if not named_in(fact.url):
        yield f"base_url.url: {fact.url!r} names no value of the connection; a fixed URL has kind fixed"
    for name in sorted(named_in(fact.url)):
        yield from _name_mistakes(name, kinds)
    server, path = server_and_path(fact.url)
    if named_in(server) and not fact.suffixes:
        yield "base_url.suffixes: are required where the host itself is what the provider says"
    filled = PLACEHOLDER.sub("x", f"https://x{path}" if PLACEHOLDER.fullmatch(server) else fact.url)
    if isinstance(base_url(SelfHosted(), filled), Failure) or not filled.startswith("https://"):
        yield f"base_url.url: {fact.url!r} is not an https:// URL"


def _name_mistakes(name: str, kinds: Collection[Auth]) -> Iterator[str]:
    """A value that some kind of credential always has, and that none calls a secret."""
    for auth in kinds:
        if name in (*fields_of(auth), *optional_fields_of(auth)) and not names_somebody(auth, name):
            yield f"base_url.url: {name!r} is a secret of {kind_of(auth)}, and no URL holds one"
    if name not in kept_names(kinds).union(*map(fields_of, kinds)):
        yield f"base_url.url: no kind keeps {name!r} (answer.keep, follow_up.keep, callback), or needs it as a field"
