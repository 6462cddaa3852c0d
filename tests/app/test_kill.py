"""A sidecar killed in the middle of writes: what was sent can be told, and what was stored is there."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from sidecar.adapters.nats_server import embedded_server
from sidecar.app import connected
from sidecar.settings import Settings
from sidecar.wire.event import Event, Started
from sidecar.wire.request import call_id_at
from tests.late_trace import all_told
from tests.processes import prepare, running_sidecar

pytestmark = pytest.mark.anyio

WRITES = 200
KILL_AT = 70  # requests that the provider has seen, and
ANSWERED = 20  # replies that the agent has, when the sidecar is killed
SUBJECT = "sidecar.write.default.shop.bench.items.create"


class Upstream:
    """An API that notes the title of every item it is asked to create, and answers the first half of them only."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.reached = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
                self.seen.append(json.loads(await reader.readexactly(length))["title"])
                if len(self.seen) >= KILL_AT:
                    self.reached.set()
                if len(self.seen) <= KILL_AT // 2:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def test_every_request_the_provider_saw_is_told(tmp_path: Path) -> None:
    """After kill -9 every request that the provider saw has a reply or a `started` in the trace; no call has two
    replies; the next sidecar finds the connection.
    """
    upstream = Upstream()
    server = await asyncio.start_server(upstream.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, embedded_server(tmp_path / "nats", logging.getLogger("tests")) as nats_server:
        environment = dict(os.environ) | {
            "SIDECAR_NATS_URL": nats_server.url,
            "SIDECAR_KEK_FILE": str(tmp_path / "kek"),
            "SIDECAR_CONNECTORS": str(Path(__file__).parent.parent / "bench" / "connectors"),
            "SIDECAR_EGRESS_ALLOW": f"127.0.0.1:{port}",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        await prepare(nats_server.url, tmp_path / "kek")
        agent = await nats.connect(nats_server.url)
        replies: Counter[str] = Counter()
        answered = asyncio.Event()

        async def count(message: Msg) -> None:
            replies[message.subject.rpartition(".")[2]] += 1
            if len(replies) >= ANSWERED:
                answered.set()

        await agent.subscribe("_INBOX.agent.*", cb=count)
        ids = [call_id_at(1_790_000_000 + number, os.urandom(10)) for number in range(WRITES)]
        async with running_sidecar(environment, nats_server.url) as first:
            await _import(agent, port)
            for call_id in ids:
                payload = json.dumps({"title": call_id}).encode()
                await agent.publish(SUBJECT, payload, reply=f"_INBOX.agent.{call_id}", headers={"Call-Id": call_id})
            await asyncio.wait_for(asyncio.gather(upstream.reached.wait(), answered.wait()), 20)
            os.kill(first.pid, signal.SIGKILL)
            await first.child.wait()
        await agent.flush()
        async with connected(Settings(), nats_server.url) as bus:
            events = await all_told(bus, lambda events: not untold(upstream, replies, events))
        assert len(upstream.seen) >= KILL_AT
        assert untold(upstream, replies, events) == []
        assert set(replies.values()) == {1}
        async with running_sidecar(environment, nats_server.url):
            listed = await agent.request("sidecar.admin.default.-.-.list", b"", timeout=10)
            assert [item["connection"] for item in json.loads(listed.data)] == ["shop"]
            upstream.seen.clear()
            answer = await agent.request(SUBJECT, b'{"title": "after"}', timeout=10)
            assert (answer.headers or {})["Provider-Status"] == "200"
        await agent.close()


def untold(upstream: Upstream, replies: Counter[str], events: Iterable[Event]) -> list[str]:
    """The requests that the provider saw of which there is neither a reply nor a `started`."""
    started = {event.call_id for event in events if isinstance(event, Started)}
    return [title for title in upstream.seen if title not in started and not replies[title]]


async def _import(agent: Client, port: int) -> None:
    body = {"fields": {"token": "t"}, "base_url": f"http://127.0.0.1:{port}", "verify": False}
    answer = await agent.request("sidecar.admin.default.shop.bench.import", msgspec.json.encode(body), timeout=10)
    assert "Nats-Service-Error" not in (answer.headers or {}), answer.data
