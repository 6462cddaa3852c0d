"""One contender under load: `python -m tests.bench.agent KIND TARGET IN_FLIGHT SECONDS`; prints its figures as JSON.

KIND is `httpx` (its default client), `aiohttp` (one session), `sidecar` (requests over NATS), or `nats` (the same, and
nobody calls an API).
"""

from __future__ import annotations

import asyncio
import json
import resource
import ssl
import sys
import time
from collections.abc import Awaitable, Callable

INPUT = {"title": "Login fails on Safari", "labels": ["bug", "web"]}
WARM_SECONDS = 0.5
ECHO = "bench.echo"
Call = Callable[[], Awaitable[None]]
Close = Callable[[], Awaitable[object]]


async def httpx_call(url: str) -> tuple[Call, Close]:
    import httpx

    client = httpx.AsyncClient(verify=ssl.create_default_context())
    headers = {"authorization": "Bearer token"}

    async def call() -> None:
        answer = await client.post(f"{url}/items", json=INPUT, headers=headers)
        assert answer.json()["number"] == 812

    return call, client.aclose


async def aiohttp_call(url: str) -> tuple[Call, Close]:
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context()))
    headers = {"authorization": "Bearer token"}

    async def call() -> None:
        async with session.post(f"{url}/items", json=INPUT, headers=headers) as answer:
            assert (await answer.json())["number"] == 812

    return call, session.close


async def sidecar_call(url: str) -> tuple[Call, Close]:
    import nats

    client = await nats.connect(url)
    payload = json.dumps(INPUT).encode()

    async def call() -> None:
        answer = await client.request("sidecar.write.default.default.bench.items.create", payload, timeout=30)
        assert json.loads(answer.data)["number"] == 812, answer.data

    return call, client.close


async def nats_call(url: str) -> tuple[Call, Close]:
    import nats

    client = await nats.connect(url)
    payload = json.dumps(INPUT).encode()

    async def call() -> None:
        answer = await client.request(ECHO, payload, timeout=30)
        assert json.loads(answer.data) == INPUT, answer.data

    return call, client.close


KINDS = {"httpx": httpx_call, "aiohttp": aiohttp_call, "nats": nats_call, "sidecar": sidecar_call}


async def load(kind: str, target: str, in_flight: int, seconds: float) -> dict[str, float]:
    """Keep `in_flight` calls going for the time, after a warm-up; latencies in ms, CPU per call in us."""
    call, close = await KINDS[kind](target)
    warm_until = time.perf_counter() + WARM_SECONDS
    end = warm_until + seconds
    took: list[float] = []

    async def one_after_another() -> None:
        while (began := time.perf_counter()) < end:
            await call()
            if began >= warm_until:
                took.append(time.perf_counter() - began)

    asyncio.get_running_loop().call_later(WARM_SECONDS, _mark)
    await asyncio.gather(*(one_after_another() for _ in range(in_flight)))
    cpu = _cpu() - _marked[0]
    await close()
    took.sort()
    return {
        "calls": len(took),
        "per_second": len(took) / seconds,
        "p50_ms": took[len(took) // 2] * 1000,
        "p99_ms": took[int(len(took) * 0.99)] * 1000,
        "cpu_us": cpu / max(1, len(took)) * 1e6,
    }


_marked = [0.0]


def _mark() -> None:
    _marked[0] = _cpu()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    # The loop that an agent has which did nothing about it.
    figures = asyncio.run(load(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
    print(json.dumps(figures))
