"""Token endpoints are asked once for each thing, as the right app; nothing is lost for an answer that says nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sidecar.auth.issue import failure_of, spent, used_up, with_tokens
from sidecar.auth.token_answer import Granted, Refused, TokenOutcome, Unanswered
from sidecar.auth.token_exchange import LONGEST_PAUSE, RATE, THROTTLED_SECONDS
from sidecar.model import Failure, Reason, SideEffect
from sidecar.sandbox.scripted import ManualClock, ScriptedSender
from sidecar.secret import Secret
from tests.auth.asking import CANARY, NEW, OAUTH, URL, acme, app, credential, endpoint, form, held, said, script
from tests.auth.keys import ec_key, opened, rsa_key

pytestmark = pytest.mark.anyio

LATER = 1_030.0  # the clock begins at 1,000
ACME = acme(OAUTH)
INVALID_CLIENT = said({"error": "invalid_client"}, 401)
INVALID_GRANT = said({"error": "invalid_grant"}, 400)


async def renewed(*answers: httpx.Response | Failure, **also: Any) -> tuple[TokenOutcome, ScriptedSender]:
    sender = script(*answers)
    apps = also.pop("apps", None)
    what = credential(**({"tokens": held()} | also))
    return await endpoint(sender, apps).renew("acme corp", ACME, what, LATER), sender


async def test_a_token_is_renewed_as_the_configured_app() -> None:
    """One request, to the token URL, with the refresh token and the app's proof."""
    outcome, sender = await renewed(said())
    assert isinstance(outcome, Granted)
    assert outcome.tokens.access == Secret("new")
    assert outcome.client_id == "app"
    [request] = sender.sent
    assert str(request.url) == URL
    assert form(request) == {"grant_type": "refresh_token", "refresh_token": "old refresh"}
    assert request.headers["authorization"].startswith("Basic ")
    assert request.headers["user-agent"] == "connector-sidecar/1"


async def test_a_credentials_own_app_goes_before_the_configured_one() -> None:
    """Refresh tokens are bound to the app that they were issued to."""
    outcome, sender = await renewed(said(), fields={"client_id": "own", "client_secret": "s"}, client_id="own")
    assert isinstance(outcome, Granted)
    assert outcome.client_id == "own"
    assert httpx.BasicAuth("own", "s")._auth_header == sender.sent[0].headers["authorization"]


@pytest.mark.parametrize(
    ("also", "words"),
    [
        ({"apps": {}}, "acme.json"),
        ({"apps": {"acme": {"client_id": "app"}}}, "no client_secret"),
        ({"apps": {"acme": {"client_secret": CANARY}}}, "acme.json"),
        ({"client_id": "the app before"}, "the app before"),
        ({"kind": "bearer"}, "no tokens"),
    ],
)
async def test_nothing_is_sent_that_cannot_succeed(also: dict[str, Any], words: str) -> None:
    """No app, another app than the tokens', no proof: told to a person, and the grant is not touched."""
    outcome, sender = await renewed(**also)
    assert isinstance(outcome, Refused)
    assert not outcome.final
    assert not outcome.perhaps_spent
    assert words in outcome.detail
    assert CANARY not in repr(outcome)
    assert sender.sent == []
    assert failure_of(outcome).reason is Reason.NOT_SET_UP


async def test_an_import_brings_its_refresh_token() -> None:
    """It is renewed at once; where the answer brings no other, it stays."""
    for answer, kept in ((NEW, "next"), ({"access_token": "new"}, "brought")):
        sender = script(said(answer))
        brought = credential(fields={"refresh_token": "brought"})
        outcome = await endpoint(sender).obtain("acme corp", ACME, brought, LATER)
        assert isinstance(outcome, Granted)
        assert form(sender.sent[0])["refresh_token"] == "brought"
        assert outcome.tokens.refresh == Secret(kept)
        assert spent(brought, outcome) is (kept == "next")
        stored = with_tokens(brought, outcome)
        assert stored.fields == brought.fields
        assert used_up(stored, brought) is (kept == "next")
        assert stored.client_id == "app"
        assert stored.tokens == outcome.tokens


