"""A third-party API in the simulated world: it counts what it did, and its answers are as unreliable as real ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from tests.sim.network import Network
from tests.sim.world import World


class Answered(NamedTuple):
    """A status came. 429 and 503 say when to come back; `replayed` when an idempotency key was known."""

    status: int
    retry_after: float | None = None
    replayed: bool = False


class Cut(NamedTuple):
    """The connection ended without a status: the caller cannot know whether it was done."""


class Temper(NamedTuple):
    """How likely each misbehaviour is; what is left is a good answer. `keys`: whether it honours idempotency keys."""

    throttles: float = 0.0
    fails: float = 0.0
    hangs: float = 0.0
    cuts: float = 0.0
    keys: bool = False


class Provider:
    """`done` counts side effects by request."""

    def __init__(self, world: World, network: Network, temper: Temper) -> None:
        self.done: Counter[str] = Counter()
        self._world = world
        self._network = network
        self._temper = temper
        self._keys: dict[str, Answered] = {}

    def calm(self) -> None:
        """It behaves from now on."""
        self._temper = Temper(keys=self._temper.keys)

    def exchange(self, request: str, answer: Callable[[Answered | Cut], None], *, key: str = "") -> None:
        """One exchange over the network: done once, or not at all; answered, cut, or never heard of again."""
        self._network.request(lambda: self._take(request, key, answer))

    def _take(self, request: str, key: str, answer: Callable[[Answered | Cut], None]) -> None:
        world = self._world
        trouble = self._trouble()
        if trouble == "throttled":
            world.fault("provider throttled", request)
            self._network.answer(lambda: answer(Answered(429, retry_after=world.random.randint(1, 5))))
            return
        if trouble is not None:
            world.fault(f"provider {trouble}", request)
            if world.chance(0.5):  # whether it was done before the trouble is not to be seen from outside
                self._act(request, key)
            if trouble != "hangs":
                said = Answered(500) if trouble == "failed" else Cut()
                self._network.answer(lambda: answer(said))
            return
        good = self._act(request, key)
        self._network.answer(lambda: answer(good))

    def _act(self, request: str, key: str) -> Answered:
        if key and key in self._keys:
            return self._keys[key]._replace(replayed=True)
        self.done[request] += 1
        self._world.tell(f"provider did {request}")
        if key and self._temper.keys:
            self._keys[key] = Answered(200)
        return Answered(200)

    def _trouble(self) -> str | None:
        temper = self._temper
        dice = self._world.random.random()
        for name, probability in (
            ("throttled", temper.throttles),
            ("failed", temper.fails),
            ("hangs", temper.hangs),
            ("cut", temper.cuts),
        ):
            if dice < probability:
                return name
            dice -= probability
        return None
