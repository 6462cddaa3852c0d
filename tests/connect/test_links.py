"""A call that only the account's owner can mend brings a link for the owner: one for many, in the reply alone."""

from __future__ import annotations

import msgspec
import pytest

from sidecar.connect import Site
from sidecar.credential import Credential, Status, Tokens
from sidecar.links import FRESH_SECONDS, LOOK_SECONDS
from sidecar.secret import Secret
from sidecar.wire.event import encoder
from tests.connect.house import Place, Script, place

pytestmark = pytest.mark.anyio

READ = "sidecar.read.default.alice.acme.items.get"
DEAD = Credential(
    kind="oauth2",
    fields={},
    account="alice",
    status=Status.REAUTH_REQUIRED,
    why="Acme said invalid_grant",
    tokens=Tokens(access=Secret("a"), refresh=Secret("r"), scopes=("items",)),
    created=1.0,
    changed=1.0,
)


async def failed(here: Place) -> str:
    """The hint of a call of a connection whose grant is dead."""
    body = (await here.house.ask(READ, b'{"id": "7"}')).body
    assert body["reason"] == "REAUTH_REQUIRED"
    return str(body["hint"])


async def dead(here: Place, **also: object) -> None:
    await here.house.credentials.save("default", "alice", "acme", msgspec.structs.replace(DEAD, **also))


def link_in(hint: str) -> str:
    assert "https://connect.acme.example/connect/" in hint
    return hint.partition("minutes: ")[2]


async def test_the_link_mends_it() -> None:
    """For the same account and the scopes that there were; after it calls go on."""
    async with place() as here:
        await dead(here)
        link = link_in(await failed(here))
        offered = (await here.browser.get(link)).text
        assert "alice" in offered
        sent = await here.begin(link)
        assert sent["scope"] == "offline items"
        await here.back(state=sent["state"], code="c0de")
        stored = await here.stored()
        assert stored is not None
        assert stored.status is Status.ACTIVE


async def test_scopes_by_other_names() -> None:
    """Where the provider tells other names than it was asked for, nothing is left out."""
    async with place() as here:
        await dead(here, tokens=Tokens(access=Secret("a"), scopes=("https://acme.example/items",)))
        sent = await here.begin(link_in(await failed(here)))
        assert sent["scope"] == "offline items me"


async def test_many_calls_share_one_link() -> None:
    """Until it is half over; then there is a new one."""
    async with place() as here:
        await dead(here)
        link = link_in(await failed(here))
        here.house.clock.advance(LOOK_SECONDS)
        assert link_in(await failed(here)) == link
        assert len(here.house.memory.entries) == 2
        here.house.clock.advance(FRESH_SECONDS)
        assert link_in(await failed(here)) != link


async def test_no_second_link_while_its_owner_is_at_it() -> None:
    """Once it was opened, the calls that fail meanwhile say what to do without one."""
    async with place() as here:
        await dead(here)
        await here.begin(link_in(await failed(here)))
        here.house.clock.advance(LOOK_SECONDS)
        assert await failed(here) == "its owner can allow access again: sidecar connect acme -c alice"


async def test_the_trace_holds_no_link() -> None:
    """Whoever reads what happened cannot open it."""
    async with place() as here:
        await dead(here)
        link = link_in(await failed(here))
        told = encoder.encode(here.house.trace.events).decode()
        assert "finished" in told
        assert link.rpartition("/")[2] not in told


@pytest.mark.parametrize("script", [Script(site=Site())])
async def test_without_pages_the_command_is_named(script: Script) -> None:
    """A link that nobody can open is none."""
    async with place(script) as here:
        await dead(here)
        assert await failed(here) == "its owner can allow access again: sidecar connect acme -c alice"


async def test_other_failures_bring_no_link() -> None:
    """Who never was connected is not: a reader may not choose whose account that becomes."""
    async with place() as here:
        body = (await here.house.ask(READ, b'{"id": "7"}')).body
        assert body["reason"] == "NO_CREDENTIAL"
        assert "https://connect" not in str(body["hint"])
        assert here.house.memory.entries == {}