async def test_without_a_refresh_token_the_grant_is_over() -> None:
    """Final at once, and nothing is asked."""
    outcome, sender = await renewed(tokens=held(refresh=None))
    assert isinstance(outcome, Refused)
    assert outcome.final
    assert sender.sent == []


@pytest.mark.parametrize(
    ("answers", "used", "granted"),
    [
        ([INVALID_CLIENT, said()], ["new", "old"], True),
        ([INVALID_CLIENT, INVALID_CLIENT], ["new", "old"], False),
        ([said()], ["new"], True),
        ([INVALID_GRANT], ["new"], False),
        ([said(b"", 500)], ["new"], False),
        ([said({"error": "invalid_client"}, 200), said()], ["new", "old"], True),
    ],
)
async def test_two_client_secrets(
    answers: list[httpx.Response], used: list[str], caplog: pytest.LogCaptureFixture, *, granted: bool
) -> None:
    """The newest first, the one before once and only when the newest is refused; then an operator is told."""
    with caplog.at_level(logging.WARNING):
        outcome, sender = await renewed(*answers, apps={"acme": app("app", "new", "old", "oldest")})
    assert isinstance(outcome, Granted) is granted
    sent = [request.headers["authorization"] for request in sender.sent]
    assert sent == [httpx.BasicAuth("app", secret)._auth_header for secret in used]
    assert bool(caplog.records) is (granted and len(used) > 1)


@pytest.mark.parametrize(
    ("answer", "sort", "spent_too"),
    [
        (said(b"", 500), Refused, True),
        (said(b"<html>", 502), Refused, True),
        (said(b"", 503), Refused, True),
        (said(b"", 429), Refused, False),
        (said(b"", 302, location="https://evil.example/"), Refused, False),
        (said(b"<html>Sign in</html>"), Refused, True),
        (said({"access_token": ""}), Refused, True),
        (Failure(reason=Reason.OUTCOME_UNKNOWN, detail="x", side_effect=SideEffect.UNKNOWN), Unanswered, True),
        (Failure(reason=Reason.RESPONSE_TOO_LARGE, detail="x", side_effect=SideEffect.DONE), Unanswered, True),
        (Failure(reason=Reason.CONNECT_FAILED, detail="x"), Unanswered, False),
        (Failure(reason=Reason.TLS_VERIFY_FAILED, detail="x"), Unanswered, False),
    ],
)
async def test_what_says_nothing_of_the_grant(
    answer: httpx.Response | Failure, sort: type[TokenOutcome], *, spent_too: bool
) -> None:
    """The credential stays; nothing is repeated; whether the refresh token may be used up is said."""
    outcome, sender = await renewed(answer)
    assert isinstance(outcome, sort)
    assert not isinstance(outcome, Granted)
    assert (outcome.sent if isinstance(outcome, Unanswered) else outcome.perhaps_spent) is spent_too
    assert not (isinstance(outcome, Refused) and outcome.final)
    assert len(sender.sent) == 1
    assert failure_of(outcome).reason is not Reason.NOT_SET_UP


async def test_a_refused_grant_is_final() -> None:
    """And asked for once."""
    outcome, sender = await renewed(INVALID_GRANT)
    assert outcome == Refused(
        final=True, code="invalid_grant", status=400, detail="the token endpoint answered 400: invalid_grant"
    )
    assert len(sender.sent) == 1


async def test_what_a_provider_repeats_is_not_told() -> None:
    """Not the refresh token, not the client secret, wherever they stand in an answer."""
    said_back = said({"error": f"bad {CANARY}", "error_description": f"{CANARY}-secret for {CANARY}"}, 400)
    outcome, _ = await renewed(said_back, tokens=held(refresh=CANARY), apps={"acme": app("app", f"{CANARY}-secret")})
    assert CANARY not in repr(outcome)


