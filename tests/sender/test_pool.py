"""Who gets a connection: bounds, turns, and what becomes of those who wait or connect when they leave or it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from sidecar.adapters.http1_connect import AddressInfo
from sidecar.adapters.http1_sender import Http1Sender
from sidecar.model import Failure, Reason, SideEffect
from tests.authority import Authority
from tests.sender.servers import (
    LOOPBACK,
    OK,
    Served,
    answered,
    answering,
    failing,
    resolve_to_loopback,
    send,
    serving,
)

pytestmark = pytest.mark.anyio
Answered = asyncio.Task[httpx.Response]


@asynccontextmanager
async def sending(
    lookup: Callable[[str, int], Awaitable[list[str]]] | None = None, **limits: float
) -> AsyncIterator[Http1Sender]:
    sender = Http1Sender(allow=LOOPBACK, lookup=lookup or resolve_to_loopback, **limits)  # type: ignore[arg-type]  # a table of limits
    yield sender
    await sender.aclose()


class Held:
    """A server that answers only when it is let, and remembers who asked in which order and how many lines it had."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.open = self.most = 0
        self.let = asyncio.Semaphore(0)
        self._came = asyncio.Condition()

    async def __call__(self, served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            while True:
                request = await served.request(reader)
                async with self._came:
                    self.paths.append(request.split(b" ")[1].decode())
                    self._came.notify_all()
                await self.let.acquire()
                writer.write(OK)
        finally:
            self.open -= 1

    async def asked(self, count: int) -> None:
        async with self._came:
            with anyio.fail_after(20):
                await self._came.wait_for(lambda: len(self.paths) >= count)


def get(url: str) -> httpx.Request:
    return httpx.Request("GET", url)


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def started(sender: Http1Sender, *urls: str) -> list[Answered]:
    """Exchanges that are under way, begun in this order."""
    tasks = []
    for url in urls:
        tasks.append(asyncio.ensure_future(answered(sender, get(url), within=30)))
        await turns(3)
    return tasks


async def test_who_waits_is_served_in_order() -> None:
    """With one connection, requests leave in the order in which they came."""
    held = Held()
    async with sending(per_host=1) as sender, serving(held) as served:
        tasks = await started(sender, *(f"{served.url}{n}" for n in range(10)))
        for _ in tasks:
            held.let.release()
        await asyncio.gather(*tasks)
    assert held.paths == [f"/{n}" for n in range(10)]
    assert served.connections == 1


@pytest.mark.parametrize("limit", ["per_host", "total"])
async def test_no_more_connections_than_the_limit(limit: str) -> None:
    """However many ask at once, the server never sees more connections than the limit says."""
    held = Held()
    held.let = asyncio.Semaphore(1000)
    async with sending(None, **{limit: 3}) as sender, serving(held) as served:
        await asyncio.gather(*(answered(sender, get(served.url), within=30) for _ in range(60)))
    assert held.most == 3


async def test_an_idle_connection_makes_room_for_another_host() -> None:
    """At the total limit an idle connection to one host is closed for another host, which does not have to wait."""
    async with sending(total=1) as sender, serving(answering(OK)) as one, serving(answering(OK)) as other:
        for served in (one, other, one):
            await answered(sender, get(served.url))
        assert (one.connections, other.connections) == (2, 1)


async def test_hosts_take_turns_at_the_total_limit() -> None:
    """A host with a crowd waiting does not keep the only connection from another host until its crowd is served."""
    busy, other = Held(), Held()
    async with sending(total=1) as sender, serving(busy) as one, serving(other) as two:
        crowd = await started(sender, *[one.url] * 6)
        (lone,) = await started(sender, two.url)
        other.let.release()
        for _ in range(2):
            busy.let.release()
        await asyncio.wait_for(lone, 20)
        assert len(busy.paths) <= 3
        for _ in crowd:
            busy.let.release()
        await asyncio.gather(*crowd)


@pytest.mark.parametrize("when", ["before its turn", "at its turn"])
async def test_who_leaves_passes_the_turn_on(when: str) -> None:
    """Who is cancelled while it waits, even in the turn of the loop in which it is served, keeps nobody behind it."""
    held = Held()
    async with sending(per_host=1) as sender, serving(held) as served:

        async def leading() -> httpx.Response:
            response = await answered(sender, get(f"{served.url}0"), within=30)
            leaves.cancel()  # the connection was given back a moment ago, and its next user does not know yet
            return response

        first = asyncio.ensure_future(leading())
        await held.asked(1)
        leaves, last = await started(sender, f"{served.url}1", f"{served.url}2")
        if when == "before its turn":
            leaves.cancel()
        for _ in range(3):
            held.let.release()
        await asyncio.gather(first, last)
        with pytest.raises(asyncio.CancelledError):
            await leaves
        assert held.paths == ["/0", "/2"]
        assert (await answered(sender, get(served.url))).content == b"ok"


async def test_a_failed_connection_gives_its_turn_to_the_next(authority: Authority) -> None:
    """Where every connection fails, everybody learns it: no place is lost with a failure."""
    async with sending(per_host=2, total=2) as sender:
        failures = await asyncio.gather(*(failing(sender, get("http://127.0.0.1:1/"), within=30) for _ in range(40)))
    assert {failure.reason for failure in failures} == {Reason.CONNECT_FAILED}


async def test_an_idle_connection_is_closed_in_time() -> None:
    """Beyond its seconds an idle connection is not used again, and is closed without another request."""
    gone = asyncio.Event()

    async def script(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        writer.write(OK)
        await reader.read()
        gone.set()

    async with sending(keep_alive=0.01) as sender, serving(script) as served:
        await answered(sender, get(served.url))
        with anyio.fail_after(20):
            await gone.wait()
        assert (await answered(sender, get(served.url))).extensions["reused"] is False
        assert served.connections == 2


async def test_a_connection_that_ends_while_it_is_handed_on_is_replaced() -> None:
    """Given back and gone before its next user wakes: that one gets a new connection, and its request is sent once."""

    async def once(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        writer.write(OK)  # and the connection is cut without a word

    async with sending(per_host=1) as sender, serving(once) as served:
        outcomes = await asyncio.gather(*(send(sender, get(served.url), within=30) for _ in range(10)))
    told = [o for o in outcomes if isinstance(o, Failure)]
    assert {failure.side_effect for failure in told} <= {SideEffect.UNKNOWN}
    assert len(served.requests) <= 10
    assert len(outcomes) - len(told) >= 1


async def forever(host: str, port: int) -> list[str]:
    await anyio.sleep_forever()
    raise AssertionError


async def test_closing_ends_a_look_up() -> None:
    """`aclose` while a name is looked up: nothing was sent, and it is told at once."""
    async with sending(lookup=forever) as sender:
        task = asyncio.ensure_future(failing(sender, get("http://api.test/"), within=60))
        await turns()
        await sender.aclose()
        with anyio.fail_after(20):
            failure = await task
    assert (failure.reason, failure.side_effect) == (Reason.SHUTTING_DOWN, SideEffect.NONE)


async def test_closing_ends_everything_that_is_under_way(authority: Authority) -> None:
    """`aclose` while exchanges run, wait, shake hands and idle: each says what is known, and no connection is left."""
    gone = asyncio.Event()

    async def idle(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        writer.write(OK)
        await reader.read()
        gone.set()

    async def no_tls(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        shaking.set()
        await reader.read()

    shaking, held = asyncio.Event(), Held()
    async with (
        sending(per_host=2) as sender,
        serving(held) as mute,
        serving(idle) as kept,
        serving(no_tls) as secret,
    ):
        await answered(sender, get(kept.url))
        handshakes = [asyncio.ensure_future(failing(sender, get(f"https://127.0.0.1:{secret.port}/"), within=60))]
        runs = [asyncio.ensure_future(failing(sender, get(mute.url), within=60)) for _ in range(2)]
        await asyncio.wait_for(shaking.wait(), 20)
        await held.asked(2)
        waits = [asyncio.ensure_future(failing(sender, get(mute.url), within=60)) for _ in range(3)]
        await turns()
        await sender.aclose()
        with anyio.fail_after(20):
            ends = [[(await task).reason for task in tasks] for tasks in (handshakes, runs, waits)]
            await gone.wait()
    assert ends == [[Reason.SHUTTING_DOWN], [Reason.OUTCOME_UNKNOWN] * 2, [Reason.SHUTTING_DOWN] * 3]


async def test_closing_does_not_make_a_cut_body_whole() -> None:
    """A body that ends with its connection is truncated when it was we who ended it."""
    begun = asyncio.Event()

    async def script(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await writer.drain()
        begun.set()
        await reader.read()

    async with sending() as sender, serving(script) as served:
        task = asyncio.ensure_future(failing(sender, get(served.url), within=60))
        await begun.wait()
        await turns()
        await sender.aclose()
        failure = await task
    assert (failure.reason, failure.side_effect) == (Reason.RESPONSE_TRUNCATED, SideEffect.DONE)


async def test_a_sender_may_be_closed_twice() -> None:
    """The second time there is nothing to do."""
    async with sending() as sender, serving(answering(OK)) as served:
        await answered(sender, get(served.url))
        await sender.aclose()
        await sender.aclose()


async def two_addresses(host: str, port: int) -> list[str]:
    return ["127.0.0.2", "127.0.0.1"]


async def test_the_next_address_is_tried_when_one_refuses() -> None:
    """Of two addresses of a name the one that listens is used."""
    async with sending(lookup=two_addresses) as sender, serving(answering(OK)) as served:
        assert (await answered(sender, get(f"http://api.test:{served.port}/"))).content == b"ok"


async def test_the_next_address_is_tried_when_tls_fails(authority: Authority) -> None:
    """An address that takes the connection and speaks no TLS does not hide the one that does."""

    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"no\r\n\r\n")
        writer.close()

    async with serving(answering(OK), authority.server_context("api.test")) as served:
        wrong = await asyncio.start_server(no_tls, "127.0.0.2", served.port)
        sender = Http1Sender(allow=LOOPBACK, ssl_context=authority.client_context(), lookup=two_addresses)
        response = await answered(sender, get(f"https://api.test:{served.port}/"))
        await sender.aclose()
        wrong.close()
        await wrong.wait_closed()
    assert response.content == b"ok"


async def test_an_address_that_is_silent_in_tls_does_not_take_all_the_time(authority: Authority) -> None:
    """A balancer may take connections for a server that is gone: half the time goes to it, the rest to another."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until we give up
        writer.close()

    async with serving(answering(OK), authority.server_context("api.test")) as served:
        dead = await asyncio.start_server(silent, "127.0.0.2", served.port)
        context = authority.client_context()
        sender = Http1Sender(allow=LOOPBACK, ssl_context=context, lookup=two_addresses, connect_timeout=3)
        response = await answered(sender, get(f"https://api.test:{served.port}/"), within=30)
        await sender.aclose()
        dead.close()
        await dead.wait_closed()
    assert response.content == b"ok"


async def test_an_address_that_does_not_answer_delays_little() -> None:
    """While one address is silent the next is tried beside it, and the silent one is let go (RFC 8305)."""
    full = socket.create_server(("127.0.0.2", 0), backlog=0)
    port = full.getsockname()[1]
    fillers = []
    for _ in range(8):  # a full backlog drops whoever comes: the connection neither comes about nor fails
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.2", port))
        fillers.append(filler)
    asked: list[str] = []

    def open_socket(address: AddressInfo) -> socket.socket:
        asked.append(address[4][0])
        return socket.socket(address[0], address[1], address[2])

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(script, "127.0.0.1", port)
    sender = Http1Sender(allow=LOOPBACK, lookup=two_addresses, open_socket=open_socket)
    response = await answered(sender, get(f"http://api.test:{port}/"), within=20)
    await sender.aclose()
    server.close()
    await server.wait_closed()
    for each in (*fillers, full):
        each.close()
    assert response.content == b"ok"
    assert asked == ["127.0.0.2", "127.0.0.1"]
