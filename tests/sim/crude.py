"""Nodes that break a promise each, so that each promise is known to be looked at."""

from __future__ import annotations

from sidecar.core.quota.event import Asked, Effect, Event, Go, Refuse, Send, Told, Wake, Woke
from sidecar.core.quota.message import Grant, Permit
from sidecar.core.quota.node import Node


class Greedy:
    """Lets everything go at once."""

    def __init__(self, me: str, scope: str) -> None:
        self.told: list[Event] = []

    def on(self, event: Event, now: float, jitter: float) -> list[Effect]:
        return [Go(event.call, now, now + 1.0)] if isinstance(event, Asked) else []


class Twice(Greedy):
    """Says everything twice."""

    def on(self, event: Event, now: float, jitter: float) -> list[Effect]:
        return super().on(event, now, jitter) * 2


class Mute(Greedy):
    """Answers nothing."""

    def on(self, event: Event, now: float, jitter: float) -> list[Effect]:
        return []


class Late(Greedy):
    """Lets go for a moment that is past the deadline."""

    def on(self, event: Event, now: float, jitter: float) -> list[Effect]:
        return [Go(event.call, event.deadline + 1, event.deadline + 2)] if isinstance(event, Asked) else []


class Tardy(Greedy):
    """Refuses long after the deadline."""

    def __init__(self, me: str, scope: str) -> None:
        self._asked: list[Asked] = []

    def on(self, event: Event, now: float, jitter: float) -> list[Effect]:
        if isinstance(event, Asked):
            self._asked.append(event)
            return [Wake(event.deadline + 0.2)]
        asked, self._asked = self._asked, []
        return [Refuse(one.call, 1.0, "a") for one in asked]


class Stubborn(Greedy):
    """Refuses everything, for a moment at which it could have been served."""

    retry_after = 0.0
    away = False

    def on(self, event: Event, now: float, jitter: float) -> list[Effect]:
        if not isinstance(event, Asked):
            return []
        return [Refuse(event.call, self.retry_after, "a", away=self.away)]


class Never(Stubborn):
    """Refuses everything, as if there were nobody to ask."""

    retry_after = 99.0
    away = True


class Presumptuous(Never):
    """Refuses everything, as if the owner had said so."""

    away = False


class Usurper(Greedy):
    """Grants without having been chosen."""

    def __init__(self, me: str, scope: str) -> None:
        self._me = me

    def on(self, event: Event, now: float, jitter: float) -> list[Effect]:
        grant = Grant(3, 1, 0.0, permits=(Permit("x", 0.0, 0.01),))
        return [*super().on(event, now, jitter), Send(self._me, grant)]


class Deaf(Node):
    """Does not hear what the provider says."""

    def on(self, event: Event, now: float, jitter: float) -> list[Effect]:
        return [] if isinstance(event, Told) else super().on(event, now, jitter)


class Restless(Node):
    """Wakes for nothing, for ever."""

    def on(self, event: Event, now: float, jitter: float) -> list[Effect]:
        effects = super().on(event, now, jitter)
        return [Wake(now + 1.0)] if isinstance(event, Woke) and not effects else effects
