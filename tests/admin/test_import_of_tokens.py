"""An import of a kind whose tokens a provider issues: one is asked for at once, tried, and then all of it is stored."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import anyio
import httpx
import msgspec
import pytest

from sidecar.credential import Credential, Status, Tokens
from sidecar.model import Failure, Outcome, Reason, Success
from sidecar.sandbox.scripted import ScriptedSender
from sidecar.secret import Secret
from sidecar.wire.subject import AdminAddress
from tests.admin.test_admin import AWAY, CANARY, IT_IS_ME, REJECTED, VERIFIED, ask
from tests.auth.keys import encrypted_key, public_key, rsa_key
from tests.build import provider
from tests.worker.house import House, Published

pytestmark = pytest.mark.anyio

OAUTH = {
    "kind": "oauth2",
    "authorize_url": "https://auth.acme.example/authorize",
    "token_url": "https://auth.acme.example/token",
    "revoke_url": "https://auth.acme.example/revoke",
}
SERVICE = {"kind": "jwt_bearer", "token_url": "https://auth.acme.example/token"}
LOGIN = {
    "kind": "login",
    "fields": ["user", "password"],
    "secret": ["password"],
    "login": {"url": "/login", "body": {"user": "user", "password": "password"}},
}
MINE = {"client_id": "own", "client_secret": f"{CANARY}-secret", "refresh_token": f"{CANARY}-brought"}
TOKENS = {"access_token": f"{CANARY}-access", "expires_in": 3600}
ROTATED = TOKENS | {"refresh_token": f"{CANARY}-next"}


async def house(*answers: httpx.Response | Failure, auth: dict[str, Any] = OAUTH, **facts: Any) -> House:
    here = House(ScriptedSender(answers), {"acme": provider(auth=[auth], **(VERIFIED | facts))})
    await here.worker.start()
    return here


def tokens(body: dict[str, Any] = ROTATED, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


async def imported(here: House, fields: dict[str, str] = MINE, **also: Any) -> Published:
    return await ask(here, "import", {"fields": fields} | also)


async def stored(here: House) -> Credential:
    found = await here.credentials.load("default", "alice", "acme")
    assert isinstance(found, Credential)
    return found


async def test_a_refresh_token_is_renewed_tried_and_stored() -> None:
    """The new one is used from then on; calls go out with the token at once."""
    here = await house(tokens(), IT_IS_ME)
    body = (await imported(here)).body
    assert (body["status"], body["account"], body["verified"], body["kind"]) == ("active", "octocat", True, "oauth2")
    renewed, tried = here.sender.sent  # type: ignore[attr-defined]  # a ScriptedSender
    assert parse_qs(renewed.content.decode())["refresh_token"] == [MINE["refresh_token"]]
    assert tried.headers["authorization"] == f"Bearer {CANARY}-access"
    kept = await stored(here)
    assert kept.tokens is not None
    assert kept.tokens.refresh == Secret(f"{CANARY}-next")
    assert kept.tokens.expires == here.clock.wall() + 3600
    assert kept.client_id == "own"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (tokens({"error": "invalid_grant"}, 400), "CREDENTIAL_REJECTED"),
        (tokens({"error": "invalid_client"}, 401), "CREDENTIAL_REJECTED"),
        (httpx.Response(200, json={"error": "bad_refresh_token"}), "CREDENTIAL_REJECTED"),
        (httpx.Response(500), "PROVIDER_UNAVAILABLE"),
        (httpx.Response(429), "PROVIDER_RATE_LIMITED"),
        (httpx.Response(200, text="<html>"), "BAD_PROVIDER_RESPONSE"),
        (httpx.Response(302, headers={"location": "https://evil.example"}), "BAD_PROVIDER_RESPONSE"),
        (AWAY, "CONNECT_FAILED"),
    ],
)
async def test_without_a_token_nothing_is_stored(answer: httpx.Response | Failure, reason: str) -> None:
    """What was there before goes on being used."""
    here = await house(tokens(), IT_IS_ME, answer)
    await imported(here)
    before = await stored(here)
    reply = await imported(here, MINE | {"refresh_token": "another"})
    assert reply.body["reason"] == reason
    assert "nothing was stored" in reply.body["detail"]
    assert await stored(here) == before


async def test_no_app_is_told_before_anything_is_sent() -> None:
    """With the file to make."""
    here = await house()
    reply = await imported(here, {"refresh_token": CANARY})
    assert reply.body["reason"] == "NOT_SET_UP"
    assert "acme.json" in reply.body["detail"]
    assert here.sender.sent == []  # type: ignore[attr-defined]  # a ScriptedSender


async def test_a_token_that_the_provider_rejects_is_not_stored() -> None:
    """Where the refresh token that was brought is as good as before."""
    here = await house(tokens(TOKENS), REJECTED)
    reply = await imported(here)
    assert reply.body["reason"] == "CREDENTIAL_REJECTED"
    assert here.memory.entries == {}


async def test_a_rotated_token_is_never_thrown_away() -> None:
    """The one that was brought is used up: what came for it is stored, and the reply says what is wrong."""
    here = await house(tokens(), REJECTED)
    body = (await imported(here)).body
    assert (body["verified"], body["status"]) == (False, "active")
    assert body["problem"].startswith("CREDENTIAL_REJECTED")
    kept = await stored(here)
    assert kept.tokens is not None
    assert kept.tokens.refresh == Secret(f"{CANARY}-next")


async def test_the_same_import_again_ends_no_grant() -> None:
    """A command that is repeated spends nothing: the provider would take it for theft. Another token is taken."""
    here = await house(tokens(), IT_IS_ME, tokens(), IT_IS_ME)
    await imported(here)
    before = await stored(here)
    reply = await imported(here)
    assert reply.body["reason"] == "VALIDATION"
    assert [problem["pointer"] for problem in reply.body["errors"]] == ["/fields/refresh_token"]
    assert await stored(here) == before
    assert len(here.sender.sent) == 2  # type: ignore[attr-defined]  # a ScriptedSender
    assert (await imported(here, MINE | {"refresh_token": "another"})).body["verified"] is True


@pytest.mark.parametrize("also", [{"verify": False}, {"dry_run": True}])
async def test_the_same_import_unasked_ends_no_grant_either(also: dict[str, bool]) -> None:
    """Stored unasked it would be spent by the next call; a trial says what the import would come to."""
    here = await house(tokens(), IT_IS_ME)
    await imported(here)
    before = await stored(here)
    reply = await imported(here, MINE, **also)
    assert [problem["pointer"] for problem in reply.body["errors"]] == ["/fields/refresh_token"]
    assert await stored(here) == before


async def test_a_token_that_does_not_rotate_is_imported_again() -> None:
    """It is as good as before."""
    here = await house(tokens(TOKENS), IT_IS_ME, tokens(TOKENS), IT_IS_ME)
    for _ in range(2):
        assert (await imported(here)).body["verified"] is True


async def test_nothing_is_spent_while_the_store_is_away() -> None:
    """What would come for it could not be kept."""
    here = await house(tokens())
    here.memory.away = "refusing"
    assert (await imported(here)).body["reason"] == "STORE_UNAVAILABLE"
    assert here.sender.sent == []  # type: ignore[attr-defined]  # a ScriptedSender


class Held(ScriptedSender):
    """The last exchange ends when it is let go; `reached` when it began."""

    def __init__(self, *answers: httpx.Response | Failure) -> None:
        super().__init__(answers)
        self.reached, self.go = anyio.Event(), anyio.Event()

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> httpx.Response | Failure:
        if len(self.answers) == 1:
            self.reached.set()
            await self.go.wait()
        return await super().send(request, deadline=deadline, max_body=max_body)


def held_house() -> tuple[House, Held]:
    sender = Held(tokens(), IT_IS_ME)
    return House(sender, {"acme": provider(auth=[OAUTH], **VERIFIED)}), sender


async def importing(here: House, said: list[Outcome]) -> None:
    address = AdminAddress("default", "alice", "acme", "import")
    said.append(await here.administrator.answer(address, msgspec.json.encode({"fields": MINE})))


async def test_a_rotated_token_outlives_the_process() -> None:
    """It is stored before the provider is asked whose it is: an end in between loses nothing."""
    here, sender = held_house()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(importing, here, [])
        await sender.reached.wait()
        tasks.cancel_scope.cancel()
    kept = await stored(here)
    assert kept.tokens is not None
    assert kept.tokens.refresh == Secret(f"{CANARY}-next")


async def test_a_token_that_is_being_imported_is_not_spent_by_a_second_import() -> None:
    """A command that was given up and repeated while the provider was slow ends no grant."""
    sender = Held(tokens())
    here = House(sender, {"acme": provider(auth=[OAUTH], **VERIFIED)})
    said: list[Outcome] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(importing, here, said)
        await sender.reached.wait()
        with anyio.fail_after(10):  # the first one waits
            await importing(here, said)
        sender.go.set()
    second = said[0]
    assert isinstance(second, Failure)
    assert second.reason is Reason.CAS_CONFLICT
    form = [request for request in sender.sent if request.url.path == "/token"]
    assert len(form) == 1


async def test_what_was_renewed_while_it_was_tried_is_not_overwritten() -> None:
    """Calls may use and renew it already: the account's name is added to what is there then."""
    here, sender = held_house()
    said: list[Outcome] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(importing, here, said)
        await sender.reached.wait()
        renewed = msgspec.structs.replace(await stored(here), tokens=Tokens(access=Secret("a"), refresh=Secret("r")))
        await here.credentials.save("default", "alice", "acme", renewed)
        sender.go.set()
    kept = await stored(here)
    assert kept.tokens == renewed.tokens
    assert kept.account == "octocat"
    assert isinstance(said[0], Success)


