"""A link in the failure of a call whose connection only its owner can mend: one for many failing calls.

It goes into the reply alone, never into the trace: whoever has it may open it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import anyio
import msgspec

from sidecar.connect import Connect
from sidecar.model import Call, Failure, Outcome, Reason
from sidecar.ports import Clock
from sidecar.wire.connect import VALID_SECONDS, ConnectLink
from sidecar.wire.subject import ConnectAddress

OWNERS = frozenset({Reason.REAUTH_REQUIRED, Reason.REFRESH_LOST})
FRESH_SECONDS = VALID_SECONDS / 2  # a link that is told has at least the other half left
LOOK_SECONDS = 5.0  # how often it is looked whether one was used
WAIT_SECONDS = 1.0  # of a reply, for its link
MOST = 1_000


@dataclass(slots=True)
class _Known:
    """What was last told for a connection. `link` is None where there can be none, or while its owner is at it."""

    link: ConnectLink | None
    made: float
    looked: float


class Links:
    """Links for failures. Calls that fail at once share one, and one that was not used is told again."""

    def __init__(self, connect: Connect, clock: Clock) -> None:
        self._connect = connect
        self._clock = clock
        self._known: OrderedDict[ConnectAddress, _Known] = OrderedDict()

    async def mended(self, call: Call, outcome: Outcome) -> Outcome:
        """The outcome, with the link in its hint where one helps and is to be had in time."""
        if not isinstance(outcome, Failure) or outcome.reason not in OWNERS:
            return outcome
        link = None
        with anyio.move_on_after(min(WAIT_SECONDS, max(0.0, call.deadline - self._clock.now()))):
            link = await self._link(ConnectAddress(call.tenant, call.connection, call.provider, "start"))
        if link is None:
            return outcome
        minutes = round((link.valid_seconds - FRESH_SECONDS) / 60)
        hint = f"its owner can allow access again, within {minutes} minutes: {link.link}"
        return msgspec.structs.replace(outcome, hint=hint)

    async def _link(self, address: ConnectAddress) -> ConnectLink | None:
        known, now = self._known.get(address), self._clock.now()
        if known is None or now - known.made >= FRESH_SECONDS:
            return await self._new(address)
        if known.link is not None and now - known.looked >= LOOK_SECONDS:
            known.looked = now
            if not await self._connect.is_offered(address, known.link.flow):
                known.link = None  # its owner is at it; who fails meanwhile needs no second one
        return known.link

    async def _new(self, address: ConnectAddress) -> ConnectLink | None:
        """A new one. Who asks while it is made is told none, rather than wait or make another."""
        now = self._clock.now()
        known = self._known[address] = _Known(None, now, now)
        self._known.move_to_end(address)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        made = False
        try:
            link = await self._connect.again(address)
            known.link = link if isinstance(link, ConnectLink) else None
            made = not isinstance(link, Failure) or link.reason is not Reason.STORE_UNAVAILABLE
        finally:
            if not made:
                known.made = -math.inf
        return known.link
