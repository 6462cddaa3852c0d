"""What sidecars say to one another about quotas, over `sidecar.quota.<tenant or ->.to.<id>` and `.all`.

Only durations cross the wire, never a moment. Messages may be lost, late or twice; of one sender they keep their order.
What comes with every call cannot be part of a cycle, and is nothing to the garbage collector (`gc=False`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sidecar.core.quota.limit import Limit

Serial = tuple[int, int]  # the owner's epoch, and a number that rises: tells one credit from every other


class Item(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One exchange that waits: what it costs of which limit, and how many seconds it has left."""

    call: str
    wants: tuple[tuple[str, int], ...]
    left: float


Begun = tuple[tuple[str, float], ...]  # calls, and at least how many seconds ago the first byte of each left


class Request(msgspec.Struct, frozen=True, array_like=True, tag="req", gc=False):
    """Permits wanted. `sent` is the sender's own moment, which the grant repeats. `limits`: those the items name.
    `late`: for how long the permits have to hold, where the usual time is too short for this sidecar. `begun`: permits
    that were used. `spare`: permits for calls that are still to come; `left` is for how long each is to hold.
    """

    partition: int
    sent: float
    items: tuple[Item, ...]
    limits: tuple[Limit, ...]
    late: float = 0.0
    begun: Begun = ()
    spare: tuple[Item, ...] = ()


def together(requests: Sequence[Request]) -> Request:
    """What these ask of one owner, as one message: it was sent when the first of them was."""
    first = requests[0]
    if len(requests) == 1:
        return first
    return Request(
        first.partition,
        min(request.sent for request in requests),
        tuple(item for request in requests for item in request.items),
        tuple({limit.key: limit for request in requests for limit in request.limits}.values()),
        max(request.late for request in requests),
        tuple(one for request in requests for one in request.begun),
        tuple(item for request in requests for item in request.spare),
    )


class Permit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`call` may start `wait` seconds after this is received, and `late` seconds later than that at the latest, both
    counted by the owner from when it wrote this. Below zero: that moment is over.
    """

    call: str
    wait: float
    late: float


class Denial(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`call` cannot start in time; in so many seconds it could, for want of this bucket."""

    call: str
    retry_after: float
    bucket: str
    closed: bool = False


class Delay(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`call` will wait about so many seconds, for this bucket."""

    call: str
    seconds: float
    bucket: str
    closed: bool = False


class Credit(msgspec.Struct, frozen=True, array_like=True):
    """Units of a limit that may be used without asking, so many in each of its windows, until they are recalled or too
    old.
    """

    key: str
    units: tuple[int, ...]
    serial: Serial


class Grant(msgspec.Struct, frozen=True, array_like=True, tag="gr", gc=False):
    """The owner's answer, at once or later. `sent`: the moment that the receiver's last message named, `hold`: for how
    many seconds the owner has had that. Credits live from `sent`.
    """

    partition: int
    epoch: int
    sent: float
    hold: float = 0.0
    permits: tuple[Permit, ...] = ()
    denials: tuple[Denial, ...] = ()
    delays: tuple[Delay, ...] = ()
    credits: tuple[Credit, ...] = ()
    recalled: tuple[tuple[str, Serial], ...] = ()


class Hint(msgspec.Struct, frozen=True, array_like=True):
    """What an answer said of a limit; `age`: for how many seconds that has been known."""

    key: str
    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None
    fixed: bool = False
    age: float = 0.0


class Beat(msgspec.Struct, frozen=True, array_like=True, tag="hb"):
    """Once a second while there is something to say, and at once when a slot, a permit or a credit comes back.

    `uses`: the limits of which credits were used since the last one, so that they are renewed.
    """

    partition: int
    sent: float
    ended: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    under_way: tuple[str, ...] = ()
    dropped: tuple[tuple[str, Serial], ...] = ()
    hints: tuple[Hint, ...] = ()
    uses: tuple[str, ...] = ()
    begun: Begun = ()


class Took(msgspec.Struct, frozen=True, array_like=True, tag="own"):
    """I own this partition now, by the claim of this revision."""

    partition: int
    epoch: int


class Use(msgspec.Struct, frozen=True, array_like=True):
    """Units of a limit that were used without asking, at the latest `age` seconds ago."""

    key: str
    units: int
    age: float


class Sync(msgspec.Struct, frozen=True, array_like=True, tag="sync"):
    """What this sidecar holds of a partition, for its new owner."""

    partition: int
    uses: tuple[Use, ...] = ()
    credits: tuple[Credit, ...] = ()
    under_way: tuple[tuple[str, tuple[str, ...]], ...] = ()
    limits: tuple[Limit, ...] = ()


class NotMine(msgspec.Struct, frozen=True, array_like=True, tag="no"):
    """You asked me, and I do not own that partition, or not any more."""

    partition: int


class Closed(msgspec.Struct, frozen=True, array_like=True, tag="closed"):
    """The provider said "not before": these keys are closed for so many seconds."""

    keys: tuple[str, ...]
    seconds: float


Message = Request | Grant | Beat | Took | Sync | NotMine | Closed
