"""The sender as a transport of HTTPX, and what it is made of by default."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest

from sidecar.adapters.http1_sender import Http1Sender, default_ssl_context
from sidecar.adapters.tls import on_any_python
from sidecar.model import Reason, SideEffect
from tests.authority import Authority
from tests.sender.servers import (
    LOOPBACK,
    OK,
    Script,
    Served,
    answered,
    answering,
    failing,
    resolve_to_loopback,
    serving,
)

pytestmark = pytest.mark.anyio
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"


async def closes(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await served.request(reader)


async def silent(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await served.request(reader)
    await reader.read()


@pytest.mark.parametrize(
    ("script", "raised"),
    [
        (closes, httpx.RemoteProtocolError),
        (silent, httpx.ReadTimeout),
        (answering(CUT), httpx.ReadTimeout),
        (answering(CUT, close=True), httpx.RemoteProtocolError),
        (answering(b"noise\r\n\r\n"), httpx.RemoteProtocolError),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"), httpx.RemoteProtocolError),
    ],
)
async def test_a_failure_is_raised_as_httpx_would(
    sender: Http1Sender, script: Script, raised: type[httpx.TransportError]
) -> None:
    """Each failure after sending is the matching exception of HTTPX, with its request and our sentence."""
    async with serving(script) as served, httpx.AsyncClient(transport=sender, timeout=0.1) as client:
        with pytest.raises(httpx.TransportError, match=f"127.0.0.1:{served.port}: ") as caught:
            await client.post(served.url, content=b"{}")
    assert type(caught.value) is raised
    assert caught.value.request.method == "POST"


@pytest.mark.parametrize(
    ("url", "headers", "raised"),
    [
        ("http://127.0.0.1:1/", {}, httpx.ConnectError),
        ("https://10.0.0.1/", {}, httpx.ConnectError),
        ("ftp://127.0.0.1/", {}, httpx.ConnectError),
        ("http://127.0.0.1:1/", {"Host": "other.test"}, httpx.LocalProtocolError),
    ],
)
async def test_a_failure_before_sending_is_raised_so(
    sender: Http1Sender, url: str, headers: dict[str, str], raised: type[httpx.TransportError]
) -> None:
    """What sent nothing is a ConnectError, what could not be written a LocalProtocolError."""
    request = httpx.Request("GET", url, headers=headers)
    with pytest.raises(httpx.TransportError) as caught:
        await sender.handle_async_request(request)
    assert type(caught.value) is raised


async def test_a_late_connection_is_a_connect_timeout(sender: Http1Sender) -> None:
    """A limit that passes while connecting is a ConnectTimeout."""
    async with serving(silent) as served:
        request = httpx.Request("GET", f"https://api.test:{served.port}/", extensions={"timeout": {"connect": 0.05}})
        with pytest.raises(httpx.ConnectTimeout):
            await sender.handle_async_request(request)


async def test_without_a_limit_ours_holds(authority: Authority) -> None:
    """Where HTTPX gives no limit, or None, the exchange still ends."""
    transport = Http1Sender(ssl_context=authority.client_context(), exchange_limit=0.0)
    for extensions in ({}, {"timeout": {"connect": 9.0, "read": None}}):
        with pytest.raises(httpx.ConnectTimeout):
            await transport.handle_async_request(httpx.Request("GET", "https://api.test/", extensions=extensions))
    await transport.aclose()


async def test_a_defect_after_sending_says_so(sender: Http1Sender) -> None:
    """An error of our own after the first byte is BUG with what is known of the provider's side, and cuts the line."""
    async with serving(answering(OK)) as served:
        request = httpx.Request("POST", served.url)
        failure = await failing(sender, request, max_body=None)  # type: ignore[arg-type]  # provokes a TypeError
        after = await answered(sender, request)
    assert (failure.reason, failure.side_effect) == (Reason.BUG, SideEffect.DONE)
    assert isinstance(failure.cause, TypeError)
    assert after.extensions["reused"] is False


def test_certificates_are_checked_by_default() -> None:
    """The default context demands a valid certificate for the host, knows public authorities and offers HTTP/1.1."""
    context = default_ssl_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) > 50


def test_certificates_are_judged_alike_on_every_python() -> None:
    """What Python 3.13 added to the rules of its default context is taken out of it, and nothing else is."""
    context = ssl.create_default_context()
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_CRL_CHECK_LEAF
    assert on_any_python(context).verify_flags == ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_CRL_CHECK_LEAF


async def test_a_companys_own_authority_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that `SSL_CERT_FILE` names, on every Python, though it names no key usage; and no authority but that."""
    company, other = Authority(tmp_path, bare=True), Authority(tmp_path, bare=True)
    (tmp_path / "company.pem").write_bytes(company.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "company.pem"))
    sender = Http1Sender(allow=LOOPBACK, lookup=resolve_to_loopback)
    async with (
        serving(answering(OK), company.server_context("api.test")) as ours,
        serving(answering(OK), other.server_context("api.test")) as theirs,
    ):
        answer = await answered(sender, httpx.Request("GET", f"https://api.test:{ours.port}/"))
        refused = await failing(sender, httpx.Request("GET", f"https://api.test:{theirs.port}/"))
    await sender.aclose()
    assert answer.status_code == 200
    assert (refused.reason, refused.side_effect) == (Reason.TLS_VERIFY_FAILED, SideEffect.NONE)
