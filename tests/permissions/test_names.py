"""A name has one form only: by no other spelling is a connection or a tenant reached, and from no other account."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from sidecar.nats_accounts import SERVING, account_config
from sidecar.nats_config import OWN, SHARED, example_accounts
from sidecar.nats_server_config import config_text, server_settings
from tests.fixtures_nats import until
from tests.permissions.connection import Login, Wire, connected
from tests.permissions.matrix import one_sidecar
from tests.permissions.place import Form, Place, place

pytestmark = pytest.mark.anyio

SPELLINGS = ["%61lice", "ALICE", "alice%40example%2ecom", "alice%", "%", "%zz", "*", "-", ""]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One account, with a sidecar that serves all."""
    made = place(Form.SINGLE, tmp_path_factory.mktemp("names"))
    loop = {"use_uvloop": True}
    with (
        start_blocking_portal("asyncio", loop) as portal,
        portal.wrap_async_context_manager(made) as there,
        portal.wrap_async_context_manager(one_sidecar(there, "sidecar", None)),
    ):
        yield there


async def reasons(wire: Wire, inbox: str, subject: str) -> list[str]:
    """Why the call on this subject failed; nothing where nobody answered, and the server had its time to."""
    mine, after = (f"{inbox}.{secrets.token_hex(4)}" for _ in range(2))
    wire.publish(subject, b"{}", mine)
    wire.publish(f"sidecar.read.{SHARED}.alice.github.nothing.here", b"{}", after)  # answered after the one before it
    await until(lambda: wire.refused or any(item.subject == after for item in wire.arrived))
    replies = [item.payload for item in wire.arrived if item.subject == mine and not item.status.startswith("503")]
    return [json.loads(payload)["reason"] for payload in replies]


async def test_the_one_spelling_is_answered(served: Place) -> None:
    """The control: as `alice` is written, alice is asked for."""
    async with served.wire(f"{SHARED}-alice") as wire:
        inbox = f"_INBOX.{SHARED}.alice"
        wire.subscribe(f"{inbox}.>")
        assert await reasons(wire, inbox, f"sidecar.read.{SHARED}.alice.github.users.me") == ["NO_CREDENTIAL"]


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_an_agent_of_one_user_reaches_no_other_spelling(served: Place, spelling: str) -> None:
    """The nats-server refuses it: its right names the one token."""
    subject = f"sidecar.read.{SHARED}.{spelling}.github.users.me"
    async with served.wire(f"{SHARED}-alice") as wire:
        wire.publish(subject, b"{}", f"_INBOX.{SHARED}.alice.x")
        await wire.settled()
        assert wire.was_refused("publish", subject)


@pytest.mark.parametrize("spelling", [spelling for spelling in SPELLINGS if spelling not in ("ALICE", "")])
async def test_an_agent_of_all_users_is_refused_by_the_sidecar(served: Place, spelling: str) -> None:
    """What the nats-server lets through under the tenant's wildcard, the sidecar refuses: it names nobody."""
    async with served.wire(f"{SHARED}-agent") as wire:
        inbox = f"_INBOX.{SHARED}.agent"
        wire.subscribe(f"{inbox}.>")
        assert await reasons(wire, inbox, f"sidecar.read.{SHARED}.{spelling}.github.users.me") == ["MALFORMED"]


async def test_an_empty_token_reaches_nobody(served: Place) -> None:
    """An empty token is no subject that anybody serves."""
    async with served.wire(f"{SHARED}-agent") as wire:
        inbox = f"_INBOX.{SHARED}.agent"
        wire.subscribe(f"{inbox}.>")
        assert await reasons(wire, inbox, f"sidecar.read.{SHARED}..github.users.me") in ([], ["MALFORMED"])


@pytest.mark.parametrize("spelling", ["%61cme", "ACME", "*", "-", "", OWN])
async def test_no_spelling_leads_to_a_tenant(served: Place, spelling: str) -> None:
    """The tenant's token is in every right."""
    subject = f"sidecar.read.{spelling}.alice.github.users.me"
    async with served.wire(f"{SHARED}-agent") as wire:
        wire.publish(subject, b"{}", f"_INBOX.{SHARED}.agent.x")
        await wire.settled()
        assert wire.was_refused("publish", subject)


