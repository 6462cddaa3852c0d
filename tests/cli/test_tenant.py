"""`sidecar tenant delete`: what is kept of one tenant goes, and of nobody else, on a real nats-server."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.cli.tenant import Deleted, deleted_text
from tests.cli.conftest import Command, Served, said

SERVER = "https://server.example"


def import_for(beside: Command, tenant: str, *connections: str) -> None:
    for connection in connections:
        words = ["import", "acme", "--tenant", tenant, "-c", connection, "--base-url", SERVER, "--from-file", "-"]
        assert beside("connection", *words, input="test-token").exit_code == 0


def listed(beside: Command, tenant: str) -> list[str]:
    return [item["connection"] for item in said(beside("connection", "list", "--tenant", tenant, "--json"))]


def test_all_of_one_tenant_and_nothing_of_another(beside: Command, served: Served) -> None:
    """Credentials and trace are gone, calls are refused at once, the other tenant whose name begins alike has all."""
    import_for(beside, "going", "a", "b")
    import_for(beside, "going.on", "a")
    assert beside("call", "acme.account.get", "--tenant", "going", "-c", "a").exit_code == 0
    deleted = beside("tenant", "delete", "going", "--confirm", "going", "--json")
    assert deleted.exit_code == 0, deleted.stderr
    facts = said(deleted)
    assert (facts["connections"], facts["revoked"], facts["unrevoked"]) == (2, 2, {})
    assert (facts["credentials"], facts["flows"]) == (2, 0)
    assert facts["events"] >= 6  # of a call, of two imports and two revocations
    assert facts["left"] == [str(Path(served.data_dir) / "keys" / "going")]
    assert listed(beside, "going") == []
    assert listed(beside, "going.on") == ["a"]
    called = beside("call", "acme.account.get", "--tenant", "going", "-c", "a")
    assert called.exit_code == 77
    assert beside("call", "acme.account.get", "--tenant", "going.on", "-c", "a").exit_code == 0


def test_a_tenant_that_never_was(beside: Command, served: Served) -> None:
    """Nothing was deleted, and it is not told as if: the name may be misspelt. Of one that was, the second time too."""
    never = beside("tenant", "delete", "never", "--confirm", "never", "--json")
    assert never.exit_code == 66
    assert said(never)["reason"] == "UNKNOWN_TENANT"
    import_for(beside, "gone", "a")
    (Path(served.data_dir) / "keys" / "gone").unlink()
    assert beside("tenant", "delete", "gone", "--confirm", "gone").exit_code == 0
    again = beside("tenant", "delete", "gone", "--confirm", "gone")
    assert again.exit_code == 66
    assert "nothing was kept of tenant 'gone'" in again.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("kept",), "--confirm kept"),
        (("kept", "--confirm", "Kept"), "nothing was deleted"),
        (("-", "--confirm", "-"), "is not the name of a tenant"),
        (("",), "is not the name of a tenant"),
    ],
)
def test_the_name_is_given_twice(beside: Command, words: tuple[str, ...], told: str) -> None:
    """Without the same name again nothing is deleted, and `-`, which stands for every one, is nobody's name."""
    import_for(beside, "kept", "a")
    refused = beside("tenant", "delete", *words)
    assert refused.exit_code == 64
    assert told in refused.stderr
    assert listed(beside, "kept") == ["a"]


def test_what_no_sidecar_revoked_is_told() -> None:
    """Which connections, why, and how long a sidecar may go on with them."""
    deleted = Deleted(
        tenant="acme",
        connections=2,
        revoked=1,
        unrevoked={"a of github": "GitHub is away"},
        untold=("b of gmail",),
        credentials=2,
        flows=1,
        events=9,
        durable=0,
        left=(),
    )
    text = deleted_text(deleted)
    assert "1 revoked before" in text
    assert "a of github (GitHub is away)" in text
    assert "within 30 s" in text
    assert "take it back there: b of gmail" in text
    assert "1 connect link deleted" in text