async def test_an_account_is_not_given_anothers_name() -> None:
    """Where somebody imported another credential meanwhile, that one stays, and the first is told."""
    here, sender = held_house()
    said: list[Outcome] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(importing, here, said)
        await sender.reached.wait()
        other = msgspec.structs.replace(await stored(here), changed=here.clock.wall() + 1, account="bob")
        await here.credentials.save("default", "alice", "acme", other)
        sender.go.set()
    assert (await stored(here)).account == "bob"
    assert isinstance(said[0], Failure)
    assert said[0].reason is Reason.CAS_CONFLICT


async def test_a_store_that_fails_after_a_rotation_is_told_as_a_loss() -> None:
    """The operator learns that the refresh token that was brought is of no use any more."""
    here = await house(tokens(), IT_IS_ME)
    here.memory.full = True
    reply = await imported(here)
    assert reply.body["side_effect"] == "done"
    assert "allow access again" in reply.body["detail"]


async def test_an_import_that_asks_nobody() -> None:
    """`verify: false` stores what was brought; the first call gets the token."""
    here = await house()
    body = (await imported(here, verify=False)).body
    assert body["status"] == "active"
    kept = await stored(here)
    assert kept.tokens is None
    assert set(kept.fields) == set(MINE)


async def test_a_service_account() -> None:
    """Its key in PEM is taken as it stands in a file, and never shown."""
    here = await house(tokens(TOKENS), IT_IS_ME, auth=SERVICE)
    body = (await imported(here, {"issuer": "robot@acme.example", "private_key": rsa_key()})).body
    assert body["account"] == "octocat"
    assert set((await stored(here)).fields) == {"issuer", "private_key"}
    assert rsa_key()[40:80] not in str(body)


