"""The base URL of a call: what the manifest says, and what the connection may set in it."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urlsplit

from sidecar.core.egress import host_problem, literal
from sidecar.core.values import Refused, path_segment
from sidecar.credential import Credential
from sidecar.manifest import BaseUrl, FixedUrl, KeptUrl, SelfHosted, Subdomain
from sidecar.model import Failure, Reason

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123 section 2.1, in lower case
PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_]+)\}")
LABELS = re.compile(r"[A-Za-z0-9._~-]{1,128}")  # of a host
PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")


@lru_cache(maxsize=4_096)
def base_url(fact: BaseUrl, given: str | None) -> str | Failure:
    """The base URL, without a trailing slash. `given` is the connection's setting: a subdomain or a server's URL."""
    match fact:
        case FixedUrl(url=url):
            return url.rstrip("/") if given is None else _refuse("this provider has one base URL; leave it out")
        case Subdomain(suffix=suffix, path=path):
            if given is None:
                return _refuse(f"the connection must name its subdomain of {suffix.lstrip('.')}")
            if not LABEL.fullmatch(given):
                return _refuse("a subdomain is one label of a-z, 0-9 and -, at most 63 long")
            return f"https://{given}{suffix}{path}".rstrip("/")
        case SelfHosted(path=path, default=default):
            if given is not None:
                return _server(given, path)
            if default is None:
                return _refuse("the connection must name its server, such as https://tracker.example.com")
            return default.rstrip("/")
        case KeptUrl():
            return _refuse("it is known from the account; leave it out")


def connection_url(fact: BaseUrl, credential: Credential) -> str | Failure:
    """The base URL of a connection, also where it is made of what names its account."""
    if not isinstance(fact, KeptUrl):
        return base_url(fact, credential.base_url)
    names = named_in(fact.url)
    if "username" in names and credential.kind == "basic" and not credential.fields["password"].reveal():
        return _refuse("a user name without a password is the key, and no URL holds one")
    return _kept_url(fact, tuple((name, _known(credential, name)) for name in names))


def _known(credential: Credential, name: str) -> str:
    """A field of the credential, which the loader knows to be no secret, or what was said of the account."""
    field = credential.fields.get(name)
    return credential.kept.get(name, "") if field is None else field.reveal()


@lru_cache
def named_in(url: str) -> tuple[str, ...]:
    """The names whose values a kept URL is made of."""
    return tuple(dict.fromkeys(PLACEHOLDER.findall(url)))


def server_and_path(url: str) -> tuple[str, str]:
    """A kept URL in two: scheme and host, or the one value that is a whole URL, and the path below it."""
    end = url.find("/", 0 if url.startswith("{") else len("https://"))
    return (url, "") if end < 0 else (url[:end], url[end:])


@lru_cache(maxsize=4_096)
def _kept_url(fact: KeptUrl, known: tuple[tuple[str, str], ...]) -> str | Failure:
    """The URL with the values put in. What a provider said leads nowhere but to the provider."""
    values = dict(known)
    missing = [name for name, text in known if not text]
    if missing:
        return _refuse(f"{', '.join(missing)} of the account is not known; connect the account again")
    server, path = server_and_path(fact.url)
    if not PLACEHOLDER.fullmatch(server) and not all(LABELS.fullmatch(values[name]) for name in named_in(server)):
        return _refuse(f"{', '.join(named_in(server))} of the account is no part of a host")
    try:
        path = PLACEHOLDER.sub(lambda match: path_segment(match[1], values[match[1]]), path).rstrip("/")
    except Refused as refused:
        return _refuse(f"{refused.problem.pointer[1:]} of the account: {refused.problem.detail}")
    read = _server(PLACEHOLDER.sub(lambda match: values[match[1]], server), "")
    if isinstance(read, Failure):
        return read
    host, own = urlsplit(read).hostname or "", urlsplit(fact.url).hostname
    if not read.startswith("https://"):
        return _refuse("what the provider says of the account is no https:// URL")
    if host != own and not host.endswith(fact.suffixes):
        return _refuse(f"the provider says that the account is at {host[:80]}, which is not among its own hosts")
    return read + path


def _server(given: str, path: str) -> str | Failure:
    """The URL of a self-hosted server: scheme, host, port, and a plain path at most."""
    try:
        parts = urlsplit(given)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return _refuse("it is not a URL")  # and not repeated: it may hold a password
    if parts.scheme not in {"https", "http"} or not given.isascii() or not given.isprintable() or " " in given:
        return _refuse("a server's URL starts with https:// (or http:// where the egress list names the host)")
    if "@" in parts.netloc or "?" in given or "#" in given or "\\" in given:
        return _refuse("the server's URL has no user, query or fragment")
    problem = host_problem(host)
    if problem is not None:
        return _refuse(problem)
    if port == 0 or ("[" in parts.netloc and literal(host) is None):
        return _refuse(f"{parts.netloc[:80]!r} is not a host and port")
    if not PATH.fullmatch(parts.path) or any(name in {".", ".."} for name in parts.path.split("/")):
        # Not repeated either: some APIs have a secret there.
        return _refuse("a segment of the server's path is of letters, digits and ._~-, and neither empty nor . or ..")
    name = f"[{host}]" if ":" in host else host
    authority = name if port is None else f"{name}:{port}"
    return f"{parts.scheme}://{authority}{parts.path.rstrip('/')}{path}"


def _refuse(detail: str) -> Failure:
    return Failure(reason=Reason.VALIDATION, detail=f"base_url: {detail}")
