"""One partition at one sidecar: its calls, whom they ask, and the owner's ledger where that is this sidecar."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.core.quota.event import Asked, Hinted, Refuse, Send
from sidecar.core.quota.limit import Demand
from sidecar.core.quota.looking import Looking
from sidecar.core.quota.member import NOBODY, Member, Waiter
from sidecar.core.quota.message import Beat, Grant, Message, NotMine, Request, Sync, Took
from sidecar.core.quota.owner import Owner
from sidecar.core.quota.seat import Seat, Step
from sidecar.core.quota.turn import Turn

NEVER = float("inf")


class Part:
    """Everything that is said to oneself goes the same way as to others, without a message."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.member = Member(partition)
        self.seat = Seat(partition, self._named, self._opened)
        self.leaving = False
        self._looking = Looking(self)

    # Calls.

    def ask(self, call: str, demand: Demand, deadline: float, turn: Turn) -> None:
        member = self.member
        if member.by_credit(call, demand, turn):
            return
        if member.by_spare(call, demand, turn):
            self.request([], turn, demand)
            return
        denied = member.denied.refusal(demand, deadline, turn.now)
        if denied is not None:
            turn.calls.pop(call, None)
            seconds, denial = denied
            turn.effects.append(Refuse(call, seconds, denial.bucket, denial.closed))
            return
        hopeless = self._looking.hopeless(demand, deadline, turn)
        if hopeless is not None:
            turn.calls.pop(call, None)
            bucket = demand.wants[0].limit.bucket
            turn.effects.append(Refuse(call, hopeless, bucket, away=True))
            return
        waiter = member.wait(call, demand, deadline, turn)
        self._looking.expect(deadline)
        if self.asks(turn):
            self.request([waiter], turn, demand)
        else:
            self._looking.look(turn)

    def leave(self, call: str, turn: Turn) -> None:
        self.member.leave(call, turn)

    def began(self, call: str, at: float) -> None:
        self.member.began(call, at)

    def end(self, call: str) -> bool:
        """Whether there is something to say about it."""
        return self.member.end(call)

    def hint(self, hinted: Hinted, turn: Turn) -> None:
        self.member.hint(hinted, turn)

    def closed(self, keys: frozenset[str], turn: Turn) -> list[Asked]:
        """The provider closed these: who waits for any of them waits for that, not here."""
        member, owner = self.member, self.seat.owner
        if owner is not None:
            owner.close(keys, turn)
        touched = [waiter for waiter in member.waiting.values() if not keys.isdisjoint(waiter.demand.keys)]
        for waiter in touched:
            member.leave(waiter.call, turn)
        return [Asked(waiter.call, waiter.demand, waiter.deadline) for waiter in touched]

    # Messages.

    def hear(self, sender: str, message: Message, turn: Turn) -> None:
        match message:
            case Grant():
                if sender == self.member.owner or message.epoch > self.member.epoch:
                    self.member.granted(message, turn)
            case Request() | Beat() | Sync():
                self._asked(sender, message, turn)
            case Took(epoch=epoch):
                if epoch >= self.member.epoch:
                    self.seat.deposed(epoch, turn)
                    self._named(sender, epoch, turn)
                    self._sync(turn)
            case NotMine():
                if self.member.owner == sender:
                    self._nobody(turn)
            case _:
                pass

    def undelivered(self, to: str, message: Message, turn: Turn) -> None:
        owner = self.seat.owner
        if isinstance(message, Grant) and owner is not None:
            owner.gone(to, message.permits, turn)
        elif self.member.owner == to:
            self._nobody(turn)

    def _asked(self, sender: str, message: Request | Beat | Sync, turn: Turn) -> None:
        owner = self.seat.owner
        if owner is None or not self.seat.owns(turn.now):
            if self.seat.step is not Step.OPENING and not isinstance(message, Sync):
                turn.effects.append(Send(sender, NotMine(self.partition)))
            return
        if isinstance(message, Sync):
            owner.lending.told(sender, message, turn)
            return
        if sender in owner.lending.missing:
            turn.effects.append(Send(sender, Took(self.partition, owner.epoch)))
        if isinstance(message, Request):
            owner.request(sender, message, turn)
        else:
            owner.beat(sender, message, turn)

    # The process ends, or its time broke.

    def give_up(self, left: Callable[[Turn], None], turn: Turn) -> None:
        """Give back all that is held, and what is owned; `left` is told when that is done."""
        member, self.leaving = self.member, True
        for waiter in list(member.waiting.values()):
            member.refuse(waiter, turn.pace.ttl, waiter.bucket, turn, away=True)
        member.spares.give_up()
        for key, held in list(member.credits.held.items()):
            member.dropped.append((key, held.serial))
            member.credits.drop(key, held.serial, turn.now)
        self.settle(turn)
        self.seat.leave(turn, left)

    def jumped(self, turn: Turn) -> None:
        member = self.member
        member.jumped = turn.now
        member.denied.forget()
        member.spares.give_up()
        self.seat.jumped(turn)
        for key, held in list(member.credits.held.items()):
            member.dropped.append((key, held.serial))
            member.credits.drop(key, held.serial, turn.now)
        for waiter in member.waiting.values():
            waiter.asked = float("-inf")
        self._nobody(turn)

    # Whom to ask.

    def asks(self, turn: Turn) -> bool:
        """Whether there is somebody to ask: this sidecar itself, or another that is known."""
        if self.member.owner == turn.me:
            return self.seat.owns(turn.now)
        return self.member.owner != NOBODY

    def request(self, waiters: list[Waiter], turn: Turn, came: Demand | None = None) -> None:
        """Ask for these; `came`: what the call needs that came just now, so that more of its kind are expected."""
        remote = self.member.owner not in (NOBODY, turn.me)
        request = self.member.request(waiters, turn, came if remote else None)
        if request is None:
            return
        if self.member.owner == turn.me:
            if self.seat.owner is not None:
                self.seat.owner.request(turn.me, request, turn)
        else:
            turn.effects.append(Send(self.member.owner, request, certain=True))

    def _named(self, owner: str, epoch: int, turn: Turn) -> None:
        """Who owns it, as the record or the owner itself says."""
        member = self.member
        if owner == NOBODY:
            self._nobody(turn)
            return
        if epoch < member.epoch or (owner == member.owner and epoch == member.epoch):
            return
        known = member.owner
        member.owner, member.epoch = owner, epoch
        member.denied.forget()
        member.lost = NEVER
        if owner == turn.me:
            return
        member.heard = turn.now
        if known != owner:
            self._sync(turn)
        if member.waiting:
            self.request(list(member.waiting.values()), turn)

    def _opened(self, turn: Turn) -> None:
        """It is this sidecar's: its own calls are the first that ask, and what it holds itself is known to it."""
        owner, self.member.lost = self.seat.owner, NEVER
        if owner is not None:
            owner.lending.told(turn.me, self.member.sync(turn), turn)
        if self.member.waiting:
            self.request(list(self.member.waiting.values()), turn)

    def _sync(self, turn: Turn) -> None:
        if self.member.holds and self.member.owner not in (NOBODY, turn.me):
            turn.effects.append(Send(self.member.owner, self.member.sync(turn)))

    def _nobody(self, turn: Turn) -> None:
        member = self.member
        member.owner = NOBODY
        member.denied.forget()
        if member.lost == NEVER:
            member.lost = turn.now
        if member.waiting:
            self._looking.look_at(turn.now, turn)

    # What is to be said at the end of a turn.

    def settle(self, turn: Turn) -> None:
        owner, member = self.seat.owner, self.member
        if member.news():
            self._tell(turn)
        if owner is not None:
            while self._answer(owner, turn):
                self._tell(turn)
            if owner.ahead.dirty:
                self.seat.write_down(turn)
        if member.waiting:
            self._looking.settle(turn)

    def _answer(self, owner: Owner, turn: Turn) -> bool:
        """Say what the owner has to say; whether this sidecar, its own member, then has something to say to it."""
        again = False
        owner.serving.serve(turn)
        for to, grant in owner.answers.collected(turn.now):
            if to == turn.me:
                self.member.granted(grant, turn)
                again = self.member.news()
            else:
                turn.effects.append(Send(to, grant, certain=bool(grant.permits)))
        return again

    def _tell(self, turn: Turn) -> None:
        """What came back is told at once; what is in use, once a second."""
        member = self.member
        if member.anew and self.asks(turn):
            waiters = [waiter for waiter in member.anew if waiter.name in member.waiting]
            member.anew = []
            if waiters:
                self.request(waiters, turn)
        if member.to_say() and self.asks(turn):
            self._beat_now(turn)
        if not member.beats and (member.used or member.slots or member.begun) and self.asks(turn):
            member.beats = True
            turn.later(turn.now + turn.pace.beat, self._beat)

    def _beat(self, turn: Turn) -> None:
        self.member.beats = False
        if self.asks(turn) and (self.member.used or self.member.slots or self.member.begun):
            self._beat_now(turn)

    def _beat_now(self, turn: Turn) -> None:
        beat = self.member.beat(turn)
        if self.member.owner != turn.me:
            turn.effects.append(Send(self.member.owner, beat, certain=True))
        elif self.seat.owner is not None:
            self.seat.owner.beat(turn.me, beat, turn)
