"""The scope of a sidecar: what is listed is held, nothing else; what is not listed limits nothing."""

from __future__ import annotations

import pytest

from sidecar.scope import Scope

ACME = Scope("acme")
ALICE = Scope("acme", ("alice", "bob"))
GITHUB = Scope("acme", (), ("github",))


@pytest.mark.parametrize(
    ("scope", "asked", "held"),
    [
        (Scope(), ("acme", "alice", "github"), True),
        (ACME, ("acme", "alice", "github"), True),
        (ACME, ("evil", "alice", "github"), False),
        (ACME, ("Acme", "alice", "github"), False),
        (ALICE, ("acme", "bob", "github"), True),
        (ALICE, ("acme", "carol", "github"), False),
        (ALICE, ("evil", "alice", "github"), False),
        (GITHUB, ("acme", "carol", "github"), True),
        (GITHUB, ("acme", "carol", "slack"), False),
    ],
)
def test_what_a_scope_holds(scope: Scope, asked: tuple[str, str, str], held: bool) -> None:
    """Tenant, connection and provider must all be in it, as they are spelt."""
    assert scope.holds(*asked) is held