async def test_a_limit_holds_for_every_connection() -> None:
    """A 429 closes the endpoint's bucket for as long as it says; then it is asked again."""
    clock = ManualClock()
    asked = endpoint(script(said(b"", 429, retry_after="7"), said()), clock=clock)
    first = await asked.renew("acme corp", ACME, credential(tokens=held()), LATER)
    assert isinstance(first, Refused)
    assert first.retry_after == 7
    second = await asked.renew("globex", ACME, credential(tokens=held()), LATER)
    assert isinstance(second, Granted)
    assert sum(clock.slept) == pytest.approx(7)


async def test_a_limit_beyond_the_deadline_is_told_at_once() -> None:
    """Nothing is sent, and how long to wait is said; without a word of the endpoint it is a few seconds."""
    sender = script(said(b"", 429, retry_after="200"))
    asked = endpoint(sender)
    await asked.renew("acme corp", ACME, credential(tokens=held()), LATER)
    outcome = await asked.renew("globex", ACME, credential(tokens=held()), LATER)
    assert isinstance(outcome, Unanswered)
    assert not outcome.sent
    assert outcome.retry_after == pytest.approx(200)
    assert len(sender.sent) == 1
    silent = endpoint(script(said(b"", 429)))
    await silent.renew("acme corp", ACME, credential(tokens=held()), LATER)
    again = await silent.renew("acme corp", ACME, credential(tokens=held()), 1_001.0)
    assert isinstance(again, Unanswered)
    assert again.retry_after == pytest.approx(THROTTLED_SECONDS)


async def test_one_connections_limit_is_not_everybodys_for_long() -> None:
    """What one answer says of a day holds others up for minutes."""
    clock = ManualClock()
    asked = endpoint(script(said(b"", 429, retry_after="86400"), said()), clock=clock)
    await asked.renew("acme corp", ACME, credential(tokens=held()), LATER)
    outcome = await asked.renew("globex", ACME, credential(tokens=held()), clock.now() + 1_000)
    assert isinstance(outcome, Granted)
    assert sum(clock.slept) == pytest.approx(LONGEST_PAUSE)


async def test_an_endpoint_is_not_stormed() -> None:
    """Of a hundred refreshes at one time each endpoint of each sidecar gets its share a second, and another none of the
    wait.
    """
    clock = ManualClock()
    sender = script(*(said() for _ in range(101)))
    asked = endpoint(sender, clock=clock)
    for _ in range(100):
        await asked.renew("acme corp", ACME, credential(tokens=held()), clock.now() + 30)
    assert sum(clock.slept) == pytest.approx((100 - RATE.burst) / RATE.requests, rel=0.05)
    slept = len(clock.slept)
    other = acme(OAUTH | {"token_url": "https://other.example/token"})
    await asked.renew("acme corp", other, credential(tokens=held()), clock.now() + 30)
    assert len(clock.slept) == slept


async def test_lifetimes_count_from_when_it_was_asked() -> None:
    """Not from when there was room in the bucket to ask, nor from the answer."""
    clock = ManualClock()
    asked = endpoint(script(said(b"", 429, retry_after="7"), said()), clock=clock)
    await asked.renew("acme corp", ACME, credential(tokens=held()), LATER)
    outcome = await asked.renew("acme corp", ACME, credential(tokens=held()), LATER)
    assert isinstance(outcome, Granted)
    assert outcome.tokens.expires == clock.wall() + 3600


async def test_a_code_is_exchanged() -> None:
    """With its verifier and redirect URI, as the app that was sent for; what the redirect brought stays."""
    sender = script(said(NEW | {"instance_url": "https://eu.acme.example"}))
    provider = acme(OAUTH | {"callback": ["realm_id"], "answer": {"keep": {"instance_url": "instance_url"}}})
    begun = credential(kept={"realm_id": "7"}, client_id="app")
    outcome = await endpoint(sender).exchange(
        "acme corp", provider, begun, LATER, code="c", redirect_uri="http://127.0.0.1:1/", verifier="v"
    )
    assert isinstance(outcome, Granted)
    assert outcome.kept == {"realm_id": "7", "instance_url": "https://eu.acme.example"}
    assert form(sender.sent[0]) == {
        "grant_type": "authorization_code",
        "code": "c",
        "redirect_uri": "http://127.0.0.1:1/",
        "code_verifier": "v",
    }


