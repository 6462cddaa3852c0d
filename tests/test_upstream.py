"""The counting upstream: what is in its log is what came, and it behaves as it was told."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.bench.certificate import make_certificate
from tests.limiter import Bucket, Fixed, Sliding, refused
from tests.upstream import Behaviour, Upstream, upstream

pytestmark = pytest.mark.anyio


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Upstream]:
    async with upstream(tmp_path) as running:
        yield running


@pytest.fixture
async def client(here: Upstream) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=here.url, trust_env=False, timeout=30) as running:
        yield running


async def created(client: httpx.AsyncClient, title: str, **headers: str) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/items", json={"title": title}, headers=names)


async def test_every_request_is_in_the_log_when_it_is_answered(here: Upstream, client: httpx.AsyncClient) -> None:
    """With its moment, on the clock of whoever asked, and all that judges want of it."""
    before = time.monotonic()
    answer = await client.post("/items?units=2.5", json={"title": "a"}, headers={"Authorization": "Bearer x"})
    after = time.monotonic()
    (entry,) = here.log().arrived
    assert answer.status_code == entry.status == 201
    assert before < entry.at < after
    assert (entry.method, entry.path, entry.title, entry.units) == ("POST", "/items", "a", 2.5)
    assert (entry.account, entry.did) == ("Bearer x", True)


async def test_what_was_done_is_counted_and_can_be_looked_up(here: Upstream, client: httpx.AsyncClient) -> None:
    """The same title twice is two things done; reading does nothing."""
    for title in ("a", "b", "a"):
        await created(client, title)
    assert (await client.get("/items/a")).status_code == 200
    assert (await client.get("/items/c")).status_code == 404
    assert here.log().done == {"a": 2, "b": 1}


async def test_a_share_fails_and_does_nothing(here: Upstream, client: httpx.AsyncClient) -> None:
    """A failing upstream counts all the same."""
    await here.become(Behaviour(fail=1.0, status=500))
    answers = [await created(client, "a") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [500] * 3
    assert (len(here.log().arrived), here.log().done.total()) == (3, 0)


async def test_a_lost_answer_is_of_something_done(here: Upstream, client: httpx.AsyncClient) -> None:
    """The connection is closed after all was read: whoever asked cannot know."""
    await here.become(Behaviour(lose=1.0))
    with pytest.raises(httpx.RemoteProtocolError):
        await created(client, "a")
    assert here.log().done == {"a": 1}


async def test_a_silent_upstream_has_done_it_too(here: Upstream, client: httpx.AsyncClient) -> None:
    """Nothing comes, however long it is waited for."""
    await here.become(Behaviour(silent=1.0))
    with pytest.raises(httpx.ReadTimeout):
        await client.post("/items", json={"title": "a"}, timeout=0.2)
    assert here.log().done == {"a": 1}


async def test_a_slow_answer_comes_whole(here: Upstream, client: httpx.AsyncClient) -> None:
    """After the delay, and byte by byte."""
    await here.become(Behaviour(delay=0.05, drip=0.001))
    began = time.monotonic()
    assert (await created(client, "a")).json()["title"] == "a"
    assert time.monotonic() - began > 0.05 + 0.001 * 20


@pytest.mark.parametrize("limit", [Sliding(3, 60), Fixed(3, 1e9), Bucket(0.01, 3)])
async def test_it_refuses_what_is_beyond_its_limit(
    limit: Sliding | Fixed | Bucket, here: Upstream, client: httpx.AsyncClient
) -> None:
    """By arrival, and with the time to wait; the judge of the log comes to the same number."""
    await here.become(Behaviour(limits=(limit,)))
    answers = [await created(client, f"{number}") for number in range(5)]
    log = here.log()
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429, 429]
    assert int(answers[3].headers["Retry-After"]) > 1
    assert log.limited == refused(limit, log.taken()) == 2
    assert log.done.total() == 3


async def test_several_limits_are_kept_at_once(here: Upstream, client: httpx.AsyncClient) -> None:
    """What one refuses is no use of the other."""
    await here.become(Behaviour(limits=(Sliding(2, 60), Sliding(3, 60))))
    first = [(await created(client, "a")).status_code for _ in range(4)]
    await here.become(Behaviour(limits=(Sliding(3, 60),)))
    assert first == [201, 201, 429, 429]
    assert [(await created(client, "a")).status_code for _ in range(4)] == [201, 201, 201, 429]


async def test_more_at_once_than_it_takes_are_refused(here: Upstream, client: httpx.AsyncClient) -> None:
    """A request is under way until it is answered; the log tells how many were."""
    await here.become(Behaviour(at_once=2, delay=0.3))
    answers = await asyncio.gather(*(created(client, f"{number}") for number in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 429]
    await here.become(Behaviour())
    assert (await created(client, "later")).status_code == 201
    assert here.log().most_at_once == 3


async def test_a_key_is_honoured_where_it_is_to_be(here: Upstream, client: httpx.AsyncClient) -> None:
    """The same key brings the same bytes and does nothing again; without `keys` it means nothing."""
    await here.become(Behaviour(keys=True))
    first, second = [await created(client, "a", idempotency_key="k") for _ in range(2)]
    assert first.content == second.content
    assert here.log().done == {"a": 1}
    await here.become(Behaviour())
    await created(client, "a", idempotency_key="k")
    assert here.log().done == {"a": 2}
    assert [entry.key for entry in here.log().arrived] == ["k"] * 3


async def test_what_is_under_way_has_not_arrived(here: Upstream, client: httpx.AsyncClient) -> None:
    """A late request counts from its arrival, as at a provider far away."""
    await here.become(Behaviour(late=0.2))
    began = time.monotonic()
    await asyncio.gather(*(created(client, f"{number}") for number in range(8)))
    moments = [entry.at - began for entry in here.log().arrived]
    assert max(moments) - min(moments) > 0.02


async def test_it_speaks_tls(tmp_path: Path) -> None:
    """With a certificate of this run."""
    certificate = make_certificate(tmp_path)
    trust = ssl.create_default_context(cafile=certificate[0])
    async with (
        upstream(tmp_path, certificate=certificate) as here,
        httpx.AsyncClient(base_url=here.url, trust_env=False, verify=trust) as client,
    ):
        assert (await created(client, "a")).status_code == 201
        assert here.log().done == {"a": 1}
