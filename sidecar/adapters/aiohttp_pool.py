"""Connections to providers: checked addresses, TLS, kept alive, bounded. aiohttp opens and keeps them.

A connection is lent for one exchange and then given back (`keep`) or cut (`drop`). It is lent again only when nothing
came in meanwhile: what a server says unasked must not become the answer to the next request, which aiohttp by itself
would allow (https://github.com/aio-libs/aiohttp/issues/13656).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from socket import AF_INET, AF_INET6, AddressFamily, socket
from time import monotonic
from weakref import WeakKeyDictionary

import aiohttp
import httpx
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import AddrInfoType, Connection
from yarl import URL

from sidecar.adapters.dns import Lookup
from sidecar.core.egress import EgressAllow, blocked, host_problem, literal
from sidecar.model import Failure, Reason

PORTS = {"https": 443, "http": 80}
MOST_ORIGINS = 1024
NO_LIMIT = float("inf")
IDLE_MARGIN = 1.0  # seconds: a server that told us when it closes may do so while our request is under way
CLOSING = 2.0  # seconds that closing may take


class Origin(msgspec.Struct, frozen=True):
    """Where a URL leads, checked as far as that goes without a look-up."""

    name: str
    target: aiohttp.ClientRequest  # never sent: by it aiohttp knows host, port and TLS of a connection
    connector: aiohttp.TCPConnector


class Lent(msgspec.Struct, frozen=True):
    """A connection for one exchange. `reused`: it has served another one before."""

    connection: Connection
    protocol: ResponseHandler
    transport: asyncio.Transport
    reused: bool


class EgressBlocked(Exception):
    """A look-up led to an address that may not be called. The text says why."""


class Pool:
    """At most `total` connections, `per_host` to one origin; idle ones are closed after `keep_alive` seconds.

    Plain http has a pool of its own, whose look-ups accept only what the operator named.
    To be made inside a running event loop. `open_socket` replaces how a socket is made for an address.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext,
        allow: EgressAllow,
        lookup: Lookup,
        per_host: int,
        total: int,
        keep_alive: float,
        connect_timeout: float,
        open_socket: Callable[[AddrInfoType], socket] | None = None,
    ) -> None:
        self._allow = allow
        self._origins: dict[tuple[str, bytes, int | None], Origin] = {}
        self._lent_until: WeakKeyDictionary[ResponseHandler, float] = WeakKeyDictionary()
        self._connect_timeout = connect_timeout
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout)
        self._connectors = {
            scheme: aiohttp.TCPConnector(
                ssl=ssl_context,
                resolver=_CheckedResolver(lookup, allow, clear_text=scheme == "http"),
                use_dns_cache=False,  # a cache above the check would let an old answer past it
                limit=total,
                limit_per_host=per_host,
                keepalive_timeout=keep_alive,
                socket_factory=open_socket,
            )
            for scheme in PORTS
        }

    def origin(self, url: httpx.URL) -> Origin | Failure:
        """The origin of a URL, or why it may not be called."""
        if url.userinfo:
            return _blocked(f"{url.host}: a URL with a user name or password is not called")
        key = (url.scheme, url.raw_host, url.port)
        known = self._origins.get(key)
        if known is not None:
            return known
        origin = self._checked(*key)
        if isinstance(origin, Origin):
            if len(self._origins) >= MOST_ORIGINS:
                self._origins.clear()
            self._origins[key] = origin
        return origin

    def _checked(self, scheme: str, raw_host: bytes, given_port: int | None) -> Origin | Failure:
        host = raw_host.decode("ascii")
        if scheme not in PORTS:
            return _blocked(f"the scheme {scheme[:40]!r} is not called, only https")
        problem = host_problem(host)
        if problem is not None:
            return _blocked(problem)
        port = PORTS[scheme] if given_port is None else given_port
        address = literal(host)  # aiohttp asks no resolver about an address, so it is checked here
        if address is not None:
            problem = blocked(address, port, self._allow, clear_text=scheme == "http")
            if problem is not None:
                return _blocked(f"{host}:{port}: {problem}")
        url = URL.build(scheme=scheme, host=host, port=port)
        target = aiohttp.ClientRequest("GET", url, loop=asyncio.get_running_loop())
        return Origin(f"{url.host_subcomponent}:{port}", target, self._connectors[scheme])

    async def take(self, origin: Origin) -> Lent | Failure:
        """A connection to the origin, kept alive or new; waits while all are lent. On failure nothing was sent."""
        while True:
            connection = await self._connect(origin)
            if isinstance(connection, Failure):
                return connection
            protocol, transport = connection.protocol, connection.transport
            until = None if protocol is None else self._lent_until.get(protocol)
            if protocol is not None and transport is not None and not transport.is_closing():
                if not protocol.should_close and (until is None or monotonic() < until):
                    self._lent_until[protocol] = NO_LIMIT
                    return Lent(connection, protocol, transport, until is not None)
                transport.abort()
            connection.close()
            if until is None:
                detail = f"{origin.name} closed the connection, or spoke, before anything was asked"
                return Failure(reason=Reason.CONNECT_FAILED, detail=detail)

    async def _connect(self, origin: Origin) -> Connection | Failure:
        if self.is_closed():
            return _closed()
        try:
            return await origin.connector.connect(origin.target, traces=[], timeout=self._timeout)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self.is_closed() and task is not None and not task.cancelling():
                return _closed()  # not cancelled by anyone: aiohttp says so to who waits while it is closed
            raise
        except (EgressBlocked, aiohttp.ClientError, OSError) as error:
            return _closed() if self.is_closed() else self._not_connected(origin.name, error)

    def keep(self, lent: Lent, idle: float | None) -> None:
        """Give back a connection whose answer was read to its end; `idle` is how long the server keeps it open."""
        if lent.protocol.should_close or lent.transport.get_write_buffer_size():  # told to, or answered too early
            self.drop(lent)
            return
        if idle is not None:
            self._lent_until[lent.protocol] = monotonic() + idle - IDLE_MARGIN
        lent.connection.release()

    def drop(self, lent: Lent) -> None:
        """Cut a connection at once: unsent bytes are discarded, and nothing more is read."""
        lent.transport.abort()
        lent.connection.close()

    def is_closed(self) -> bool:
        return all(connector.closed for connector in self._connectors.values())

    async def aclose(self) -> None:
        """Cut every connection. Exchanges that still run end in a failure that says what is known."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING):
                await asyncio.gather(*(connector.close() for connector in self._connectors.values()))

    def _not_connected(self, name: str, error: Exception) -> Failure:
        match error:
            case EgressBlocked():
                return _blocked(str(error))
            case aiohttp.ClientConnectorCertificateError(certificate_error=ssl.SSLCertVerificationError() as cause):
                detail = f"the certificate of {name} was not accepted: {cause.verify_message}"
                return Failure(reason=Reason.TLS_VERIFY_FAILED, detail=detail, cause=error)
            case aiohttp.ClientConnectorDNSError(os_error=cause):
                detail = f"could not resolve {name}: {cause.strerror or cause}"
            case aiohttp.ClientConnectorSSLError(os_error=cause):
                detail = f"no TLS connection to {name}: {getattr(cause, 'reason', None) or cause}"
            case aiohttp.ClientConnectorError(os_error=cause):
                detail = f"could not connect to {name}: {cause.strerror or cause}"
            case TimeoutError():
                detail = f"no connection to {name} within {self._connect_timeout:g} s"
            case _:
                detail = f"could not connect to {name}: {type(error).__name__}"
        return Failure(reason=Reason.CONNECT_FAILED, detail=detail, cause=error)


class _CheckedResolver(AbstractResolver):
    """Resolves for aiohttp, which connects to exactly what this returns. One refused address refuses them all."""

    def __init__(self, lookup: Lookup, allow: EgressAllow, *, clear_text: bool) -> None:
        self._lookup = lookup
        self._allow = allow
        self._clear_text = clear_text

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: AddressFamily = AddressFamily.AF_UNSPEC,  # noqa: ARG002 - aiohttp's signature; every family is wanted
    ) -> list[ResolveResult]:
        addresses = await self._lookup(host, port)
        for address in addresses:
            why = blocked(address, port, self._allow, host=host, clear_text=self._clear_text)
            if why is not None:
                raise EgressBlocked(f"{host}:{port}: {why}")
        if not addresses:
            raise OSError("it has no address")
        return [_resolved(host, address, port) for address in addresses]

    async def close(self) -> None:
        """Nothing is held."""


def _resolved(host: str, address: str, port: int) -> ResolveResult:
    family = AF_INET6 if ":" in address else AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)


def _blocked(detail: str) -> Failure:
    return Failure(reason=Reason.EGRESS_BLOCKED, detail=detail)


def _closed() -> Failure:
    return Failure(reason=Reason.SHUTTING_DOWN, detail="the sender was closed before the request was sent")