async def test_a_code_is_exchanged_once() -> None:
    """A second use of a code is theft to the server (RFC 6749 section 4.1.2); it is not shown either."""
    sender = script(said({"error": "invalid_grant", "error_description": f"code {CANARY} is used"}, 400))
    outcome = await endpoint(sender).exchange(
        "acme corp", ACME, credential(), LATER, code=CANARY, redirect_uri="http://127.0.0.1:1/", verifier="v"
    )
    assert isinstance(outcome, Refused)
    assert CANARY not in repr(outcome)
    assert len(sender.sent) == 1


FOLLOWED = acme(OAUTH | {"follow_up": {"url": "https://api.acme.example/sites", "keep": {"cloud_id": "0.id"}}})


async def test_a_follow_up_call_says_what_stays() -> None:
    """With the new token; once, for it stays."""
    sender = script(said(), said([{"id": "11"}]), said())
    asked = endpoint(sender)
    outcome = await asked.renew("acme corp", FOLLOWED, credential(tokens=held()), LATER)
    assert isinstance(outcome, Granted)
    assert outcome.kept == {"cloud_id": "11"}
    assert (sender.sent[1].method, str(sender.sent[1].url)) == ("GET", "https://api.acme.example/sites")
    assert sender.sent[1].headers["authorization"] == "Bearer new"
    again = await asked.renew("acme corp", FOLLOWED, credential(tokens=held(), kept=outcome.kept), LATER)
    assert isinstance(again, Granted)
    assert again.kept == {"cloud_id": "11"}
    assert len(sender.sent) == 3


@pytest.mark.parametrize(
    "answer",
    [said(b"", 500), said(b"[]"), said(b"<html>"), Failure(reason=Reason.CONNECT_FAILED, detail="x")],
)
async def test_tokens_outlive_a_follow_up_that_fails(answer: httpx.Response | Failure) -> None:
    """A rotated refresh token is never lost for a call that came after it."""
    outcome = await endpoint(script(said(), answer)).renew("acme corp", FOLLOWED, credential(tokens=held()), LATER)
    assert isinstance(outcome, Granted)
    assert outcome.tokens.refresh == Secret("next")
    assert outcome.kept == {}


CREDENTIALS = {"kind": "client_credentials", "token_url": URL, "scopes": {"read": ["items.get"], "all": ["*"]}}


@pytest.mark.parametrize(("scope", "sent"), [(None, "read all"), ("read", "read"), ("x y", "x y")])
async def test_client_credentials(scope: str | None, sent: str) -> None:
    """The credential's own client; the scopes that it names, else those of every operation."""
    sender = script(said({"access_token": "new"}))
    fields = {"client_id": "own", "client_secret": "s"} | ({"scope": scope} if scope else {})
    what = credential("client_credentials", fields=fields)
    outcome = await endpoint(sender, {}).renew("acme corp", acme(CREDENTIALS), what, LATER)
    assert isinstance(outcome, Granted)
    assert form(sender.sent[0]) == {"grant_type": "client_credentials", "scope": sent}


# https://developers.zoom.us/docs/internal-apps/s2s-oauth/
ACCOUNT = {
    "kind": "client_credentials",
    "token_url": URL,
    "grant_type": "account_credentials",
    "fields": {"account_id": "account"},
}


