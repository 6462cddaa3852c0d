"""uvicorn: an ASGI application on a socket of ours, started and stopped with the process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

DROP = "connection.drop"
HEAD_SECONDS = (
    10.0  # a request is there that long after its connection, or its predecessor's answer; twice that at most
)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process, not to a listener."""
        yield


class _Prompt(H11Protocol):
    """Closes connections on which nothing is being answered and no request comes to its end: uvicorn itself waits for
    the rest of a head for ever, so that a stranger could hold every socket. A head has at most 64 KiB.
    """

    head_seconds = HEAD_SECONDS

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watcher.cancel()
        super().connection_lost(exc)

    def _watch(self, answered: object) -> None:
        self._watcher = self.loop.call_later(self.head_seconds, self._look, answered)

    def _look(self, answered: object) -> None:
        """`answered` is the last request, as it was a while ago."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first
        if cycle is answered and (cycle is None or cycle.response_complete):
            self.transport.close()
        else:
            self._watch(cycle)


@asynccontextmanager
async def listener(
    app: Any, bound: socket.socket, *, date: bool = True, head_seconds: float = HEAD_SECONDS
) -> AsyncIterator[str]:
    """The application served on this socket until the block ends, which closes it; gives its `host:port`.

    Without `date` no answer has a Date but the application's own. `head_seconds` is how long a request may take to
    arrive.
    """
    with bound:
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
            http=type("Prompt", (_Prompt,), {"head_seconds": head_seconds}),
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