async def test_a_login() -> None:
    """Its password stays, for the next login."""
    here = await house(tokens(TOKENS), IT_IS_ME, auth=LOGIN)
    await imported(here, {"user": "alice", "password": f"{CANARY} é"})
    kept = await stored(here)
    assert set(kept.fields) == {"user", "password"}
    assert kept.tokens is not None


@pytest.mark.parametrize(
    ("auth", "fields", "pointers"),
    [
        (OAUTH, {}, ["/fields/refresh_token"]),
        (OAUTH, {"refresh_token": "r", "client_id": "c"}, ["/fields/client_secret"]),
        (OAUTH, {"refresh_token": "r", "client_secret": CANARY}, ["/fields/client_id"]),
        (OAUTH, {"refresh_token": f"{CANARY}\n"}, ["/fields/refresh_token"]),
        (OAUTH, {"refresh_token": "r", "password": CANARY}, ["/fields"]),
        (OAUTH | {"client_auth": "none"}, {"refresh_token": "r", "client_id": "c", "key_id": "k"}, ["/fields"]),
        (SERVICE, {"issuer": "i"}, ["/fields/private_key"]),
        (SERVICE, {"issuer": "i", "private_key": CANARY}, ["/fields/private_key"]),
        (SERVICE, {"issuer": "i", "private_key": encrypted_key()}, ["/fields/private_key"]),
        (SERVICE, {"issuer": "i", "private_key": public_key(rsa_key())}, ["/fields/private_key"]),
        (SERVICE, {"issuer": "i\n", "private_key": rsa_key()}, ["/fields/issuer"]),
        (LOGIN, {"user": "u", "password": "p\n"}, ["/fields/password"]),
    ],
)
async def test_what_is_not_taken(auth: dict[str, Any], fields: dict[str, str], pointers: list[str]) -> None:
    """Told by the field's name, never by its value, before anything is asked."""
    here = await house(auth=auth)
    reply = await imported(here, fields)
    assert reply.body["reason"] == "VALIDATION"
    assert [problem["pointer"] for problem in reply.body["errors"]] == pointers
    assert here.sender.sent == []  # type: ignore[attr-defined]  # a ScriptedSender