async def test_a_grant_of_the_providers_own() -> None:
    """Its name in place of the usual one, and the account that the credential names; the app proves itself as ever."""
    sender = script(said({"access_token": "new", "token_type": "bearer", "expires_in": 3599, "scope": "user:read"}))
    fields = {"client_id": "own", "client_secret": "s", "account": "A-1 b"}
    outcome = await endpoint(sender, {}).obtain(
        "acme corp", acme(ACCOUNT), credential("client_credentials", fields=fields), LATER
    )
    assert isinstance(outcome, Granted)
    assert (outcome.tokens.lifetime, outcome.tokens.refresh) == (3599, None)
    [request] = sender.sent
    assert form(request) == {"grant_type": "account_credentials", "account_id": "A-1 b"}
    assert request.headers["authorization"] == httpx.BasicAuth("own", "s")._auth_header


async def test_a_grant_without_its_account_is_not_asked_for() -> None:
    """A credential from before the description named the field: told, and nothing is sent."""
    sender = script()
    what = credential("client_credentials", fields={"client_id": "own", "client_secret": "s"})
    outcome = await endpoint(sender, {}).obtain("acme corp", acme(ACCOUNT), what, LATER)
    assert isinstance(outcome, Refused)
    assert (outcome.final, outcome.detail, sender.sent) == (False, "the credential has no account", [])


async def test_a_refused_app_of_its_own_is_final() -> None:
    """Its secret is all that such a connection has: nothing comes of asking again."""
    what = credential("client_credentials", fields={"client_id": "own", "client_secret": "s"})
    outcome = await endpoint(script(INVALID_CLIENT), {}).renew("acme corp", acme(CREDENTIALS), what, LATER)
    assert isinstance(outcome, Refused)
    assert outcome.final


@pytest.mark.parametrize(("kind", "algorithm"), [(rsa_key, "RS256"), (ec_key, "ES256")])
async def test_an_app_that_signs(kind: Callable[[], str], algorithm: str) -> None:
    """`private_key_jwt`: who it is, for whom, once, and soon over (RFC 7523 section 3)."""
    key, sender = kind(), script(said())
    provider = acme(OAUTH | {"client_auth": "private_key_jwt", "issuer": "https://auth.acme.example"})
    apps = {"acme": {"client_id": "app", "private_key": key, "key_id": "k1"}}
    clock = ManualClock()
    outcome = await endpoint(sender, apps, clock).renew("acme corp", provider, credential(tokens=held()), LATER)
    assert isinstance(outcome, Granted)
    sent = form(sender.sent[0])
    header, claims = opened(sent["client_assertion"], key, algorithm)
    assert header["kid"] == "k1"
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("app", "app", "https://auth.acme.example")
    assert claims["jti"]
    assert claims["iat"] < clock.wall() < claims["exp"] < clock.wall() + 180
    assert "authorization" not in sender.sent[0].headers


async def test_a_service_account() -> None:
    """An assertion signed with its key, for a user where it names one."""
    sender = script(said({"access_token": "new", "expires_in": 3600}))
    provider = acme({"kind": "jwt_bearer", "token_url": URL, "scopes": {"read": ["items.get"]}})
    fields = {"issuer": "robot@acme.example", "private_key": rsa_key(), "subject": "user@acme.example", "key_id": "k"}
    outcome = await endpoint(sender, {}).renew("acme corp", provider, credential("jwt_bearer", fields=fields), LATER)
    assert isinstance(outcome, Granted)
    assert outcome.client_id is None
    header, claims = opened(form(sender.sent[0])["assertion"], rsa_key(), "RS256")
    assert header["kid"] == "k"
    assert (claims["iss"], claims["sub"], claims["aud"], claims["scope"]) == (
        "robot@acme.example",
        "user@acme.example",
        URL,
        "read",
    )


