"""What an operator asks of keys, over the bus; and what a call is told whose record no key at hand opens."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.credential import Credential
from sidecar.ports import Entry
from sidecar.sandbox.scripted import FixedRandom
from sidecar.secret import Secret
from sidecar.store.credential import CredentialStore
from sidecar.wire.event import Finished, Started
from tests.worker.house import KEY, House, Published

pytestmark = pytest.mark.anyio

LOST = FileKeys({"lost": bytes(31) + b"9"})


async def house(**sealed_with: FileKeys) -> House:
    """A sidecar that holds key k1, with a connection of acme for each name."""
    here = House()
    for name, keys in sealed_with.items():
        store = CredentialStore(here.memory, keys, here.clock, FixedRandom(), capacity=1)
        known = Credential(kind="bearer", fields={"token": Secret("hunter2hunter2")}, created=0.0, changed=0.0)
        assert await store.save("default", name, "acme", known) is None
    await here.worker.start()
    return here


async def ask(here: House, verb: str, payload: Any = None, *, who: str = "-.-") -> Published:
    data = b"" if payload is None else msgspec.json.encode(payload)
    return await here.ask(f"sidecar.admin.default.{who}.{verb}", data)


@pytest.mark.parametrize("verb", ["keys", "rewrap"])
async def test_every_record_is_told(verb: str) -> None:
    """How many are under which key, which do not open, and which keys are held; the trace says that it was asked."""
    here = await house(alice=KEY, bob=KEY, carol=LOST)
    body = (await ask(here, verb)).body
    assert (body["key"], body["held"], body["records"]) == ("k1", ["k1"], {"k1": 2, "lost": 1})
    assert (body["rewrapped"], body["left"], body["next"]) == (0, 1, None)
    problems = [(item["record"], item["problem"].partition(":")[0]) for item in body["failed"]]
    told = [("SIDECAR_CREDENTIALS|default.carol.acme", "KEY_UNAVAILABLE")]
    assert problems == (told if verb == "rewrap" else [])
    assert [(event.verb, event.connection, event.outcome) for event in here.admin_events] == [(verb, "-", "ok")]


async def test_a_part_is_asked_by_its_subject() -> None:
    """One connection, or one provider."""
    here = await house(alice=KEY, bob=KEY)
    assert (await ask(here, "keys", who="alice.-")).body["records"] == {"k1": 1}
    assert (await ask(here, "keys", who="-.acme")).body["records"] == {"k1": 2}


async def test_batches() -> None:
    """`limit` ends one, `after` begins the next."""
    here = await house(alice=KEY, bob=KEY, carol=KEY)
    first = (await ask(here, "keys", {"limit": 2})).body
    assert first["next"] == "SIDECAR_CREDENTIALS|default.bob.acme"
    second = (await ask(here, "keys", {"after": first["next"], "limit": 2})).body
    assert (second["records"], second["next"]) == ({"k1": 1}, None)


@pytest.mark.parametrize("payload", [{"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"after": 1}, [1]])
async def test_what_is_wrong_with_a_batch(payload: Any) -> None:
    """Refused with what to send."""
    reply = await ask(await house(), "rewrap", payload)
    assert reply.body["reason"] == "MALFORMED"
    assert 'send {"after": "...", "limit": 500}' in reply.body["detail"]


async def test_a_call_whose_key_is_away() -> None:
    """UNAVAILABLE/KEY_UNAVAILABLE, which may be sent again; nothing was sent, and the others are served."""
    here = await house(alice=LOST, bob=KEY)
    body = (await here.ask("sidecar.write.default.alice.acme.items.create", b'{"title": "x"}')).body
    assert (body["code"], body["reason"], body["retryable"]) == ("UNAVAILABLE", "KEY_UNAVAILABLE", True)
    assert (body["side_effect"], body["attempts"]) == ("none", 0)
    assert "key 'lost' is not in the key file; put it back" in body["detail"]
    assert here.sender.sent == []  # type: ignore[attr-defined]  # a ScriptedSender
    body = (await here.ask("sidecar.write.default.bob.acme.items.create", b'{"title": "x"}')).body
    assert body["reason"] != "KEY_UNAVAILABLE"


@pytest.mark.parametrize("fault", ["flipped", "another's"])
async def test_a_call_whose_record_is_not_its_own(fault: str) -> None:
    """INTERNAL/CREDENTIAL_CORRUPT, and nothing is sent: a bit flipped, or another connection's record in its place."""
    here = await house(alice=KEY, bob=KEY)
    entries = here.memory.entries
    mine = entries["default.alice.acme"]
    damaged = mine.value[:-9] + bytes([mine.value[-9] ^ 1]) + mine.value[-8:]
    value = damaged if fault == "flipped" else entries["default.bob.acme"].value
    entries[mine.key] = Entry(mine.key, value, mine.revision)
    body = (await here.ask("sidecar.write.default.alice.acme.items.create", b'{"title": "x"}')).body
    assert (body["code"], body["reason"], body["retryable"]) == ("INTERNAL", "CREDENTIAL_CORRUPT", False)
    assert (body["side_effect"], body["attempts"]) == ("none", 0)
    assert [type(event) for event in here.trace.events] == [Started, Finished]
    assert here.sender.sent == []  # type: ignore[attr-defined]  # a ScriptedSender
