"""uvicorn: an ASGI application on a socket of ours, started and stopped with the process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import uvicorn

DROP = "connection.drop"


class AddressError(Exception):
    """The address cannot be listened on; the message names it and says why."""


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process, not to a listener."""
        yield


@asynccontextmanager
async def listener(app: Any, address: str, *, date: bool = True) -> AsyncIterator[str]:
    """The application served on `host:port` until the block ends; gives the address with the port really taken.

    Without `date` no answer has a Date but the application's own.
    """
    with bind(address) as bound:
        host, port = bound.getsockname()[:2]
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            date_header=date,
            timeout_graceful_shutdown=2,
            ws="none",
        )
        server = _Server(config)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: server.serve(sockets=[bound]))
            try:
                yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            finally:
                server.should_exit = True


def droppable(app: Any) -> Any:
    """The application, able to close a request's connection in the middle: `await scope["extensions"][DROP]()`."""

    async def with_drop(scope: dict[str, Any], receive: Any, send: Any) -> None:
        # `send` is a method of uvicorn's one request, which holds the transport; ASGI has no word for this.
        request = send.__self__

        async def drop() -> None:
            request.transport.close()
            while (await receive())["type"] != "http.disconnect":
                pass

        await app({**scope, "extensions": {**scope.get("extensions", {}), DROP: drop}}, receive, send)

    return with_drop


def bind(address: str) -> socket.socket:
    """A listening socket for `host:port`. Raises AddressError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, int(port)), family=family, backlog=128)
    except (OSError, ValueError, OverflowError) as error:
        raise AddressError(f"cannot listen on {address!r}: {error}") from error
