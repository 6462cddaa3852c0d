"""The bus: what it carries, what it refuses, and that nothing a peer or the server does ends it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_events import BusEvent
from sidecar.adapters.nats_server import EmbeddedServer, embedded_server
from sidecar.ports import BusError, Message, NoResponders
from tests.fixtures_nats import frozen, until

pytestmark = pytest.mark.anyio

log = logging.getLogger("tests.nats")


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """A server that this test may hurt."""
    async with embedded_server(tmp_path / "data", log) as server:
        yield server


async def inbox_of(bus: NatsBus, subject: str) -> list[Message]:
    """Everything that arrives on the subject from now on."""
    received: list[Message] = []
    await bus.subscribe(subject, received.append)
    await bus.round_trip(2)
    return received


async def test_carries_payload_headers_and_reply(bus: NatsBus, fresh_name: str) -> None:
    """A message arrives as it was published."""
    received = await inbox_of(bus, fresh_name)
    bus.publish(fresh_name, b"\x00\xff", headers={"Call-Id": "1", "X": "ü", "100%s": " %d "}, reply="a.b")
    await bus.round_trip(2)
    assert [(m.subject, m.data, dict(m.headers or {}), m.reply) for m in received] == [
        (fresh_name, b"\x00\xff", {"Call-Id": "1", "X": "ü", "100%s": "%d"}, "a.b")
    ]


async def test_a_message_waits_for_no_turn_of_the_loop(bus: NatsBus, fresh_name: str) -> None:
    """It is handed over while the socket is read: by then nats-py's read loop still waits for bytes."""
    waits: list[bool] = []
    await bus.subscribe(fresh_name, lambda _: waits.append(reader(bus)._waiter is not None))
    bus.publish(fresh_name, b"")
    await bus.round_trip(2)
    assert waits == [True]


async def test_one_of_a_queue_group_gets_a_message(bus: NatsBus, fresh_name: str) -> None:
    """Two members of a queue group share the messages."""
    first: list[Message] = []
    second: list[Message] = []
    await bus.subscribe(fresh_name, first.append, queue="q")
    await bus.subscribe(fresh_name, second.append, queue="q")
    for _ in range(50):
        bus.publish(fresh_name, b"")
    await bus.round_trip(2)
    assert len(first) + len(second) == 50


async def test_what_may_come_later_comes_by_itself(bus: NatsBus, fresh_name: str) -> None:
    """It waits for the next message, and not for long."""
    received = await inbox_of(bus, fresh_name)
    bus.publish(fresh_name, b"1", later=True)
    await until(lambda: bool(received))
    assert [m.data for m in received] == [b"1"]


async def test_what_may_come_later_keeps_its_place(bus: NatsBus, fresh_name: str) -> None:
    """Among its own kind; others do not wait for it."""
    received = await inbox_of(bus, fresh_name)
    bus.publish(fresh_name, b"2", later=True)
    bus.publish(fresh_name, b"1")
    bus.publish(fresh_name, b"3", later=True)
    await bus.handed_over()
    await until(lambda: len(received) == 3)
    assert [m.data for m in received] == [b"1", b"2", b"3"]


async def test_of_what_comes_later_together_the_last_one_asks(bus: NatsBus, fresh_name: str) -> None:
    """One answer for all of them; where the last one does not ask, none does."""
    received = await inbox_of(bus, f"{fresh_name}.*")
    for replies in (("r.1", "r.2"), ("r.3", "")):
        for number, reply in enumerate(replies):
            bus.publish(f"{fresh_name}.{number}", b"%d" % number, reply=reply, later=True)
        with pytest.raises(BusError):
            bus.publish(fresh_name, bytes(bus.max_payload + 1), reply="r.9", later=True)
        bus._client.take_aside()
    await bus.round_trip(2)
    assert [(m.subject[-1], m.data, m.reply) for m in received] == [
        ("0", b"0", ""),
        ("1", b"1", "r.2"),
        ("0", b"0", ""),
        ("1", b"1", ""),
    ]


async def test_what_may_come_later_is_not_lost_at_the_end(own_server: EmbeddedServer, fresh_name: str) -> None:
    """Closing the bus publishes it."""
    closing = await connect(own_server.url)
    listening = await connect(own_server.url)
    received = await inbox_of(listening, fresh_name)
    closing.publish(fresh_name, b"1", later=True)
    await closing.close()
    await until(lambda: bool(received))
    await listening.close()
    assert (len(received), closing.counts.lost) == (1, 0)


