"""The figures that sharing a quota runs by. Seconds."""

from __future__ import annotations

import msgspec

LATEST = 0.25  # a permit holds no longer than that
DRIFT = 0.02  # clocks of two processes run at rates that differ by less
MOMENT = 0.0005  # a look is not put off, nor planned anew, by less


class Pace(msgspec.Struct, frozen=True):
    """All sidecars that share quotas run by the same figures.

    An owner may grant for `lease` from when it began to write its record, which the store frees after `ttl`: later by
    more than `horizon`, how long a permit holds and the way's variation, so that two owners never grant at once.
    """

    partitions: int = 32
    lease: float = 3.0
    ttl: int = 4
    renew: float = 1.0
    again: float = 0.25  # between two tries to become the owner
    horizon: float = 0.1  # how far ahead a permit is given
    share: float = 0.1  # of a limit: what all credits together come to
    holders: int = 4  # how many share that
    credit_life: float = 60.0
    lendable: float = 60.0  # the longest window of a limit of which credits are given
    credit_spare: float = 1.0  # the owner waits so much longer: clocks run at different rates
    recall: float = 0.5  # between two recalls while others wait
    resend: float = 0.3  # a request without an answer is repeated
    silence: float = 0.6  # an owner that said nothing for so long may be gone
    sync: float = 0.05  # a new owner waits so long for what the others hold
    beat: float = 1.0
    remembered: float = 5.0  # a permit is known by name for so long
    slot_spare: float = 5.0  # a slot nobody gave back is free so long after its call's deadline
    idle: float = 60.0  # a partition without calls is given up
    patience: float = 5.0  # a call waits at most so long for somebody who can be asked
    long: float = 10.0  # windows from here on are written ahead, shorter ones are waited out
    room: int = 700_000  # bytes of one record: two thirds of the 1 MiB that a message holds unless a server says less
    strict: float = 600.0  # after the provider said that a limit was passed, less is used of it for so long


def paced(largest: int) -> Pace:
    """The figures where a message holds so many bytes. What a record says besides its budgets needs some of them."""
    pace = Pace()
    return msgspec.structs.replace(pace, room=min(pace.room, largest * 2 // 3))
