"""Ten thousand requests at once at a sidecar that is stuck: what it cannot take is refused at once, none is dropped."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
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
    """All in one write, while as many calls hang as the sidecar takes."""
    stuck = Behaviour(silent=1.0)
    async with place(scene.folder, stuck) as here:
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
        await asyncio.sleep(1.0)  # these are at the provider
        began = time.perf_counter()
        transport.write(_requests(range(IN_FLIGHT, IN_FLIGHT + REQUESTS)))
        refused = REQUESTS - WAITING
        await _until(lambda: agent.number >= refused)
        flooded = [(at - began, data) for at, data in agent.came if at >= began]
        await _until(lambda: agent.number >= IN_FLIGHT + REQUESTS)
        transport.close()
    seconds = [at for at, data in flooded for _ in REPLY.findall(data)][:refused]
    everything = b"".join(data for _, data in agent.came)
    replies = Counter(REPLY.findall(everything))
    return [
        told("what became of them", listed(Counter(reason.decode() for reason in REASON.findall(everything)))),
        equal("without a reply", IN_FLIGHT + REQUESTS - len(replies), 0),
        equal("with more than one", sum(number > 1 for number in replies.values()), 0),
        told("refusals within, p50", f"{quantile(0.5, seconds):.3f} s"),
        at_most("refusals within, the slowest", max(seconds), AT_ONCE, " s"),
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