async def test_no_answer_into_an_inbox_of_another_tenant(served: Place) -> None:
    """The nats-server lets anybody name any reply subject; the sidecar, which may publish there, does not."""
    theirs = f"_INBOX.{OWN}.agent.{secrets.token_hex(4)}"
    async with served.wire(f"{SHARED}-agent") as wire, served.wire(f"{OWN}-agent") as victim:
        victim.subscribe(f"_INBOX.{OWN}.agent.>")
        await victim.settled()
        inbox = f"_INBOX.{SHARED}.agent"
        wire.subscribe(f"{inbox}.>")
        for kind in ("read", "write"):
            wire.publish(f"sidecar.{kind}.{SHARED}.alice.github.users.me", b"{}", theirs)
        wire.publish(f"sidecar.catalog.{SHARED}.providers", b"", theirs)
        await reasons(wire, inbox, f"sidecar.read.{SHARED}.alice.github.users.me")
        await victim.settled()
        assert victim.arrived == []
        assert wire.refused == set()


@pytest.mark.parametrize(
    "destination",
    [
        f"_INBOX.{OWN}.agent.x",
        f"_INBOX.{SHARED}.operator.x",
        f"$KV.SIDECAR_CREDENTIALS.{OWN}.alice.github",
        f"sidecar.trace.{SHARED}.alice.github.finished",
        f"sidecar.admin.{SHARED}.alice.github.revoke",
        "$JS.API.STREAM.DELETE.KV_SIDECAR_CREDENTIALS",
    ],
)
async def test_the_servers_own_trace_goes_nowhere_else(served: Place, destination: str) -> None:
    """A message may ask the nats-server to tell its way: only where who sent it may publish."""
    async with served.wire(f"{SHARED}-agent") as wire:
        subject, inbox = f"sidecar.read.{SHARED}.alice.github.users.me", f"_INBOX.{SHARED}.agent.x"
        wire.publish(subject, b"{}", inbox, {"Nats-Trace-Dest": destination})
        await wire.settled()
        assert wire.was_refused("publish", destination)


async def test_a_whole_account_is_still_its_tenant(tmp_path: Path) -> None:
    """In accounts: somebody whom no permission holds back, within the account of one tenant, reaches the sidecars as
    that tenant and as no other; another tenant's subjects have nobody there.
    """
    accounts = {account.name: account_config(account) for account in example_accounts()}
    users = accounts[SHARED]["users"]
    assert isinstance(users, list)
    users.append({"user": "rogue", "password": "rogue"})
    file = tmp_path / "accounts.conf"
    file.write_text(config_text({**server_settings(), "accounts": accounts}))
    async with (
        place(Form.ACCOUNTS, tmp_path, config=file) as there,
        one_sidecar(there, "sidecar", None),
        connected(there.port, Login("rogue", "rogue")) as rogue,
        there.wire("sidecar") as witness,
    ):
        for kind in ("read", "admin", "trace", "result"):
            witness.subscribe(f"sidecar.{kind}.>")
        await witness.settled()
        rogue.subscribe("reply.>")
        own, other, spoofed = ("reply.own", "reply.other", "reply.spoofed")
        rogue.publish(f"sidecar.read.{OWN}.alice.github.users.me", b"{}", other)
        rogue.publish(f"sidecar.read.{SHARED}.{OWN}.alice.github.users.me", b"{}", spoofed)
        rogue.publish(f"sidecar.trace.{OWN}.alice.github.finished", b"{}")
        rogue.publish(f"sidecar.trace.{SHARED}.alice.github.finished", b"{}")
        rogue.publish(f"$KV.SIDECAR_CREDENTIALS.{OWN}.alice.github", b"x", "reply.record")
        rogue.publish(f"sidecar.read.{SHARED}.alice.github.users.me", b"{}", own)
        await until(lambda: any(item.subject == own for item in rogue.arrived))
        seen = {item.subject: item for item in rogue.arrived}
        assert json.loads(seen[own].payload)["reason"] == "NO_CREDENTIAL"
        assert seen[other].status.startswith("503")
        assert seen["reply.record"].status.startswith("503")
        heard = {item.subject for item in witness.arrived if not item.subject.startswith(f"sidecar.read.{SHARED}.")}
        assert not any(OWN in subject.split(".")[2] for subject in heard)
        assert f"sidecar.trace.{SHARED}.alice.github.finished" not in heard, "traces are the sidecars' alone"
        assert SERVING in accounts
