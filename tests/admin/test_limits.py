"""Limits on connections: what the owner of a server set is kept with the connection, and calls are held to it."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from sidecar.credential import Credential, OwnLimit
from sidecar.sandbox.scripted import ScriptedSender
from tests.build import CREATE_ITEM, OPERATIONS, provider
from tests.worker.house import House, Published

pytestmark = pytest.mark.anyio

MINUTE = [{"units": 60, "seconds": 60}]
QUOTAS: list[dict[str, Any]] = [
    {
        "name": "messages",
        "scope": "connection",
        "windows": MINUTE,
        "set_by_connection": True,
        "costs": {"items.add": 5},
    },
    {"name": "uploads", "scope": "connection", "concurrency": 9},
]
FACTS: dict[str, Any] = {
    "operations": OPERATIONS | {"items.add": CREATE_ITEM},
    "quotas": QUOTAS,
    "base_url": {"kind": "self_hosted", "default": "https://api.acme.example"},
}
CREATED = httpx.Response(201, json={})


async def house(*answers: httpx.Response) -> House:
    here = House(ScriptedSender(answers), {"acme": provider(**FACTS)})
    await here.worker.start()
    return here


async def ask(here: House, verb: str, payload: object) -> Published:
    return await here.ask(f"sidecar.admin.default.alice.acme.{verb}", msgspec.json.encode(payload))


async def imported(here: House, **also: Any) -> Any:
    return (await ask(here, "import", {"fields": {"token": "the-token"}, "verify": False} | also)).body


async def limits(here: House) -> tuple[OwnLimit, ...]:
    found = await here.credentials.load("default", "alice", "acme")
    assert isinstance(found, Credential)
    return found.limits


async def test_an_import_brings_limits() -> None:
    """They are kept with the connection and told in every list, as they were given."""
    here = await house()
    given = {"messages": ["10/50", "100/3600"], "uploads": ["4"]}
    assert (await imported(here, limits=given))["limits"] == given
    assert await limits(here) == (
        OwnLimit("messages", 10, 50.0),
        OwnLimit("messages", 100, 3600.0),
        OwnLimit("uploads", 4),
    )
    [listed] = (await ask(here, "list", {})).body
    assert listed["limits"] == given


async def test_a_new_credential_leaves_the_limits() -> None:
    """A new key for the same server changes nothing about it; for another server the old limits say nothing."""
    here = await house()
    await imported(here, limits={"messages": ["10/50"]})
    assert (await imported(here))["limits"] == {"messages": ["10/50"]}
    assert (await imported(here, base_url="https://other.example"))["limits"] == {}
    assert (await imported(here, base_url="https://other.example", limits={"uploads": ["1"]}))["limits"] != {}
    assert (await imported(here, base_url="https://other.example", limits={}))["limits"] == {}


async def test_limits_are_changed_alone() -> None:
    """Without the secret at hand; in place of what was said before."""
    here = await house()
    await imported(here, limits={"messages": ["10/50"]})
    changed = await ask(here, "limit", {"limits": {"uploads": ["2"]}})
    assert changed.body["limits"] == {"uploads": ["2"]}
    assert await limits(here) == (OwnLimit("uploads", 2),)
    assert (await ask(here, "limit", {})).body["limits"] == {}
    found = await here.credentials.load("default", "alice", "acme")
    assert isinstance(found, Credential)
    assert found.fields["token"].reveal() == "the-token"


async def test_limits_of_no_connection() -> None:
    """Nothing is made up for it."""
    reply = await ask(await house(), "limit", {"limits": {"uploads": ["2"]}})
    assert reply.body["reason"] == "NO_CREDENTIAL"


@pytest.mark.parametrize(
    ("said", "pointer", "told"),
    [
        ({"mesages": ["10/50"]}, "/limits/mesages", "is not a quota of this provider"),
        ({"messages": ["10/0"]}, "/limits/messages", "'10/0' is no limit: it is written UNITS/SECONDS, such as 10/60"),
        ({"messages": ["0/10"]}, "/limits/messages", "is no limit"),
        ({"messages": ["-1"]}, "/limits/messages", "is no limit"),
        ({"messages": ["1e9/1"]}, "/limits/messages", "is no limit"),
        ({"messages": ["1/9999999"]}, "/limits/messages", "is no limit"),
        ({"messages": ["ten/60"]}, "/limits/messages", "is no limit"),
        ({"messages": ["4/60"]}, "/limits/messages", "4/60 is less than one items.add costs, which is 5"),
        ({"messages": [f"{count}/1" for count in range(5, 20)]}, "/limits/messages", "has more than 8 limits"),
    ],
)
async def test_limits_that_make_no_sense(said: dict[str, list[str]], pointer: str, told: str) -> None:
    """Refused with the place and the rule, by both verbs, and nothing is stored."""
    here = await house()
    await imported(here)
    for verb, payload in (("import", {"fields": {"token": "another"}, "limits": said}), ("limit", {"limits": said})):
        body = (await ask(here, verb, payload)).body
        assert body["reason"] == "VALIDATION"
        assert body["errors"][0]["pointer"] == pointer
        assert told in body["errors"][0]["detail"]
    assert await limits(here) == ()


async def test_a_misspelt_quota_has_its_nearest_name() -> None:
    """And the names that there are."""
    here = await house()
    body = (await imported(here, limits={"mesages": ["10/50"]}))["errors"][0]
    assert (body["nearest"], body["allowed"]) == ("messages", ["messages", "uploads"])


@pytest.mark.parametrize("payload", [b"7", b"{", b'{"limits": {"messages": "10/50"}}', b'{"limit": {}}'])
async def test_a_limit_of_another_form(payload: bytes) -> None:
    """It says what to send."""
    here = await house()
    await imported(here)
    body = (await here.ask("sidecar.admin.default.alice.acme.limit", payload)).body
    assert body["reason"] == "MALFORMED"
    assert '{"limits": {"QUOTA": ["UNITS/SECONDS"]}}' in body["detail"]


async def test_a_revoked_connection_is_limited_when_it_comes_back() -> None:
    """What its server allows does not change with its credential."""
    here = await house()
    await imported(here, limits={"messages": ["10/50"]})
    await ask(here, "revoke", {})
    assert (await imported(here))["limits"] == {"messages": ["10/50"]}
