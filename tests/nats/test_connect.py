"""Connecting: what is told when it cannot be done, and that a connection once made comes back by itself."""

from __future__ import annotations

import logging
import os
import signal
import socket
from pathlib import Path
from urllib.parse import ParseResult, quote, urlparse

import anyio
import pytest
from nats.aio.client import Server

from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_client import next_server
from sidecar.adapters.nats_events import BusEvent, plain
from sidecar.adapters.nats_server import embedded_server
from sidecar.adapters.nats_url import parse_url, shown
from sidecar.ports import BusDenied, BusError, LoginRefused, Message
from tests.fixtures_nats import configured, frozen, until

pytestmark = pytest.mark.anyio

log = logging.getLogger("tests.nats")


def users(*logins: tuple[str, str, dict[str, object]]) -> dict[str, object]:
    rows = [{"user": user, "password": password, "permissions": rights} for user, password, rights in logins]
    return {"authorization": {"users": rows}}


async def test_no_server_is_told_in_time() -> None:
    """A port where nobody listens is a BusError that says so within the time limit."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        with anyio.fail_after(3), pytest.raises(BusError, match=f"(?i)nats://127.0.0.1:{port}: .*connect"):
            await connect(f"nats://user:hunter2@127.0.0.1:{port}", timeout=0.3)


async def test_a_silent_server_is_told_in_time() -> None:
    """Something that accepts and says nothing is a BusError within the time limit."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"nats://127.0.0.1:{silent.getsockname()[1]}"
        with anyio.fail_after(3), pytest.raises(BusError, match="could not connect"):
            await connect(url, timeout=0.3)


async def test_a_wrong_password_is_told_at_once_and_never_shown(nats_url: str) -> None:
    """A refusal does not wait for the time limit, and the text holds no password."""
    address = nats_url.rpartition("@")[2]
    with anyio.fail_after(3), pytest.raises(LoginRefused, match=r"(?i)authorization violation") as refused:
        await connect(f"nats://sidecar:hunter2@{address}", timeout=60)
    assert "hunter2" not in str(refused.value)
    assert address in str(refused.value)


async def test_tls_is_never_given_up(nats_url: str) -> None:
    """A `tls://` URL of a server without TLS is refused before the password is sent."""
    with anyio.fail_after(3), pytest.raises(BusError, match="secure connection not available"):
        await connect(nats_url.replace("nats://", "tls://"), timeout=60)


@pytest.mark.parametrize(
    "url",
    ["", "http://user:hunter2@host", "nats://", "nats://user:hunter2@host:port", "nats://h/path", "nats://h,ftp://i"],
)
async def test_a_url_that_is_none_is_told(url: str) -> None:
    """What is not a NATS URL is refused with the form it should have, and without its password."""
    with pytest.raises(BusError, match=r"is not a NATS URL.*write nats://") as refused:
        await connect(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "nats://u:SECRET#PW@127.0.0.1:1",
        "nats://u:SECRET/PW@127.0.0.1:1",
        "nats://u:SECRET?PW@127.0.0.1:1",
        "nats://u:SECRET,PW@127.0.0.1:1",
        "nats://u:1,SECRET@127.0.0.1:1",
        "nats://SECRET,PW@127.0.0.1:1",
        "nats://u:SECRET",
        "u:SECRET[@127.0.0.1",
        "nats://u:PW@127.0.0.1:SECRET",
    ],
)
async def test_no_piece_of_a_password_is_shown(url: str) -> None:
    """A character that ends the login of a URL early shows nothing of the URL, and what to do is told."""
    with pytest.raises(BusError, match=r"not a NATS URL \(percent-encode # / \? , in the password\)") as refused:
        await connect(url)
    assert not any(piece in f"{refused.value} {shown(url)}" for piece in ("SECRET", "PW", "u:"))


@pytest.mark.parametrize(
    ("said", "shown_as"),
    [
        ("nats: 'Authorization Violation'", "Authorization Violation"),
        ("'nats://a' is not a URL", "'nats://a' is not a URL"),
        ("it is not 'a'", "it is not 'a'"),
        ("'", "'"),
    ],
)
def test_quotes_are_taken_off_in_pairs(said: str, shown_as: str) -> None:
    """What nats-py puts around words of the server goes, what is part of a sentence stays."""
    assert plain(Exception(said)) == shown_as


async def test_missing_credentials_are_told(nats_url: str, tmp_path: Path) -> None:
    """A credentials file that is not there is named."""
    with pytest.raises(BusError, match=r"no\.creds"):
        await connect(nats_url, credentials=tmp_path / "no.creds")


async def test_credentials_that_are_none_are_told(nats_url: str, tmp_path: Path) -> None:
    """A file that holds no credentials, or a missing library to read them, is an error in time."""
    (tmp_path / "user.creds").write_text("nothing\n")
    with anyio.fail_after(5), pytest.raises(BusError, match="could not connect to NATS"):
        await connect(nats_url, credentials=tmp_path / "user.creds", timeout=1)


async def test_a_denied_inbox_is_told(tmp_path: Path) -> None:
    """A user who may not receive replies is told at the start, instead of waiting for every reply in vain."""
    config = users(("u", "p", {"subscribe": "_INBOX.me.>"}))
    async with configured(tmp_path, config) as server:
        with anyio.fail_after(5), pytest.raises(BusDenied, match=r"came back.*permissions violation for subscription"):
            await connect(server.url("u:p"))
        bus = await connect(server.url("u:p"), inbox_prefix="_INBOX.me")
        await bus.close()


