"""What an operator asks of copies: sealed records out, and back where they are missing, over the bus."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.credential import Credential
from sidecar.sandbox.scripted import FixedRandom
from sidecar.secret import Secret
from sidecar.store.credential import CredentialStore
from tests.worker.house import KEY, House, Published

pytestmark = pytest.mark.anyio

LOST = FileKeys({"lost": bytes(31) + b"9"})
TOKEN = "hunter2hunter2"


async def house(**sealed_with: FileKeys) -> House:
    """A sidecar that holds key k1, with a connection of acme for each name."""
    here = House()
    for name, keys in sealed_with.items():
        await save(here, name, keys)
    await here.worker.start()
    return here


async def save(here: House, name: str, keys: FileKeys = KEY, *, tenant: str = "default", token: str = TOKEN) -> None:
    store = CredentialStore(here.memory, keys, here.clock, FixedRandom(), capacity=1)
    known = Credential(kind="bearer", fields={"token": Secret(token)}, created=0.0, changed=0.0)
    assert await store.save(tenant, name, "acme", known) is None


async def ask(here: House, verb: str, payload: Any = None, *, who: str = "-.-") -> Published:
    data = b"" if payload is None else msgspec.json.encode(payload)
    return await here.ask(f"sidecar.admin.default.{who}.{verb}", data)


async def test_there_and_back() -> None:
    """An empty store takes every copy, and a call goes out with what it held."""
    copies = (await ask(await house(alice=KEY, bob=KEY), "export")).body["copies"]
    empty = await house()
    put = (await ask(empty, "restore", {"copies": copies})).body
    assert (put["restored"], put["kept"], put["failed"]) == (["default.alice.acme", "default.bob.acme"], [], [])
    known = await empty.credentials.load("default", "bob", "acme")
    assert isinstance(known, Credential)
    assert known.fields["token"].reveal() == TOKEN


async def test_a_copy_says_where_it_belongs_and_nothing_else() -> None:
    """Its key's id is in plain, its secret is not, whatever key is held."""
    reply = await ask(await house(alice=KEY, bob=LOST), "export")
    assert [(item["record"], item["key"]) for item in reply.body["copies"]] == [
        ("default.alice.acme", "k1"),
        ("default.bob.acme", "lost"),
    ]
    assert TOKEN not in msgspec.json.encode(reply.body).decode()


async def test_what_is_there_is_not_written_over() -> None:
    """A copy may be older than the record: a refresh token that was spent since would end the grant."""
    here = await house(alice=KEY)
    copies = (await ask(here, "export")).body["copies"]
    await save(here, "alice", token="newer-token")
    put = (await ask(here, "restore", {"copies": copies})).body
    assert (put["restored"], put["kept"]) == ([], ["default.alice.acme"])
    known = await here.credentials.load("default", "alice", "acme")
    assert isinstance(known, Credential)
    assert known.fields["token"].reveal() == "newer-token"


async def test_a_dry_run_writes_nothing() -> None:
    """It opens every copy and says what would be."""
    copies = (await ask(await house(alice=KEY), "export")).body["copies"]
    empty = await house()
    assert (await ask(empty, "restore", {"copies": copies, "dry_run": True})).body["restored"] == ["default.alice.acme"]
    assert (await ask(empty, "list")).body == []


async def test_what_cannot_be_put_back() -> None:
    """Another key's, one that was changed, one moved to another place, another tenant's: each with its reason."""
    there = await house(alice=KEY, bob=LOST, carol=KEY)
    await save(there, "zoe", tenant="globex")
    alice, bob, carol = (await ask(there, "export")).body["copies"]
    globex = (await there.ask("sidecar.admin.globex.-.-.export", b"")).body["copies"]
    broken = alice | {"sealed": alice["sealed"][:-8] + "AAAAAAA="}
    moved = carol | {"record": "default.mallory.acme"}
    empty = await house()
    put = (await ask(empty, "restore", {"copies": [bob, broken, moved, *globex]})).body
    assert put["restored"] == []
    assert [(item["record"], item["problem"].partition(":")[0]) for item in put["failed"]] == [
        ("default.bob.acme", "KEY_UNAVAILABLE"),
        ("default.alice.acme", "CREDENTIAL_CORRUPT"),
        ("default.mallory.acme", "CREDENTIAL_CORRUPT"),
        ("globex.zoe.acme", "TENANT_DENIED"),
    ]


async def test_a_part_is_asked_by_its_subject() -> None:
    """One connection's copies go out, and only that connection's come in."""
    there = await house(alice=KEY, bob=KEY)
    only = (await ask(there, "export", who="alice.-")).body["copies"]
    assert [item["record"] for item in only] == ["default.alice.acme"]
    put = (await ask(await house(), "restore", {"copies": only}, who="bob.-")).body
    assert [item["problem"].partition(":")[0] for item in put["failed"]] == ["TENANT_DENIED"]


async def test_batches() -> None:
    """`limit` ends one, `after` begins the next."""
    here = await house(alice=KEY, bob=KEY, carol=KEY)
    first = (await ask(here, "export", {"limit": 2})).body
    assert (len(first["copies"]), first["next"]) == (2, "default.bob.acme")
    second = (await ask(here, "export", {"after": first["next"], "limit": 2})).body
    assert ([item["record"] for item in second["copies"]], second["next"]) == (["default.carol.acme"], None)


@pytest.mark.parametrize(
    ("verb", "payload"),
    [
        ("export", {"limit": 0}),
        ("export", {"lim": 1}),
        ("restore", None),
        ("restore", {"copies": [{"record": "a", "key": "k", "sealed": "not base64!"}]}),
        ("restore", [1]),
    ],
)
async def test_what_is_wrong_with_a_batch(verb: str, payload: Any) -> None:
    """Refused with what to send."""
    reply = await ask(await house(), verb, payload)
    assert reply.body["reason"] == "MALFORMED"
    assert "; send {" in reply.body["detail"]
