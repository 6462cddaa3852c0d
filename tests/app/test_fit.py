"""`sidecar run` makes nothing: it starts where everything is there, and says what is not. `sidecar dev` makes what is
not there, but no key for what is sealed with another.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import anyio
import msgspec
import pytest

from sidecar.adapters.key_file import add_key, create_key_file, read_key_file
from sidecar.adapters.nats_bus import NatsBus
from sidecar.adapters.nats_server import embedded_server
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import provision
from sidecar.adapters.system import SystemClock, SystemRandom
from sidecar.app import Sidecar, Unfit, connected, run
from sidecar.credential import Credential
from sidecar.keys import keys_to_run
from sidecar.laptop import development
from sidecar.secret import Secret
from sidecar.settings import Settings
from sidecar.store.credential import CredentialStore
from sidecar.streams import streams_of

pytestmark = pytest.mark.anyio


def ends_at_once(running: Sidecar) -> None:
    running.lifetime.ending.set()


@pytest.mark.parametrize(("key", "lacks"), [(True, "SIDECAR_TRACE"), (False, "SIDECAR_KEK")])
async def test_each_thing_that_is_missing_keeps_it_from_starting(
    nats_url: str, tmp_path: Path, key: bool, lacks: str
) -> None:
    """With a key and without streams as well: no call would be traced, and no credential found."""
    kek = tmp_path / "kek"
    if key:
        create_key_file(kek)
    settings = Settings(nats_url=nats_url, prefix="bare", kek_file=str(kek) if key else None)
    with pytest.raises(Unfit, match=lacks):
        await run(settings, ends_at_once)


@pytest.mark.parametrize("scope", [{}, {"tenant": "acme"}, {"tenant": "acme", "connections": ("other", "shop")}])
async def test_keys_that_open_nothing_of_what_is_stored_keep_it_from_starting(
    tmp_path: Path, scope: dict[str, str]
) -> None:
    """Every call would fail: the key that is missing is named. A record that opens is enough, a key for nobody who has
    records none.
    """
    async with embedded_server(tmp_path / "nats", logging.getLogger("tests")) as server:
        settings = Settings(nats_url=server.url, kek_dir=str(tmp_path / "keys"), grace_seconds=0, **scope)  # type: ignore[arg-type]
        file = tmp_path / "keys" / "acme"
        missing = add_key(file)
        async with connected(settings, server.url) as bus:
            await provision(bus, streams_of(settings))
            await stored(bus, settings, ["acme"])
            await run(settings, ends_at_once)
            kept = file.rename(tmp_path / "kept")
            add_key(file)
            with pytest.raises(Unfit, match=rf"tenant 'acme' can be opened: key '{missing}' is not .*put it back"):
                await run(settings, ends_at_once)
            file.write_text(kept.read_text() + file.read_text())
            await run(settings, ends_at_once)


async def test_a_key_of_one_tenant_that_opens_nothing_keeps_no_other_from_being_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told in the log."""
    async with embedded_server(tmp_path / "nats", logging.getLogger("tests")) as server:
        settings = Settings(nats_url=server.url, kek_dir=str(tmp_path / "keys"), grace_seconds=0)
        for tenant in ("acme", "globex", "new"):
            add_key(tmp_path / "keys" / tenant)
        async with connected(settings, server.url) as bus:
            await provision(bus, streams_of(settings))
            await stored(bus, settings, ["acme", "globex"])
            (tmp_path / "keys" / "acme").unlink()
            add_key(tmp_path / "keys" / "acme")
            await run(settings, ends_at_once)
    [told] = [record.getMessage() for record in caplog.records if "can be opened" in record.getMessage()]
    assert told.startswith("no stored credential of tenant 'acme' can be opened: key 'k")


async def test_dev_makes_no_new_key_in_place_of_a_lost_one(tmp_path: Path) -> None:
    """What is stored would be lost in silence: it says which file is not there, and what goes on without it."""
    settings = Settings(data_dir=str(tmp_path / "data"), grace_seconds=0)
    file = tmp_path / "data" / "keys" / "default"
    async with development(settings, None) as (running, _):
        production = msgspec.structs.replace(settings, kek_file=str(file))
        create_key_file(file)
        await stored(running.bus, production, ["default"])
    kept = file.rename(tmp_path / "kept")
    with pytest.raises(Unfit, match=r"put it back, or give them up with a new key .sidecar keys new --tenant default"):
        async with development(settings, None):
            pytest.fail("it started")
    assert not file.exists()
    kept.rename(file)
    async with development(settings, None):
        assert len(read_key_file(file)) == 1


async def test_two_that_start_at_once_get_two_addresses(tmp_path: Path) -> None:
    """Neither takes from the other the port on which its accounts are connected."""
    addresses: set[str | None] = set()
    both = anyio.Event()

    async def one(name: str) -> None:
        async with development(Settings(data_dir=str(tmp_path / name), grace_seconds=0), None) as (running, _):
            addresses.add(running.connect_address)
            if len(addresses) == 2:
                both.set()
            await both.wait()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as starting:
            starting.start_soon(one, "a")
            starting.start_soon(one, "b")
    assert None not in addresses


async def stored(bus: NatsBus, settings: Settings, tenants: Sequence[str]) -> None:
    """A credential of each."""
    clock = SystemClock()
    keys = keys_to_run(settings, clock.now)
    assert not isinstance(keys, str)
    credentials = CredentialStore(NatsStore(bus), keys, clock, SystemRandom(), capacity=10)
    account = Credential(kind="bearer", fields={"token": Secret("t")}, base_url=None, created=1.0, changed=1.0)
    for tenant in tenants:
        assert await credentials.save(tenant, "shop", "github", account) is None
