"""NATS URLs: what may be written, what is shown of them, and the login they hold."""

from __future__ import annotations

from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

DEFAULT_PORT = 4222
FORM = "write nats://[user:password@]host[:port], or tls:// for a server with TLS"


class NatsUrl(msgspec.Struct, frozen=True):
    """Servers without their login, and the login as nats-py's options: it would forget it for discovered servers."""

    servers: list[str]
    login: dict[str, str]

    def __repr__(self) -> str:
        return f"NatsUrl({self.servers})"


def parse_url(text: str) -> NatsUrl:
    """The servers (several are separated by commas) and the login. Raises ValueError, which never shows a password."""
    servers: list[str] = []
    login: dict[str, str] = {}
    for part in text.split(","):
        url, port = _split(part.strip())
        servers.append(f"{url.scheme}://{_host(url)}:{port or DEFAULT_PORT}")
        if url.username and not login:
            user = unquote(url.username)
            login = {"token": user} if url.password is None else {"user": user, "password": unquote(url.password)}
    return NatsUrl(servers, login)


def shown(text: str) -> str:
    """The URL without its login."""
    return ", ".join(f"{scheme}{mark}{rest.rpartition('@')[2]}" for scheme, mark, rest in map(_scheme, text.split(",")))


def _scheme(part: str) -> tuple[str, str, str]:
    head, mark, tail = part.strip().partition("://")
    return (head, mark, tail) if mark else ("", "", head)


def _split(part: str) -> tuple[SplitResult, int | None]:
    try:
        url = urlsplit(part if "://" in part else f"nats://{part}")
        port = url.port
    except ValueError as error:
        raise ValueError(f"{shown(part)!r} is not a NATS URL ({error}); {FORM}") from None
    if url.scheme not in ("nats", "tls") or not url.hostname or url.path not in ("", "/") or url.query or url.fragment:
        raise ValueError(f"{shown(part)!r} is not a NATS URL; {FORM}")
    return url, port


def _host(url: SplitResult) -> str:
    host = url.hostname or ""
    return f"[{host}]" if ":" in host else host