async def test_request_gets_the_reply(bus: NatsBus, fresh_name: str) -> None:
    """A request returns what the responder published on its reply subject."""
    await bus.subscribe(fresh_name, lambda message: bus.publish(message.reply, b"pong"))
    assert (await bus.request(fresh_name, b"ping", timeout=2)).data == b"pong"


async def test_nobody_there_is_known_at_once(bus: NatsBus, fresh_name: str) -> None:
    """A subject that nobody serves is NoResponders, not a time-out."""
    with anyio.fail_after(2), pytest.raises(NoResponders, match=fresh_name):
        await bus.request(fresh_name, b"", timeout=60)


async def test_a_request_ends_in_time(bus: NatsBus, fresh_name: str) -> None:
    """A responder that keeps silent is a BusError that names the subject and the limit."""
    await inbox_of(bus, fresh_name)
    with pytest.raises(BusError, match=rf"no reply on {fresh_name} within 0\.05 s"):
        await bus.request(fresh_name, b"", timeout=0.05)


async def test_max_payload_is_the_servers(bus: NatsBus, fresh_name: str) -> None:
    """What is larger than the server takes, its headers counted, is refused before it is sent; the connection stays."""
    received = await inbox_of(bus, fresh_name)
    headers = {"A": "b"}
    block = len(b"NATS/1.0\r\nA: b\r\n\r\n")
    with pytest.raises(BusError, match="maximum payload exceeded"):
        bus.publish(fresh_name, bytes(bus.max_payload + 1))
    with pytest.raises(BusError, match="maximum payload exceeded"):
        bus.publish(fresh_name, bytes(bus.max_payload + 1 - block), headers=headers)
    with pytest.raises(BusError, match="maximum payload exceeded"):
        await bus.request(fresh_name, bytes(bus.max_payload + 1 - block), headers=headers, timeout=5)
    bus.publish(fresh_name, bytes(bus.max_payload - block), headers=headers)
    bus.publish(fresh_name, bytes(bus.max_payload))
    await bus.round_trip(2)
    assert [len(message.data) for message in received] == [bus.max_payload - block, bus.max_payload]
    assert bus.counts.reconnects == 0


@pytest.mark.parametrize("subject", ["", "a b", "a\tb", "a\r\nPING\r\n", "a\nPING", "a\rPING"])
@pytest.mark.parametrize("headers", [None, {"A": "b"}])
async def test_an_illegal_subject_is_refused(bus: NatsBus, subject: str, headers: dict[str, str] | None) -> None:
    """A subject cannot smuggle a command."""
    with pytest.raises(BusError, match="invalid subject"):
        bus.publish(subject, b"", headers=headers)


@pytest.mark.parametrize("reply", ["a 0\r\n\r\nPUB x", " a", "a b", "a\tb"])
@pytest.mark.parametrize("headers", [None, {"A": "b"}])
async def test_an_illegal_reply_subject_is_refused(
    bus: NatsBus, fresh_name: str, reply: str, headers: dict[str, str] | None
) -> None:
    """Nor can the subject for the reply."""
    with pytest.raises(BusError, match="invalid subject"):
        bus.publish(fresh_name, b"", headers=headers, reply=reply)


@pytest.mark.parametrize("value", ["a\r\n\r\nPUB x 0\r\n\r\n", "\ra\nb\r", " a ", ""])
async def test_a_header_stays_in_its_line(bus: NatsBus, fresh_name: str, value: str) -> None:
    """What ends lines becomes a space; the headers beside it arrive as they were given."""
    received = await inbox_of(bus, ">")
    bus.publish(fresh_name, b"x", headers={"One": value, "Two": "2"})
    await bus.round_trip(2)
    [message] = [message for message in received if not message.subject.startswith("_INBOX")]
    expected = value.replace("\r", " ").replace("\n", " ").strip()
    assert (message.subject, dict(message.headers or {})) == (fresh_name, {"One": expected, "Two": "2"})


