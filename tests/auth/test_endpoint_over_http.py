"""The same over the real sender, against servers that answer as token endpoints should not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from sidecar.adapters.http1_sender import Http1Sender
from sidecar.adapters.system import SystemClock
from sidecar.auth.token_answer import Granted, Refused, TokenOutcome, Unanswered
from sidecar.auth.token_exchange import MAX_ANSWER
from sidecar.core.egress import parse_allow
from sidecar.secret import Secret
from tests.auth.asking import OAUTH, acme, credential, endpoint, held
from tests.sender.servers import Script, Served, serving

pytestmark = pytest.mark.anyio

ANSWER = b'{"access_token": "new", "refresh_token": "next", "expires_in": "60"}'
SECONDS = 20.0  # for an answer that comes
SOON = 0.3  # for one that does not


def answering(head: bytes, body: bytes = b"") -> Script:
    async def script(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await served.request(reader)
            writer.write(b"HTTP/1.1 " + head + b"\r\ncontent-length: " + str(len(body)).encode() + b"\r\n\r\n" + body)
            await writer.drain()

    return script


async def silent(served: Served, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Takes the request and says nothing until the client goes."""
    await served.request(reader)
    await reader.read()


async def hanging_up(served: Served, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await served.request(reader)


@asynccontextmanager
async def sending() -> AsyncIterator[Http1Sender]:
    sender = Http1Sender(allow=parse_allow(["127.0.0.0/8"]))
    try:
        yield sender
    finally:
        await sender.aclose()


async def renewed(url: str, seconds: float = SECONDS) -> TokenOutcome:
    async with sending() as sender:
        clock = SystemClock()
        asked = endpoint(sender, clock=clock)
        provider = acme(OAUTH | {"token_url": url})
        return await asked.renew("acme corp", provider, credential(tokens=held()), clock.now() + seconds)


async def test_one_request_and_its_answer() -> None:
    """What the server sees is one POST, whole; what it says are tokens."""
    async with serving(answering(b"200 OK", ANSWER)) as served:
        outcome = await renewed(f"{served.url}token")
        assert isinstance(outcome, Granted)
        assert outcome.tokens.refresh == Secret("next")
        assert outcome.tokens.lifetime == 60
        [request] = served.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /token HTTP/1.1\r\n")
    assert body == b"grant_type=refresh_token&refresh_token=old+refresh"
    lines = head.lower().split(b"\r\n")
    assert b"content-type: application/x-www-form-urlencoded" in lines
    assert b"user-agent: connector-sidecar/1" in lines
    assert sum(line.startswith(b"content-length:") for line in lines) == 1


async def test_a_redirect_takes_the_secret_nowhere() -> None:
    """Not even to the same host."""
    async with serving(answering(b"200 OK", ANSWER)) as other:
        head = b"307 Temporary Redirect\r\nlocation: " + other.url.encode()
        async with serving(answering(head)) as served:
            outcome = await renewed(served.url)
            assert isinstance(outcome, Refused)
            assert not outcome.final
            assert len(served.requests) == 1
        assert other.connections == 0


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"500 Oops", b"<html>"),
        (b"503 Away\r\nretry-after: 60", b""),
        (b"200 OK", b"<html>Sign in</html>"),
        (b"200 OK", b""),
        (b"200 OK\r\ncontent-encoding: gzip", b"not gzip"),
        (b"200 OK", b'{"access_token": "' + b"x" * MAX_ANSWER + b'"}'),
        (b"429 Slow", b'{"error": "invalid_grant"}'),
    ],
)
async def test_the_credential_stays(head: bytes, body: bytes) -> None:
    """Whatever a server says that is no word about the grant: not final, and asked once."""
    async with serving(answering(head, body)) as served:
        outcome = await renewed(served.url)
        assert len(served.requests) == 1
    assert isinstance(outcome, Refused | Unanswered)
    assert not (isinstance(outcome, Refused) and outcome.final)


@pytest.mark.parametrize("script", [silent, hanging_up])
async def test_an_answer_that_never_comes(script: Script) -> None:
    """It may have acted: said so, by the deadline, and not asked again."""
    async with serving(script) as served:
        outcome = await renewed(served.url, SOON if script is silent else SECONDS)
        assert len(served.requests) == 1
    assert isinstance(outcome, Unanswered)
    assert outcome.sent


@pytest.mark.parametrize("url", [lambda port: f"http://127.0.0.1:{port}/", lambda _: "https://10.1.2.3/token"])
async def test_an_endpoint_that_cannot_be_reached(url: Callable[[int], str]) -> None:
    """Nothing was sent, so the refresh token is as good as before: nobody listens, or the address may not be called."""
    async with serving(silent) as served:
        port = served.port
    outcome = await renewed(url(port))
    assert isinstance(outcome, Unanswered)
    assert not outcome.sent
