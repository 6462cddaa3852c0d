"""What agents are answered: a link where there can be one, else why not; how far it is; nothing that opens more."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.auth.apps import Apps
from sidecar.connect import Site
from sidecar.credential import Credential, Status
from sidecar.secret import Secret
from sidecar.wire.event import encoder
from tests.connect.house import ALICE, AUTH, SITE, TOKENS, OneApp, Script, place

pytestmark = pytest.mark.anyio

OPEN = {"kind": "self_hosted", "default": "https://api.acme.example"}
KNOWN = Credential(
    kind="oauth2", fields={"refresh_token": Secret("r")}, account="alice", base_url=None, created=1.0, changed=1.0
)


async def test_a_link_says_what_it_is_for() -> None:
    """The link, how long it works, which scopes it will ask, and which redirect URI the app has to allow."""
    async with place() as here:
        link = await here.start(operations=["items.get"], valid_seconds=900)
        assert link["link"].startswith("https://connect.acme.example/connect/")
        assert (link["valid_seconds"], link["kind"], link["expected_account"]) == (900, "oauth2", None)
        assert link["scopes"] == ["offline", "items"]
        assert link["redirect_uri"] == "https://connect.acme.example/callback"
        assert link["flow"] not in link["link"]


async def test_the_record_vanishes_by_itself() -> None:
    """Its time to live is the server's to end, and is the link's."""
    async with place() as here:
        await here.start(valid_seconds=60)
        [entry] = here.house.memory.entries.values()
        assert entry.ttl == 60


async def test_the_link_is_in_no_event_and_no_key() -> None:
    """Who reads the trace, or lists keys, cannot open it."""
    async with place() as here:
        link = await here.start()
        code = link["link"].rpartition("/")[2]
        told = encoder.encode(here.house.trace.events).decode()
        assert "connect.start" in told
        assert code not in told
        [key] = here.house.memory.entries
        assert key == f"default.alice.acme.{link['flow']}"


@pytest.mark.parametrize(
    ("script", "asked", "reason", "words"),
    [
        pytest.param(Script(site=Site()), {}, "NOT_SET_UP", "SIDECAR_PUBLIC_URL", id="no pages"),
        pytest.param(Script(apps=Apps()), {}, "NOT_SET_UP", "SIDECAR_APPS_DIR", id="no app"),
        pytest.param(Script(facts={"auth": [{"kind": "bearer"}]}), {}, "VALIDATION", "bearer", id="a key"),
        pytest.param(Script(facts={"verify": None}), {}, "VALIDATION", "verify", id="nothing verifies an account"),
        pytest.param(None, {"kind": "basic"}, "VALIDATION", "oauth2", id="another kind"),
        pytest.param(None, {"return_to": "https://evil.example"}, "VALIDATION", "SIDECAR_RETURN_URLS", id="return"),
        pytest.param(None, {"base_url": "https://x.example"}, "VALIDATION", "base_url", id="base URL"),
        pytest.param(None, {"valid_seconds": 29}, "MALFORMED", "valid_seconds", id="too short"),
        pytest.param(None, {"valid_seconds": 3601}, "MALFORMED", "valid_seconds", id="too long"),
        pytest.param(None, {"operation": ["x"]}, "MALFORMED", "operation", id="unknown field"),
    ],
)
async def test_why_there_is_no_link(script: Script | None, asked: dict[str, Any], reason: str, words: str) -> None:
    """Each refusal names what is wrong, and nothing is kept."""
    async with place(script) as here:
        body = (await here.ask("start", asked)).body
        assert body["reason"] == reason
        assert words in f"{body['detail']} {body['hint']}"
        assert here.house.memory.entries == {}


async def test_an_unknown_verb_and_an_unknown_flow() -> None:
    """Both are told as such."""
    async with place() as here:
        assert (await here.ask("begin")).body["reason"] == "MALFORMED"
        assert (await here.ask("status", {"flow": "x.>"})).body["reason"] == "MALFORMED"
        assert (await here.ask("status", {"flow": "0" * 32})).body["flow"] == "gone"


async def test_how_far_it_is() -> None:
    """From the offer to the end, with the account; of the connection alone where no flow is named."""
    async with place() as here:
        link = await here.start()
        flow = {"flow": link["flow"]}
        assert (await here.ask("status", flow)).body["flow"] == "offered"
        sent = await here.begin(link["link"])
        assert (await here.ask("status", flow)).body["flow"] == "begun"
        await here.back(state=sent["state"], code="c0de")
        body = (await here.ask("status", flow)).body
        assert (body["flow"], body["ending"], body["status"]) == ("connected", "connected", "active")
        body = (await here.ask("status")).body
        assert (body["status"], body["account"], body["flow"]) == ("active", "alice", None)
        assert (await here.ask("status", connection="bob")).body["status"] == "none"


async def test_what_is_disabled_is_not_connected_around() -> None:
    """An operator stopped it: neither a link before it nor one in somebody's hands brings it back."""
    async with place() as here:
        await here.house.credentials.save("default", "alice", "acme", KNOWN)
        sent = await here.begin((await here.start())["link"])
        await here.house.credentials.set_status("default", "alice", "acme", Status.DISABLED)
        assert (await here.ask("start")).body["reason"] == "CONNECTION_DISABLED"
        page = await here.back(state=sent["state"], code="c0de")
        assert "switched off" in page.text
        there = await here.stored()
        assert there is not None
        assert (there.status, there.tokens) == (Status.DISABLED, None)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [({}, "alice"), ({"expected_account": "bob"}, "bob"), ({"expected_account": ""}, None)],
)
async def test_whose_account_is_expected(asked: dict[str, str], expected: str | None) -> None:
    """That of the connection, unless the agent says another, or any."""
    async with place() as here:
        await here.house.credentials.save("default", "alice", "acme", KNOWN)
        assert (await here.start(**asked))["expected_account"] == expected


