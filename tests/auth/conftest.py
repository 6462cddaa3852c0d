"""One sidecar that renews tokens, with a store in memory, a clock that is moved, and a strict token endpoint."""

from __future__ import annotations

import pytest

from sidecar.sandbox.scripted import ManualClock
from tests.auth.renewing import Sidecar, StrictEndpoint
from tests.store.test_credential import MemoryStore


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def endpoint(clock: ManualClock) -> StrictEndpoint:
    return StrictEndpoint(clock)


@pytest.fixture
def one(memory: MemoryStore, endpoint: StrictEndpoint, clock: ManualClock) -> Sidecar:
    return Sidecar(memory, endpoint, clock)
