"""The two records of a partition: who owns it, and what its next owner has to know.

Durations only: a reader adds how long ago the store says that the record was written.
"""

from __future__ import annotations

import msgspec

from sidecar.core.quota.limit import Limit
from sidecar.core.quota.message import Serial


class Claim(msgspec.Struct, frozen=True, omit_defaults=True):
    """`<scope>.own.<partition>`: the sidecar that owns it, and since which revision (0: this). It ends by itself."""

    o: str
    ep: int = 0


class Log(msgspec.Struct, frozen=True, array_like=True):
    """What is taken of one limit: of each window the units and in how many seconds they are free.

    `ahead`: units that may have been granted since this was written. `closed`: for how long.
    """

    limit: Limit
    windows: tuple[tuple[tuple[float, int], ...], ...]
    ahead: int = 0
    level: float | None = None
    closed: float = 0.0
    slots: tuple[tuple[str, str, float], ...] = ()
    lent: tuple[tuple[str, tuple[int, ...], Serial, float], ...] = ()


class State(msgspec.Struct, frozen=True):
    """`<scope>.st.<partition>`. `left`: its owner ended in order, and the logs are everything. Else they hold the long
    windows alone, and `roster` names all who may hold a credit or a slot.

    `longest`: for how many seconds a slot may be held. `omitted`: there was no room for all long windows; of
    what is not named, those of up to so many seconds count as used.
    """

    left: bool
    ep: int
    roster: tuple[str, ...] = ()
    longest: float = 0.0
    omitted: float = 0.0
    logs: tuple[Log, ...] = ()


_claims = msgspec.json.Decoder(Claim)
_states = msgspec.json.Decoder(State)
encode = msgspec.json.encode


def claim_of(value: bytes | None, revision: int) -> Claim | None:
    """Who owns it; None: nobody, or nobody that could be understood."""
    if value is None:
        return None
    try:
        claim = _claims.decode(value)
    except msgspec.MsgspecError:
        return None
    return claim if claim.ep else Claim(claim.o, revision)


def state_of(value: bytes | None) -> State | None:
    """What the last owner left; None: there was none. What cannot be read is a last owner that told nothing."""
    if value is None:
        return None
    try:
        return _states.decode(value)
    except msgspec.MsgspecError:
        return State(left=False, ep=0)
