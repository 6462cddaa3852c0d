"""Events on their way out: counted, handed to the bus, and what is lost is known to be lost."""

from __future__ import annotations

import msgspec
import pytest

from sidecar.ports import BusError
from sidecar.trace.publish import TracePublisher
from sidecar.wire.event import Auth, Finished, Wait, decoder
from tests.worker.house import ScriptedBus

pytestmark = pytest.mark.anyio

FINISHED = Finished(
    time="2026-11-21T10:00:00.000000Z",
    call_id="0190a8b0-1234-7abc-8def-0123456789ab",
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    span_id="00f067aa0ba902b7",
    tenant="acme",
    connection="alice@example.com",
    provider="github",
    operation="issues.list",
    elapsed_ms=12.0,
    outcome="ok",
)


class Counts:
    """What was counted, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []

    def finished(self, provider: str, operation: str, outcome: str, seconds: float) -> None:
        self.seen.append((provider, operation, outcome, seconds))

    def replayed(self, provider: str) -> None:
        self.seen.append((provider, "replayed"))

    def attempted(self, provider: str, result: str, seconds: float) -> None:
        raise AssertionError

    def waited(self, provider: str, why: str, seconds: float) -> None:
        self.seen.append((provider, why, seconds))

    def administered(self, verb: str, outcome: str) -> None:
        raise AssertionError

    def refreshed(self, provider: str, outcome: str) -> None:
        self.seen.append((provider, outcome))

    def trace_dropped(self, number: int = 1) -> None:
        self.seen += [("dropped",)] * number


class TornBus(ScriptedBus):
    """Connected, and takes nothing from this process any more."""

    async def handed_over(self) -> None:
        raise BusError("took nothing for a second")


class LostBus(ScriptedBus):
    """The connection breaks while events are handed over, and nobody waits for another."""

    async def handed_over(self) -> None:
        self.connected = False


async def test_an_event_goes_where_its_subject_says() -> None:
    """Under tenant, connection and provider, each in its one legal form."""
    bus, counts = ScriptedBus(), Counts()
    assert TracePublisher(bus, "sidecar", counts).emit(FINISHED)
    [published] = bus.published
    assert published.subject == "sidecar.trace.acme.alice%40example%2Ecom.github.finished"
    assert decoder.decode(published.payload) == FINISHED
    assert counts.seen == [("github", "issues.list", "ok", 0.012)]


@pytest.mark.parametrize("event", [FINISHED, msgspec.structs.replace(FINISHED, detail="\ud83d")])
async def test_what_is_lost_is_said_and_counted(event: Finished) -> None:
    """A bus that takes nothing, words that cannot be written: the call goes on, and the figure shows it."""
    bus, counts = ScriptedBus(), Counts()
    bus.connected = event is not FINISHED
    assert not TracePublisher(bus, "sidecar", counts).emit(event)
    assert counts.seen[-1] == ("dropped",)
    assert bus.published == []


async def test_whether_events_have_left_this_process() -> None:
    """Not while disconnected, not when the server takes nothing, and not when the connection breaks meanwhile."""
    assert await TracePublisher(ScriptedBus(), "sidecar", Counts()).handed_over()
    assert not await TracePublisher(TornBus(), "sidecar", Counts()).handed_over()
    assert not await TracePublisher(LostBus(), "sidecar", Counts()).handed_over()
    away = ScriptedBus()
    away.connected = False
    assert not await TracePublisher(away, "sidecar", Counts()).handed_over()


async def test_a_renewal_is_counted_by_what_came_of_it() -> None:
    """And told like any event."""
    bus, counts = ScriptedBus(), Counts()
    event = Auth(time="2026", tenant="acme", connection="a", provider="jira", outcome="lost")
    assert TracePublisher(bus, "sidecar", counts).emit(event)
    assert counts.seen == [("jira", "lost")]
    assert bus.published[0].subject == "sidecar.trace.acme.a.jira.auth"


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({"bucket": "calls"}, "quota"),
        ({"jitter": 0.5}, "retry"),
        ({"elapsed_ms": 3_000.0}, "turn"),
        ({"elapsed_ms": 0.0}, "later"),
    ],
)
async def test_a_wait_is_counted_by_what_it_is_for(known: dict[str, float | str], why: str) -> None:
    """For a quota, before another attempt, for a turn (told when it has come), or put off for later."""
    about = msgspec.structs.asdict(FINISHED)
    told = {name: about[name] for name in Wait.__struct_fields__ if name in about and name != "why"}
    event = Wait(**(told | {"seconds": 3.0, "why": "x"} | known))
    counts = Counts()
    TracePublisher(ScriptedBus(), "sidecar", counts).emit(event)
    assert counts.seen == [("github", why, 3.0)]
