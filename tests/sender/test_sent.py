"""What a failure says about sent bytes: the part of the sender that makes a retry safe."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic

import httpx
import pytest

from sidecar.adapters import http1_exchange
from sidecar.adapters.http1_sender import Http1Sender
from sidecar.model import Reason, SideEffect
from tests.authority import Authority
from tests.sender.servers import (
    LOOPBACK,
    OK,
    Served,
    answered,
    answering,
    failing,
    resolve_to_loopback,
    serving,
)

pytestmark = pytest.mark.anyio


def post(url: str) -> httpx.Request:
    return httpx.Request("POST", url, content=b'{"n":1}')


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


async def reads_then_closes(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await served.request(reader)


async def silent(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await served.request(reader)
    await reader.read()


async def test_an_answer_comes_whole(sender: Http1Sender) -> None:
    """A plain answer comes back with status, headers, body, and what is known of the connection."""
    async with serving(answering(OK)) as served:
        first = await answered(sender, post(served.url))
        second = await answered(sender, post(served.url))
    assert (first.status_code, first.content, first.headers["content-length"]) == (200, b"ok", "2")
    assert (first.extensions["reused"], second.extensions["reused"]) == (False, True)
    assert 0 < second.extensions["first_byte"] < 5
    assert served.connections == 1


async def test_connect_refused_sent_nothing(sender: Http1Sender) -> None:
    """Where nobody listens, the failure is CONNECT_FAILED and the side effect none."""
    port = free_port()
    failure = await failing(sender, post(f"http://127.0.0.1:{port}/?key=secret"))
    assert (failure.reason, failure.side_effect) == (Reason.CONNECT_FAILED, SideEffect.NONE)
    assert f"127.0.0.1:{port}" in failure.detail
    assert "secret" not in failure.detail


async def test_a_name_that_does_not_resolve_sent_nothing() -> None:
    """A look-up that fails is CONNECT_FAILED with side effect none, and names the host."""

    async def lookup(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    sender = Http1Sender(lookup=lookup)
    failure = await failing(sender, post("https://api.nowhere.test/"))
    await sender.aclose()
    assert (failure.reason, failure.side_effect) == (Reason.CONNECT_FAILED, SideEffect.NONE)
    assert failure.detail == "could not resolve api.nowhere.test:443: Name or service not known"


async def test_an_answerless_handshake_ends_at_the_connect_limit(authority: Authority) -> None:
    """A host that accepts and says nothing is CONNECT_FAILED after the connect time-out, before the deadline."""
    async with serving(silent) as served:
        sender = Http1Sender(
            allow=LOOPBACK, ssl_context=authority.client_context(), lookup=resolve_to_loopback, connect_timeout=0.1
        )
        failure = await failing(sender, post(f"https://api.test:{served.port}/"))
        await sender.aclose()
    assert (failure.reason, failure.side_effect) == (Reason.CONNECT_FAILED, SideEffect.NONE)
    assert "within 0.1 s" in failure.detail


async def test_a_handshake_that_is_hung_up_on_says_so(sender: Http1Sender) -> None:
    """A server that closes while TLS is set up tells no reason: the failure names what happened all the same."""

    async def closing(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.close()

    async with serving(closing) as served:
        failure = await failing(sender, post(f"https://api.test:{served.port}/"))
    assert (failure.reason, failure.side_effect) == (Reason.CONNECT_FAILED, SideEffect.NONE)
    assert failure.detail == f"could not connect to api.test:{served.port}: ConnectionResetError"


async def test_a_server_that_wants_a_certificate_of_ours_is_told_of(sender: Http1Sender, authority: Authority) -> None:
    """TLS 1.3 refuses a client after its first bytes: unknown, and the detail names the alert, so an operator knows."""
    context = authority.server_context("api.test")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.pem.decode())
    listening = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:  # in a thread: asyncio's server cuts the connection before its alert has left
        with (
            listening,
            listening.accept()[0] as taken,
            context.wrap_socket(taken, server_side=True, do_handshake_on_connect=False) as peer,
        ):
            with suppress(ssl.SSLError):
                peer.do_handshake()
            with suppress(ConnectionError):
                while socket.socket.recv(peer, 65_536):  # what TLS cannot read any more, up to the client's end
                    pass

    refusing = asyncio.create_task(asyncio.to_thread(refuse))
    failure = await failing(sender, post(f"https://api.test:{listening.getsockname()[1]}/"))
    await refusing
    assert (failure.reason, failure.side_effect) == (Reason.OUTCOME_UNKNOWN, SideEffect.UNKNOWN)
    assert "CERTIFICATE_REQUIRED" in failure.detail


async def test_the_deadline_during_the_handshake_sent_nothing(sender: Http1Sender) -> None:
    """A deadline that passes while connecting is BEFORE_SEND with side effect none."""
    async with serving(silent) as served:
        failure = await failing(sender, post(f"https://api.test:{served.port}/"), within=0.05)
    assert (failure.reason, failure.side_effect) == (Reason.BEFORE_SEND, SideEffect.NONE)


async def test_a_deadline_that_has_passed_makes_no_connection(sender: Http1Sender) -> None:
    """With no time left nothing is even opened."""
    async with serving(answering(OK)) as served:
        failure = await failing(sender, post(served.url), within=0.0)
    assert (failure.reason, failure.side_effect) == (Reason.BEFORE_SEND, SideEffect.NONE)
    assert served.connections == 0


@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
async def test_nothing_is_sent_after_the_deadline(
    sender: Http1Sender, monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    """A loop that stood still while the deadline passed writes no request any more; the connection serves the next."""
    async with serving(answering(OK)) as served:
        if kept:
            await answered(sender, post(served.url))
        with monkeypatch.context() as later:
            later.setattr(http1_exchange, "monotonic", lambda: monotonic() + 60)  # the loop's own clock has not moved
            failure = await failing(sender, post(served.url), within=30)
        assert (failure.reason, failure.side_effect) == (Reason.BEFORE_SEND, SideEffect.NONE)
        assert len(served.requests) == kept
        await answered(sender, post(served.url))
        assert served.connections == 1


async def test_waiting_for_a_connection_sent_nothing(authority: Authority) -> None:
    """When all connections to a host are lent, who waits past its deadline has sent nothing."""
    sender = Http1Sender(allow=LOOPBACK, ssl_context=authority.client_context(), lookup=resolve_to_loopback, per_host=1)
    async with serving(silent) as served, asyncio.TaskGroup() as group:
        busy = group.create_task(failing(sender, post(served.url), within=0.3))
        await served.asked.wait()
        waited = await failing(sender, post(served.url), within=0.05)
        held = await busy
    await sender.aclose()
    assert (waited.reason, waited.side_effect) == (Reason.BEFORE_SEND, SideEffect.NONE)
    assert (held.reason, held.side_effect) == (Reason.OUTCOME_UNKNOWN, SideEffect.UNKNOWN)
    assert len(served.requests) == 1


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "DELETE"])
async def test_a_server_that_reads_and_closes_saw_one_request(sender: Http1Sender, method: str) -> None:
    """A request that was read and not answered is UNKNOWN, and nothing below us sends it again, whatever the method."""
    async with serving(reads_then_closes) as served:
        failure = await failing(sender, httpx.Request(method, served.url))
    assert (failure.reason, failure.side_effect) == (Reason.OUTCOME_UNKNOWN, SideEffect.UNKNOWN)
    assert len(served.requests) == 1


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "DELETE"])
async def test_a_kept_connection_that_dies_saw_one_request(sender: Http1Sender, method: str) -> None:
    """A kept-alive connection that ends after it read the second request: UNKNOWN, and that request was sent once."""

    async def once(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        writer.write(OK)
        await served.request(reader)

    async with serving(once) as served:
        assert (await answered(sender, httpx.Request(method, served.url))).status_code == 200
        failure = await failing(sender, httpx.Request(method, served.url))
    assert (failure.reason, failure.side_effect) == (Reason.OUTCOME_UNKNOWN, SideEffect.UNKNOWN)
    assert (len(served.requests), served.connections) == (2, 1)


async def test_a_connection_closed_while_idle_is_replaced(sender: Http1Sender) -> None:
    """A kept connection that its server has closed is not used: the next request goes over a new one, once."""
    async with serving(answering(OK)) as served:
        await answered(sender, post(served.url))
        served.writers[0].close()
        await served.writers[0].wait_closed()
        await asyncio.sleep(0)
        again = await answered(sender, post(served.url))
    assert again.extensions["reused"] is False
    assert (len(served.requests), served.connections) == (2, 2)


async def test_a_server_that_says_when_it_closes_is_believed(sender: Http1Sender) -> None:
    """After `Keep-Alive: timeout=1` a connection is not used again: the server may close it under the request."""
    hinted = OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=1\r\n\r\n")
    async with serving(answering(hinted)) as served:
        await answered(sender, post(served.url))
        second = await answered(sender, post(served.url))
    assert (second.extensions["reused"], served.connections) == (False, 2)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_an_unread_request_is_not_followed_by_another(
    sender: Http1Sender, authority: Authority, *, tls: bool
) -> None:
    """A server that answers before it took the whole body gets no second request on that connection."""

    async def hasty(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of a stream can read
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await done.wait()

    done = asyncio.Event()
    async with serving(hasty, authority.server_context("api.test") if tls else None) as served:
        url = f"https://api.test:{served.port}/" if tls else served.url
        request = httpx.Request("POST", url, content=b"x" * 16_000_000)
        first = await answered(sender, request)
        second = await answered(sender, request)
        done.set()
    assert (first.status_code, second.status_code, second.extensions["reused"]) == (413, 413, False)


async def test_a_request_half_written_at_its_deadline_is_cut(sender: Http1Sender) -> None:
    """What was not yet handed to the network at the deadline is discarded: a call does not go on after its failure."""
    failed, read = asyncio.Event(), asyncio.Event()
    taken = 0

    async def slow(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport also reads
        await failed.wait()
        writer.transport.resume_reading()  # type: ignore[attr-defined]  # as above
        try:
            while piece := await reader.read(1_000_000):
                taken += len(piece)
        finally:
            read.set()

    async with serving(slow) as served:
        request = httpx.Request("POST", served.url, content=b"x" * 32_000_000)
        failure = await failing(sender, request, within=0.2)
        failed.set()
        await asyncio.wait_for(read.wait(), 5)
    assert (failure.reason, failure.side_effect) == (Reason.OUTCOME_UNKNOWN, SideEffect.UNKNOWN)
    assert taken < 32_000_000


async def test_no_answer_by_the_deadline_is_unknown(sender: Http1Sender) -> None:
    """A request that was sent and has no answer at its deadline is UNKNOWN; the connection is cut."""
    async with serving(silent) as served:
        failure = await failing(sender, post(served.url), within=0.1)
    assert (failure.reason, failure.side_effect) == (Reason.OUTCOME_UNKNOWN, SideEffect.UNKNOWN)
    assert len(served.requests) == 1


BODY = b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\nabc"


async def test_a_truncated_body_is_done(sender: Http1Sender) -> None:
    """A status without its whole body: RESPONSE_TRUNCATED, side effect done, and the status is told."""
    async with serving(answering(BODY, close=True)) as served:
        failure = await failing(sender, post(served.url))
    assert (failure.reason, failure.side_effect) == (Reason.RESPONSE_TRUNCATED, SideEffect.DONE)
    assert failure.provider_status == 201


REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 1000\r\n\r\nabc"
TOO_LONG = REFUSAL.replace(b"1000", b"2000000") + b"x" * 1_999_997
NO_GZIP = b"HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"


@pytest.mark.parametrize("answer", [REFUSAL, TOO_LONG, NO_GZIP], ids=["cut off", "too large", "no gzip"])
async def test_a_refusal_is_one_without_its_body_too(sender: Http1Sender, answer: bytes) -> None:
    """Its status and headers say what came of the request; what befell the body is told beside them."""
    async with serving(answering(answer, close=True)) as served:
        refused = await answered(sender, post(served.url))
    assert (refused.status_code, refused.headers["retry-after"], refused.content) == (429, "7", b"")
    assert refused.extensions["lost"].side_effect is SideEffect.UNKNOWN


async def test_a_slow_refusal_is_one_at_the_deadline(sender: Http1Sender) -> None:
    """Its body is not waited for any longer, and the next call has a connection of its own."""

    async def slow(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        writer.write(REFUSAL)
        await reader.read()

    async with serving(slow) as served:
        refused = await answered(sender, post(served.url), within=0.1)
        again = await answered(sender, post(served.url), within=0.1)
    assert (refused.status_code, again.status_code, again.extensions["reused"]) == (429, 429, False)


async def test_httpx_is_told_of_a_body_that_did_not_come(sender: Http1Sender) -> None:
    """As its own transport tells: it raises, whatever the status."""
    async with serving(answering(REFUSAL, close=True)) as served, httpx.AsyncClient(transport=sender) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(served.url)


async def test_a_slow_drip_ends_at_the_deadline(sender: Http1Sender) -> None:
    """A body that comes byte by byte is cut at the deadline, its connection closed, and the next call is served."""
    closed = asyncio.Event()

    async def drip(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        if len(served.requests) > 1:
            writer.write(OK)
            await served.request(reader)
        writer.write(BODY)
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    async with serving(drip) as served:
        loop = asyncio.get_running_loop()
        start = loop.time()
        failure = await failing(sender, post(served.url), within=0.2)
        took = loop.time() - start
        await asyncio.wait_for(closed.wait(), 2)
        after = await answered(sender, post(served.url))
    assert (failure.reason, failure.side_effect) == (Reason.RESPONSE_TRUNCATED, SideEffect.DONE)
    assert 0.2 <= took < 2
    assert after.extensions["reused"] is False


@pytest.mark.parametrize(
    ("hosts", "expired", "said"),
    [
        (("api.test",), True, "expired"),
        (("other.test",), False, "Hostname mismatch"),
        (("127.0.0.1",), False, "Hostname mismatch"),
    ],
)
async def test_a_wrong_certificate_is_told_and_nothing_is_sent(
    sender: Http1Sender, authority: Authority, *, hosts: tuple[str, ...], expired: bool, said: str
) -> None:
    """An expired certificate, or one for another name, is TLS_VERIFY_FAILED; not one byte of the request leaves."""
    async with serving(answering(OK), authority.server_context(*hosts, expired=expired)) as served:
        failure = await failing(sender, post(f"https://api.test:{served.port}/"))
    assert (failure.reason, failure.side_effect) == (Reason.TLS_VERIFY_FAILED, SideEffect.NONE)
    assert said in failure.detail
    assert served.requests == []


async def test_an_unknown_authority_is_told_and_nothing_is_sent(
    sender: Http1Sender, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A certificate of an authority that we do not know is TLS_VERIFY_FAILED."""
    stranger = Authority(tmp_path_factory.mktemp("stranger"))
    async with serving(answering(OK), stranger.server_context("api.test")) as served:
        failure = await failing(sender, post(f"https://api.test:{served.port}/"))
    assert (failure.reason, failure.side_effect) == (Reason.TLS_VERIFY_FAILED, SideEffect.NONE)
    assert served.requests == []


