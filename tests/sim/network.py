"""What carries requests and answers in the simulated world: mostly at once, sometimes late, sometimes never."""

from __future__ import annotations

from typing import NamedTuple

from tests.sim.world import Act, World

HOP_SECONDS = (0.0002, 0.004)
LATE_SECONDS = (0.2, 12.0)  # longer than an attempt waits, and longer than a whole write may last


class Weather(NamedTuple):
    """How likely it is that a request or an answer is lost, or comes late."""

    lost_request: float = 0.0
    late_request: float = 0.0
    lost_answer: float = 0.0
    late_answer: float = 0.0


class Network:
    """One way between clients and a server."""

    def __init__(self, world: World, weather: Weather) -> None:
        self.weather = weather
        self._world = world

    def request(self, arrives: Act) -> None:
        self._carry("request", self.weather.lost_request, self.weather.late_request, arrives)

    def answer(self, arrives: Act) -> None:
        self._carry("answer", self.weather.lost_answer, self.weather.late_answer, arrives)

    def _carry(self, what: str, lost: float, late: float, arrives: Act) -> None:
        world = self._world
        dice = world.random.random()
        if dice < lost:
            world.fault(f"lost {what}")
            return
        if dice < lost + late:
            world.fault(f"late {what}")
            world.after(world.random.uniform(*LATE_SECONDS), arrives)
            return
        world.after(world.random.uniform(*HOP_SECONDS), arrives)