async def test_a_forbidden_subject_is_told(tmp_path: Path) -> None:
    """A request on a subject that the user may not use fails with the server's words, and the connection stays."""
    config = users(("u", "p", {"publish": ["_INBOX.>", "ok"], "subscribe": ">"}))
    async with configured(tmp_path, config) as server:
        bus = await connect(server.url("u:p"))
        with anyio.fail_after(5), pytest.raises(BusDenied, match=r'permissions violation for publish to "no\.such'):
            await bus.request("no.Such", b"", timeout=60)
        await bus.round_trip(2)
        assert bus.counts.permission_violations == 1
        assert bus.counts.reconnects == 0
        await bus.close()


async def test_comes_back_after_its_password_was_refused(tmp_path: Path) -> None:
    """Credentials that are withdrawn and given back cost a disconnection, not the client."""
    withdrawn = users(("u", "other", {}))
    async with configured(tmp_path, users(("u", "p", {}))) as server:
        bus = await connect(server.url("u:p"))
        server.reload(withdrawn)
        await until(lambda: "uthorization" in str(bus.last_error))
        assert not bus.connected
        server.reload(users(("u", "p", {})))
        await until(lambda: bus.connected)
        await bus.round_trip(5)
        await bus.close()


@pytest.mark.parametrize("password", ["p@ss:w/rd", "100%", "ü"])
async def test_a_password_with_special_characters(tmp_path: Path, password: str) -> None:
    """A password that was percent-encoded into the URL is decoded."""
    async with configured(tmp_path, users(("u", password, {}))) as server:
        await (await connect(server.url(f"u:{quote(password, safe='')}"))).close()


async def test_a_token(tmp_path: Path) -> None:
    """A login without colon is a token."""
    async with configured(tmp_path, {"authorization": {"token": "s3"}}) as server:
        await (await connect(server.url("s3"))).close()


async def test_the_first_server_that_answers_is_taken(nats_url: str) -> None:
    """Of several URLs one that works is enough."""
    bus = await connect(f"nats://127.0.0.1:9,{nats_url}")
    await bus.close()


async def test_close_when_the_server_is_gone(tmp_path: Path) -> None:
    """Closing takes a few seconds at most, whatever became of the server."""
    async with configured(tmp_path, {}) as server:
        gone, stuck = await connect(server.url("")), await connect(server.url(""))
        async with frozen(server.process.pid):
            with anyio.fail_after(6):
                stuck.publish("x", b"")
                await stuck.close()
        server.process.kill()
        await until(lambda: not gone.connected)
        with anyio.fail_after(3):
            await gone.close()
        with pytest.raises(BusError):
            gone.publish("x", b"")
        with pytest.raises(BusError):
            await gone.round_trip(1)


async def test_close_gives_the_server_what_was_published(bus: NatsBus, nats_url: str, fresh_name: str) -> None:
    """What was published just before the close arrives."""
    received: list[Message] = []
    await bus.subscribe(fresh_name, received.append)
    await bus.round_trip(2)
    other = await connect(nats_url)
    for _ in range(1000):
        other.publish(fresh_name, bytes(1000))
    await other.close()
    await until(lambda: len(received) == 1000)


async def test_a_listener_that_raises_does_not_keep_the_bus_down(tmp_path: Path) -> None:
    """An exception in `on_event` is counted; the client reconnects all the same."""

    def listener(_event: BusEvent) -> None:
        raise LookupError("mine")

    async with embedded_server(tmp_path / "data", log) as server:
        bus = await connect(server.url, on_event=listener)
        assert server.process is not None
        os.kill(server.process.pid, signal.SIGKILL)
        await until(lambda: bus.counts.reconnects)
        assert bus.counts.callback_errors == 2
        await bus.close()


def host_url(host: str) -> ParseResult:
    return urlparse(f"nats://{host}:4222")


def test_reconnecting_waits_longer_each_time_and_never_the_same() -> None:
    """The wait grows to a bound and is jittered; the server that failed least is tried first."""
    servers = [Server(uri=host_url("a"), reconnects=9), Server(uri=host_url("b"), reconnects=2)]
    picks = [next_server(servers, {}) for _ in range(50)]
    assert {server.uri.hostname for server, _ in picks} == {"b"}
    assert len({delay for _, delay in picks}) > 1
    assert all(0.1 <= delay <= 0.3 for _, delay in picks)
    assert next_server(servers[:1], {})[1] <= 3


@pytest.mark.parametrize(
    ("text", "servers", "login"),
    [
        ("localhost", ["nats://localhost:4222"], {}),
        ("host:4223", ["nats://host:4223"], {}),
        ("tls://u:p@host", ["tls://host:4222"], {"user": "u", "password": "p"}),
        ("nats://u:@host", ["nats://host:4222"], {"user": "u", "password": ""}),
        ("nats://tok@[::1]:5", ["nats://[::1]:5"], {"token": "tok"}),
        ("nats://a, nats://u:p@b/", ["nats://a:4222", "nats://b:4222"], {"user": "u", "password": "p"}),
    ],
)
def test_urls(text: str, servers: list[str], login: dict[str, str]) -> None:
    """Scheme and port have defaults, the login is taken out, IPv6 and lists are understood."""
    url = parse_url(text)
    assert (url.servers, url.login) == (servers, login)
    assert not any(secret in shown(text) for secret in ("u:p", "tok"))
