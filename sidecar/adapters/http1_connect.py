"""How a connection comes about: which origins and addresses may be called, the socket, and TLS over it.

Every address is checked right before it is connected to, and nothing else is connected to; the certificate is checked
against the host of the URL, which the provider is told too (SNI).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SOCK_STREAM, socket
from typing import Any, TypeVar

import aiohappyeyeballs
import httpx
import msgspec

from sidecar.adapters.dns import Lookup
from sidecar.adapters.http1_connection import Connection
from sidecar.core.egress import EgressAllow, blocked, host_problem, literal
from sidecar.model import Failure, Reason

# As socket.getaddrinfo gives it: family, kind, protocol, canonical name, address.
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
C = TypeVar("C", bound=Connection)
Key = tuple[str, bytes, int | None]
PORTS = {"https": 443, "http": 80}
MOST_PORT = 65_535  # RFC 9293: a port has 16 bits; of a larger number the system takes the rest
MOST_ORIGINS = 1024
NEXT_ADDRESS = 0.25  # seconds until the next address is tried beside the one that is slow, RFC 8305 section 8


class Origin(msgspec.Struct, frozen=True):
    """Where a URL leads, checked as far as that goes without a look-up."""

    key: Key
    name: str
    host: str
    port: int
    address: str | None
    tls: bool


class EgressBlocked(Exception):
    """A look-up led to an address that may not be called. The text says why."""


class NotResolved(Exception):
    """A look-up failed; its cause says why."""


class Connector:
    """Opens connections. `connect_timeout` bounds socket and TLS together; a look-up is bounded by its caller.

    `open_socket` replaces how a socket is made for an address.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext,
        allow: EgressAllow,
        lookup: Lookup,
        connect_timeout: float,
        open_socket: Callable[[AddressInfo], socket] | None = None,
    ) -> None:
        self._ssl_context = ssl_context
        self._allow = allow
        self._lookup = lookup
        self._connect_timeout = connect_timeout
        self._open_socket = open_socket
        self._loop = asyncio.get_running_loop()
        self._origins: dict[Key, Origin] = {}
        self._opening: set[asyncio.Timeout] = set()

    def origin(self, url: httpx.URL) -> Origin | Failure:
        """The origin of a URL, or why it may not be called."""
        if url.userinfo:
            return _blocked(f"{url.host}: a URL with a user name or password is not called")
        key = (url.scheme, url.raw_host, url.port)
        known = self._origins.get(key)
        if known is not None:
            return known
        origin = self._checked(key)
        if isinstance(origin, Origin):
            if len(self._origins) >= MOST_ORIGINS:
                self._origins.clear()
            self._origins[key] = origin
        return origin

    def _checked(self, key: Key) -> Origin | Failure:
        scheme, raw_host, given_port = key
        host = raw_host.decode("ascii")
        if scheme not in PORTS:
            return _blocked(f"the scheme {scheme[:40]!r} is not called, only https")
        problem = host_problem(host)
        if problem is not None:
            return _blocked(problem)
        port = PORTS[scheme] if given_port is None else given_port
        if not 0 < port <= MOST_PORT:
            return _blocked(f"{host}:{port}: a port is a number from 1 to {MOST_PORT}")
        tls, address = scheme == "https", literal(host)
        if address is not None:
            problem = blocked(address, port, self._allow, clear_text=not tls)
            if problem is not None:
                return _blocked(f"{host}:{port}: {problem}")
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return Origin(key, name, host, port, address, tls)

    async def open(self, origin: Origin, make: Callable[[], C]) -> C | Failure:
        """A new connection, ready to be written to. On failure nothing was sent."""
        try:
            async with asyncio.timeout(None) as limit:
                self._opening.add(limit)
                try:
                    addresses = await self._addresses(origin)
                    limit.reschedule(self._loop.time() + self._connect_timeout)
                    connection = await self._connected(origin, addresses, make)
                finally:
                    self._opening.discard(limit)
        except (EgressBlocked, NotResolved, OSError, RuntimeError) as error:  # uvloop has RuntimeErrors of its own
            return self._not_connected(origin.name, error)
        if origin.tls:
            await _told(connection)
        if connection.closed or not (origin.tls or connection.is_clear()):
            connection.cut()
            detail = f"{origin.name} closed the connection, or spoke, before anything was asked"
            return Failure(reason=Reason.CONNECT_FAILED, detail=detail)
        return connection

    def stop(self) -> None:
        """End every opening that is under way with a failure."""
        for limit in self._opening:
            if not limit.expired():
                limit.reschedule(self._loop.time())

    async def _addresses(self, origin: Origin) -> list[AddressInfo]:
        """What may be connected to. One refused address refuses them all."""
        if origin.address is not None:  # checked with its origin
            return [_info(origin.address, origin.port)]
        try:
            addresses = await self._lookup(origin.host, origin.port)
        except OSError as error:
            raise NotResolved from error
        for address in addresses:
            why = blocked(address, origin.port, self._allow, host=origin.host, clear_text=not origin.tls)
            if why is not None:
                raise EgressBlocked(f"{origin.host}:{origin.port}: {why}")
        if not addresses:
            raise NotResolved from OSError("it has no address")
        return [_info(address, origin.port) for address in addresses]

    async def _connected(self, origin: Origin, left: list[AddressInfo], make: Callable[[], C]) -> C:
        """Over the first address on which both socket and TLS come about; one that is silent has half the time."""
        while True:
            opened = await aiohappyeyeballs.start_connection(
                left, happy_eyeballs_delay=NEXT_ADDRESS, interleave=1, socket_factory=self._open_socket
            )
            peer = _peer(opened)
            others = [info for info in left if info[4][0] != peer]
            try:
                async with asyncio.timeout(self._connect_timeout / 2 if others else None):
                    _, connection = await self._loop.create_connection(
                        make,
                        sock=opened,
                        ssl=self._ssl_context if origin.tls else None,
                        server_hostname=origin.host if origin.tls else None,
                    )
            except OSError:
                if not others or len(others) == len(left):
                    raise
                left = others
            else:
                return connection

    def _not_connected(self, name: str, error: Exception) -> Failure:
        match error:
            case EgressBlocked():
                return _blocked(str(error))
            case ssl.SSLCertVerificationError():
                detail = f"the certificate of {name} was not accepted: {error.verify_message}"
                return Failure(reason=Reason.TLS_VERIFY_FAILED, detail=detail, cause=error)
            case NotResolved(__cause__=OSError() as cause):
                detail = f"could not resolve {name}: {cause.strerror or cause}"
            case ssl.SSLError():
                detail = f"no TLS connection to {name}: {error.reason or error}"
            case TimeoutError(errno=None):
                detail = f"no connection to {name} within {self._connect_timeout:g} s"
            case OSError():
                detail = f"could not connect to {name}: {error.strerror or str(error) or type(error).__name__}"
            case _:
                detail = f"could not connect to {name}: {type(error).__name__}"
        return Failure(reason=Reason.CONNECT_FAILED, detail=detail, cause=error)


async def _told(connection: Connection) -> None:
    """Wait until it was told what came with the handshake: uvloop does so a turn after the handshake's end."""
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        connection.cut()
        raise


def _info(address: str, port: int) -> AddressInfo:
    return (AF_INET6 if ":" in address else AF_INET, SOCK_STREAM, IPPROTO_TCP, "", (address, port))


def _peer(opened: socket) -> str:
    try:
        return str(opened.getpeername()[0])
    except OSError:
        opened.close()
        raise


def _blocked(detail: str) -> Failure:
    return Failure(reason=Reason.EGRESS_BLOCKED, detail=detail)