async def test_a_url_that_the_account_has() -> None:
    """It comes with the token, and nobody names it in an import."""
    kept = {"kind": "kept", "url": "{instance_url}", "suffixes": [".acme.example"]}
    auth = OAUTH | {"answer": {"keep": {"instance_url": "instance_url"}}}
    here = await house(
        tokens(ROTATED | {"instance_url": "https://eu5.acme.example"}), IT_IS_ME, auth=auth, base_url=kept
    )
    refused = await imported(here, base_url="https://evil.acme.example")
    assert refused.body["reason"] == "VALIDATION"
    assert (await imported(here)).body["verified"] is True
    assert str(here.sender.sent[1].url) == "https://eu5.acme.example/me"  # type: ignore[attr-defined]  # a ScriptedSender


KEEPS = OAUTH | {"callback": ["realmId"]}
BY_REALM = {"kind": "kept", "url": "https://api.acme.example/{realmId}"}


async def test_what_only_a_consent_names_can_be_imported() -> None:
    """It is part of the connection from then on."""
    here = await house(tokens(), IT_IS_ME, auth=KEEPS, base_url=BY_REALM)
    assert (await imported(here, kept={"realmId": "77"})).body["verified"] is True
    assert str(here.sender.sent[1].url) == "https://api.acme.example/77/me"  # type: ignore[attr-defined]  # a ScriptedSender
    assert (await stored(here)).kept == {"realmId": "77"}


async def test_a_service_account_learns_where_its_api_is() -> None:
    """By a read with its first token, before the first call."""
    keep = {"base_uri": "accounts.0.base_uri", "account_id": "accounts.0.account_id"}
    follow_up = {"url": "https://auth.acme.example/userinfo", "keep": keep}
    url = {"kind": "kept", "url": "{base_uri}/v2.1/accounts/{account_id}", "suffixes": [".acme.example"]}
    told = tokens({"accounts": [{"base_uri": "https://na3.acme.example", "account_id": "a-1"}]})
    here = await house(tokens(TOKENS), told, IT_IS_ME, auth=SERVICE | {"follow_up": follow_up}, base_url=url)
    reply = await imported(here, {"issuer": "robot", "private_key": rsa_key()})
    assert reply.body["verified"] is True
    assert str(here.sender.sent[2].url) == "https://na3.acme.example/v2.1/accounts/a-1/me"  # type: ignore[attr-defined]  # a ScriptedSender


async def test_an_account_that_a_grant_is_about_is_brought() -> None:
    """The import of an app that asks for a token of one account names that account, which is shown as it is."""
    auth = {
        "kind": "client_credentials",
        "token_url": "https://auth.acme.example/token",
        "grant_type": "account_credentials",
        "fields": {"account_id": "account_id"},
    }
    here = await house(tokens(TOKENS), httpx.Response(200, json={"login": "a-1"}), auth=auth)
    app = {"client_id": "own", "client_secret": f"{CANARY}-secret"}
    [problem] = (await imported(here, app)).body["errors"]
    assert (problem["pointer"], problem["detail"]) == ("/fields/account_id", "is required")
    assert (await imported(here, app | {"account_id": "a-1"})).body["account"] == "a-1"


@pytest.mark.parametrize(
    ("kept", "pointer"),
    [
        ({"realm": "77"}, "/kept"),
        *(({"realmId": text}, "/kept/realmId") for text in ("", "7\n7", "7" * 5000)),
    ],
)
async def test_a_value_of_an_account_that_is_none(kept: dict[str, str], pointer: str) -> None:
    """Told by its name where that is known, before anything is asked."""
    here = await house(auth=KEEPS, base_url=BY_REALM)
    reply = await imported(here, kept=kept)
    assert [problem["pointer"] for problem in reply.body["errors"]] == [pointer]
    assert here.sender.sent == []  # type: ignore[attr-defined]  # a ScriptedSender


async def test_revoking_tells_the_provider() -> None:
    """After it counts here; the grant ends there too."""
    here = await house(tokens(), IT_IS_ME, httpx.Response(200))
    await imported(here)
    body = (await ask(here, "revoke")).body
    assert body["status"] == "revoked"
    assert body.get("problem") is None
    request = here.sender.sent[2]  # type: ignore[attr-defined]  # a ScriptedSender
    assert str(request.url) == OAUTH["revoke_url"]
    assert parse_qs(request.content.decode())["token"] == [f"{CANARY}-next"]
    found = await here.credentials.load("default", "alice", "acme")
    assert isinstance(found, Failure)
    assert found.reason is Reason.CONNECTION_REVOKED


@pytest.mark.parametrize("answer", [httpx.Response(503), AWAY])
async def test_a_provider_that_cannot_be_told(answer: httpx.Response | Failure) -> None:
    """It is revoked here all the same, and a person is told to do it there."""
    here = await house(tokens(), IT_IS_ME, answer)
    await imported(here)
    body = (await ask(here, "revoke")).body
    assert body["status"] == Status.REVOKED
    assert "settings there" in body["problem"]
