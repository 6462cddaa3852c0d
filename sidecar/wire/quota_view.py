"""How shared quotas stand, as operators are told: what is left of each budget, who owns it, who waits."""

from __future__ import annotations

import msgspec


class WindowLeft(msgspec.Struct, frozen=True):
    """At most `units` in any `seconds`, of which `left` can be granted now; lent ones are not among them."""

    units: int
    seconds: float
    left: int


class TokensLeft(msgspec.Struct, frozen=True):
    """A token bucket: `rate` units come back each second, up to `burst`; `left` are there now."""

    rate: float
    burst: int
    left: int


class SlotsLeft(msgspec.Struct, frozen=True):
    """At most `most` exchanges at once; `left` may begin now."""

    most: int
    left: int


class BudgetView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One budget at its owner. `key` says whose it is. `closed_ms`: the provider said to wait so long; `lent`: units
    that sidecars may use without asking; `waiting`: units that are waited for.
    """

    key: str
    provider: str
    bucket: str
    owner: str
    windows: tuple[WindowLeft, ...] = ()
    tokens: TokensLeft | None = None
    slots: SlotsLeft | None = None
    closed_ms: int | None = None
    lent: int = 0
    waiting: int = 0


class WaitView(msgspec.Struct, frozen=True):
    """Calls of one connection that wait for one bucket at one sidecar."""

    provider: str
    connection: str
    bucket: str
    calls: int
    sidecar: str


class QuotaView(msgspec.Struct, frozen=True, kw_only=True):
    """How the quotas of a tenant stand, of those budgets that are in use. `sidecars`: who answered; `more`: how many
    budgets are left out for want of room.
    """

    sidecars: tuple[str, ...]
    budgets: tuple[BudgetView, ...]
    waits: tuple[WaitView, ...]
    more: int = 0


class Look(msgspec.Struct, frozen=True):
    """What one sidecar asks all: the tenant whose quotas are looked at, and what of them; None: all."""

    tenant: str
    connection: str | None = None
    provider: str | None = None
