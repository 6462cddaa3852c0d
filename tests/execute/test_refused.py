"""What is refused before anything is sent, in words that say what to do."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import msgspec
import pytest

from sidecar.credential import Credential
from sidecar.model import Access, Failure, Reason, SideEffect
from sidecar.sandbox.scripted import EventLog
from tests.build import CREATE_ITEM, GET_ITEM, provider
from tests.execute.house import CALL_ID, OK, TRACE, Connections, House, credential, decoded

pytestmark = pytest.mark.anyio


def nothing_sent(here: House) -> bool:
    return here.sender.sent == [] and here.told == ["started", "finished"]


@pytest.mark.parametrize(
    ("access", "operation", "right"),
    [
        (Access.READ, "items.create", "sidecar.write.acme.alice%40example%2Ecom.acme.items.create"),
        (Access.WRITE, "items.get", "sidecar.read.acme.alice%40example%2Ecom.acme.items.get"),
    ],
)
async def test_the_other_kind_of_subject(access: Access, operation: str, right: str) -> None:
    """The refusal names the whole subject to publish on."""
    here = House([OK])
    failure = await here.failure(operation, access=access, tenant="acme", connection="alice@example.com")
    assert failure.reason is Reason.ACCESS_MISMATCH
    assert right in failure.detail
    assert failure.hint == f"publish on {right}"
    assert nothing_sent(here)
    assert here.connections.asked == []


async def test_an_unknown_operation_names_the_nearest() -> None:
    """A misspelt name is told with the one that was meant, and where the names are."""
    here = House([OK])
    failure = await here.failure("item.create")
    assert failure.reason is Reason.UNKNOWN_OPERATION
    assert "did you mean items.create?" in failure.detail
    assert "sidecar provider show acme" in (failure.hint or "")
    assert nothing_sent(here)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"provider": "globex"}, Reason.UNKNOWN_PROVIDER),
        ({"payload": b"{"}, Reason.MALFORMED),
        ({"payload": b"[" * 100_000}, Reason.MALFORMED),
        ({"payload": b'{"title": NaN}'}, Reason.MALFORMED),
        ({"payload": b"[]"}, Reason.MALFORMED),
        ({"payload": b'{"titel": "x"}'}, Reason.VALIDATION),
        ({"payload": b""}, Reason.VALIDATION),
    ],
)
async def test_what_cannot_be_asked(asked: dict[str, Any], reason: Reason) -> None:
    """Nothing is sent, nothing is looked up, and the trace has a beginning and an end."""
    here = House([OK])
    failure = await here.failure("items.create", **asked)
    assert (failure.reason, failure.side_effect) == (reason, SideEffect.NONE)
    assert nothing_sent(here)
    assert here.connections.asked == []


@pytest.mark.parametrize(
    "found",
    [
        Failure(reason=Reason.NO_CREDENTIAL, detail="there is no connection"),
        Failure(reason=Reason.CONNECTION_REVOKED, detail="revoked"),
        Failure(reason=Reason.STORE_UNAVAILABLE, detail="away"),
        credential("basic", username="u", password="p"),
    ],
)
async def test_a_connection_that_cannot_be_used(found: Credential | Failure) -> None:
    """Asked once under its own name, never another's in its place."""
    here = House([OK], connections=Connections(found))
    failure = await here.failure("items.get", tenant="acme", connection="alice")
    assert failure.reason is (found.reason if isinstance(found, Failure) else Reason.NO_CREDENTIAL)
    assert here.connections.asked == [("acme", "alice", "acme")]
    assert nothing_sent(here)


async def test_a_dry_run_shows_the_request() -> None:
    """The request as it would be sent, what the credential would add in words, no exchange and no secret."""
    here = House([OK])
    outcome = await here.success("items.create", dry_run=True)
    assert decoded(outcome) == {
        "dry_run": True,
        "request": {
            "method": "POST",
            "url": "https://api.acme.example/v1/items",
            "headers": decoded(outcome)["request"]["headers"],
            "body": '{"title":"x"}',
        },
        "credential": "bearer token in header authorization",
    }
    assert b"hunter2" not in outcome.body
    assert nothing_sent(here)
    assert here.finished.dry_run


async def test_a_dry_run_takes_no_unit_of_a_quota() -> None:
    """Looking costs nothing."""
    quota = {"name": "writes", "scope": "connection", "windows": [{"units": 1, "seconds": 1000}]}
    here = House([OK], {"acme": provider(quotas=[quota])})
    for _ in range(3):
        await here.success("items.create", dry_run=True)
    await here.success("items.create")
    assert here.clock.slept == []


@pytest.mark.parametrize("kind", ["validation", "credential"])
async def test_a_dry_run_refuses_what_a_run_would(kind: str) -> None:
    """It is a rehearsal, not a rendering."""
    missing = Failure(reason=Reason.NO_CREDENTIAL, detail="none")
    here = House(connections=Connections(missing) if kind == "credential" else Connections())
    title = 1 if kind == "validation" else "x"
    failure = await here.failure("items.create", payload=msgspec.json.encode({"title": title}), dry_run=True)
    assert failure.reason is (Reason.NO_CREDENTIAL if kind == "credential" else Reason.VALIDATION)


