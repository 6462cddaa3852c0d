"""The model of a token server: rotation, reuse as theft, leeway, and answers that are lost after the rotation."""

from __future__ import annotations

from tests.sim.network import Network, Weather
from tests.sim.token_server import Denied, Tokens, TokenServer
from tests.sim.world import World

INVALID = Denied("invalid_grant")


class House:
    """A server, one user, and what it answers."""

    def __init__(self, *, grace: float = 0.0, lifetime: float = 60.0) -> None:
        self.world = World(5)
        self.network = Network(self.world, Weather())
        self.server = TokenServer(self.world, self.network, lifetime=lifetime, grace=grace)
        self.first = self.server.authorise("alice")

    def refresh(self, token: str) -> Tokens | Denied | None:
        """The answer, None when it is lost."""
        came: list[Tokens | Denied] = []
        self.server.refresh(token, came.append)
        self.world.run(self.world.now + 1.0)
        return came[0] if came else None


def test_a_refresh_rotates() -> None:
    """A new pair; the access token of before is over with it."""
    house = House()
    second = house.refresh(house.first.refresh)
    assert isinstance(second, Tokens)
    assert second.refresh != house.first.refresh
    assert house.server.accepts(second.access)
    assert not house.server.accepts(house.first.access)


def test_reuse_revokes_the_family() -> None:
    """A second use of a refresh token ends the new pair too; another user is not touched."""
    house = House()
    bob = house.server.authorise("bob")
    second = house.refresh(house.first.refresh)
    assert house.refresh(house.first.refresh) == INVALID
    assert isinstance(second, Tokens)
    assert not house.server.accepts(second.access)
    assert house.refresh(second.refresh) == INVALID
    assert house.server.accepts(bob.access)
    assert (house.server.refreshes, house.server.reuses) == (1, 1)


def test_a_lost_answer_followed_by_a_repetition_is_reuse() -> None:
    """The rotation happened, its answer did not come: trying the old token again ends the family."""
    house = House()
    house.network.weather = Weather(lost_answer=1.0)
    assert house.refresh(house.first.refresh) is None
    house.network.weather = Weather()
    assert house.refresh(house.first.refresh) == INVALID
    assert house.server.families["alice"].revoked


def test_leeway_forgives_a_repetition_for_a_while() -> None:
    """Within the grace an old token still rotates, after it that is reuse."""
    house = House(grace=10.0)
    house.refresh(house.first.refresh)
    again = house.refresh(house.first.refresh)
    assert isinstance(again, Tokens)
    assert house.server.accepts(again.access)
    house.world.run(30.0)
    assert house.refresh(house.first.refresh) == INVALID
    assert not house.server.accepts(again.access)


def test_an_access_token_expires() -> None:
    """By the server's clock, from when it was given out."""
    house = House(lifetime=60.0)
    house.world.run(59.9)
    assert house.server.accepts(house.first.access)
    house.world.run(60.0)
    assert not house.server.accepts(house.first.access)


def test_what_was_never_given_out_is_denied() -> None:
    """An unknown token is no reuse of anything."""
    house = House()
    assert house.refresh("alice/refresh/99") == INVALID
    assert house.refresh("nobody/refresh/1") == INVALID
    assert house.server.accepts(house.first.access)
    assert house.server.reuses == 0
