"""No call outlives its deadline, whatever it waits for; and what is told then is what is known."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest

from sidecar.credential import Credential
from sidecar.model import Access, Failure, Reason, SideEffect, retryable
from sidecar.sandbox.scripted import EventLog, ScriptedSender
from tests.build import CREATE_ITEM, GET_ITEM, provider
from tests.execute.house import LOST, Connections, House

pytestmark = pytest.mark.anyio

READ, WRITE, REPLACE = "items.get", "items.create", "items.replace"
OPERATIONS = {READ: GET_ITEM, WRITE: CREATE_ITEM, REPLACE: CREATE_ITEM | {"method": "PUT"}}
NONE, UNKNOWN = SideEffect.NONE, SideEffect.UNKNOWN
SHORT = 0.05


class DeafSender(ScriptedSender):
    """Keeps to no deadline; `sent` says whether a byte left before it hangs. First it gives the answers that it has."""

    def __init__(self, *answers: httpx.Response | Failure, sent: bool = True) -> None:
        super().__init__(answers)
        self._sent = sent

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> httpx.Response | Failure:
        if self.answers:
            return await super().send(request, deadline=deadline, max_body=max_body)
        request.extensions["sent"] = self._sent
        await anyio.sleep_forever()
        raise AssertionError("it hangs for ever")


class DeafStore(Connections):
    async def load(self, tenant: str, connection: str, provider: str, *, within: float) -> Credential | Failure:
        await anyio.sleep_forever()
        return await super().load(tenant, connection, provider, within=within)


class LateStore(Connections):
    """Gives up after the time that it was given."""

    async def load(self, tenant: str, connection: str, provider: str, *, within: float) -> Credential | Failure:
        return Failure(reason=Reason.STORE_UNAVAILABLE, detail="it did not answer", cause=TimeoutError())


class DeafLog(EventLog):
    async def handed_over(self) -> bool:
        await anyio.sleep_forever()
        return False


def house(**parts: Any) -> House:
    return House(providers={"acme": provider(operations=OPERATIONS)}, **parts)


async def ended(here: House, operation: str) -> Failure:
    with anyio.fail_after(10):
        return await here.failure(operation, timeout=SHORT)


@pytest.mark.parametrize(
    ("parts", "operation", "reason", "side_effect"),
    [
        pytest.param({"store": DeafStore()}, WRITE, Reason.BEFORE_SEND, NONE, id="the store hangs"),
        pytest.param({"store": LateStore()}, WRITE, Reason.BEFORE_SEND, NONE, id="the store had no time"),
        pytest.param({"trace": DeafLog()}, WRITE, Reason.BEFORE_SEND, NONE, id="NATS takes nothing"),
        pytest.param({"network": DeafSender()}, WRITE, Reason.OUTCOME_UNKNOWN, UNKNOWN, id="the exchange hangs"),
        pytest.param({"network": DeafSender()}, READ, Reason.OUTCOME_UNKNOWN, NONE, id="the exchange of a read hangs"),
        pytest.param({"network": DeafSender(sent=False)}, WRITE, Reason.OUTCOME_UNKNOWN, NONE, id="nothing was sent"),
    ],
)
async def test_whatever_hangs(parts: dict[str, Any], operation: str, reason: Reason, side_effect: SideEffect) -> None:
    """The call ends a moment after its deadline, with its end told; what was not sent may be sent again."""
    here = house(**parts)
    failure = await ended(here, operation)
    assert (failure.reason, failure.side_effect) == (reason, side_effect)
    assert here.finished.outcome == reason
    access = Access.READ if operation == READ else Access.WRITE
    assert retryable(failure, access) is (side_effect is NONE)


async def test_what_an_earlier_attempt_did_is_told() -> None:
    """A PUT whose first answer was lost and whose second attempt hangs: unknown, though the second never left."""
    here = house(network=DeafSender(LOST, sent=False))
    assert (await ended(here, REPLACE)).side_effect is UNKNOWN


async def test_a_wait_that_hangs_tells_the_attempt_before() -> None:
    """Not that time ran out: what came back."""
    here = house(network=DeafSender(httpx.Response(500)))

    async def forever(seconds: float) -> None:
        await anyio.sleep_forever()
        raise AssertionError(seconds)

    here.clock.sleep = forever  # type: ignore[method-assign]  # a timer that never fires
    assert (await ended(here, READ)).reason is Reason.PROVIDER_5XX


async def test_calls_in_time_leave_nothing_behind() -> None:
    """What ended is not told to stop any more, and is not kept until its deadline would have been."""
    here = house(network=ScriptedSender([httpx.Response(200, json={})]))
    await here.success(READ)
    [due] = here.executor._overdue._due.values()  # nothing else shows it
    assert not due
