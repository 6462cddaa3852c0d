"""`ports.HttpSender`, and a transport for HTTPX, over our own connections; httptools reads what comes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from socket import socket

import httpx

from sidecar.adapters.deadline import Deadlines, Later
from sidecar.adapters.dns import CachedLookup, Lookup, system_lookup
from sidecar.adapters.http1_connect import AddressInfo, Connector
from sidecar.adapters.http1_exchange import Exchange
from sidecar.adapters.http1_pool import Pool
from sidecar.adapters.tls import on_any_python
from sidecar.core.egress import EgressAllow
from sidecar.model import Failure, Reason, SideEffect

NO_LIMIT = float("inf")


class Http1Sender(httpx.AsyncBaseTransport):
    """Sends requests to providers; to be made inside a running event loop, one for the whole process.

    `allow` names what may be called beside public addresses. `max_body` bounds answers when HTTPX is the caller, and
    `exchange_limit` their seconds when HTTPX gives no limit. `lookup` and `open_socket` are the seams to the network.
    """

    def __init__(
        self,
        *,
        allow: EgressAllow | None = None,
        ssl_context: ssl.SSLContext | None = None,
        lookup: Lookup | None = None,
        per_host: int = 512,
        total: int = 4096,
        keep_alive: float = 15.0,
        connect_timeout: float = 10.0,
        exchange_limit: float = 30.0,
        max_body: int = 4 * 1024 * 1024,
        open_socket: Callable[[AddressInfo], socket] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines()
        self._exchange_limit = exchange_limit
        self._max_body = max_body
        connector = Connector(
            ssl_context=ssl_context or default_ssl_context(),
            allow=allow or EgressAllow(),
            lookup=lookup or CachedLookup(system_lookup),
            connect_timeout=connect_timeout,
            open_socket=open_socket,
        )
        self._pool = Pool(connector, per_host=per_host, total=total, keep_alive=keep_alive)

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> httpx.Response | Failure:
        """As `ports.HttpSender.send`."""
        exchange = Exchange(self._pool, request, deadline=deadline, max_body=max_body)
        if deadline <= self._loop.time():
            return exchange.past_deadline(None)
        answer_by = request.extensions.get("answer_by")
        later = None if answer_by is None else Later(deadline, exchange.moves)
        try:
            with self._deadlines.at(deadline if answer_by is None else answer_by, later):
                return await exchange.run()
        except TimeoutError as error:
            return exchange.past_deadline(error)
        except asyncio.CancelledError:
            request.extensions["sent"] = exchange.sent
            raise

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As HTTPX asks; the longest of its four limits bounds the whole exchange. Raises httpx.TransportError."""
        limits = request.extensions.get("timeout", {}).values()
        seconds = max(limits, default=None, key=lambda limit: NO_LIMIT if limit is None else limit)
        seconds = self._exchange_limit if seconds is None else seconds
        outcome = await self.send(request, deadline=self._loop.time() + seconds, max_body=self._max_body)
        if isinstance(outcome, Failure) or "lost" in outcome.extensions:
            raise _as_httpx(outcome if isinstance(outcome, Failure) else outcome.extensions["lost"], request)
        stream = httpx.ByteStream(outcome.content)  # HTTPX reads, counts and closes it in its own way
        return httpx.Response(
            outcome.status_code, headers=outcome.headers, stream=stream, extensions=outcome.extensions
        )

    async def aclose(self) -> None:
        """Cut every connection; what still runs ends in a failure."""
        await self._pool.aclose()


def _as_httpx(failure: Failure, request: httpx.Request) -> httpx.TransportError:
    late = isinstance(failure.cause, TimeoutError)
    match failure.reason:
        case Reason.MALFORMED:
            kind: type[httpx.TransportError] = httpx.LocalProtocolError
        case _ if failure.side_effect is SideEffect.NONE:
            kind = httpx.ConnectTimeout if late else httpx.ConnectError
        case Reason.OUTCOME_UNKNOWN if isinstance(failure.cause, OSError) and not late:
            kind = httpx.ReadError
        case _:
            kind = httpx.ReadTimeout if late else httpx.RemoteProtocolError
    return kind(failure.detail, request=request)


def default_ssl_context() -> ssl.SSLContext:
    """The authorities of HTTPX (certifi, or `SSL_CERT_FILE`) and those of the system. Takes 15 ms: make one."""
    context = httpx.create_ssl_context()
    context.load_default_certs()
    context.set_alpn_protocols(["http/1.1"])
    return on_any_python(context)
