"""Ten thousand requests at once at a sidecar that is stuck: what it cannot take is refused at once, none is dropped."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from tests.chaos.place import TENANT, place
from tests.chaos.scene import Scene
from tests.chaos.told import quantile
from tests.figure import Figure, at_most, equal, listed, told
from tests.upstream import Behaviour

REQUESTS = 10_000
IN_FLIGHT, WAITING = 100, 50
TIME_MS = 8_000
AT_ONCE = 0.100
SUBJECT = f"sidecar.write.{TENANT}.shop.plain.items.create"
REPLY = re.compile(rb"MSG _INBOX\.flood\.(\d+) ")
REASON = re.compile(rb'"reason":"([A-Z_]+)"')
REFUSED = re.compile(rb'MSG _INBOX\.flood\.(\d+) [^{]*\{[^}]*?"reason":"([A-Z_]+)"')
REASONS = {b"TENANT_LIMIT", b"QUEUE_FULL"}
GROUP, A_SECOND = 200, 20_000  # an agent of nats-py asks for some 15,000 a second


class Agent(asyncio.Protocol):
    """NATS by hand, so that the agent is not slower than what it asks: requests go out in one write, and of what comes
    back only the time is noted while it comes.
    """

    def __init__(self) -> None:
        self.came: list[tuple[float, bytes]] = []
        self.number = 0

    def data_received(self, data: bytes) -> None:
        self.came.append((time.perf_counter(), data))
        self.number += data.count(b"MSG _INBOX.flood.")


async def flood(scene: Scene) -> list[Figure]:
    """While as many calls hang as the sidecar takes: as fast as agents call, and all of them in one write."""
    return [
        *await _flooded(scene.folder / "paced", GROUP),
        *await _flooded(scene.folder / "one-write", REQUESTS),
    ]


async def _flooded(folder: Path, group: int) -> list[Figure]:
    async with place(folder, Behaviour(silent=1.0)) as here:
        await here.member(SIDECAR_MAX_IN_FLIGHT=str(IN_FLIGHT), SIDECAR_MAX_WAITING=str(WAITING))
        await here.connect("plain")
        server = urlsplit(here.nats.url)
        transport, agent = await asyncio.get_running_loop().create_connection(
            Agent, server.hostname or "", server.port or 0
        )
        login = {"verbose": False, "headers": True, "user": server.username, "pass": server.password}
        transport.write(b"CONNECT %b\r\nSUB _INBOX.flood.* 1\r\nPING\r\n" % msgspec.json.encode(login))
        await _until(lambda: any(b"PONG" in data for _, data in agent.came))
        transport.write(_requests(range(IN_FLIGHT)))
        await _until(lambda: len(here.up.log().arrived) >= IN_FLIGHT // 2)  # one tenant has half of the room
        numbers = range(IN_FLIGHT, IN_FLIGHT + REQUESTS)
        groups = [_requests(numbers[start : start + group]) for start in range(0, REQUESTS, group)]
        sent: list[float] = []
        began = time.perf_counter()
        for number, requests in enumerate(groups):
            await asyncio.sleep(max(0.0, began + number * group / A_SECOND - time.perf_counter()))
            sent.append(time.perf_counter())
            transport.write(requests)
        await _until(lambda: agent.number >= IN_FLIGHT + REQUESTS)
        transport.close()
    everything = b"".join(data for _, data in agent.came)
    replies = Counter(REPLY.findall(everything))
    waits = [
        at - sent[(number - IN_FLIGHT) // group]
        for at, data in agent.came
        for number, reason in ((int(number), reason) for number, reason in REFUSED.findall(data))
        if number >= IN_FLIGHT and reason in REASONS
    ]
    slowest = f"{max(waits):.3f} s"
    return [
        told(
            f"{len(groups)} groups of {group} calls",
            listed(Counter(word.decode() for word in REASON.findall(everything))),
        ),
        equal("  without a reply", IN_FLIGHT + REQUESTS - len(replies), 0),
        equal("  with more than one", sum(number > 1 for number in replies.values()), 0),
        told("  half of the refusals within", f"{quantile(0.5, waits):.3f} s"),
        at_most("  the slowest within", max(waits), AT_ONCE, " s")
        if group < REQUESTS
        else told("  the slowest within", slowest),
    ]


def _requests(numbers: range) -> bytes:
    payload = b'{"title": "x"}'
    headers = b"NATS/1.0\r\nTimeout-Ms: %d\r\n\r\n" % TIME_MS
    sizes = b"%d %d" % (len(headers), len(headers) + len(payload))
    rest = b" %b\r\n%b%b\r\n" % (sizes, headers, payload)
    return b"".join(b"HPUB %b _INBOX.flood.%d%b" % (SUBJECT.encode(), number, rest) for number in numbers)


async def _until(seen: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not seen():  # noqa: ASYNC110  # nothing says when
            await asyncio.sleep(0.01)