class Gate(EventLog):
    """A trace whose hand-over the test decides."""

    def __init__(self, *, takes: bool) -> None:
        super().__init__()
        self.takes = takes
        self.asked = 0

    async def handed_over(self) -> bool:
        self.asked += 1
        assert self.events, "nothing was emitted yet"
        return self.takes


async def test_a_write_is_told_before_it_is_sent() -> None:
    """`started` has left this process when the request's first byte goes."""
    gate = Gate(takes=True)
    here = House([OK], trace=gate)
    seen: list[tuple[int, list[str]]] = []
    here.before = lambda: seen.append((gate.asked, here.told))
    await here.success("items.create")
    assert seen == [(1, ["started"])]


async def test_a_write_that_cannot_be_told_is_not_sent() -> None:
    """Nobody could find out afterwards whether it happened."""
    here = House([OK], trace=Gate(takes=False))
    failure = await here.failure("items.create")
    assert (failure.reason, failure.side_effect) == (Reason.STORE_UNAVAILABLE, SideEffect.NONE)
    assert failure.retry_after is not None
    assert nothing_sent(here)


async def test_a_read_does_not_wait_to_be_told() -> None:
    """With NATS away a read goes on: it changes nothing."""
    gate = Gate(takes=False)
    here = House([OK], trace=gate)
    await here.success("items.get")
    assert gate.asked == 0


async def test_a_deadline_that_passes_while_it_is_told() -> None:
    """A write whose deadline passes before its first byte is not sent."""

    class Slow(EventLog):
        async def handed_over(self) -> bool:
            here.clock.advance(60)
            return True

    here = House([OK], trace=Slow())
    failure = await here.failure("items.create")
    assert failure.reason is Reason.BEFORE_SEND
    assert nothing_sent(here)


@pytest.mark.parametrize(
    ("operation", "side_effect"), [("items.create", SideEffect.UNKNOWN), ("items.get", SideEffect.NONE)]
)
async def test_cancelled_in_an_exchange(operation: str, side_effect: SideEffect) -> None:
    """The trace ends, with what is known; the cancellation goes on."""
    here = House([OK])
    with anyio.CancelScope() as scope:
        here.before = scope.cancel
        await here.run(operation)
        pytest.fail("the cancellation was swallowed")
    assert scope.cancelled_caught
    reason = Reason.SHUTTING_DOWN if side_effect is SideEffect.NONE else Reason.OUTCOME_UNKNOWN
    assert (here.finished.outcome, here.finished.side_effect) == (reason, side_effect)


async def test_cancelled_while_it_waits_for_its_quota() -> None:
    """Nothing was sent, so nothing happened; the one behind gets the place in the line."""
    quota = {"name": "writes", "scope": "connection", "windows": [{"units": 1, "seconds": 10}]}
    here = House([OK, OK], {"acme": provider(quotas=[quota])})
    await here.success("items.create")
    sleep = here.clock.sleep

    async def cancelled(seconds: float) -> None:
        scope.cancel()
        await anyio.lowlevel.checkpoint()

    here.clock.sleep = cancelled  # type: ignore[method-assign]  # the moment at which the caller's scope ends
    with anyio.CancelScope() as scope:
        await here.run("items.create")
    assert scope.cancelled_caught
    last = here.trace.events[-1]
    assert msgspec.to_builtins(last)["side_effect"] == "none"
    here.clock.sleep = sleep  # type: ignore[method-assign]
    await here.success("items.create")
    assert sum(here.clock.slept) == pytest.approx(10, abs=0.3)


async def test_every_event_names_the_call_and_its_trace() -> None:
    """Whatever happens on the way."""
    quota = {"name": "writes", "scope": "connection", "windows": [{"units": 1, "seconds": 1}]}
    here = House([httpx.Response(429), OK, OK], {"acme": provider(quotas=[quota])})
    await here.success("items.create")
    assert {"started", "wait", "attempt", "finished"} == set(here.told)
    for event in here.trace.events:
        told = msgspec.to_builtins(event)
        assert (told["call_id"], told["trace_id"], told["span_id"]) == (CALL_ID, TRACE.trace_id, TRACE.span_id)
        assert (told["provider"], told["operation"], told["tenant"]) == ("acme", "items.create", "default")


LANGUAGE = {"in": "header", "name": "accept-language", "type": "string"}
NOT_ASCII = GET_ITEM | {"input": GET_ITEM["input"] | {"lang": LANGUAGE}}


@pytest.mark.parametrize("value", ["dé", "a\r\nb: c", "a\nb", "\0"])
async def test_a_header_that_no_request_can_carry(value: str) -> None:
    """Refused as the caller's, never a defect of ours."""
    here = House([OK], {"acme": provider(operations={"items.get": NOT_ASCII, "items.create": CREATE_ITEM})})
    failure = await here.failure("items.get", payload=msgspec.json.encode({"id": "7", "lang": value}))
    assert failure.reason is Reason.VALIDATION
    assert nothing_sent(here)
