"""Where a call may lead: no way of writing an inner address makes a connection, counted where sockets are opened."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence

import httpx
import pytest

from sidecar.adapters.dns import CachedLookup
from sidecar.adapters.http1_connect import AddressInfo
from sidecar.adapters.http1_sender import Http1Sender
from sidecar.core.egress import EgressAllow, parse_allow
from sidecar.model import Failure, Reason, SideEffect
from tests.sender.servers import failing

pytestmark = pytest.mark.anyio
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
PUBLIC = "93.184.215.14"
PUBLIC_6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"


class Network:
    """A fake network: what names resolve to, and every address to which a socket was opened (none ever connects)."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.opened: list[str] = []

    async def lookup(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]

    def open_socket(self, address: AddressInfo) -> socket.socket:
        self.opened.append(str(address[4][0]))
        raise ConnectionRefusedError("no socket is opened in a test")

    def sender(self, allow: EgressAllow | None = None, keep: float = 0.0) -> Http1Sender:
        lookup = CachedLookup(self.lookup, keep=keep)
        return Http1Sender(allow=allow, ssl_context=CONTEXT, lookup=lookup, open_socket=self.open_socket)


async def blocked_call(network: Network, url: str, allow: EgressAllow | None = None) -> Failure | None:
    """The failure of a call to this URL, or None when HTTPX itself has no such URL."""
    try:
        request = httpx.Request("POST", url, headers={"Authorization": "Bearer s3cret"})
    except httpx.InvalidURL:
        return None
    sender = network.sender(allow)
    failure = await failing(sender, request)
    await sender.aclose()
    return failure


INSIDE_AS_HOST = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0X7F.0.0.1",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1e",
    "0",
    "0.0.0.0",
    "00000000",
    "1.1.1.1.127.1",
    "127\u30020\u30020\u30021",
    "\uff11\uff12\uff17.0.0.1",
    "127.0.0.\uff11",
    "\u246b\uff17.0.0.1",
    "127%2e0%2e0%2e1",
    "127.0.0.1%00.example.com",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::]",
    "[2001:0:5ef5:79fd::1]",
    "[2001:db8::1]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[100::1]",
    "[4000::1]",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "169.254.170.2",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "localhost.",
    "api.example.com.",
    "api..example.com",
    ".example.com",
    "-a.example.com",
    "a_.example.com:80:443",
    "user:password@api.example.com",
    "api.example.com@127.0.0.1",
    "127.0.0.1\\@api.example.com",
    "api.example.com#@127.0.0.1",
    f"{'a' * 64}.example.com",
    f"{'a.' * 130}com",
]


@pytest.mark.parametrize("host", INSIDE_AS_HOST, ids=ascii)
async def test_no_form_of_an_inner_address_is_called(host: str) -> None:
    """However an inner address is written as a host, no name is looked up for it and no socket opened."""
    network = Network(["127.0.0.1"])
    failure = await blocked_call(network, f"https://{host}/x?key=s3cret")
    assert network.opened == []
    if failure is not None:
        assert (failure.reason, failure.side_effect) == (Reason.EGRESS_BLOCKED, SideEffect.NONE)
        assert "s3cret" not in failure.detail


@pytest.mark.parametrize("user", ["user", "user:password", ":password", "api.example.com", "127.0.0.1"])
async def test_a_url_with_a_user_is_not_called(user: str) -> None:
    """What stands before an @ is mistaken for the host by people, and is a secret: such a URL goes nowhere."""
    network = Network([PUBLIC])
    failure = await blocked_call(network, f"https://{user}@api.example.com/")
    assert failure is not None
    assert failure.reason is Reason.EGRESS_BLOCKED
    assert "password" not in failure.detail.replace("or password", "")
    assert (network.asked, network.opened) == ([], [])


@pytest.mark.parametrize("port", [0, 65_536, 65_979, 2**40])
@pytest.mark.parametrize("host", ["127.0.0.1", "api.example.com"])
async def test_a_number_that_is_no_port_is_not_called(host: str, port: int) -> None:
    """A port has 16 bits (RFC 9293): of a larger number the system takes the rest, which is another port."""
    network = Network([PUBLIC])
    failure = await blocked_call(network, f"https://{host}:{port}/", parse_allow(["127.0.0.1"]))
    assert failure is not None
    assert (failure.reason, failure.side_effect) == (Reason.EGRESS_BLOCKED, SideEffect.NONE)
    assert (network.asked, network.opened) == ([], [])


@pytest.mark.parametrize("scheme", ["file", "ftp", "gopher", "ws", "wss", "unix", "data", "httpx"])
async def test_no_other_scheme_is_called(scheme: str) -> None:
    """Only http and https lead to a connection."""
    network = Network([PUBLIC])
    failure = await blocked_call(network, f"{scheme}://api.example.com/etc/passwd")
    assert failure is None or failure.reason is Reason.EGRESS_BLOCKED
    assert (network.asked, network.opened) == ([], [])


INSIDE = [
    ["127.0.0.1"],
    ["::1"],
    ["10.1.2.3"],
    ["169.254.169.254"],
    ["fd00:ec2::254"],
    ["::ffff:169.254.169.254"],
    ["64:ff9b::a9fe:a9fe"],
    ["2002:a9fe:a9fe::1"],
    ["fe80::1%eth0"],
    ["192.0.0.192"],
    ["224.0.0.251"],
    ["0.0.0.0"],
    [PUBLIC, "10.0.0.1"],
    ["10.0.0.1", PUBLIC],
    [PUBLIC, PUBLIC_6, "fe80::1"],
    ["not an address"],
]


