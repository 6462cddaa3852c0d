"""What a sidecar's part in shared quotas hears, and what it wants done. No clock, no dice, no await in between.

Moments are of the clock that `now` is of, each process's own; between processes only durations are told.
What comes with every call cannot be part of a cycle, and is nothing to the garbage collector (`gc=False`).
"""

from __future__ import annotations

import msgspec

from sidecar.core.quota.limit import Demand
from sidecar.core.quota.message import Message


class Asked(msgspec.Struct, frozen=True, tag=True, gc=False):
    """An exchange wants to start before `deadline`. `call` names this exchange alone: a retry has another name."""

    call: str
    demand: Demand
    deadline: float


class Left(msgspec.Struct, frozen=True, tag=True, gc=False):
    """It does not wait any more (cancelled, or its time is over). After a Go: as `Unused`."""

    call: str


class Unused(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Its permit was not used: nothing was sent. What it took goes back as far as that is safe."""

    call: str


class Began(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Exchanges whose first byte left, each at its moment, which is past. Said together with another event."""

    calls: tuple[tuple[str, float], ...]


class Ended(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The exchange is over: its slots are free."""

    call: str


class Told(msgspec.Struct, frozen=True, tag=True):
    """The provider said "not before" (429 and its like): these keys are closed for so many seconds, everywhere."""

    keys: tuple[str, ...]
    seconds: float
    reason: str = ""


class Hinted(msgspec.Struct, frozen=True, tag=True):
    """What the answer to `call` said of a limit: what it is, what is left, and in how many seconds it starts anew."""

    call: str
    key: str
    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None
    fixed: bool = False


class Heard(msgspec.Struct, frozen=True, tag=True, gc=False):
    """A message of another sidecar. Its own messages to all come back to no one."""

    sender: str
    message: Message


class Undelivered(msgspec.Struct, frozen=True, tag=True):
    """Nobody received the message that was sent to `to`: that sidecar is gone (NATS 503)."""

    to: str
    message: Message


class Stored(msgspec.Struct, frozen=True, tag=True):
    """The Put or Get of this `ticket` succeeded. Of a Get: the value, None where there is no record; of a Put no value.

    `age`: seconds since the record was written, by the store's own clock, of a Get, where it is known.
    """

    ticket: int
    revision: int = 0
    value: bytes | None = None
    age: float | None = None


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The Put of this ticket came too late: another revision is the last one."""

    ticket: int
    last: int | None = None


class Away(msgspec.Struct, frozen=True, tag=True):
    """The Put or Get of this ticket had no answer; a Put may have happened."""

    ticket: int


class Woke(msgspec.Struct, frozen=True, tag=True):
    """The moment of the last `Wake` has come, or any other."""


class Jumped(msgspec.Struct, frozen=True, tag=True):
    """The process slept in a way that no clock of its own tells (a snapshot of its machine): nothing that it holds
    counts any more.
    """


class Leaving(msgspec.Struct, frozen=True, tag=True):
    """The process ends in order: hand over what is owned, give back what is held. `Gone` says when that is done."""


Event = (
    Asked
    | Left
    | Unused
    | Began
    | Ended
    | Told
    | Hinted
    | Heard
    | Undelivered
    | Stored
    | Refused
    | Away
    | Woke
    | Jumped
    | Leaving
)


class Go(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The exchange may start from `earliest` on, and not after `latest`: past that its permit is void (say `Unused`,
    ask again). Given at `earliest` or before it.
    """

    call: str
    earliest: float
    latest: float


class Wait(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The exchange waits about so many seconds for this bucket; said once or when it changes much. `closed`: the
    provider said so.
    """

    call: str
    seconds: float
    bucket: str
    closed: bool = False


class Refuse(msgspec.Struct, frozen=True, tag=True, gc=False):
    """It cannot be served before its deadline; `retry_after` seconds from now it could. `bucket`: for want of which.

    `away`: nobody could be asked (no owner, no store), so that the time is a guess.
    """

    call: str
    retry_after: float
    bucket: str
    closed: bool = False
    away: bool = False


class Send(msgspec.Struct, frozen=True, tag=True, gc=False):
    """To one sidecar; that it was not delivered is to be told (`Undelivered`) where `certain`."""

    to: str
    message: Message
    certain: bool = False


class SendAll(msgspec.Struct, frozen=True, tag=True):
    """To every sidecar that shares quotas with this one, not to itself."""

    message: Message


class Put(msgspec.Struct, frozen=True, tag=True):
    """Write a record of the quota bucket over exactly this revision (0: none); one try. A value of None deletes."""

    ticket: int
    key: str
    value: bytes | None
    expected: int
    ttl: int | None = None


class Get(msgspec.Struct, frozen=True, tag=True):
    """Read a record; it may be stale."""

    ticket: int
    key: str


class Wake(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Say `Woke` at this moment; it takes the place of the one before. None: there is nothing to wait for."""

    at: float | None


class Say(msgspec.Struct, frozen=True, tag=True):
    """Something an operator should know (took over, lost ownership, a limit differs from the manifest)."""

    what: str
    bucket: str = ""


class Gone(msgspec.Struct, frozen=True, tag=True):
    """After `Leaving`: nothing is owned or held any more."""


Effect = Go | Wait | Refuse | Send | SendAll | Put | Get | Wake | Say | Gone
