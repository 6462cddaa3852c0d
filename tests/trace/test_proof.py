"""Events that JetStream does not have are counted, also while NATS itself is there."""

from __future__ import annotations

import anyio.lowlevel
import pytest

from sidecar.adapters.nats_bus import NatsBus
from sidecar.adapters.nats_streams import TRACE, provision, required
from sidecar.model import Access
from sidecar.trace.proof import Proof
from sidecar.trace.publish import TracePublisher
from tests.fixtures_nats import until
from tests.late_trace import call_events
from tests.worker.house import Letter, ScriptedBus

pytestmark = pytest.mark.anyio

TAKEN, REFUSED, NOBODY = b'{"stream":"SIDECAR_TRACE", "seq":7}', b'{"error":{"code":503},"seq":0}', b""


class Losses:
    """What was counted as lost, and nothing else of events."""

    def __init__(self) -> None:
        self.lost = 0

    def trace_dropped(self, number: int = 1) -> None:
        self.lost += number

    def __getattr__(self, name: str) -> object:
        return lambda *_: None


async def proof(bus: ScriptedBus, losses: Losses, patience: float = 60.0) -> Proof:
    it = Proof(bus, "_INBOX.me", losses.trace_dropped, patience=patience)
    await it.listen()
    return it


@pytest.mark.parametrize(
    ("answers", "lost"),
    [
        ([], 0),
        ([(5, TAKEN)], 0),
        ([(5, NOBODY)], 5),
        ([(5, REFUSED)], 5),
        ([(2, TAKEN), (5, NOBODY)], 3),
        ([(2, NOBODY), (5, NOBODY)], 5),
        ([(2, NOBODY), (5, TAKEN)], 2),
        ([(5, TAKEN), (2, NOBODY)], 0),
        ([(2, NOBODY), (2, NOBODY)], 2),
    ],
)
async def test_what_nobody_took_is_counted_once(answers: list[tuple[int, bytes]], lost: int) -> None:
    """All since the answer before."""
    bus, losses = ScriptedBus(), Losses()
    of = await proof(bus, losses)
    for _ in range(5):
        of.count(asked=True)
    for number, data in answers:
        assert bus.hand_in(Letter(f"_INBOX.me.{number}", data)) == 1
    assert losses.lost == lost


@pytest.mark.parametrize("connected", [True, False])
async def test_no_answer_in_time_is_none(connected: bool) -> None:
    """It is counted, but not while what was published waits for the connection; nor what asked for no answer yet."""
    bus, losses = ScriptedBus(), Losses()
    bus.connected = connected
    of = await proof(bus, losses, patience=0.0)
    for asked in (True, True, False):
        of.count(asked=asked)
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    assert losses.lost == (2 if connected else 0)
    bus.connected = True
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    assert losses.lost == 2


async def test_what_a_call_waits_for_does_not_ask() -> None:
    """It goes by itself and at once; the next of its call speaks for it."""
    bus, losses = ScriptedBus(), Losses()
    trace = TracePublisher(bus, "sidecar", losses)  # type: ignore[arg-type]  # of what it counts one thing is looked at
    await trace.prove("_INBOX.me")
    started, finished = call_events("a" * 36)
    assert started.access is Access.WRITE
    for event in (started, finished, finished):
        assert trace.emit(event)
    assert [told.reply for told in bus.published] == ["", "_INBOX.me.2", "_INBOX.me.3"]


async def test_events_without_a_stream_are_counted(empty_bus: NatsBus) -> None:
    """NATS takes them, nobody has them; with the stream there none is lost."""
    losses = Losses()
    trace = TracePublisher(empty_bus, "sidecar", losses)  # type: ignore[arg-type]  # as above
    await trace.prove(empty_bus.new_inbox())
    for event in call_events("a" * 36) * 20:
        assert trace.emit(event)
    await until(lambda: losses.lost)
    assert losses.lost == 40
    await provision(empty_bus, required("sidecar"))
    for event in call_events("b" * 36) * 20:
        assert trace.emit(event)
    empty_bus._client.take_aside()
    await empty_bus.round_trip(5)
    while b'"messages":40' not in (await empty_bus.request(f"$JS.API.STREAM.INFO.{TRACE}", b"", timeout=5)).data:
        pass
    assert losses.lost == 40
