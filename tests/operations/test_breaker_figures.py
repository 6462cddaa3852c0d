"""Breakers in the metrics: which provider is left alone, and how often that was."""

from __future__ import annotations

import httpx
import pytest

from sidecar.adapters.prometheus_metrics import Metrics
from tests.execute.house import OK, House

pytestmark = pytest.mark.anyio


async def test_a_provider_that_is_left_alone_is_seen() -> None:
    """Nothing is shown of one that never failed; one that works again shows 0, and the count of its openings."""
    here = House([httpx.Response(500)] * 5 + [OK])
    metrics = Metrics(lambda _provider, _operation: True, "digest")
    metrics.watch_breakers(here.executor.guard)
    assert b'sidecar_breakers_open{provider="acme"}' not in metrics.exposition()
    for _ in range(6):
        await here.run()
    assert b'sidecar_breakers_open{provider="acme"} 1.0' in metrics.exposition()
    here.clock.advance(30)
    await here.success()
    shown = metrics.exposition()
    assert b'sidecar_breakers_open{provider="acme"} 0.0' in shown
    assert b'sidecar_breaker_opened_total{provider="acme"} 1.0' in shown
