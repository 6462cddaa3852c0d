"""The sender asks for leave last: with the connection ready, right before the first byte."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from sidecar.adapters.http1_sender import Http1Sender
from sidecar.model import Failure, Reason, SideEffect
from tests.authority import Authority
from tests.sender.servers import OK, answered, answering, failing, serving

pytestmark = pytest.mark.anyio


def post(url: str, *leave: bool) -> tuple[httpx.Request, list[bool]]:
    """A request that asks for leave, and what is left of the answers."""
    left = list(leave)
    return httpx.Request("POST", url, content=b"{}", extensions={"may_send": lambda: left.pop(0)}), left


async def test_with_leave_it_is_sent(sender: Http1Sender) -> None:
    """Leave is asked once, and the exchange goes as any other."""
    async with serving(answering(OK)) as served:
        request, left = post(served.url, True)
        assert (await answered(sender, request)).content == b"ok"
    assert left == []


async def test_without_leave_nothing_is_sent(sender: Http1Sender) -> None:
    """The failure says that nothing was sent, the server reads nothing, and the connection serves the next one."""
    async with serving(answering(OK)) as served:
        request, left = post(served.url, False)
        failure = await failing(sender, request)
        assert (failure.reason, failure.side_effect, left) == (Reason.BEFORE_SEND, SideEffect.NONE, [])
        assert "its turn was over" in failure.detail
        assert (await answered(sender, post(served.url, True)[0])).content == b"ok"
        assert (served.connections, len(served.requests)) == (1, 1)


async def test_a_question_that_fails_loses_no_connection(sender: Http1Sender) -> None:
    """Who asks for leave with a defect sees it raised; nothing is sent, and the connection serves the next one."""
    async with serving(answering(OK)) as served:
        request, _ = post(served.url)  # nobody left to answer
        with pytest.raises(IndexError):
            await answered(sender, request)
        assert (await answered(sender, post(served.url, True)[0])).content == b"ok"
        assert (served.connections, len(served.requests)) == (1, 1)


async def test_leave_is_asked_behind_the_handshake(sender: Http1Sender, tmp_path: Path) -> None:
    """A handshake that fails uses no leave: it is asked when TLS is ready."""
    stranger = Authority(tmp_path)
    async with serving(answering(OK), stranger.server_context("api.acme.example")) as served:
        request, left = post(f"https://api.acme.example:{served.port}/", True)
        failure = await failing(sender, request)
    assert (failure.reason, left) == (Reason.TLS_VERIFY_FAILED, [True])


async def test_no_leave_is_asked_where_nothing_could_be_sent(sender: Http1Sender) -> None:
    """A connection that does not come about uses no leave."""
    request, left = post("http://127.0.0.1:1/", True)
    failure = await sender.send(request, deadline=1e12, max_body=100)
    assert isinstance(failure, Failure)
    assert (failure.reason, left) == (Reason.CONNECT_FAILED, [True])
