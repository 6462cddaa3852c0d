"""How quotas stand, put together from every sidecar's part: one tenant's business, and nobody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from sidecar.adapters.nats_bus import NatsBus
from sidecar.core.quota.limit import Demand
from sidecar.model import Success
from sidecar.permit import Line
from sidecar.quota_admin import QuotaAdministrator
from sidecar.scope import Scope
from sidecar.wire.quota import quota_subjects
from sidecar.wire.quota_view import BudgetView, QuotaView, WaitView, WindowLeft
from sidecar.wire.subject import EVERY, AdminAddress
from tests.quota.place import Part, Place, placed

pytestmark = pytest.mark.anyio


def budget(key: str, owner: str = "a") -> BudgetView:
    return BudgetView(
        key=key, provider=key.partition("|")[0], bucket="core", owner=owner, windows=(WindowLeft(5, 1, 3),)
    )


def line(provider: str, tenant: str, connection: str) -> Line:
    return Line("1", "run", Demand(provider, f"{provider}|{tenant}|{connection}|told"), bucket="core")


@pytest.fixture
async def place(nats_url: str, bus: NatsBus, fresh_name: str) -> AsyncIterator[Place]:
    assert bus.connected
    async with placed(nats_url, fresh_name) as there:
        yield there


async def administrator(
    place: Place, name: str, owned: Sequence[BudgetView], waiting: Sequence[Line] = (), *, apart: bool = False
) -> QuotaAdministrator:
    part: Part = await place.part(name)
    made = QuotaAdministrator(
        bus=part.bus,
        perform=part.sharing.perform,
        subjects=quota_subjects("sidecar", Scope(place.tenant)),
        me=name,
        owned=lambda: owned,
        waiting=lambda: waiting,
        apart=apart,
    )
    await made.start()
    await part.bus.round_trip(20)
    return made


async def view(asked: QuotaAdministrator, tenant: str, connection: str = EVERY, provider: str = EVERY) -> QuotaView:
    outcome = await asked.answer(AdminAddress(tenant, connection, provider, "quota"))
    assert isinstance(outcome, Success)
    return msgspec.json.decode(outcome.body, type=QuotaView)


async def test_every_sidecar_tells_its_part(place: Place) -> None:
    """Whoever is asked, the answer is the same: the budgets of each owner, and who waits where."""
    a = await administrator(place, "a", [budget("github|acme|core")], [line("github", "acme", "alice")] * 2)
    b = await administrator(place, "b", [budget("slack|post", "b")], [line("slack", "acme", "b%40c")])
    expected = QuotaView(
        sidecars=("a", "b"),
        budgets=(budget("github|acme|core"), budget("slack|post", "b")),
        waits=(WaitView("github", "alice", "core", 2, "a"), WaitView("slack", "b@c", "core", 1, "b")),
    )
    for asked in (a, b):
        seen = await view(asked, "acme")
        assert msgspec.structs.replace(seen, waits=tuple(sorted(seen.waits, key=lambda w: w.sidecar))) == expected


OWNED = [
    budget("github|core"),
    budget("github|acme|core"),
    budget("github|acme|alice|core"),
    budget("github|acme|bob|core"),
    budget("github|globex|core"),
    budget("matrix|@chat.globex.example|core"),
    budget("slack|channel:C1|core"),
]


@pytest.mark.parametrize(
    ("apart", "connection", "provider", "seen"),
    [
        (False, EVERY, EVERY, {0, 1, 2, 3}),
        (False, "alice", EVERY, {0, 1, 2}),
        (False, EVERY, "slack", set()),
        (True, EVERY, EVERY, {0, 1, 2, 3, 4, 5, 6}),
        (True, EVERY, "slack", {6}),
    ],
)
async def test_a_tenant_sees_its_own(place: Place, apart: bool, connection: str, provider: str, seen: set[int]) -> None:
    """And what everybody shares; where sidecars are one tenant's, all that they own is its own."""
    a = await administrator(place, "a", OWNED, apart=apart)
    told = await view(a, "acme", connection, provider)
    assert {item.key for item in told.budgets} == {OWNED[index].key for index in seen}


async def test_who_waits_is_told_to_its_tenant(place: Place) -> None:
    """Not to another one."""
    a = await administrator(place, "a", [], [line("github", "globex", "alice")])
    assert (await view(a, "acme")).waits == ()
    assert len((await view(a, "globex", "alice", "github")).waits) == 1


async def test_no_more_than_fits(place: Place) -> None:
    """Of very many budgets the first are told, those that are waited for before all, and how many there are more."""
    many = [budget(f"github|acme|u{number}|core") for number in range(1_500)]
    many.append(msgspec.structs.replace(budget("github|acme|zz|core"), waiting=3))
    told = await view(await administrator(place, "a", many), "acme")
    assert (len(told.budgets), told.more) == (1_000, 501)
    assert "github|acme|zz|core" in {item.key for item in told.budgets}
