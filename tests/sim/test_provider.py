"""The model of a third-party API: what it did is counted, whatever it answered."""

from __future__ import annotations

import pytest

from tests.sim.network import Network, Weather
from tests.sim.provider import Answered, Cut, Provider, Temper
from tests.sim.world import World


def asked(
    temper: Temper, *, times: int = 1, weather: Weather | None = None, key: str = ""
) -> tuple[Provider, list[object]]:
    """The provider after the same request was sent so often, and what came back."""
    world = World(3)
    provider = Provider(world, Network(world, weather or Weather()), temper)
    came: list[object] = []
    for number in range(times):
        world.after(number, lambda: provider.exchange("pay", came.append, key=key))
    world.run(1_000.0)
    return provider, came


def test_a_good_answer() -> None:
    """Done once, answered once."""
    provider, came = asked(Temper())
    assert came == [Answered(200)]
    assert provider.done == {"pay": 1}


def test_a_refusal_does_nothing() -> None:
    """A 429 says when to come back; nothing was done."""
    provider, [answer] = asked(Temper(throttles=1.0))
    assert isinstance(answer, Answered)
    assert answer.status == 429
    assert answer.retry_after
    assert not provider.done


@pytest.mark.parametrize(
    ("temper", "answer"),
    [(Temper(fails=1.0), Answered(500)), (Temper(cuts=1.0), Cut()), (Temper(hangs=1.0), None)],
)
def test_trouble_leaves_in_the_dark(temper: Temper, answer: object) -> None:
    """A 500, a cut connection and silence come with and without the side effect."""
    provider, came = asked(temper, times=100)
    assert came == ([] if answer is None else [answer] * 100)
    assert 0 < provider.done["pay"] < 100


@pytest.mark.parametrize(("keys", "done"), [(True, 1), (False, 3)])
def test_an_idempotency_key(keys: bool, done: int) -> None:
    """Where keys are honoured the request is done once and its answer replayed; elsewhere a key is nothing."""
    provider, came = asked(Temper(keys=keys), times=3, key="k1")
    assert provider.done["pay"] == done
    assert came == [Answered(200), *([Answered(200, replayed=keys)] * 2)]


def test_a_lost_answer_was_done_all_the_same() -> None:
    """What the network loses on the way back happened."""
    provider, came = asked(Temper(), weather=Weather(lost_answer=1.0))
    assert came == []
    assert provider.done == {"pay": 1}