async def test_headers_are_those_of_their_message(bus: NatsBus, fresh_name: str) -> None:
    """Also where the same dictionary is published again with something else in it."""
    received = await inbox_of(bus, fresh_name)
    headers = {"A": "1"}
    for change in ({}, {"A": "2"}, {"B": "3"}, {}):
        headers |= change
        bus.publish(fresh_name, b"", headers=headers)
    await bus.round_trip(2)
    assert [dict(message.headers or {}) for message in received] == [
        {"A": "1"},
        {"A": "2"},
        {"A": "2", "B": "3"},
        {"A": "2", "B": "3"},
    ]


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "ü"])
async def test_a_header_that_has_no_name_is_refused(bus: NatsBus, fresh_name: str, name: str) -> None:
    """And nothing is published."""
    received = await inbox_of(bus, fresh_name)
    with pytest.raises(BusError, match="header"):
        bus.publish(fresh_name, b"", headers={"One": "1", name: "x"})
    await bus.round_trip(2)
    assert received == []


async def test_one_turn_of_the_loop_is_one_write(bus: NatsBus, fresh_name: str) -> None:
    """Nothing is written until the turn ends, and then all of it, without nats-py's flusher."""
    client = bus._client
    assert client._flush_queue is not None
    for _ in range(100):
        bus.publish(fresh_name, b"x")
    assert client.unwritten > 100 * len(fresh_name)
    await asyncio.sleep(0)
    assert client.unwritten == 0
    assert client._flush_queue.empty()


async def test_the_last_reply_is_written_at_once(bus: NatsBus, fresh_name: str) -> None:
    """Whoever is alone under way waits for nobody; of several the last one takes the others' along. What every sidecar
    hears is not waited for: it may be another's to answer.
    """
    waiting, heard = list[Message](), list[Message]()
    await bus.subscribe(fresh_name, waiting.append, queue="q")
    await bus.subscribe(f"{fresh_name}.all", heard.append)
    for subject in (fresh_name, fresh_name, f"{fresh_name}.all"):
        bus.publish(subject, b"", reply=bus.new_inbox())
    await until(lambda: len(waiting) == 2 and heard)
    bus.publish(waiting[0].reply, b"one")
    assert bus._client.unwritten
    bus.publish(waiting[1].reply, b"two")
    assert bus._client.unwritten == 0


async def test_what_a_broken_socket_does_not_take_is_kept(bus: NatsBus, fresh_name: str) -> None:
    """It goes out on the next connection."""
    received = await inbox_of(bus, fresh_name)
    vars(bus._client._transport)["_io_writer"].transport.abort()
    bus.publish(fresh_name, b"kept")
    await bus.handed_over()
    await until(lambda: [message.data for message in received] == [b"kept"])


async def test_what_may_come_later_and_is_kept_is_not_lost(bus: NatsBus, fresh_name: str) -> None:
    """However many go along to the next connection, none of them is told as lost."""
    await bus.round_trip(2)
    received = await inbox_of(bus, fresh_name)
    lost = bus.counts.lost
    for _ in range(7):
        bus.publish(fresh_name, b"kept", later=True)
    bus._client.take_aside()
    vars(bus._client._transport)["_io_writer"].transport.abort()
    await until(lambda: len(received) == 7)
    assert bus.counts.lost == lost


async def test_a_callback_that_raises_does_not_end_its_subscription(bus: NatsBus, fresh_name: str) -> None:
    """Exceptions and leaked cancellations of a callback are counted, and the next message still comes."""
    seen: list[bytes] = []

    def callback(message: Message) -> None:
        seen.append(message.data)
        if message.data == b"error":
            raise ValueError("mine")
        if message.data == b"cancel":
            raise asyncio.CancelledError

    await bus.subscribe(fresh_name, callback)
    for data in (b"error", b"cancel", b"fine"):
        bus.publish(fresh_name, data)
    await bus.round_trip(2)
    assert seen == [b"error", b"cancel", b"fine"]
    assert bus.counts.callback_errors == 2


async def test_who_gave_up_draining_hears_nothing_more(own_server: EmbeddedServer, fresh_name: str) -> None:
    """A server that stood still sends what it had when it goes on: not to somebody who is gone."""
    bus = await connect(own_server.url)
    received = await inbox_of(bus, fresh_name)
    late: list[Message] = []
    subscription = await bus.subscribe(fresh_name, late.append)
    assert own_server.process is not None
    async with frozen(own_server.process.pid):
        bus.publish(fresh_name, b"late")
        await asyncio.sleep(0)
        with anyio.move_on_after(0.2):
            await subscription.drain()
    await until(lambda: bool(received))
    await bus.round_trip(2)
    assert late == []
    await bus.close()


