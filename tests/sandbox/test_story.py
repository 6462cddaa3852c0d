"""What the demonstration tells of a call, on a machine that is busy."""

from __future__ import annotations

import uuid

import pytest

from sidecar.adapters.nats_bus import NatsBus
from sidecar.adapters.nats_streams import provision, required
from sidecar.sandbox.story import told_of
from tests.late_trace import call_events, late, store

pytestmark = pytest.mark.anyio


async def test_a_trace_is_told_to_the_end_of_its_call(empty_bus: NatsBus) -> None:
    """The reply may be here before the last events are stored: they are read again until the end is among them."""
    await provision(empty_bus, required("sidecar"))
    started, finished = call_events(call_id := str(uuid.uuid4()))
    await store(empty_bus, started, *call_events(str(uuid.uuid4())))
    assert await told_of(late(empty_bus, finished, reads=1), "sidecar.trace.>", call_id) == [started, finished]
