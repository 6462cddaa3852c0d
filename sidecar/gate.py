"""Who is let in: messages begin, stand in their tenant's line for a moment, or are refused at once.

`core/fair.py` decides. A message that waits costs next to nothing until it is seated: then it is decoded, so that it
has a deadline, can be cancelled and is told of, and waits for its turn before anything else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from sidecar.answer import Answerer
from sidecar.core.fair import Bounds, Fair, Place, Verdict
from sidecar.micro import Endpoint
from sidecar.model import Failure, Reason
from sidecar.ports import Message

LINES = 8  # full lines that there is room for: one tenant's is not all of it
RETRY_SECONDS = 1.0  # until whoever was refused should try again


class Admission(msgspec.Struct, frozen=True):
    """What is let in. `reply_prefixes`: a caller may have its answer sent there and nowhere else, since the sidecar
    may publish where the caller may not; `wire.inbox` says what one may hold. Without a bound of its own one tenant,
    or one provider, may fill the sidecar. `weights` are by the tenant's token; 1 where there is none.
    """

    max_in_flight: int = 1024
    max_timeout_ms: int = 300_000
    reply_prefixes: tuple[str, ...] = ("_INBOX.", "_R_.")
    max_per_tenant: int | None = None
    max_per_provider: int | None = None
    max_waiting: int = 256
    weights: dict[str, int] = {}

    @property
    def bounds(self) -> Bounds:
        total = self.max_in_flight
        return Bounds(
            total=total,
            tenant=min(total, self.max_per_tenant or total),
            provider=min(total, self.max_per_provider or total),
            line=self.max_waiting,
            lines=max(total, LINES * self.max_waiting),
        )


class Arrived(Place, eq=False, kw_only=True):
    """A message at the gate. `turn`: what it waits for once it is seated."""

    message: Message
    answer: Answerer
    endpoint: Endpoint
    accepted: float
    turn: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"Arrived({self.tenant!r}, {self.provider!r})"  # an import holds a secret


class Gate:
    """`start` begins what comes in; it is called with the message and, while that is seated, waits for its `turn`."""

    def __init__(self, admission: Admission, start: Callable[[Arrived], None]) -> None:
        self._bounds = bounds = admission.bounds
        self._fair = Fair[Arrived](bounds, lambda tenant: admission.weights.get(tenant, 1))
        self._refusals = {verdict: _refusal(verdict, bounds) for verdict in (Verdict.TENANT_FULL, Verdict.ALL_FULL)}
        self._start = start
        self._standing: deque[Arrived] = deque()  # calls in a line, not seated
        self._others: set[Arrived] = set()  # what is no call, in a line
        self._scheduled = False
        self._full: tuple[str, str] | None = None  # tenant and provider that have no room, until anything changes
        self._refused = self._refusals[Verdict.ALL_FULL]  # what these were told

    @property
    def waiting(self) -> int:
        return self._fair.waiting

    def admit(
        self, message: Message, answer: Answerer, endpoint: Endpoint, accepted: float, *, call: bool
    ) -> Failure | None:
        """Let the message in, or say why not. Of what is no call, each kind has room as a provider has."""
        tokens = message.subject.split(".", 5)
        provider = tokens[4] if call and len(tokens) > 4 else tokens[1]  # noqa: PLR2004
        whose = tokens[2], provider
        if whose == self._full:  # as most of ten thousand that come at once
            return self._refused
        arrived = Arrived(*whose, message=message, answer=answer, endpoint=endpoint, accepted=accepted)
        verdict = self._fair.ask(arrived)
        if verdict is Verdict.BEGIN:
            self._start(arrived)
        elif verdict is Verdict.WAIT:
            (self._standing.append if call else self._others.add)(arrived)
        else:
            self._full, self._refused = whose, self._refusals[verdict]
            return self._refused
        self._full = None
        if not self._scheduled:
            self._schedule()
        return None

    def leave(self, arrived: Arrived) -> None:
        """It has ended."""
        self._full = None
        self._fair.leave(arrived)
        if not self._scheduled:
            self._schedule()

    def seat_all(self) -> None:
        """Have every call that stands in a line decoded, in the next turn of the loop."""
        self._seat(len(self._standing))

    def send_away(self) -> list[Arrived]:
        """Those that wait and were not seated: they do not begin any more."""
        away = [*(arrived for arrived in self._standing if arrived.waits), *self._others]
        self._standing.clear()
        self._others.clear()
        self._full = None
        for arrived in away:
            self._fair.leave(arrived)
        return away

    def _schedule(self) -> None:
        """Have a turn, if anybody wants one."""
        if self._standing or self._fair.wants_turn:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        self._full = None
        for place in self._fair.turn():
            self._others.discard(place)
            if place.turn is None:
                self._start(place)
            elif not place.turn.done():  # as one that was cancelled is
                place.turn.set_result(None)
        self._seat(self._bounds.at_once)
        self._schedule()

    def _seat(self, most: int) -> None:
        """So many of those that have stood longest."""
        while self._standing and most > 0:
            arrived = self._standing.popleft()
            if arrived.waits:
                most -= 1
                arrived.turn = asyncio.get_running_loop().create_future()
                self._start(arrived)


def _refusal(verdict: Verdict, bounds: Bounds) -> Failure:
    """What whoever is not let in is told."""
    if verdict is Verdict.TENANT_FULL:
        reason = Reason.TENANT_LIMIT
        detail = f"{bounds.tenant} calls of this tenant are under way and {bounds.line} wait: no more are taken"
    else:
        reason = Reason.QUEUE_FULL
        most = f"{bounds.total} calls in all, {bounds.provider} at one provider, the last few not for who has most"
        detail = f"as many calls are under way as this sidecar takes ({most}), and as many wait as may"
    return Failure(reason=reason, detail=detail, retry_after=RETRY_SECONDS)
