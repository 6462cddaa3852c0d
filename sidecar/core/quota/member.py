"""A sidecar's own side of one partition: its calls that wait, the permits and credits that it holds."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from sidecar.core.quota.credit import Credits
from sidecar.core.quota.denied import Denied
from sidecar.core.quota.event import Go, Hinted, Refuse, Wait
from sidecar.core.quota.limit import Demand, Limit
from sidecar.core.quota.message import Beat, Begun, Delay, Denial, Grant, Hint, Item, Permit, Request, Sync
from sidecar.core.quota.pace import DRIFT, LATEST
from sidecar.core.quota.spare import Spares
from sidecar.core.quota.turn import Turn

NOBODY = ""
NOT_YET = float("-inf")
SLOWER, FASTER = 2.0, 0.95  # how the time that permits have to hold follows how late this process is


class Waiter(msgspec.Struct, eq=False):
    """A call that waits. `name` is what the owner knows it by: another for each asking anew. `ready`: when it may
    start, as far as is known; `said`: the moment that the caller was told; `bucket`: for want of which it waits.
    """

    call: str
    name: str
    demand: Demand
    deadline: float
    ready: float
    bucket: str
    asked: float = NOT_YET
    answered: float = NOT_YET
    said: float | None = None


class Given(msgspec.Struct, eq=False):
    """A call that may start, or has: by a credit, or by a permit that its owner knows as `name`."""

    call: str
    name: str  # empty: by credit
    demand: Demand
    latest: float
    slots: bool


class Member:
    """`owner` is whom to ask, NOBODY when it is not known, and `epoch` since when it owns the partition."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.owner = NOBODY
        self.epoch = 0
        self.heard = NOT_YET  # when the owner last said something
        self.lost = float("inf")  # since when nobody can be asked
        self.jumped = NOT_YET  # when its clock was last found to have stood still
        self.credits = Credits()
        self.denied = Denied()
        self.spares = Spares()
        self.waiting: dict[str, Waiter] = {}  # by name
        self.calls: dict[str, Waiter | Given] = {}
        self.holds = False  # it was granted something that a next owner has to hear of
        self.late = 0.0  # what permits have to hold, where the usual is too short
        self.hints: dict[str, Hint] = {}
        self.hinted: dict[str, float] = {}  # when something was last said of a limit
        self.ended: list[str] = []
        self.unused: list[str] = []
        self.dropped: list[tuple[str, tuple[int, int]]] = []
        self.begun: list[tuple[str, float]] = []  # permits that were used, and when
        self.used = False  # a credit, since the last beat
        self.beats = False  # one is on the agenda
        self.slots = 0  # calls under way that hold one
        self.anew: list[Waiter] = []  # to be asked for once more: their permits came too late

    # What the process wants.

    def by_credit(self, call: str, demand: Demand, turn: Turn) -> bool:
        """Whether it may start at once without asking anybody."""
        if not self.credits.held:
            return False
        now = turn.now
        at = self.credits.fit(demand.wants, now)
        if at is None or at > now or demand.slots:
            return False
        latest = now + self.lateness(demand)
        self.credits.take(demand.wants, latest)
        self.calls[call] = Given(call, "", demand, latest, slots=False)
        self.used = True
        turn.effects.append(Go(call, now, latest))
        return True

    def by_spare(self, call: str, demand: Demand, turn: Turn) -> bool:
        """Whether it may start at once by a permit that was asked for before."""
        spare = self.spares.take(demand, self.lateness(demand), turn.now)
        if spare is None:
            return False
        name, latest = spare
        self.calls[call] = Given(call, name, demand, latest, slots=False)
        turn.effects.append(Go(call, turn.now, latest))
        return True

    def wait(self, call: str, demand: Demand, deadline: float, turn: Turn) -> Waiter:
        waiter = Waiter(call, str(turn.number()), demand, deadline, turn.now, demand.wants[0].limit.bucket)
        self.waiting[waiter.name] = self.calls[call] = waiter
        return waiter

    def leave(self, call: str, turn: Turn) -> None:
        """Nobody waits for it any more, or nothing was sent by its permit."""
        known = self.calls.pop(call, None)
        if isinstance(known, Waiter):
            del self.waiting[known.name]
            if known.asked > NOT_YET:
                self.unused.append(known.name)
        elif known is not None and known.name:
            self._was_late(known, turn)
            self.slots -= known.slots
            self.unused.append(known.name)
        elif known is not None:
            self._was_late(known, turn)
            self.credits.give_back(known.demand.wants, known.latest, turn.now)

    def began(self, call: str, at: float) -> None:
        """Its first byte left at that moment: what it took may be counted from then, not from its latest."""
        known = self.calls.get(call)
        if isinstance(known, Given) and known.name:
            self.begun.append((known.name, at))

    def end(self, call: str) -> bool:
        """Whether its owner has to know at once: a slot is free."""
        known = self.calls.pop(call, None)
        if not isinstance(known, Given) or not known.slots:
            return False
        self.slots -= 1
        self.ended.append(known.name)
        return True

    def hint(self, hinted: Hinted, turn: Turn) -> None:
        """What an answer said of a limit; of each once a second."""
        if turn.now - self.hinted.get(hinted.key, NOT_YET) < turn.pace.beat:
            return
        self.hinted = {key: at for key, at in self.hinted.items() if turn.now - at < turn.pace.beat}
        self.hinted[hinted.key] = turn.now
        self.hints[hinted.key] = Hint(hinted.key, hinted.limit, hinted.remaining, hinted.reset, hinted.fixed)

    def lateness(self, demand: Demand) -> float:
        return min(max(demand.late, self.late), LATEST)

    # What is said to the owner.

    def request(self, waiters: Iterable[Waiter], turn: Turn, came: Demand | None = None) -> Request | None:
        """What is asked for these, and for calls like the one that just came; None where that is nothing."""
        spare = self.spares.wanted(came, turn) if came is not None else ()
        if not waiters and not spare:
            return None
        limits: dict[str, Limit] = dict(came.limits) if came is not None else {}
        items, now = [], turn.now
        for waiter in waiters:
            demand, waiter.asked = waiter.demand, now
            limits |= demand.limits
            items.append(Item(waiter.name, demand.costs, waiter.deadline - now))
        begun = self._begun(turn) if self.begun else ()
        ahead = tuple(Item(name, came.costs, LATEST) for name in spare) if came is not None else ()
        return Request(self.partition, now, tuple(items), tuple(limits.values()), self.late, begun, ahead)

    def news(self) -> bool:
        """Whether anything is to be told to the owner, now or with the next beat."""
        now = self.to_say() or self.anew
        return bool(now or self.begun or self.slots or self.used)

    def to_say(self) -> bool:
        """Whether something came back that the owner should know at once."""
        return bool(self.ended or self.unused or self.spares.over or self.dropped or self.hints)

    def beat(self, turn: Turn) -> Beat:
        under_way = tuple(given.name for given in self.calls.values() if isinstance(given, Given) and given.slots)
        beat = Beat(
            self.partition,
            turn.now,
            tuple(self.ended),
            (*self.unused, *self.spares.over),
            under_way,
            tuple(self.dropped),
            tuple(self.hints.values()),
            tuple(key for key, held in self.credits.held.items() if held.until > turn.now) if self.used else (),
            self._begun(turn),
        )
        self.ended, self.unused, self.dropped, self.hints, self.used = [], [], [], {}, False
        self.spares.over = []
        return beat

    def _begun(self, turn: Turn) -> Begun:
        begun, self.begun = self.begun, []
        return tuple((name, (1 - DRIFT) * (turn.now - at)) for name, at in begun)

    def sync(self, turn: Turn) -> Sync:
        """Everything that a new owner has to know of."""
        self.credits.expire(turn.now)
        uses, limits = self.credits.spent(turn.now)
        known = {limit.key: limit for limit in limits}
        under_way = []
        for given in self.calls.values():
            if isinstance(given, Given) and given.slots:
                known |= given.demand.limits
                under_way.append((given.name, tuple(given.demand.limits)))
        known |= {held.limit.key: held.limit for held in self.credits.held.values()}
        return Sync(self.partition, uses, self.credits.all(), tuple(under_way), tuple(known.values()))

    # What the owner answers.

    def granted(self, grant: Grant, turn: Turn) -> None:
        if grant.epoch < self.epoch or grant.sent < self.jumped:
            return  # of an owner before this one, which knows nothing of it; or counted from a moment that is not known
        self.heard, self.lost = turn.now, float("inf")
        for key, serial in grant.recalled:
            self.credits.drop(key, serial, turn.now)
            self.dropped.append((key, serial))
        limits = self._limits(grant)
        for credit in grant.credits:
            limit = limits.get(credit.key)
            until = grant.sent + turn.pace.credit_life
            if limit is None or not self.credits.receive(credit, limit, until, turn.now):
                self.dropped.append((credit.key, credit.serial))
                self.credits.drop(credit.key, credit.serial, turn.now)
            self.holds = True
        for permit in grant.permits:
            self._permit(permit, grant, turn)
        for denial in grant.denials:
            self._denied(denial, grant, turn)
        for delay in grant.delays:
            self._delayed(delay, turn)

    def _permit(self, permit: Permit, grant: Grant, turn: Turn) -> None:
        """The two bounds come from two events: it starts no sooner than the grant came, plus the wait; and no later
        than the request was sent, plus what the owner counted since. No delay of a message moves a start out of them.
        """
        waiter = self.waiting.pop(permit.call, None)
        latest = grant.sent + grant.hold + permit.wait + permit.late
        if waiter is None:
            self.spares.granted(permit.call, latest)  # or a copy: it was used, or given back when its call left
            return
        earliest = turn.now + max(0.0, permit.wait)
        if max(turn.now, earliest) > latest or earliest > waiter.deadline:
            self.late = min(max(self.late, permit.late) * SLOWER, LATEST)
            self.unused.append(permit.call)
            waiter.name = str(turn.number())
            waiter.asked = waiter.answered = NOT_YET
            self.waiting[waiter.name] = waiter
            self.anew.append(waiter)
            return
        slots = waiter.demand.slots
        self.late = self.late * FASTER if self.late > 0.01 else 0.0  # noqa: PLR2004 - the least that permits hold
        self.calls[waiter.call] = Given(waiter.call, waiter.name, waiter.demand, latest, slots=slots)
        self.holds |= slots
        self.slots += slots
        turn.effects.append(Go(waiter.call, earliest, latest))

    def _denied(self, denial: Denial, grant: Grant, turn: Turn) -> None:
        waiter = self.waiting.get(denial.call)
        if waiter is None:
            self.spares.denied(denial.call, turn.now)
        else:
            self.spares.pause(waiter.demand, turn.now)
            if turn.now < waiter.deadline:  # the owner knew the wait, and did not just see the end of it
                self.denied.learn(waiter.demand, grant.sent + grant.hold, denial)
            retry_after = max(denial.retry_after, waiter.deadline - turn.now)  # the owner's clock may run otherwise
            self.refuse(waiter, retry_after, denial.bucket, turn, closed=denial.closed)

    def refuse(
        self, waiter: Waiter, retry_after: float, bucket: str, turn: Turn, *, closed: bool = False, away: bool = False
    ) -> None:
        del self.waiting[waiter.name], self.calls[waiter.call]
        turn.calls.pop(waiter.call, None)
        turn.effects.append(Refuse(waiter.call, max(0.0, retry_after), bucket, closed, away))

    def _delayed(self, delay: Delay, turn: Turn) -> None:
        waiter = self.waiting.get(delay.call)
        if waiter is None:
            return
        self.spares.pause(waiter.demand, turn.now)
        waiter.answered, waiter.ready, waiter.bucket = turn.now, turn.now + delay.seconds, delay.bucket
        self.say(waiter, delay.seconds, turn, closed=delay.closed)

    def say(self, waiter: Waiter, seconds: float, turn: Turn, *, closed: bool = False) -> None:
        """Tell the caller how long it waits, once, and when that changes much."""
        at = turn.now + seconds
        if waiter.said is None or abs(at - waiter.said) > max(1.0, 0.5 * seconds):
            waiter.said = at
            turn.effects.append(Wait(waiter.call, seconds, waiter.bucket, closed))

    def _limits(self, grant: Grant) -> dict[str, Limit]:
        """Those that calls here know; a credit for any other is of no use."""
        if not grant.credits:
            return {}
        limits = {key: held.limit for key, held in self.credits.held.items()}
        if any(credit.key not in limits for credit in grant.credits):
            for known in self.calls.values():
                limits |= known.demand.limits
        return limits

    def _was_late(self, given: Given, turn: Turn) -> None:
        if turn.now > given.latest:
            self.late = min(max(2 * self.late, 2 * given.demand.late), LATEST)
