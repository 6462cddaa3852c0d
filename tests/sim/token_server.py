"""An OAuth token endpoint that rotates refresh tokens and takes a second use of one as theft.

The rule is that of https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2: on reuse it cannot tell thief from client,
and revokes what it gave out. `grace` is the leeway some servers leave for a lost answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.sim.network import Network
from tests.sim.world import World


class Tokens(NamedTuple):
    access: str
    refresh: str
    expires_in: float


class Denied(NamedTuple):
    error: str


@dataclass
class Family:
    """What one authorisation gave out. `used` maps a consumed refresh token to when it was first used."""

    current: Tokens
    issued_at: float
    number: int = 1
    revoked: bool = False
    used: dict[str, float] = field(default_factory=dict)


class TokenServer:
    """`refreshes`, `reuses` and `families` are what a test counts."""

    def __init__(self, world: World, network: Network, *, lifetime: float = 3600.0, grace: float = 0.0) -> None:
        self.refreshes = 0
        self.reuses = 0
        self.families: dict[str, Family] = {}
        self._world = world
        self._network = network
        self._lifetime = lifetime
        self._grace = grace

    @property
    def lenient(self) -> bool:
        """Whether it may forgive a second use."""
        return self._grace > 0

    def authorise(self, user: str) -> Tokens:
        """The first pair, as a connect flow ends with it."""
        self.families[user] = Family(self._pair(user, 1), self._world.now)
        return self.families[user].current

    def refresh(self, token: str, answer: Callable[[Tokens | Denied], None]) -> None:
        """Ask over the network; the answer comes, comes late, or never comes though the token was used."""

        def arrives() -> None:
            said = self._refresh(token)
            self._network.answer(lambda: answer(said))

        self._network.request(arrives)

    def accepts(self, access: str) -> bool:
        """Whether an API takes this access token now."""
        return any(
            not family.revoked
            and family.current.access == access
            and self._world.now < family.issued_at + family.current.expires_in
            for family in self.families.values()
        )

    def _refresh(self, token: str) -> Tokens | Denied:
        user = token.partition("/")[0]
        family = self.families.get(user)
        if family is None or family.revoked:
            return self._denied(user)
        first_used = family.used.get(token, -math.inf)
        if token == family.current.refresh or self._world.now - first_used < self._grace:
            return self._rotate(user, family, token)
        if token in family.used:
            self.reuses += 1
            family.revoked = True
        return self._denied(user)

    def _rotate(self, user: str, family: Family, token: str) -> Tokens:
        self.refreshes += 1
        family.used.setdefault(token, self._world.now)
        family.used.setdefault(family.current.refresh, self._world.now)
        family.number += 1
        family.current, family.issued_at = self._pair(user, family.number), self._world.now
        self._world.tell(f"token server rotated {user} {family.number}")
        return family.current

    def _denied(self, user: str) -> Denied:
        self._world.tell(f"token server denied {user}")
        return Denied("invalid_grant")

    def _pair(self, user: str, number: int) -> Tokens:
        return Tokens(f"{user}/access/{number}", f"{user}/refresh/{number}", self._lifetime)
