"""A kept connection is looked at right before it is written to: what its socket knows by then is believed."""

from __future__ import annotations

import asyncio
import os
import socket

import httpx
import pytest

from sidecar.adapters.http1_sender import Http1Sender
from tests.authority import Authority
from tests.sender.servers import OK, Served, answered, answering, serving

pytestmark = pytest.mark.anyio
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def end(served: Served, how: str) -> None:
    """End a server's side at once, in its socket: our loop has no time to look before the next request."""
    line = served.writers[0].get_extra_info("socket").fileno()
    if how == "said":
        os.write(line, TIMED_OUT)
        return
    with socket.socket(fileno=os.dup(line)) as ended:
        ended.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("how", ["ended", "said"])
@pytest.mark.parametrize("looked", [0, 1, 2])
async def test_what_nobody_had_looked_at_is_seen(
    sender: Http1Sender, authority: Authority, how: str, looked: int, *, tls: bool
) -> None:
    """A server that ended the connection, or spoke, gets no request on it, though the loop has had no turn, or few.

    A load balancer closes what is idle, or answers 408; over TLS an end takes turns of the loop until it is told.
    """
    context = authority.server_context("api.test") if tls else None
    async with serving(answering(OK), context) as served:
        request = httpx.Request("POST", f"https://api.test:{served.port}/" if tls else served.url)
        await answered(sender, request)
        end(served, how)
        for _ in range(looked):
            await asyncio.sleep(0)
        again = await answered(sender, request)
    assert (again.status_code, again.content, again.extensions["reused"]) == (200, b"ok", False)
    assert (len(served.requests), served.connections) == (2, 2)
