"""A connection as an operator sees it: how its token stands, and no secret."""

from __future__ import annotations

import msgspec
import pytest

from sidecar.credential import Credential, Refreshing, Status, Tokens
from sidecar.listed import listed
from sidecar.secret import Secret
from sidecar.store.credential import Named

WALL = 1_900_000_000.0
OURS = Refreshing(owner="a process", attempt="a process.1.1")
OVER = Refreshing(owner=None, attempt="a process.1.1", unanswered=1)
CANARY = "canary"


def connection(left: float | None, **also: object) -> Credential:
    expires, lifetime = (None, None) if left is None else (WALL + left, 3600.0)
    tokens = Tokens(access=Secret(CANARY), refresh=Secret(CANARY), expires=expires, lifetime=lifetime)
    plain = Credential(kind="oauth2", fields={}, created=1.0, changed=1.0, tokens=tokens)
    return msgspec.structs.replace(plain, **also)


@pytest.mark.parametrize(
    ("credential", "token"),
    [
        (connection(3600), "valid"),
        (connection(301), "valid"),
        (connection(299), "expiring"),
        (connection(4), "ended"),
        (connection(-10), "ended"),
        (connection(299, refreshing=OURS), "refreshing"),
        (connection(299, refreshing=OVER), "expiring"),
        (connection(None), None),
        (connection(3600, tokens=None), None),
        (connection(3600, status=Status.DISABLED), None),
        (connection(-10, status=Status.REAUTH_REQUIRED, refreshing=OVER), None),
    ],
)
def test_how_a_token_stands(credential: Credential, token: str | None) -> None:
    """As long as the connection may be used: whether it is valid, about to be renewed, being renewed, or over."""
    told = listed(Named("acme", "alice", "github", credential), WALL)
    assert told.token == token
    assert CANARY not in msgspec.json.encode(told).decode()
