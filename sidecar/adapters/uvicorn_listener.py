"""uvicorn: an ASGI application on a socket of ours, started and stopped with the process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import uvicorn


class AddressError(Exception):
    """The address cannot be listened on; the message names it and says why."""


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process, not to a listener."""
        yield


@asynccontextmanager
async def listener(app: Any, address: str) -> AsyncIterator[str]:
    """The application served on `host:port` until the block ends; gives the address with the port really taken."""
    with bind(address) as bound:
        host, port = bound.getsockname()[:2]
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
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


def bind(address: str) -> socket.socket:
    """A listening socket for `host:port`. Raises AddressError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, int(port)), family=family, backlog=128)
    except (OSError, ValueError, OverflowError) as error:
        raise AddressError(f"cannot listen on {address!r}: {error}") from error