async def test_an_installation_of_an_app() -> None:
    """The app's JWT for the installation's token; its end is told as a date."""
    sender = script(said({"token": "new", "expires_at": "2100-01-01T00:00:00Z"}, 201))
    provider = acme({"kind": "app_installation", "token_url": "/app/installations/{installation_id}/access_tokens"})
    fields = {"app_id": "7", "installation_id": "8/9", "private_key": rsa_key()}
    what = credential("app_installation", fields=fields)
    outcome = await endpoint(sender, {}).renew("acme corp", provider, what, LATER)
    assert isinstance(outcome, Granted)
    assert outcome.tokens.expires is not None
    [request] = sender.sent
    assert request.url.raw_path == b"/v1/app/installations/8%2F9/access_tokens"
    _, claims = opened(request.headers["authorization"].removeprefix("Bearer "), rsa_key(), "RS256")
    assert claims["iss"] == "7"


async def test_a_key_that_cannot_sign() -> None:
    """Told without the key, and nothing is sent."""
    sender = script()
    provider = acme({"kind": "jwt_bearer", "token_url": URL})
    fields = {"issuer": "robot@acme.example", "private_key": CANARY}
    outcome = await endpoint(sender, {}).renew("acme corp", provider, credential("jwt_bearer", fields=fields), LATER)
    assert isinstance(outcome, Refused)
    assert CANARY not in repr(outcome)
    assert sender.sent == []


@pytest.mark.parametrize(
    ("auth", "fields"),
    [
        ({"kind": "jwt_bearer", "token_url": URL}, {"issuer": "i", "private_key": rsa_key()}),
        ({"kind": "client_credentials", "token_url": URL}, {"client_id": "own", "client_secret": "s"}),
        (
            {"kind": "login", "fields": ["user"], "secret": [], "login": {"url": URL, "body": {"user": "user"}}},
            {"user": "alice"},
        ),
        (
            {"kind": "app_installation", "token_url": f"{URL}/{{installation_id}}", "answer": {}},
            {"app_id": "7", "installation_id": "8", "private_key": rsa_key()},
        ),
    ],
)
async def test_every_token_can_be_asked_whose_it_is(auth: dict[str, Any], fields: dict[str, str]) -> None:
    """A connection that nobody consented to in a browser learns where its account is too."""
    keep = {"base_uri": "accounts.0.base_uri", "account_id": "accounts.0.account_id"}
    provider = acme(
        auth | {"follow_up": {"url": "https://auth.acme.example/userinfo", "keep": keep}},
        base_url={"kind": "kept", "url": "{base_uri}/accounts/{account_id}", "suffixes": [".acme.example"]},
    )
    told = {"accounts": [{"base_uri": "https://na3.acme.example", "account_id": "a-1"}]}
    sender = script(said({"access_token": "new"}), said(told))
    what = credential(auth["kind"], fields=fields)
    outcome = await endpoint(sender, {}).obtain("acme corp", provider, what, LATER)
    assert isinstance(outcome, Granted)
    assert outcome.kept == {"base_uri": "https://na3.acme.example", "account_id": "a-1"}
    assert sender.sent[1].headers["authorization"] == "Bearer new"


LOGIN = {
    "kind": "login",
    "fields": ["user", "password"],
    "secret": ["password"],
    "login": {"url": "/login", "body": {"id.user": "user", "password": "password"}, "fixed": {"refresh": True}},
    "refresh": {"url": "/refresh", "body": {"refresh_token": "refresh_token"}},
}
USER = {"user": "alice", "password": CANARY}


async def logged_in(*answers: httpx.Response | Failure, **also: Any) -> tuple[TokenOutcome, list[str]]:
    sender = script(*answers)
    outcome = await endpoint(sender, {}).renew(
        "acme corp", acme(LOGIN), credential("login", fields=USER, **also), LATER
    )
    assert CANARY not in repr(outcome)
    return outcome, [request.url.path.removeprefix("/v1") for request in sender.sent]