async def test_drain_hands_over_what_was_received(bus: NatsBus, fresh_name: str) -> None:
    """Everything published before the drain is handed over, nothing after."""
    received: list[Message] = []
    subscription = await bus.subscribe(fresh_name, received.append)
    for _ in range(1000):
        bus.publish(fresh_name, b"")
    await subscription.drain()
    assert len(received) == 1000
    bus.publish(fresh_name, b"")
    await bus.round_trip(2)
    assert len(received) == 1000


async def test_handed_over_means_the_kernel_has_it(own_server: EmbeddedServer, fresh_name: str) -> None:
    """After `handed_over` the messages survive our end: a server that was stopped meanwhile still gets them."""
    assert own_server.process is not None
    bus, other = await connect(own_server.url), await connect(own_server.url)
    received = await inbox_of(other, fresh_name)
    async with frozen(own_server.process.pid):
        for _ in range(100):
            bus.publish(fresh_name, b"x" * 100)
        await bus.handed_over()
        assert bus._client.unwritten == 0
        vars(bus._client._transport)["_io_writer"].transport.abort()  # as if we had been killed
    await until(lambda: len(received) == 100)
    await bus.close()
    await other.close()


async def test_handed_over_gives_up_when_the_server_takes_nothing(own_server: EmbeddedServer, fresh_name: str) -> None:
    """A socket that is full ends in a BusError in time, not in a hang; so does the buffer when it is full too."""
    assert own_server.process is not None
    bus = await connect(own_server.url)
    async with frozen(own_server.process.pid):
        for _ in range(24):
            bus.publish(fresh_name, bytes(1024 * 1024))
        with anyio.fail_after(3), pytest.raises(BusError, match="took nothing"):
            await bus.handed_over()
        with anyio.fail_after(3), pytest.raises(BusError, match="the buffer is full"):
            await publish_for_ever(bus, fresh_name)
    await bus.close()


async def test_publishes_without_a_connection(own_server: EmbeddedServer, fresh_name: str) -> None:
    """What is published while the server is away arrives when it is back; `handed_over` does not wait for that."""
    events: list[BusEvent] = []
    bus = await connect(own_server.url, on_event=events.append)
    received = await inbox_of(bus, fresh_name)
    await crash(own_server, bus)
    bus.publish(fresh_name, b"kept")
    await bus.handed_over()
    await until(lambda: [m.data for m in received] == [b"kept"] and len(events) > 1)
    assert events == [BusEvent.DISCONNECTED, BusEvent.RECONNECTED]
    assert bus.counts.reconnects == 1
    await bus.close()


async def test_a_request_ends_with_its_connection(own_server: EmbeddedServer, fresh_name: str) -> None:
    """A request whose reply cannot come any more fails at once, not at its time limit."""
    bus = await connect(own_server.url)
    received = await inbox_of(bus, fresh_name)

    async def kill() -> None:
        await until(lambda: received)
        await crash(own_server, bus)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kill)
        with anyio.fail_after(5), pytest.raises(BusError, match="the connection broke before the reply came"):
            await bus.request(fresh_name, b"", timeout=60)
    await bus.close()


async def test_a_request_waits_for_the_connection(own_server: EmbeddedServer) -> None:
    """A request made while the server restarts is answered after it."""
    bus = await connect(own_server.url)
    await crash(own_server, bus)
    assert b'"error"' not in (await bus.request("$JS.API.INFO", b"", timeout=10)).data
    await bus.close()


async def test_a_request_made_while_the_connection_breaks(own_server: EmbeddedServer) -> None:
    """Before the client has said that it is gone: it waits for the next one, too."""
    bus = await connect(own_server.url)
    await bus._client._process_op_err(ConnectionResetError())
    assert b'"error"' not in (await bus.request("$JS.API.INFO", b"", timeout=10)).data
    await bus.close()


