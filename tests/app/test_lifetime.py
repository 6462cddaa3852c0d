"""When the process serves and ends: what signals do, and what readiness says meanwhile."""

from __future__ import annotations

import signal

import pytest

from sidecar.lifetime import Lifetime

pytestmark = pytest.mark.anyio


async def test_a_second_signal_hurries_the_end() -> None:
    """The first begins it, each further one gives up what is in flight; whichever of the two signals they are."""
    lifetime, hurried = Lifetime(), []
    lifetime.hurry = lambda: hurried.append(True)
    lifetime.signal(signal.SIGTERM)
    assert lifetime.ending.is_set()
    assert hurried == []
    lifetime.signal(signal.SIGINT)
    lifetime.signal(signal.SIGTERM)
    assert hurried == [True, True]


async def test_ready_is_who_serves_and_does_not_end() -> None:
    """Not before it serves, and not from the first signal on."""
    lifetime = Lifetime()
    said = [lifetime.unready]
    lifetime.serving = True
    said.append(lifetime.unready)
    lifetime.signal(signal.SIGTERM)
    said.append(lifetime.unready)
    assert said == ["starting", None, "ending: no more calls are taken"]


async def test_nats_lost_for_good_is_an_end_with_its_reason() -> None:
    """Whoever runs the process tells it by its exit code."""
    lifetime = Lifetime()
    lifetime.serving = True
    lifetime.lose("no connection for 300 s")
    assert lifetime.ending.is_set()
    assert lifetime.lost == "no connection for 300 s"
    assert lifetime.unready is not None
