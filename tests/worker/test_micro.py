"""The NATS service protocol: `nats micro ls`, `info` and `stats` understand us.

https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-32.md
"""

from __future__ import annotations

import re

import httpx
import pytest

from sidecar.gate import Admission
from sidecar.model import VERSION
from sidecar.scope import Scope
from sidecar.wire.subject import encode_token
from tests.worker.house import House, Letter, StuckSender

pytestmark = pytest.mark.anyio

READ = "sidecar.read.default.default.acme.items.get"
ABOUT = {"name": "connector-sidecar", "id": "id1", "version": VERSION, "metadata": {"catalog_hash": "digest"}}


@pytest.mark.parametrize("rest", ["", ".connector-sidecar", ".connector-sidecar.id1"])
@pytest.mark.parametrize("verb", ["PING", "INFO", "STATS"])
async def test_asked_by_all_three_subjects(verb: str, rest: str) -> None:
    """Everybody, everybody of our name, this process: one answer with the protocol's type."""
    house = House()
    await house.start()
    body = (await house.ask(f"$SRV.{verb}{rest}")).body
    assert body["type"] == f"io.nats.micro.v1.{verb.lower()}_response"
    assert {name: body[name] for name in ABOUT} == ABOUT


@pytest.mark.parametrize("subject", ["$SRV.PING.another", "$SRV.PING.connector-sidecar.id2", "$SRV.EXPLODE"])
async def test_others_are_not_answered_for(subject: str) -> None:
    """Another service's or process's ping is not ours."""
    house = House()
    await house.start()
    assert house.bus.hand_in(Letter(subject)) == 0


async def test_ping_says_no_more_than_who() -> None:
    """The protocol's minimum."""
    house = House()
    await house.start()
    assert set((await house.ask("$SRV.PING")).body) == {"type", *ABOUT}


async def test_info_lists_what_is_subscribed() -> None:
    """Each endpoint with its subject and queue group, under a name that the protocol allows."""
    house = House()
    await house.start()
    body = (await house.ask("$SRV.INFO")).body
    assert body["description"]
    served = {(line.subject, line.queue) for line in house.bus.lines if not line.subject.startswith("$SRV")}
    assert {(endpoint["subject"], endpoint["queue_group"]) for endpoint in body["endpoints"]} == served
    for endpoint in body["endpoints"]:
        assert set(endpoint) == {"name", "subject", "queue_group", "metadata"}
        assert re.fullmatch(r"[A-Za-z0-9_-]+", endpoint["name"])
    names = [endpoint["name"] for endpoint in body["endpoints"]]
    assert len(names) == len(set(names))


async def test_stats_count() -> None:
    """Requests, errors, the last error and the time spent, for the endpoint that was asked and no other."""
    house = House()
    await house.start()
    await house.ask("sidecar.catalog.default.providers")
    await house.ask(READ, b"{}")
    await house.ask(READ, b"[]")
    body = (await house.ask("$SRV.STATS")).body
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", body["started"])
    counted = {endpoint["name"]: endpoint for endpoint in body["endpoints"]}
    for endpoint in counted.values():
        whole = {"num_requests", "num_errors", "processing_time", "average_processing_time"}
        assert set(endpoint) == whole | {"name", "subject", "queue_group", "last_error"}
        assert all(isinstance(endpoint[name], int) for name in whole)
    seen = {name: (item["num_requests"], item["num_errors"], item["last_error"]) for name, item in counted.items()}
    assert seen["read_acme"] == (2, 2, "MALFORMED")
    assert seen["catalog"] == (1, 0, "")
    assert seen["write_acme"] == (0, 0, "")


async def test_stats_count_what_is_refused_at_the_door() -> None:
    """A sidecar that is full, or ends, does not look like one that nobody asks."""
    sender = StuckSender([httpx.Response(200, json={"id": 1})])
    house = House(sender, admission=Admission(max_in_flight=1, max_waiting=0))
    await house.start()
    for number in range(5):
        house.bus.hand_in(Letter(READ, b'{"id": "7"}', reply=f"_INBOX.{number}"))
    await house.settled()
    [asked] = [item for item in house.service.endpoints if item.num_requests]
    assert (asked.name, asked.num_requests, asked.num_errors) == ("read_acme", 4, 4)
    assert (asked.last_error, asked.processing_time) == ("QUEUE_FULL", 0)
    sender.gate.set()
    await house.settled()
    assert (asked.num_requests, asked.num_errors) == (5, 4)
    house.worker.hurry()
    await house.worker.stop(0)
    for line in house.bus.lines:
        if line.subject.startswith("sidecar.read."):
            line.callback(Letter(READ, b'{"id": "7"}'))
    assert (asked.num_requests, asked.num_errors, asked.last_error) == (6, 5, "SHUTTING_DOWN")


@pytest.mark.parametrize("most", [1_048_576, 65_536, 4_096])
@pytest.mark.parametrize("verb", ["PING", "INFO", "STATS"])
async def test_an_answer_always_fits(verb: str, most: int) -> None:
    """However many connections a sidecar is for, it answers: with the endpoints that are asked most, and says what is
    left out.
    """
    connections = tuple(f"user{number}@example.com" for number in range(400))
    house = House(scope=Scope("acme", connections))
    house.bus.max_payload = most
    house.service.metadata = {"catalog_hash": "digest", "connections": ",".join(map(encode_token, connections))}
    await house.start()
    house.service.endpoints[1_000].count(0.1, None)
    reply = await house.ask(f"$SRV.{verb}")
    assert len(reply.payload) <= most
    told = reply.body["metadata"]
    assert told["catalog_hash"] == "digest"
    endpoints = reply.body.get("endpoints", [])
    missing = [] if "connections" in told else ["connections"]
    if verb != "PING" and len(endpoints) < len(house.service.endpoints):
        missing.append(f"{len(house.service.endpoints) - len(endpoints)} endpoints")
        assert endpoints[0]["name"] == house.service.endpoints[1_000].name
    assert told.get("left_out", "") == ", ".join(missing)
    assert ("connections" in told) == (most > 4_096)