async def test_heals_after_the_connection_breaks_under_load(own_server: EmbeddedServer, fresh_name: str) -> None:
    """A publisher that never stops sees no exception but BusError, and goes on after the restart."""
    bus = await connect(own_server.url)
    received = await inbox_of(bus, fresh_name)
    assert own_server.process is not None
    os.kill(own_server.process.pid, signal.SIGKILL)
    with anyio.fail_after(20):
        while not bus.counts.reconnects:
            bus.publish(fresh_name, b"x" * 1000)
            await anyio.sleep(0.001)
    before = len(received)
    bus.publish(fresh_name, b"last")
    await bus.round_trip(5)
    assert len(received) > before
    await bus.close()


# Each of these is one message that any agent with a publish right can send.
HOSTILE = [
    pytest.param(b"PUB %b.\xff 1\r\na\r\n", 1, id="subject-not-utf8"),
    pytest.param(b"PUB %b.a r\xff 1\r\na\r\n", 1, id="reply-not-utf8"),
    pytest.param(b"PUB %b.a\x0bb 1\r\na\r\n", 0, id="vertical-tab"),
    pytest.param(b"PUB %b.a\x0c1 1\r\na\r\n", 0, id="form-feed-and-number"),
    pytest.param(b"HPUB %b.a 1 2\r\nab\r\n", 0, id="one-byte-header"),
    pytest.param(b"HPUB %b.a 16 16\r\nNATS/1.0 \xff\xff\xff\r\n\r\n\r\n", 0, id="status-not-utf8"),
    pytest.param(b"HPUB %b.a 17 17\r\nNATS/1.0\r\n:a\n\r\n\r\n\r\n", 0, id="header-without-name"),
]


@pytest.mark.parametrize(("command", "malformed"), HOSTILE)
async def test_no_message_of_a_peer_ends_the_connection(
    nats_url: str, bus: NatsBus, fresh_name: str, command: bytes, malformed: int
) -> None:
    """One without a subject or a reply that can be read is dropped and counted; the subscription and the connection go
    on as if it never came.
    """
    received = await inbox_of(bus, f"{fresh_name}.>")
    await send_raw(nats_url, command % fresh_name.encode())
    bus.publish(f"{fresh_name}.fine", b"")
    await bus.round_trip(2)
    assert received[-1].subject == f"{fresh_name}.fine"
    assert bus.counts.malformed == malformed
    assert bus.counts.reconnects == 0


async def test_a_late_pong_does_not_end_the_connection(bus: NatsBus) -> None:
    """A flush that timed out leaves a future that its PONG finds cancelled; the read loop goes on."""
    waited_for = asyncio.get_running_loop().create_future()
    waited_for.cancel()
    await bus._client._send_ping(waited_for)
    for _ in range(3):
        await bus.round_trip(2)
    assert bus.counts.reconnects == 0


async def test_a_read_loop_that_died_is_replaced(bus: NatsBus, fresh_name: str) -> None:
    """An exception that nobody foresaw costs one reconnect."""
    received = await inbox_of(bus, fresh_name)
    parser = bus._client._ps

    async def parse(_data: bytes) -> None:
        del vars(parser)["parse"]
        raise LookupError("nobody foresaw this")

    vars(parser)["parse"] = parse
    await bus._client._send_ping()
    await until(lambda: bus.counts.reconnects, seconds=3)  # long before the pings that nobody reads would tell
    bus.publish(fresh_name, b"after")
    await bus.round_trip(2)
    assert received[-1].data == b"after"


def reader(bus: NatsBus) -> Any:
    return getattr(bus._client._transport, "_io_reader")  # noqa: B009 - nats-py tells of none


async def publish_for_ever(bus: NatsBus, subject: str) -> None:
    while True:
        bus.publish(subject, bytes(1024 * 1024))


async def crash(server: EmbeddedServer, bus: NatsBus) -> None:
    """Kill the server; return when the bus knows."""
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGKILL)
    await until(lambda: not bus.connected)


async def send_raw(url: str, command: bytes) -> None:
    """Send bytes to the server as a client that respects no library; return when it read them."""
    login, _, address = url.removeprefix("nats://").rpartition("@")
    host, _, port = address.rpartition(":")
    user, _, password = login.partition(":")
    stream = await anyio.connect_tcp(host, int(port))
    options = f'{{"user":"{user}","pass":"{password}","verbose":false,"headers":true}}'
    async with stream:
        await stream.send(f"CONNECT {options}\r\n".encode() + command + b"PING\r\n")
        said = b""
        with anyio.fail_after(5):
            while b"PONG\r\n" not in said:
                said += await stream.receive()
        assert b"-ERR" not in said