async def test_what_was_revoked_expects_nobody() -> None:
    """It may become anybody's again."""
    async with place() as here:
        await here.house.credentials.save("default", "alice", "acme", KNOWN)
        await here.house.credentials.set_status("default", "alice", "acme", Status.REVOKED)
        assert (await here.start())["expected_account"] is None


async def test_a_link_before_a_revocation_brings_nothing_back() -> None:
    """Who revoked a connection did not mean to have it back by a link that was in somebody's hands; a new one does."""
    async with place() as here:
        await here.house.credentials.save("default", "alice", "acme", KNOWN)
        sent = await here.begin((await here.start())["link"])
        await here.house.credentials.set_status("default", "alice", "acme", Status.REVOKED)
        page = await here.back(state=sent["state"], code="c0de")
        assert "was taken back" in page.text
        there = await here.stored()
        assert there is not None
        assert (there.status, there.tokens) == (Status.REVOKED, None)
        here.sender.answers.extend([TOKENS, ALICE])
        assert (await here.whole()).status_code == 200


async def test_the_base_url_stays_as_it_is() -> None:
    """A connection that has its own server is connected there again."""
    script = Script(facts={"base_url": OPEN, "auth": [AUTH | {"authorize_url": "/auth", "token_url": "/token"}]})
    async with place(script) as here:
        known = msgspec.structs.replace(KNOWN, base_url="https://own.example")
        await here.house.credentials.save("default", "alice", "acme", known)
        link = await here.start()
        assert "own.example" in (await here.browser.get(link["link"])).text
        sent = await here.begin(link["link"])
        await here.back(state=sent["state"], code="c0de")
        assert here.sender.sent[0].url == "https://own.example/token"


@pytest.mark.parametrize("auth", [AUTH, AUTH | {"authorize_url": "/auth", "token_url": "/token"}])
async def test_an_agent_names_no_server(auth: dict[str, Any]) -> None:
    """A server of its own would be sent the app's secret, or its owner's token: the app's file names it, or nobody."""
    script = Script(facts={"base_url": OPEN, "auth": [auth]})
    async with place(script) as here:
        refused = (await here.ask("start", {"base_url": "https://evil.example"})).body
        assert refused["reason"] == "VALIDATION"
        assert [problem["pointer"] for problem in refused["errors"]] == ["/base_url"]
        assert "OAuth app" in refused["detail"]


async def test_the_server_of_an_app() -> None:
    """Where the app's file names its server, connections are made there; another one is refused all the same."""
    script = Script(
        facts={"base_url": OPEN, "auth": [AUTH | {"authorize_url": "/auth", "token_url": "/token"}]},
        apps=Apps(OneApp(servers=["https://own.example"])),
    )
    async with place(script) as here:
        for asked in ({}, {"base_url": "https://own.example/"}):
            link = await here.start(**asked)
            assert "own.example" in (await here.browser.get(link["link"])).text
        assert (await here.ask("start", {"base_url": "https://evil.example"})).body["reason"] == "VALIDATION"


async def test_with_the_store_away_there_is_no_link() -> None:
    """It says so; nothing is promised that no page could keep."""
    async with place(Script(answers=[TOKENS])) as here:
        here.house.memory.away = "refusing"
        assert (await here.ask("start")).body["reason"] == "STORE_UNAVAILABLE"
        assert (await here.ask("status")).body["reason"] == "STORE_UNAVAILABLE"


async def test_on_a_laptop_https_is_pasted() -> None:
    """Where a provider wants https and the pages have none, the app is made for an address that is pasted."""
    async with place(Script(site=Site("http://127.0.0.1:8077"))) as here:
        assert (await here.start())["redirect_uri"] == "https://localhost/callback"
    loopback = Script(site=Site("http://127.0.0.1:8077"), facts={"auth": [AUTH | {"redirect": "loopback"}]})
    async with place(loopback) as here:
        assert (await here.start())["redirect_uri"] == "http://127.0.0.1:8077/callback"
    assert SITE.secure
