"""Calls that a sidecar refused without asking their owner, held against what that owner said of others a moment ago."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from sidecar.core.quota.event import Asked, Effect, Event, Refuse, Send
from sidecar.core.quota.message import Grant, Request
from sidecar.core.quota.pace import Pace
from tests.sim.cluster import Cluster
from tests.sim.world import World

if TYPE_CHECKING:
    from tests.sim.pacer import Pacer

JUST_TOLD = "who refuses without asking knows it from the owner, since a moment"
MOMENT = 0.051  # seconds, by whatever clock
DRIFT = 0.02  # how far two clocks' rates are apart at most
KEPT = 64
PARTITIONS = Pace().partitions

Costs = tuple[tuple[str, int], ...]


class Said(NamedTuple):
    """An owner's "not before so many seconds", and when that was said."""

    at: float
    seconds: float


class Denials:
    """Of one world. Its clock is nobody's."""

    def __init__(self, world: World, cluster: Cluster) -> None:
        self._world = world
        self._cluster = cluster
        self._wanted: dict[tuple[str, str], Costs] = {}  # by the sidecar, and its name for the call
        self._said: defaultdict[tuple[str, Costs], deque[Said]] = defaultdict(lambda: deque(maxlen=KEPT))

    def stepped(self, pacer: Pacer, heard: Event, effects: Sequence[Effect]) -> None:
        """A node took a step."""
        for effect in effects:
            if type(effect) is Send and type(effect.message) is Request:
                self._wanted |= {(pacer.me, item.call): item.wants for item in effect.message.items}
            if type(effect) is Send and type(effect.message) is Grant:
                for denial in effect.message.denials:
                    costs = self._wanted.get((effect.to, denial.call), ())
                    self._said[effect.to, costs].append(Said(self._world.now, denial.retry_after))
            if type(effect) is Refuse and type(heard) is Asked and effect.call == heard.call:
                self._refused(pacer, heard, effect)

    def _refused(self, pacer: Pacer, asked: Asked, refuse: Refuse) -> None:
        """At once, by itself. What the provider closed everybody knows, and an owner asks itself."""
        if refuse.closed or refuse.away or asked.deadline <= pacer.actor.now or self._owns(pacer, asked):
            return
        said = self._said[pacer.me, asked.demand.costs]
        known = any(self._explains(one, refuse) for one in said)
        self._world.check(JUST_TOLD, known, (pacer.me, refuse, self._world.now, list(said)[-3:]))

    def _explains(self, said: Said, refuse: Refuse) -> bool:
        age = self._world.now - said.at
        left = said.seconds - age
        return age * (1 - DRIFT) <= MOMENT and refuse.retry_after <= left + DRIFT * (said.seconds + age) + 1e-6

    def _owns(self, pacer: Pacer, asked: Asked) -> bool:
        partition = crc32(asked.demand.family.encode()) % PARTITIONS
        held = self._cluster.bucket.last(f"-.own.{partition}", self._world.now)
        return held is not None and pacer.me.encode() in held.write.value
