"""Line breaks, colours and megabytes from callers and providers: one short event each, one line each on a screen."""

from __future__ import annotations

import logging

import httpx
import msgspec
import pytest

from sidecar.model import Failure, Reason, SideEffect
from sidecar.trace.show import event_line, read_event, trace_text
from sidecar.wire.event import Started, encoder
from tests.build import GET_ITEM, OPERATIONS, provider
from tests.execute.house import House

pytestmark = pytest.mark.anyio

NOISE = ["a\nb", "a\r\n\r\nb", "\x1b[31mred\x1b[0m", "\x9b31m", "\u2028\u202e", "x" * 1_000_000, "\x1b\n" * 300_000]
SEARCH = GET_ITEM | {"path": "/items", "input": {"q": {"in": "query", "type": "string"}}, "required": []}
ACME = provider(
    operations={**OPERATIONS, "items.search": SEARCH},
    errors={"message": ["message"], "code": ["error"], "request_id": ["x-request-id"]},
)
ENOUGH = 64 * 1024  # bytes of an event; a nats-server takes a megabyte unless told otherwise


def one_short_record_each(house: House) -> None:
    """Each event is short, and is one line wherever it is shown, without anything that steers a terminal."""
    for event in house.trace.events:
        told = encoder.encode(event)
        assert len(told) <= ENOUGH
        assert b"\n" not in told
        assert b"\x1b" not in told
        read = read_event(told)
        assert read is not None
        assert event_line(read).isprintable()
    lines = trace_text(house.trace.events).split("\n")  # type: ignore[arg-type]  # all are of calls
    assert all(line.isprintable() for line in lines)
    assert all(len(line) <= ENOUGH for line in lines)


@pytest.mark.parametrize("noise", NOISE)
async def test_from_a_provider(noise: str, caplog: pytest.LogCaptureFixture) -> None:
    """In the body of an error, in its code, in its message."""
    answer = httpx.Response(400, json={"error": noise, "message": noise, noise[:1_000]: noise})
    house = House([answer], {"acme": ACME})
    failure = await house.failure("items.get")
    assert failure.reason is Reason.PROVIDER_REJECTED
    one_short_record_each(house)
    assert not caplog.records


@pytest.mark.parametrize("noise", NOISE)
async def test_from_the_network(noise: str) -> None:
    """In the words of whoever could not send it."""
    lost = Failure(reason=Reason.OUTCOME_UNKNOWN, detail=noise[:10_000], side_effect=SideEffect.UNKNOWN)
    house = House([lost], {"acme": ACME})
    await house.failure("items.create")
    one_short_record_each(house)


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("operation", ["items.get", "items.search"])
async def test_from_a_caller(noise: str, operation: str, caplog: pytest.LogCaptureFixture) -> None:
    """In what goes into a path or a query: sent encoded, or refused; never a defect, never a record of the log."""
    caplog.set_level(logging.DEBUG)
    house = House([httpx.Response(200, json={})], {"acme": ACME})
    name = "id" if operation == "items.get" else "q"
    ended = await house.run(operation, payload=msgspec.json.encode({name: noise}))
    if isinstance(ended.outcome, Failure):
        assert ended.outcome.reason in {Reason.REQUEST_TOO_LARGE, Reason.VALIDATION}
        assert ended.outcome.side_effect is SideEffect.NONE
        assert house.sender.sent == []
    one_short_record_each(house)
    assert not [record for record in caplog.records if record.name.startswith("sidecar")]


async def test_a_url_that_nobody_would_take() -> None:
    """Refused before anything is sent, with the figure and what to do."""
    house = House(providers={"acme": ACME})
    failure = await house.failure("items.search", payload=msgspec.json.encode({"q": "x" * 100_000}))
    assert failure.reason is Reason.REQUEST_TOO_LARGE
    assert "32,768" in failure.detail
    assert "shorten" in (failure.hint or "")
    assert house.told == ["started", "finished"]


async def test_a_long_url_is_sent_whole_and_told_in_part() -> None:
    """The trace keeps its beginning."""
    house = House([httpx.Response(200, json={})], {"acme": ACME})
    await house.success("items.search", payload=msgspec.json.encode({"q": "x" * 20_000}))
    assert len(str(house.sender.sent[0].url)) > 20_000
    assert house.attempts[0].url.endswith("x...")
    assert len(house.attempts[0].url) < 5_000


@pytest.mark.parametrize("noise", NOISE)
def test_an_event_of_somebody_else(noise: str) -> None:
    """A trace that holds what no sidecar of ours wrote is still one line on the screen."""
    event = Started(
        time=noise,
        call_id=noise,
        trace_id=noise,
        span_id=noise,
        tenant=noise,
        connection=noise,
        provider=noise,
        operation=noise,
        elapsed_ms=0.0,
        access="read",  # type: ignore[arg-type]  # as it comes from a message
        timeout_ms=1,
        input_bytes=0,
        input_sha256=noise,
        catalog_hash=noise,
        sidecar=noise,
        parent_span_id=noise,
    )
    read = read_event(encoder.encode(event))
    assert isinstance(read, Started)
    for line in (event_line(read), *trace_text([read]).split("\n")):
        assert line.isprintable()
        assert len(line) <= ENOUGH
