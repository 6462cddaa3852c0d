"""What an operator asks of connections: checked whole, tried before it is kept, told without the secret."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from sidecar.model import Failure, Reason
from sidecar.sandbox.scripted import ScriptedSender
from sidecar.wire.event import encoder
from tests.build import GET_ITEM, OPERATIONS, provider
from tests.worker.house import House, Published

pytestmark = pytest.mark.anyio

CANARY = "canary-of-the-mine"
ME = GET_ITEM | {"path": "/me", "input": {}, "required": []}
VERIFIED: dict[str, Any] = {
    "operations": OPERATIONS | {"me.get": ME},
    "verify": {"operation": "me.get", "account": "login"},
}
IT_IS_ME = httpx.Response(200, json={"login": "octocat"})
REJECTED = httpx.Response(401, json={"message": "bad"})
AWAY = Failure(reason=Reason.CONNECT_FAILED, detail="could not connect to api.acme.example")


async def house(*answers: httpx.Response | Failure, **facts: Any) -> House:
    here = House(ScriptedSender(answers), {"acme": provider(**(VERIFIED | facts))})
    await here.worker.start()
    return here


async def ask(
    here: House, verb: str, payload: Any = None, *, connection: str = "alice", whose: str = "acme"
) -> Published:
    data = b"" if payload is None else payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
    reply = await here.ask(f"sidecar.admin.default.{connection}.{whose}.{verb}", data)
    for text in (reply.payload.decode(), repr(reply.headers), encoder.encode(here.trace.events).decode()):
        assert CANARY not in text
    return reply


async def imported(here: House, token: str = CANARY, **also: Any) -> Published:
    return await ask(here, "import", {"fields": {"token": token}} | also)


async def token_of(here: House) -> str | Reason:
    found = await here.credentials.load("default", "alice", "acme")
    return found.reason if isinstance(found, Failure) else found.fields["token"].reveal()


async def test_import_tries_before_it_stores() -> None:
    """The provider is asked with the new credential; the answer names the account, never the secret."""
    here = await house(IT_IS_ME)
    body = (await imported(here)).body
    assert (body["status"], body["account"], body["verified"], body["kind"]) == ("active", "octocat", True, "bearer")
    assert "fields" not in body
    [request] = here.sender.sent  # type: ignore[attr-defined]  # a ScriptedSender
    assert request.headers["authorization"] == f"Bearer {CANARY}"
    assert await token_of(here) == CANARY
    assert CANARY.encode() not in next(iter(here.memory.entries.values())).value


async def test_a_rejected_key_does_not_replace_a_good_one() -> None:
    """The old one goes on being used, and the operator is told that nothing was stored."""
    here = await house(IT_IS_ME, REJECTED)
    await imported(here, "the-good-one")
    reply = await imported(here)
    assert reply.body["reason"] == "CREDENTIAL_REJECTED"
    assert "nothing was stored" in reply.body["detail"]
    assert await token_of(here) == "the-good-one"


async def test_a_rejected_key_is_not_kept_at_all() -> None:
    """Where there was none, there is none."""
    here = await house(REJECTED)
    await imported(here)
    assert here.memory.entries == {}


@pytest.mark.parametrize("trouble", [AWAY, httpx.Response(500), httpx.Response(429, headers={"retry-after": "86400"})])
async def test_trouble_on_the_way_stores_unverified(trouble: httpx.Response | Failure) -> None:
    """The key may be good: it is kept, and the reply says that nobody knows, and why."""
    here = await house(trouble, trouble, trouble)
    body = (await imported(here)).body
    assert (body["status"], body["verified"]) == ("active", False)
    assert body["problem"].split(":")[0] in {"CONNECT_FAILED", "PROVIDER_5XX", "PROVIDER_RATE_LIMITED"}
    assert await token_of(here) == CANARY


async def test_import_without_a_trial() -> None:
    """`verify: false` asks nobody, and claims nothing."""
    here = await house()
    body = (await imported(here, verify=False)).body
    assert body.get("verified") is None
    assert await token_of(here) == CANARY


SELF_HOSTED = {"kind": "self_hosted", "default": "https://acme.example"}
BY_USER: dict[str, Any] = {
    "auth": [{"kind": "basic"}],
    "base_url": {"kind": "kept", "url": "https://api.acme.example/Accounts/{username}"},
}


async def test_a_user_name_that_stands_in_every_path() -> None:
    """From the fields that an import brings to the URL of its first call."""
    here = await house(IT_IS_ME, **BY_USER)
    reply = await ask(here, "import", {"fields": {"username": "AC12", "password": CANARY}})
    assert reply.body["verified"] is True
    assert str(here.sender.sent[0].url) == "https://api.acme.example/Accounts/AC12/me"  # type: ignore[attr-defined]  # a ScriptedSender


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"username": CANARY, "password": ""}, "a user name without a password is the key"),
        ({"username": "..", "password": CANARY}, "cannot be part of a path"),
        ({"username": "", "password": CANARY}, "username of the account is not known"),
    ],
)
async def test_a_user_name_that_no_path_can_hold(fields: dict[str, str], words: str) -> None:
    """Told by an import, before anything is asked or stored."""
    here = await house(**BY_USER)
    reply = await ask(here, "import", {"fields": fields})
    [problem] = reply.body["errors"]
    assert (reply.body["reason"], problem["pointer"]) == ("VALIDATION", "/base_url")
    assert words in problem["detail"]
    assert (here.sender.sent, here.memory.entries) == ([], {})  # type: ignore[attr-defined]  # a ScriptedSender


TWO_KINDS = [{"kind": "bearer"}, {"kind": "basic"}]


@pytest.mark.parametrize(
    ("payload", "reason", "pointers"),
    [
        pytest.param(b"", "MALFORMED", [], id="nothing"),
        pytest.param(b"{", "MALFORMED", [], id="not JSON"),
        pytest.param(b"[" * 100_000, "MALFORMED", [], id="deep"),
        pytest.param(b'{"fields": {"token": "' + CANARY.encode() + b"\xff" + b'"}}', "MALFORMED", [], id="not UTF-8"),
        pytest.param({"fields": {"token": [CANARY]}}, "MALFORMED", [], id="wrong type"),
        pytest.param({"fields": {"token": CANARY}, "verfy": True}, "MALFORMED", [], id="unknown key"),
        pytest.param({"fields": {"token": "t"}, CANARY: 1}, "MALFORMED", [], id="a secret as a key"),
        pytest.param({"fields": {CANARY: "x", "token": "t"}}, "VALIDATION", ["/fields"], id="a secret as a name"),
        pytest.param({"fields": {"token": "t"}, "kept": {CANARY: "x"}}, "VALIDATION", ["/kept"], id="as a kept one"),
        pytest.param({"fields": {"token": CANARY}, "kind": "oauth"}, "VALIDATION", ["/kind"], id="wrong kind"),
        pytest.param({"fields": {}}, "VALIDATION", ["/fields/token"], id="no field"),
        pytest.param({"fields": {"token": ""}}, "VALIDATION", ["/fields/token"], id="empty"),
        pytest.param({"fields": {"token": f"{CANARY}\r\nx: y"}}, "VALIDATION", ["/fields/token"], id="line break"),
        pytest.param({"fields": {"token": f"{CANARY}é"}}, "VALIDATION", ["/fields/token"], id="not ASCII"),
        pytest.param({"fields": {"token": f" {CANARY}"}}, "VALIDATION", ["/fields/token"], id="white space"),
        pytest.param({"fields": {"tokn": CANARY}}, "VALIDATION", ["/fields", "/fields/token"], id="all problems told"),
        pytest.param(
            {"kind": "basic", "fields": {"username": f"a:{CANARY}"}},
            "VALIDATION",
            ["/fields/password", "/fields/username"],
            id="basic: all problems told",
        ),
        pytest.param(
            {"fields": {"token": CANARY}, "base_url": "ftp://x"}, "VALIDATION", ["/base_url"], id="scheme of base_url"
        ),
        pytest.param(
            {"fields": {"token": CANARY}, "base_url": f"https://u:{CANARY}@t.example.com"},
            "VALIDATION",
            ["/base_url"],
            id="a secret in base_url",
        ),
        pytest.param(
            {"fields": {"tokn": CANARY}, "base_url": "ftp://x"},
            "VALIDATION",
            ["/base_url", "/fields", "/fields/token"],
            id="fields and base_url",
        ),
    ],
)
async def test_what_is_wrong_with_an_import(payload: Any, reason: str, pointers: list[str]) -> None:
    """Everything wrong is told at once, by place and never by value; nobody is asked, nothing is stored."""
    here = await house(IT_IS_ME, base_url=SELF_HOSTED, auth=TWO_KINDS)
    reply = await ask(here, "import", payload)
    assert reply.body["reason"] == reason
    assert sorted(problem["pointer"] for problem in reply.body["errors"]) == pointers
    assert here.sender.sent == []  # type: ignore[attr-defined]  # a ScriptedSender
    assert here.memory.entries == {}


async def test_a_life() -> None:
    """Disabled, enabled, verified, revoked: each shows in the list; revoked is for good and keeps no secret."""
    here = await house(IT_IS_ME, IT_IS_ME)
    await imported(here)
    assert (await ask(here, "disable")).body["status"] == "disabled"
    assert await token_of(here) is Reason.CONNECTION_DISABLED
    assert (await ask(here, "verify")).body["reason"] == "CONNECTION_DISABLED"
    assert (await ask(here, "enable")).body["status"] == "active"
    assert (await ask(here, "verify")).body["verified"] is True
    assert (await ask(here, "revoke")).body["status"] == "revoked"
    assert await token_of(here) is Reason.CONNECTION_REVOKED
    assert (await ask(here, "enable")).body["reason"] == "CONNECTION_REVOKED"
    [listed] = (await ask(here, "list")).body
    assert (listed["connection"], listed["status"]) == ("alice", "revoked")


@pytest.mark.parametrize("verb", ["verify", "disable", "enable", "revoke"])
async def test_of_a_connection_that_is_not_there(verb: str) -> None:
    """Never another one in its place."""
    here = await house()
    await imported(here, verify=False)
    before = dict(here.memory.entries)
    assert (await ask(here, verb, connection="bob")).body["reason"] == "NO_CREDENTIAL"
    assert here.memory.entries == before


@pytest.mark.parametrize("verb", ["import", "verify", "disable", "enable", "revoke", "explode"])
@pytest.mark.parametrize(("connection", "whose"), [("-", "acme"), ("alice", "-"), ("-", "-")])
async def test_only_a_list_spans(verb: str, connection: str, whose: str) -> None:
    """`-` for every connection or provider changes nothing anywhere."""
    here = await house(IT_IS_ME)
    await imported(here, verify=False)
    before = dict(here.memory.entries)
    reply = await ask(here, verb, {"fields": {"token": "x"}}, connection=connection, whose=whose)
    assert reply.body["reason"] == "MALFORMED"
    assert here.memory.entries == before


@pytest.mark.parametrize(
    ("connection", "whose", "found"),
    [("-", "-", ["alice", "bob"]), ("alice", "-", ["alice"]), ("-", "acme", ["alice", "bob"]), ("carol", "-", [])],
)
async def test_a_list_spans(connection: str, whose: str, found: list[str]) -> None:
    """Every connection, those of one name, those of one provider; each without its secret."""
    here = await house()
    for name in ("alice", "bob"):
        await ask(here, "import", {"fields": {"token": CANARY}, "verify": False}, connection=name)
    listed = (await ask(here, "list", connection=connection, whose=whose)).body
    assert [item["connection"] for item in listed] == found


async def test_the_trace_says_who_did_what() -> None:
    """One `admin` event each, with what came of it."""
    here = await house(REJECTED)
    await imported(here)
    await ask(here, "list", connection="-", whose="-")
    await ask(here, "revoke")
    told = [(event.verb, event.connection, event.provider, event.outcome) for event in here.admin_events]
    assert told == [
        ("import", "alice", "acme", "CREDENTIAL_REJECTED"),
        ("list", "-", "-", "ok"),
        ("revoke", "alice", "acme", "NO_CREDENTIAL"),
    ]
    assert here.admin_events[0].detail


LONG_VERB = "x" * 2_000


@pytest.mark.parametrize("verb", ["explode", LONG_VERB])
async def test_a_verb_that_is_none(verb: str) -> None:
    """Told with the verbs there are, in a short line."""
    here = await house()
    reply = await ask(here, verb)
    assert reply.body["reason"] == "MALFORMED"
    assert "import, list, verify" in reply.body["detail"]
    assert len(reply.body["detail"]) < 400
    assert all(len(event.verb) < 100 for event in here.admin_events)


@pytest.mark.parametrize(
    "body", [b'{"login": 7}', b"[]", b"null", b'{"login": {"a": 1}}', b'{"other": 1}', b"[" * 9_000 + b"]" * 9_000]
)
async def test_an_answer_that_names_no_account(body: bytes) -> None:
    """The credential works all the same."""
    here = await house(httpx.Response(200, content=body, headers={"content-type": "application/json"}))
    reply = (await imported(here)).body
    assert (reply["status"], reply["verified"]) == ("active", not body.startswith(b"[["))  # that one cannot be read
    assert await token_of(here) == CANARY


async def test_an_account_that_is_the_user_name() -> None:
    """A user name is no secret: it is how the provider names the account."""
    here = await house(httpx.Response(200, json={"login": "bot"}), auth=[{"kind": "basic"}])
    reply = await ask(here, "import", {"fields": {"username": "bot", "password": CANARY}})
    assert reply.body["account"] == "bot"


async def test_an_account_that_is_the_secret() -> None:
    """A provider that names the account by the credential does not get it shown, also one that is short."""
    short = "pin-4711"  # a long one is not taken from the answer at all
    here = await house(httpx.Response(200, json={"login": short}))
    reply = await imported(here, short)
    assert reply.body["status"] == "active"
    assert short not in str(reply.body)


async def test_a_store_without_room() -> None:
    """RESOURCE_EXHAUSTED/STORE_FULL, told in the trace and so counted (`sidecar_admin`); what is there goes on."""
    here = await house(IT_IS_ME, IT_IS_ME)
    await imported(here)
    here.memory.full = True
    body = (await imported(here, f"{CANARY}-2")).body
    assert (body["code"], body["reason"], body["status"]) == ("RESOURCE_EXHAUSTED", "STORE_FULL", 429)
    assert (body["side_effect"], body["retryable"]) == ("none", True)
    assert [event.outcome for event in here.admin_events] == ["ok", "STORE_FULL"]
    assert await token_of(here) == CANARY
