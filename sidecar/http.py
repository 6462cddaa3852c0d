"""The operations listener: is it alive, is it ready, what are its figures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio.to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

Ready = Callable[[], Awaitable[str | None]]


def operations(ready: Ready, exposition: Callable[[], bytes], content_type: str) -> Starlette:
    """`/healthz` (the loop turns), `/readyz` (`ready` gives None, or why not), `/metrics` (Prometheus text)."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        why = await ready()
        return PlainTextResponse("ok\n") if why is None else PlainTextResponse(f"{why}\n", status_code=503)

    async def metrics(_: Request) -> Response:
        # Building the text takes milliseconds with many series; calls go on meanwhile.
        return Response(await anyio.to_thread.run_sync(exposition), media_type=content_type)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])