@pytest.mark.parametrize(
    ("tokens", "answers", "asked", "granted"),
    [
        (None, [said()], ["/login"], True),
        (held(), [said()], ["/refresh"], True),
        (held(refresh=None), [said()], ["/login"], True),
        (held(), [INVALID_GRANT, said()], ["/refresh", "/login"], True),
        (held(), [said(b"", 401), said()], ["/refresh", "/login"], True),
        (held(), [said({"error": "bad_refresh_token"}), said()], ["/refresh", "/login"], True),
        (held(), [said({"error": "M_UNKNOWN_TOKEN"}, 403), said(b"", 403)], ["/refresh", "/login"], False),
        (held(), [said(b"", 500)], ["/refresh"], False),
        (held(), [said(b"", 429)], ["/refresh"], False),
        (held(), [Failure(reason=Reason.CONNECT_FAILED, detail="x")], ["/refresh"], False),
    ],
)
async def test_a_login_is_renewed_or_done_again(
    tokens: Any, answers: list[httpx.Response | Failure], asked: list[str], *, granted: bool
) -> None:
    """By its own refresh; a refused one, or none to do, is a login; a server that fails is left alone."""
    outcome, paths = await logged_in(*answers, tokens=tokens)
    assert paths == asked
    assert isinstance(outcome, Granted) is granted


async def test_a_grant_is_taken_back_at_the_provider() -> None:
    """By its refresh token, which takes the access tokens along; by the access token where there is no other."""
    for tokens, token, hint in ((held(), "old refresh", "refresh_token"), (held(refresh=None), "old", "access_token")):
        sender = script(said(b""))
        assert await endpoint(sender).revoke("acme corp", ACME, credential(tokens=tokens), LATER) is None
        assert str(sender.sent[0].url) == OAUTH["revoke_url"]
        assert form(sender.sent[0]) == {"token": token, "token_type_hint": hint}


async def test_nothing_to_take_back() -> None:
    """No such place, no token, no kind of it: nothing is sent, and nothing is wrong."""
    asked = endpoint(script())
    bare = acme({name: fact for name, fact in OAUTH.items() if name != "revoke_url"})
    assert await asked.revoke("acme corp", bare, credential(tokens=held()), LATER) is None
    assert await asked.revoke("acme corp", ACME, credential(), LATER) is None
    assert await asked.revoke("acme corp", acme({"kind": "bearer"}), credential("bearer"), LATER) is None


@pytest.mark.parametrize("answer", [said(b"", 503), INVALID_CLIENT, Failure(reason=Reason.CONNECT_FAILED, detail="x")])
async def test_a_grant_that_was_not_taken_back(answer: httpx.Response | Failure) -> None:
    """It is told: somebody may want to do it by hand."""
    outcome = await endpoint(script(answer)).revoke("acme corp", ACME, credential(tokens=held()), LATER)
    assert isinstance(outcome, Refused | Unanswered)


async def test_a_url_below_the_connections_own_server() -> None:
    """A self-hosted provider's token endpoint is at that server."""
    sender = script(said())
    provider = acme(LOGIN, base_url={"kind": "self_hosted", "path": "/api"})
    what = credential("login", fields=USER, base_url="https://acme.internal.example")
    assert isinstance(await endpoint(sender, {}).renew("acme corp", provider, what, LATER), Granted)
    assert str(sender.sent[0].url) == "https://acme.internal.example/api/login"
    lost = await endpoint(script(), {}).renew("acme corp", provider, credential("login", fields=USER), LATER)
    assert isinstance(lost, Refused)
    assert "base_url" in lost.detail


async def test_the_sandbox_is_never_left() -> None:
    """Every URL of a kind is the sandbox's there, also an absolute one."""
    sender = script(said())
    asked = endpoint(sender, base_urls={"acme": "http://127.0.0.1:9/acme"})
    await asked.renew("acme corp", ACME, credential(tokens=held()), LATER)
    assert str(sender.sent[0].url) == "http://127.0.0.1:9/acme/token"


async def test_a_deadline_that_is_over() -> None:
    """Nothing is sent."""
    sender = script(said())
    outcome = await endpoint(sender).renew("acme corp", ACME, credential(tokens=held()), 1_000.0)
    assert isinstance(outcome, Unanswered)
    assert not outcome.sent
    assert sender.sent == []
