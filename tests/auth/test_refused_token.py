"""The provider refuses a token that the clock calls valid: it is renewed once."""

from __future__ import annotations

import anyio
import pytest

from sidecar.credential import Credential
from sidecar.model import Failure
from sidecar.sandbox.scripted import ManualClock
from sidecar.secret import Secret
from tests.auth.renewing import WHO, Sidecar, StrictEndpoint, access, credential
from tests.store.test_credential import MemoryStore

pytestmark = pytest.mark.anyio


async def test_it_is_renewed_once(one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock) -> None:
    """By one request for any number of calls."""
    await one.store.save(*WHO, credential(clock))
    got: list[str] = []

    async def call(used: Credential) -> None:
        got.append(access(await one.live.rejected(*WHO, used, within=30)))

    async with one.serving():
        used = await one.load()
        assert isinstance(used, Credential)
        async with anyio.create_task_group() as calls:
            for _ in range(5):
                calls.start_soon(call, used)
    assert got == ["access-2"] * 5
    assert endpoint.asked == ["refresh-1"]


async def test_a_token_without_an_end_is_renewed_then(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """Its provider says no lifetime: only the refusal tells."""
    await one.store.save(*WHO, credential(clock, left=None))
    async with one.serving():
        used = await one.load()
        assert isinstance(used, Credential)
        assert access(await one.live.rejected(*WHO, used, within=30)) == "access-2"


async def test_new_tokens_that_are_refused_as_well_are_no_loop(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """Further calls ask for none for a while."""
    await one.store.save(*WHO, credential(clock))
    async with one.serving():
        used = await one.load()
        found: Credential | Failure | None = used
        for _ in range(5):
            assert isinstance(used, Credential)
            found = await one.live.rejected(*WHO, used, within=30)
            used = await one.load()
        assert found is None
        assert len(endpoint.asked) == 1


async def test_what_another_sidecar_renewed_is_taken(
    memory: MemoryStore, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """The refused token was the one before."""
    one, two = Sidecar(memory, endpoint, clock), Sidecar(memory, endpoint, clock)
    await one.store.save(*WHO, credential(clock))
    async with one.serving(follow=False), two.serving(follow=False):
        old = await two.load()
        first = await one.load()
        assert isinstance(old, Credential)
        assert isinstance(first, Credential)
        await one.live.rejected(*WHO, first, within=30)
        assert access(await two.live.rejected(*WHO, old, within=30)) == "access-2"
    assert endpoint.asked == ["refresh-1"]


async def test_a_kind_without_tokens_has_none_to_renew(
    one: Sidecar, endpoint: StrictEndpoint, clock: ManualClock
) -> None:
    """A refused bearer token is refused."""
    key = Credential(kind="bearer", fields={"token": Secret("k")}, created=1.0, changed=1.0)
    await one.store.save(*WHO, key)
    async with one.serving():
        assert await one.live.rejected(*WHO, key, within=30) is None
        assert await one.load() == key
