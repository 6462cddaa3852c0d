"""Looking after the calls that wait at one sidecar: those whose time is over, requests without an answer, an owner that
says nothing, and what credits can do meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.quota.limit import Demand
from sidecar.core.quota.member import Waiter
from sidecar.core.quota.pace import LATEST, MOMENT
from sidecar.core.quota.turn import Turn

if TYPE_CHECKING:
    from sidecar.core.quota.part import Part

NEVER = float("inf")
AT_ONCE = 100  # requests that are repeated in one message
TRIED = 1.0  # seconds; a try so long ago says nothing about now


class Looking:
    """Of one partition."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._looks = NEVER
        self._soonest = NEVER  # the first deadline that came since the last look was planned

    def expect(self, deadline: float) -> None:
        """One more waits until then."""
        self._soonest = min(self._soonest, deadline)

    def hopeless(self, demand: Demand, deadline: float, turn: Turn) -> float | None:
        """Seconds after which to try again, where nobody will be there to ask before the deadline; else None."""
        member, seat, now, pace = self._part.member, self._part.seat, turn.now, turn.pace
        if self._part.leaving:
            return float(pace.ttl)
        if member.lost == NEVER or seat.owns(now) or self._credit_wait(demand, turn) <= deadline - now:
            return None
        if now - seat.tried > TRIED:
            member.lost = now  # nobody tried for a while, so nobody knows
            return None
        seat.seek(turn)
        if now - member.lost > pace.patience:
            return pace.patience
        if not seat.store_away and member.heard + pace.ttl > now:
            short = [window.seconds for want in demand.wants for window in want.limit.windows]
            cold = LATEST + max((seconds for seconds in short if seconds < pace.long), default=0.0)
            gap = member.heard + pace.ttl + pace.again - now + cold
            return gap if gap > deadline - now else None
        return None

    def look(self, turn: Turn) -> None:
        """Those whose time is over; requests without an answer; an owner that says nothing; credits meanwhile."""
        self._looks = NEVER
        member, now, pace = self._part.member, turn.now, turn.pace
        if not member.waiting:
            return
        for waiter in [waiter for waiter in member.waiting.values() if waiter.deadline <= now]:
            self._give_up_on(waiter, max(waiter.ready - now, pace.again), turn, away=not self._part.asks(turn))
        if self._part.asks(turn):
            self._ask_again(turn)
        elif member.lost == NEVER:
            member.lost = now
        if not self._part.asks(turn) or member.lost < NEVER:
            if not self._part.leaving:
                self._part.seat.seek(turn)
            self._by_credit(turn)
            self._lose_patience(turn)
        if member.waiting:
            seat = self._part.seat
            soon = seat.due() if not self._part.asks(turn) and seat.due() > now else now + pace.resend
            self.look_at(min(soon, *(waiter.deadline for waiter in member.waiting.values())), turn)

    def look_at(self, at: float, turn: Turn) -> None:
        """Look at that moment, or earlier."""
        if at < self._looks - MOMENT:
            self._looks = at
            turn.later(at, self._look_now)

    def settle(self, turn: Turn) -> None:
        """Where somebody waits there is a next look: at the first deadline at the latest."""
        if self._soonest < NEVER or self._looks == NEVER:
            self.look_at(min(turn.now + turn.pace.resend, self._soonest), turn)
            self._soonest = NEVER

    def _look_now(self, turn: Turn) -> None:
        """Unless an earlier look has put this one off."""
        if turn.now >= self._looks:
            self.look(turn)

    def _ask_again(self, turn: Turn) -> None:
        member, now, pace = self._part.member, turn.now, turn.pace
        if member.owner == turn.me:
            waiters = [waiter for waiter in member.waiting.values() if waiter.asked == float("-inf")]
        else:
            before = now - pace.resend + 0.001
            quiet = member.heard <= before
            waiters = [
                waiter
                for waiter in member.waiting.values()
                if waiter.asked <= before and (quiet or waiter.answered < waiter.asked or waiter.ready <= before)
            ][:AT_ONCE]
            first = min((waiter.asked for waiter in waiters if waiter.asked > float("-inf")), default=now)
            if waiters and now - max(member.heard, min(first, now)) >= pace.silence and member.lost == NEVER:
                member.lost = now
        if waiters:
            self._part.request(waiters, turn)

    def _by_credit(self, turn: Turn) -> None:
        member = self._part.member
        for waiter in list(member.waiting.values()):
            if waiter.demand.slots or member.credits.fit(waiter.demand.wants, turn.now) is None:
                continue
            if (member.credits.fit(waiter.demand.wants, turn.now) or 0.0) > turn.now:
                break
            member.leave(waiter.call, turn)
            member.by_credit(waiter.call, waiter.demand, turn)

    def _lose_patience(self, turn: Turn) -> None:
        """Nobody could be asked for long: only who may hope for a credit waits on."""
        member, patience = self._part.member, turn.pace.patience
        if turn.now - member.lost > patience:
            for waiter in list(member.waiting.values()):
                if not self._has_credit(waiter.demand, turn):
                    self._give_up_on(waiter, patience, turn, away=True)

    def _give_up_on(self, waiter: Waiter, retry_after: float, turn: Turn, *, away: bool) -> None:
        if waiter.asked > float("-inf"):
            self._part.member.unused.append(waiter.name)
        self._part.member.refuse(waiter, retry_after, waiter.bucket, turn, away=away)

    def _credit_wait(self, demand: Demand, turn: Turn) -> float:
        """How long it would wait behind those that wait here, if there were nothing but credits."""
        wait = 0.0
        if not self._has_credit(demand, turn):
            return NEVER
        for want in demand.wants:
            held = self._part.member.credits.held[want.limit.key]
            ahead = sum(
                other.cost
                for waiter in self._part.member.waiting.values()
                for other in waiter.demand.wants
                if other.limit.key == want.limit.key
            )
            for window in held.windows:
                rounds, rest = divmod(ahead + want.cost - 1, window.units)
                again = window.seconds + want.limit.variation + LATEST
                fit = window.fit(rest + 1, window.units, turn.now) - turn.now
                wait = max(wait, fit + rounds * again)
        return wait

    def _has_credit(self, demand: Demand, turn: Turn) -> bool:
        """Whether it can be served without asking, now or later."""
        for want in demand.wants:
            held = self._part.member.credits.held.get(want.limit.key)
            if held is None or held.until <= turn.now or held.limit != want.limit:
                return False
            if any(want.cost > window.units for window in held.windows):
                return False
        return True