async def test_another_handshake_trouble_is_no_certificate_trouble(sender: Http1Sender) -> None:
    """A peer that does not speak TLS is CONNECT_FAILED, which may be tried again, unlike a wrong certificate."""

    async def no_tls(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with serving(no_tls) as served:
        failure = await failing(sender, post(f"https://api.test:{served.port}/"))
    assert (failure.reason, failure.side_effect) == (Reason.CONNECT_FAILED, SideEffect.NONE)


async def test_host_and_server_name_stay_those_of_the_url(sender: Http1Sender, authority: Authority) -> None:
    """Over TLS the connection goes to the checked address, and Host and SNI still name the host of the URL."""
    context = authority.server_context("api.test")
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with serving(answering(OK), context) as served:
        await answered(sender, httpx.Request("GET", f"https://api.test:{served.port}/a"))
    assert names == ["api.test"]
    assert f"\r\nHost: api.test:{served.port}\r\n".encode() in served.requests[0]


async def test_closing_ends_what_waits_and_what_runs(authority: Authority) -> None:
    """After `aclose` who waited was not sent, who ran is unknown, and who comes later is refused."""
    sender = Http1Sender(allow=LOOPBACK, ssl_context=authority.client_context(), lookup=resolve_to_loopback, per_host=1)
    async with serving(silent) as served, asyncio.TaskGroup() as group:
        runs = group.create_task(failing(sender, post(served.url)))
        await served.asked.wait()
        waits = group.create_task(failing(sender, post(served.url)))
        await asyncio.sleep(0)
        await sender.aclose()
        ended = [(await task).reason for task in (runs, waits)]
        late = await failing(sender, post(served.url))
    assert ended == [Reason.OUTCOME_UNKNOWN, Reason.SHUTTING_DOWN]
    assert (late.reason, late.side_effect) == (Reason.SHUTTING_DOWN, SideEffect.NONE)