@pytest.mark.parametrize("answer", INSIDE, ids=str)
async def test_no_name_leads_inside(answer: list[str]) -> None:
    """A name of which one address is refused is not called at all, whichever place that address has."""
    network = Network(answer)
    failure = await blocked_call(network, "https://api.example.com/")
    assert failure is not None
    assert (failure.reason, failure.side_effect) == (Reason.EGRESS_BLOCKED, SideEffect.NONE)
    assert failure.detail.startswith("api.example.com:443: ")
    assert network.opened == []


async def test_a_public_address_is_called() -> None:
    """The corpus above can fail: a public name opens sockets to exactly the addresses that were checked."""
    network = Network([PUBLIC, PUBLIC_6])
    failure = await blocked_call(network, "https://api.example.com/")
    assert failure is not None
    assert failure.reason is Reason.CONNECT_FAILED
    assert set(network.opened) == {PUBLIC, PUBLIC_6}


async def test_rebinding_does_not_lead_inside() -> None:
    """A name that is public when first asked and inner the second time: one look-up a connection, and it is checked."""
    network = Network([PUBLIC], ["127.0.0.1"])
    sender = network.sender()
    request = httpx.Request("GET", "https://api.example.com/")
    first = await failing(sender, request)
    second = await failing(sender, request)
    await sender.aclose()
    assert [first.reason, second.reason] == [Reason.CONNECT_FAILED, Reason.EGRESS_BLOCKED]
    assert (network.opened, len(network.asked)) == ([PUBLIC], 2)


async def test_a_kept_answer_is_checked_at_every_connection() -> None:
    """A cached look-up saves the question, not the check: what is connected to is what was checked."""
    network = Network([PUBLIC], ["127.0.0.1"])
    sender = network.sender(keep=60)
    for _ in range(3):
        await failing(sender, httpx.Request("GET", "https://api.example.com/"))
    await sender.aclose()
    assert (network.opened, len(network.asked)) == ([PUBLIC] * 3, 1)


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/latest", "https://other.test/", "//127.0.0.1/", "file:///x"]
)
async def test_a_redirect_is_returned_and_not_followed(location: str) -> None:
    """A redirect comes back as it is; where it points to nothing is asked or opened."""

    async def redirecting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 307 Moved\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % location.encode())
        await reader.read()
        writer.close()

    opened: list[object] = []

    def open_socket(address: AddressInfo) -> socket.socket:
        opened.append(address[4])
        return socket.socket(address[0], address[1], address[2])

    server = await asyncio.start_server(redirecting, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = Http1Sender(allow=parse_allow([f"127.0.0.1:{port}"]), open_socket=open_socket)
    request = httpx.Request("POST", f"http://127.0.0.1:{port}/", headers={"Authorization": "Bearer s3cret"})
    response = await sender.send(request, deadline=asyncio.get_running_loop().time() + 5, max_body=1000)
    await sender.aclose()
    server.close()
    await server.wait_closed()
    assert isinstance(response, httpx.Response)
    assert (response.status_code, response.headers["location"]) == (307, location)
    assert opened == [("127.0.0.1", port)]


@pytest.mark.parametrize(
    ("url", "answer", "allowed"),
    [
        ("https://redmine.internal/", ["10.0.0.7"], "redmine.internal"),
        ("https://redmine.internal:3000/", ["10.0.0.7"], "redmine.internal:3000"),
        ("https://any.internal/", ["10.0.0.7"], "10.0.0.0/8"),
        ("http://redmine.internal/", ["10.0.0.7"], "redmine.internal"),
        ("http://redmine.internal:3000/", ["10.0.0.7"], "10.0.0.0/8"),
        ("http://api.example.com/", [PUBLIC], "api.example.com"),
        ("http://127.0.0.1:9103/", [], "127.0.0.1:9103"),
        ("http://[::1]:8080/", [], "[::1]:8080"),
        ("https://[fd00::7]/", [], "fd00::/8"),
        ("https://LOCALHOST/", ["127.0.0.1"], "localhost"),
    ],
)
async def test_what_the_operator_named_is_called(url: str, answer: list[str], allowed: str) -> None:
    """A host, address or network of the egress list opens sockets, and only there."""
    network = Network(answer)
    await blocked_call(network, url, parse_allow([allowed]))
    assert network.opened == (answer or [httpx.URL(url).host])


@pytest.mark.parametrize(
    ("url", "answer", "allowed"),
    [
        ("https://redmine.internal:3001/", ["10.0.0.7"], "redmine.internal:3000"),
        ("https://other.internal/", ["10.0.0.7"], "redmine.internal"),
        ("https://redmine.internal.evil.test/", ["10.0.0.7"], "redmine.internal"),
        ("https://any.internal/", ["10.0.0.7", "192.168.0.1"], "10.0.0.0/8"),
        ("https://127.0.0.1:9104/", [], "127.0.0.1:9103"),
        ("https://[::ffff:127.0.0.1]:9103/", [], "127.0.0.1:9103"),
        ("https://127.1:9103/", [], "127.0.0.1:9103"),
        ("http://api.example.com/", [PUBLIC], "10.0.0.0/8"),
        ("http://api.example.com/", [PUBLIC, "10.0.0.1"], "10.0.0.0/8"),
        ("http://api.example.com:8080/", [PUBLIC], "api.example.com:80"),
        (f"http://{PUBLIC}/", [], "10.0.0.0/8"),
    ],
)
async def test_what_the_operator_did_not_name_is_not_called(url: str, answer: list[str], allowed: str) -> None:
    """The egress list allows what it says and nothing beside it; plain http goes nowhere else at all."""
    network = Network(answer)
    failure = await blocked_call(network, url, parse_allow([allowed]))
    assert failure is not None
    assert failure.reason is Reason.EGRESS_BLOCKED
    assert network.opened == []
