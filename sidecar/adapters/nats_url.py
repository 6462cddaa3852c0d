"""NATS URLs: what may be written, what is shown of them, and the login they hold."""

from __future__ import annotations

from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

DEFAULT_PORT = 4222
# What cannot be taken apart is not quoted: any piece of it may be one of the password.
NO_URL = (
    "what is given is not a NATS URL (percent-encode # / ? , in the password);"
    " write nats://[user:password@]host[:port], or tls:// for a server with TLS"
)


class NatsUrl(msgspec.Struct, frozen=True):
    """Servers without their login, and the login as nats-py's options: it would forget it for discovered servers."""

    servers: list[str]
    login: dict[str, str]

    def __repr__(self) -> str:
        return f"NatsUrl({self.servers})"


def parse_url(text: str) -> NatsUrl:
    """The servers (several are separated by commas) and the login. Raises ValueError, which shows nothing of it."""
    servers: list[str] = []
    login: dict[str, str] = {}
    for part in map(str.strip, text.split(",")):
        url, port = _split(part)
        if servers and not login and url.username and "://" not in part:
            raise ValueError(NO_URL)  # a comma in a password, more likely than a login that only a later server has
        servers.append(f"{url.scheme}://{_host(url)}:{port or DEFAULT_PORT}")
        if url.username and not login:
            user = unquote(url.username)
            login = {"token": user} if url.password is None else {"user": user, "password": unquote(url.password)}
    return NatsUrl(servers, login)


def shown(text: str) -> str:
    """The servers of the URL without its login; of one that cannot be taken apart, nothing."""
    try:
        return ", ".join(parse_url(text).servers)
    except ValueError:
        return "a URL that is none"


def _split(part: str) -> tuple[SplitResult, int | None]:
    try:
        url = urlsplit(part if "://" in part else f"nats://{part}")
        port = url.port
    except ValueError:
        raise ValueError(NO_URL) from None
    if url.scheme not in ("nats", "tls") or not url.hostname or url.path not in ("", "/") or url.query or url.fragment:
        raise ValueError(NO_URL)
    return url, port


def _host(url: SplitResult) -> str:
    host = url.hostname or ""
    return f"[{host}]" if ":" in host else host
