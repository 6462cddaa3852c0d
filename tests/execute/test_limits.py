"""Calls and their limits: whose calls wait for whose answers, and what answers correct."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from sidecar.credential import OwnLimit
from sidecar.model import Reason
from tests.build import CREATE_ITEM, GET_ITEM, provider
from tests.execute.house import OK, Connections, House, credential

pytestmark = pytest.mark.anyio

READ, WRITE = "items.get", "items.create"
LIMITED = httpx.Response(429, headers={"retry-after": "5"})
WRITTEN = 0.2  # seconds; what is granted of a long window is written down first
OPERATIONS = {READ: GET_ITEM, WRITE: CREATE_ITEM}


def quota(**facts: Any) -> dict[str, Any]:
    return {"name": "calls", "scope": "connection", "windows": [{"units": 1000, "seconds": 60}]} | facts


def house(
    *answers: httpx.Response, quotas: list[dict[str, Any]], also: Connections | None = None, **facts: Any
) -> House:
    providers = {"acme": provider(quotas=quotas, **facts), "other": provider(name="other", quotas=quotas)}
    return House(list(answers), providers, also or Connections())


@pytest.mark.parametrize(
    ("scope", "closed"),
    [
        ("app", {"same", "connection", "tenant"}),
        ("tenant", {"same", "connection"}),
        ("connection", {"same"}),
    ],
)
async def test_a_limited_answer_closes_the_budget_that_it_is_about(scope: str, closed: set[str]) -> None:
    """For everybody who shares it, and for nobody else: other connections, tenants and providers go on."""
    whose: dict[str, dict[str, str]] = {
        "same": {},
        "connection": {"connection": "bob"},
        "tenant": {"tenant": "another"},
        "provider": {"provider": "other"},
    }
    waited = set()
    for name, also in whose.items():
        here = house(LIMITED, OK, quotas=[quota(scope=scope)])
        assert (await here.failure(READ, timeout=1)).reason is Reason.PROVIDER_RATE_LIMITED
        await here.success(READ, **also)
        if here.clock.slept:
            assert sum(here.clock.slept) == pytest.approx(5, abs=0.1)
            waited.add(name)
    assert waited == closed


async def test_a_budget_of_its_own_is_closed_alone() -> None:
    """A method at its limit holds up no other method."""
    here = house(LIMITED, OK, OK, quotas=[quota(each_operation=True)], operations=OPERATIONS)
    began = here.clock.now()
    assert (await here.failure(READ, timeout=1)).reason is Reason.PROVIDER_RATE_LIMITED
    await here.success(WRITE)
    assert sum(here.clock.slept) <= WRITTEN
    await here.success(READ)
    assert here.clock.now() - began == pytest.approx(5, abs=0.2)


async def test_an_answer_that_names_its_quota_closes_that_one() -> None:
    """By the manifest's rule; the failure tells it too."""
    rules = [{"reason": "PROVIDER_RATE_LIMITED", "status": [429], "quota": "reads", "wait_seconds": 9}]
    quotas = [quota(), quota(name="reads", operations=[READ])]
    here = house(httpx.Response(429), OK, OK, quotas=quotas, errors={"rules": rules})
    failure = await here.failure(READ, timeout=1)
    assert (failure.bucket, failure.retry_after) == ("reads", 9)
    await here.success(WRITE)
    assert sum(here.clock.slept) <= WRITTEN
    await here.success(READ)
    assert sum(here.clock.slept) == pytest.approx(9, abs=0.2)


async def test_what_answers_say_is_left_corrects_what_is_counted() -> None:
    """Somebody else used it up: the next call waits until it starts anew, without having been refused."""
    told = [{"quota": "calls", "remaining": "x-left", "reset": "x-reset"}]
    last = httpx.Response(200, json={"id": 1}, headers={"x-left": "0", "x-reset": "20"})
    here = house(last, OK, quotas=[quota()], limits_told=told)
    await here.success(READ)
    await here.success(READ)
    assert sum(here.clock.slept) == pytest.approx(20, abs=2)


async def test_a_connection_s_own_limit_is_kept() -> None:
    """What the owner of its server set holds for its calls, from the next one on."""
    unlimited, limited = credential(), msgspec.structs.replace(credential(), limits=(OwnLimit("calls", 1, 12.0),))
    set_by = quota(windows=[], set_by_connection=True)
    here = house(*[OK] * 5, quotas=[set_by], also=Connections(unlimited, unlimited, limited))
    for _ in range(3):
        await here.success(READ)
    assert here.clock.slept == []
    await here.success(READ)
    assert sum(here.clock.slept) == pytest.approx(12, abs=0.3)
    assert here.waits[0].bucket == "calls"


async def test_a_refusal_names_the_bucket_and_the_time() -> None:
    """At once, before the deadline, and nothing is sent."""
    limited = msgspec.structs.replace(credential(), limits=(OwnLimit("calls", 1, 60.0),))
    here = house(OK, OK, quotas=[quota(set_by_connection=True)], also=Connections(limited))
    await here.success(READ)
    failure = await here.failure(READ, timeout=5)
    assert (failure.reason, failure.bucket) == (Reason.LOCAL_RATE_LIMITED, "calls")
    assert failure.retry_after == pytest.approx(60, abs=1)
    assert (len(here.sender.sent), here.clock.slept) == (1, [])


async def test_a_dear_call_takes_its_price() -> None:
    """Two calls of 6 units and one of 1 fill 13; a third of 6 is refused at once."""
    here = house(*[OK] * 3, quotas=[quota(windows=[{"units": 13, "seconds": 30}], costs={READ: 6})])
    await here.success(READ)
    await here.success(READ)
    await here.success(WRITE)
    assert sum(here.clock.slept) <= WRITTEN
    failure = await here.failure(READ, timeout=5)
    assert failure.reason is Reason.LOCAL_RATE_LIMITED


async def test_a_wait_leaves_time_for_the_exchange() -> None:
    """Leave at the last moment would have the exchange cut off under way, and nobody would know what it did."""
    one = quota(windows=[{"units": 1, "seconds": 9.5}])
    here = house(*[OK] * 2, quotas=[one])
    await here.success(WRITE)
    refused = await here.failure(WRITE, timeout=10)
    assert (refused.reason, refused.bucket) == (Reason.LOCAL_RATE_LIMITED, "calls")
    assert here.clock.slept == []
    await here.success(WRITE, timeout=12)
    assert sum(here.clock.slept) == pytest.approx(9.5, abs=0.3)


async def test_who_need_not_wait_goes_with_little_time_left() -> None:
    """There may be time enough for it, and the provider's answer is no worse than ours."""
    here = house(OK, quotas=[quota(windows=[{"units": 5, "seconds": 1}])])
    late = here.call(READ, timeout=0.5)
    here.clock.advance(0.48)
    ended = await here.executor.run(late)
    assert ended.attempts == 1
