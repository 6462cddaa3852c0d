"""What the token endpoints of our providers are asked, and what their answers, as their pages show them, come to."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from sidecar.adapters.authlib_oauth import AuthlibOAuth
from sidecar.adapters.json_schema import compile_schema
from sidecar.adapters.yaml_file import read_yaml
from sidecar.auth.apps import App, Apps
from sidecar.auth.endpoint import TokenEndpoint
from sidecar.auth.kind import is_issued
from sidecar.auth.scopes import wanted_scopes
from sidecar.auth.token_answer import Granted, Refused, TokenOutcome
from sidecar.catalogue.load import load_catalogue
from sidecar.credential import Credential, Tokens
from sidecar.execute import Executor
from sidecar.kinds import OAuth2
from sidecar.ports import Formats
from sidecar.run import Limits, Name
from sidecar.sandbox.lone import lone_quotas
from sidecar.sandbox.play import Stored
from sidecar.sandbox.scripted import EventLog, FixedRandom, ManualClock, ScriptedSender
from sidecar.secret import Secret
from sidecar.verify import Verification
from tests.auth.keys import opened, rsa_key

pytestmark = pytest.mark.anyio

CONNECTORS = Path(__file__).parents[2] / "connectors"
CATALOGUE = load_catalogue([CONNECTORS], Formats(read_yaml, compile_schema))
DATE = {"date": "Sat, 21 Nov 2026 10:00:00 GMT"}  # ManualClock's, too
SECRETS = ("newest", "before")


class OneApp(Apps):
    """The same app everywhere."""

    def app(self, tenant: str, provider: str) -> App | None:  # the same for all
        return App(client_id="app-1", client_secrets=tuple(map(Secret, SECRETS)))


class House:
    """A token endpoint with scripted answers; `asked` are the requests that it got."""

    def __init__(self, *answers: httpx.Response) -> None:
        self._sender = ScriptedSender(answers)
        self._endpoint = TokenEndpoint(
            sender=self._sender,
            apps=OneApp(),
            oauth=AuthlibOAuth(),
            clock=ManualClock(),
            random=FixedRandom(),
            user_agent="test",
        )

    @property
    def asked(self) -> list[httpx.Request]:
        return self._sender.sent

    async def renew(self, provider: str, credential: Credential) -> TokenOutcome:
        return await self._endpoint.renew("default", CATALOGUE.providers[provider], credential, 2_000.0)

    async def exchange(self, provider: str, credential: Credential) -> TokenOutcome:
        return await self._endpoint.exchange(
            "default",
            CATALOGUE.providers[provider],
            credential,
            2_000.0,
            code="c0de",
            redirect_uri="https://connect.example/callback",
            verifier="v",
        )


def said(body: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body, headers=DATE)


def credential(kind: str, *, refresh: str | None = None, base_url: str | None = None, **fields: str) -> Credential:
    tokens = Tokens(access=Secret("old"), refresh=Secret(refresh) if refresh else None)
    return Credential(
        kind=kind,
        fields={name: Secret(text) for name, text in fields.items()},
        base_url=base_url,
        created=0,
        changed=0,
        tokens=tokens if refresh is not None else None,
    )


def form(request: httpx.Request) -> dict[str, str]:
    return dict(parse_qsl(request.content.decode(), strict_parsing=True))


def granted(outcome: TokenOutcome) -> Tokens:
    assert isinstance(outcome, Granted), outcome
    return outcome.tokens


def refused(outcome: TokenOutcome) -> Refused:
    assert isinstance(outcome, Refused), outcome
    return outcome


def consent(provider: str) -> OAuth2:
    return next(auth for auth in CATALOGUE.providers[provider].manifest.auth if isinstance(auth, OAuth2))


def jwt(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{payload}.c2ln"


async def test_outlook_renews() -> None:
    """Microsoft gives a new refresh token each time.
    https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow#refresh-the-access-token
    """
    answer = {
        "token_type": "Bearer",
        "scope": "Mail.Read User.Read",
        "expires_in": 3599,
        "ext_expires_in": 3599,
        "access_token": "eyJ0",
        "refresh_token": "M.R3",
    }
    here = House(said(answer))
    tokens = granted(await here.renew("outlook", credential("oauth2", refresh="M.R2")))
    assert str(here.asked[0].url) == "https://login.microsoftonline.com/common/oauth2/v2.0/token"
    assert form(here.asked[0]) == {
        "grant_type": "refresh_token",
        "refresh_token": "M.R2",
        "client_id": "app-1",
        "client_secret": "newest",
    }
    assert (tokens.refresh, tokens.lifetime, tokens.scopes) == (Secret("M.R3"), 3599, ("Mail.Read", "User.Read"))


@pytest.mark.parametrize(
    ("code", "status", "final"),
    [
        ("invalid_grant", 400, True),
        ("interaction_required", 400, True),
        ("consent_required", 400, True),
        ("temporarily_unavailable", 503, False),
        ("invalid_request", 400, False),
    ],
)
async def test_outlook_says_when_only_the_owner_can_help(code: str, status: int, final: bool) -> None:
    """A grant that is gone, and one that needs a second factor or consent, are not asked for again and again."""
    answer = {
        "error": code,
        "error_description": "AADSTS700082: The refresh token has expired.",
        "error_codes": [700082],
    }
    outcome = refused(await House(said(answer, status)).renew("outlook", credential("oauth2", refresh="M.R2")))
    assert (outcome.code, outcome.final) == (code, final)


@pytest.mark.parametrize(
    ("provider", "operations", "scopes"),
    [
        ("outlook", ["me.get"], {"offline_access", "User.Read"}),
        ("outlook", ["messages.list", "messages.send"], {"offline_access", "User.Read", "Mail.Read", "Mail.Send"}),
        ("outlook", ["messages.update"], {"offline_access", "User.Read", "Mail.ReadWrite"}),
        ("outlook", ["calendar.view"], {"offline_access", "User.Read", "Calendars.Read"}),
        ("github", ["users.me"], set()),
        ("github", ["issues.list"], {"repo"}),
        ("slack", ["auth.test"], set()),
        ("slack", ["messages.post", "users.info"], {"chat:write", "users:read"}),
        ("slack", ["users.lookup_by_email"], {"users:read", "users:read.email"}),
    ],
)
def test_no_more_is_asked_for_than_operations_need(provider: str, operations: list[str], scopes: set[str]) -> None:
    """Of whoever lets an agent do little, little is asked."""
    assert set(wanted_scopes(consent(provider), operations)) == scopes


@pytest.mark.parametrize(("provider", "free"), [("outlook", "me.get"), ("github", "users.me"), ("slack", "auth.test")])
def test_no_operation_was_forgotten(provider: str, free: str) -> None:
    """Each one that is not the verification needs a scope, by name or pattern."""
    auth, always = consent(provider), set(consent(provider).always)
    for name, operation in CATALOGUE.providers[provider].operations.items():
        if not operation.raw and name != free:
            assert set(wanted_scopes(auth, [name])) - always, name


def test_outlook_lets_the_owner_pick_an_account() -> None:
    """The page that the owner is sent to."""
    url = AuthlibOAuth().authorize_url(
        consent("outlook"),
        App(client_id="app-1"),
        redirect_uri="http://localhost:7/callback",
        state="s",
        scopes=("Mail.Read", "Mail.Send"),
        verifier="v",
    )
    query = dict(httpx.URL(url).params)
    assert (query["scope"], query["prompt"]) == ("Mail.Read Mail.Send", "select_account")
    assert query["code_challenge_method"] == "S256"


def test_slack_wants_commas() -> None:
    """And no PKCE, which would make the app a public one for good."""
    auth = consent("slack")
    url = AuthlibOAuth().authorize_url(
        auth, App(client_id="app-1"), redirect_uri="https://x/callback", state="s", scopes=("a", "b"), verifier=None
    )
    assert dict(httpx.URL(url).params)["scope"] == "a,b"
    assert not auth.pkce


async def test_github_spends_the_refresh_token() -> None:
    """https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens"""
    answer = {
        "access_token": "ghu_new",
        "expires_in": 28800,
        "refresh_token": "ghr_new",
        "refresh_token_expires_in": 15811200,
        "scope": "",
        "token_type": "bearer",
    }
    here = House(said(answer))
    tokens = granted(await here.renew("github", credential("oauth2", refresh="ghr_old")))
    assert str(here.asked[0].url) == "https://github.com/login/oauth/access_token"
    assert here.asked[0].headers["accept"] == "application/json"
    assert (tokens.refresh, tokens.lifetime) == (Secret("ghr_new"), 28800)


async def test_github_says_with_200_that_a_refresh_token_is_bad() -> None:
    """A success by its status is none."""
    answer = {"error": "bad_refresh_token", "error_description": "The refresh token passed is incorrect or expired."}
    assert refused(await House(said(answer)).renew("github", credential("oauth2", refresh="ghr_old"))).final


async def test_github_takes_the_client_secret_before() -> None:
    """While a secret is replaced, the one before it serves: GitHub says so with a code of its own, and 200."""
    here = House(said({"error": "incorrect_client_credentials"}), said({"access_token": "ghu_new"}))
    granted(await here.renew("github", credential("oauth2", refresh="ghr_old")))
    assert [form(request)["client_secret"] for request in here.asked] == list(SECRETS)


async def test_a_token_of_githubs_oauth_app_lives_until_it_is_taken_back() -> None:
    """https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps"""
    here = House(said({"access_token": "gho_16C7", "scope": "repo,gist", "token_type": "bearer"}))
    tokens = granted(await here.exchange("github", credential("oauth2")))
    assert form(here.asked[0])["code_verifier"] == "v"
    assert (tokens.refresh, tokens.expires, tokens.scopes) == (None, None, ("repo", "gist"))


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        (None, "https://api.github.com/app/installations/4711/access_tokens"),
        ("https://ghe.acme.example", "https://ghe.acme.example/api/v3/app/installations/4711/access_tokens"),
    ],
)
async def test_a_github_app_gets_a_token_of_its_installation(base_url: str | None, url: str) -> None:
    """By a JWT that it signed, on github.com and on a server of one's own; the token ends after an hour.
    https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app
    """
    here = House(
        said({"token": "ghs_1", "expires_at": "2026-11-21T11:00:00Z", "permissions": {"issues": "write"}}, 201)
    )
    fields = {"app_id": "99", "installation_id": "4711", "private_key": rsa_key()}
    tokens = granted(await here.renew("github", credential("app_installation", base_url=base_url, **fields)))
    request = here.asked[0]
    assert (request.method, str(request.url)) == ("POST", url)
    _, claims = opened(request.headers["authorization"].removeprefix("Bearer "), rsa_key(), "RS256")
    assert claims["iss"] == "99"
    assert (tokens.access, tokens.lifetime, tokens.refresh) == (Secret("ghs_1"), 3600, None)


INSTALLED = {
    "ok": True,
    "access_token": "xoxb-bot",
    "token_type": "bot",
    "scope": "chat:write,users:read",
    "app_id": "A0",
    "team": {"name": "Acme", "id": "T0"},
    "authed_user": {"id": "U0", "scope": "search:read", "access_token": "xoxp-user", "token_type": "user"},
}
BY_USER = {"ok": True, "app_id": "A0", "team": {"id": "T0"}, "authed_user": INSTALLED["authed_user"]}
ROTATING = {"expires_in": 43200, "refresh_token": "xoxe-1-new"}


@pytest.mark.parametrize(
    ("answer", "access", "refresh", "lifetime", "scopes"),
    [
        (INSTALLED, "xoxb-bot", None, None, ("chat:write", "users:read")),
        (INSTALLED | ROTATING, "xoxb-bot", "xoxe-1-new", 43200, ("chat:write", "users:read")),
        (BY_USER, "xoxp-user", None, None, ("search:read",)),
        (
            BY_USER | {"authed_user": {**BY_USER["authed_user"], **ROTATING}},  # type: ignore[dict-item]  # an object
            "xoxp-user",
            "xoxe-1-new",
            43200,
            ("search:read",),
        ),
    ],
)
async def test_slack_installs_a_bot_or_a_user(
    answer: dict[str, Any], access: str, refresh: str | None, lifetime: float | None, scopes: tuple[str, ...]
) -> None:
    """https://docs.slack.dev/authentication/installing-with-oauth#exchanging"""
    here = House(said(answer))
    tokens = granted(await here.exchange("slack", credential("oauth2")))
    request = here.asked[0]
    assert str(request.url) == "https://slack.com/api/oauth.v2.access"
    assert request.headers["authorization"] == f"Basic {base64.b64encode(b'app-1:newest').decode()}"
    assert form(request) == {
        "grant_type": "authorization_code",
        "code": "c0de",
        "redirect_uri": "https://connect.example/callback",
    }
    assert (tokens.access.reveal(), tokens.refresh, tokens.lifetime, tokens.scopes) == (
        access,
        Secret(refresh) if refresh else None,
        lifetime,
        scopes,
    )


async def test_slack_rotates() -> None:
    """A renewal gives both tokens anew. https://docs.slack.dev/authentication/using-token-rotation"""
    here = House(said({"ok": True, "access_token": "xoxe.xoxb-1-new", "token_type": "bot", **ROTATING}))
    tokens = granted(await here.renew("slack", credential("oauth2", refresh="xoxe-1-old")))
    assert form(here.asked[0]) == {"grant_type": "refresh_token", "refresh_token": "xoxe-1-old"}
    assert (tokens.access, tokens.refresh) == (Secret("xoxe.xoxb-1-new"), Secret("xoxe-1-new"))


@pytest.mark.parametrize(("code", "final"), [("invalid_refresh_token", True), ("ratelimited", False), (None, False)])
async def test_slack_refuses_with_200(code: str | None, final: bool) -> None:
    """`ok` decides, whatever else stands there."""
    here = House(said({"ok": False, "error": code, "access_token": "xoxb"}))
    assert refused(await here.renew("slack", credential("oauth2", refresh="xoxe-1-old"))).final is final


MATRIX = {"base_url": "https://matrix.example", "user": "@anna:example.org", "password": "s3cret"}
LOGIN = {
    "type": "m.login.password",
    "identifier": {"type": "m.id.user", "user": "@anna:example.org"},
    "password": "s3cret",
    "refresh_token": True,
    "initial_device_display_name": "connector-sidecar",
}
WHOAMI = "/_matrix/client/v3/account/whoami"
LOGGED_IN = {"user_id": "@anna:example.org", "device_id": "D", "access_token": "syt_1", "home_server": "example.org"}


async def test_matrix_logs_in() -> None:
    """https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3login"""
    here = House(said({**LOGGED_IN, "expires_in_ms": 300_000, "refresh_token": "syr_1"}))
    tokens = granted(await here.renew("matrix", credential("login", **MATRIX)))
    assert str(here.asked[0].url) == "https://matrix.example/_matrix/client/v3/login"
    assert json.loads(here.asked[0].content) == LOGIN
    assert (tokens.access, tokens.refresh, tokens.lifetime) == (Secret("syt_1"), Secret("syr_1"), 300)


async def test_matrix_without_refresh_tokens() -> None:
    """A homeserver that has none gives a token that lasts until it is logged out."""
    tokens = granted(await House(said(LOGGED_IN)).renew("matrix", credential("login", **MATRIX)))
    assert (tokens.refresh, tokens.expires) == (None, None)


async def test_matrix_refreshes() -> None:
    """Without the access token, which may have ended; a refresh token that does not come back stays.
    https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3refresh
    """
    here = House(said({"access_token": "syt_2", "expires_in_ms": 60_000}))
    tokens = granted(await here.renew("matrix", credential("login", refresh="syr_1", **MATRIX)))
    assert str(here.asked[0].url) == "https://matrix.example/_matrix/client/v3/refresh"
    assert json.loads(here.asked[0].content) == {"refresh_token": "syr_1"}
    assert "authorization" not in here.asked[0].headers
    assert (tokens.access, tokens.refresh, tokens.lifetime) == (Secret("syt_2"), Secret("syr_1"), 60)


async def test_matrix_logs_in_again_where_the_refresh_is_refused() -> None:
    """A refresh token that was logged out is no reason to ask a person: user and password are there."""
    here = House(said({"errcode": "M_UNKNOWN_TOKEN", "error": "no"}, 401), said({**LOGGED_IN, "expires_in_ms": 1_000}))
    granted(await here.renew("matrix", credential("login", refresh="syr_1", **MATRIX)))
    assert [request.url.path.rpartition("/")[2] for request in here.asked] == ["refresh", "login"]


@pytest.mark.parametrize(
    ("code", "status", "final"),
    [("M_FORBIDDEN", 403, True), ("M_USER_DEACTIVATED", 403, True), ("M_LIMIT_EXCEEDED", 429, False)],
)
async def test_matrix_refuses_a_login(code: str, status: int, final: bool) -> None:
    """A wrong password is not tried again and again; a limit is about now."""
    here = House(said({"errcode": code, "error": "Invalid username or password"}, status))
    outcome = refused(await here.renew("matrix", credential("login", **MATRIX)))
    assert (outcome.code, outcome.final) == (code, final)
    assert "s3cret" not in outcome.detail


ACCOUNT = {"base_url": "https://pb.example", "collection": "app users", "identity": "anna", "password": "s3cret"}
HOUR = 1_795_255_200 + 3_600  # an hour after DATE


async def test_pocketbase_logs_in() -> None:
    """The token says itself when it ends. https://pocketbase.io/docs/api-records/#auth-with-password"""
    token = jwt(collectionId="pbc_1", exp=HOUR, id="r1", refreshable=True, type="auth")
    here = House(said({"token": token, "record": {"id": "r1"}}))
    tokens = granted(await here.renew("pocketbase", credential("login", **ACCOUNT)))
    assert str(here.asked[0].url) == "https://pb.example/api/collections/app%20users/auth-with-password"
    assert json.loads(here.asked[0].content) == {"identity": "anna", "password": "s3cret"}
    assert (tokens.access, tokens.lifetime, tokens.refresh) == (Secret(token), 3_600, None)


async def test_pocketbase_refreshes_with_the_token_itself() -> None:
    """It stands in Authorization as it is. https://pocketbase.io/docs/api-records/#auth-refresh"""
    here = House(said({"token": jwt(exp=HOUR), "record": {"id": "r1"}}))
    granted(await here.renew("pocketbase", credential("login", refresh="", **ACCOUNT)))
    assert here.asked[0].url.path == "/api/collections/app users/auth-refresh"
    assert here.asked[0].headers["authorization"] == "old"


async def test_pocketbase_logs_in_again_when_its_token_is_too_old() -> None:
    """A token that has ended cannot be refreshed; the password is there."""
    here = House(
        said({"status": 401, "message": "The request requires valid record authorization token.", "data": {}}, 401),
        said({"token": jwt(exp=HOUR), "record": {"id": "r1"}}),
    )
    granted(await here.renew("pocketbase", credential("login", refresh="", **ACCOUNT)))
    assert [request.url.path.rpartition("/")[2] for request in here.asked] == ["auth-refresh", "auth-with-password"]


async def test_pocketbase_refuses_a_login() -> None:
    """One word for every reason."""
    here = House(said({"status": 400, "message": "Failed to authenticate.", "data": {}}, 400))
    assert refused(await here.renew("pocketbase", credential("login", **ACCOUNT))).final


@pytest.mark.parametrize("collection", ["..", ".", ""])
async def test_a_field_cannot_leave_its_place_in_the_url(collection: str) -> None:
    """The password goes to the login's own path, or nowhere."""
    here = House()
    outcome = refused(await here.renew("pocketbase", credential("login", **(ACCOUNT | {"collection": collection}))))
    assert "collection cannot be part of a URL" in outcome.detail
    assert here.asked == []


@pytest.mark.parametrize(
    ("token", "lifetime"),
    [
        (jwt(exp=HOUR), 3_600),
        (jwt(exp=str(HOUR)), 3_600),
        (jwt(exp=1_000_000), None),  # long ago: it says nothing
        (jwt(exp=None), None),
        (jwt(), None),
        ("opaque", None),
        ("a.b", None),
        ("a.!.c", None),
        ("a.bnVsbA.c", None),  # null
        ("a.W10.c", None),  # []
        ("...", None),
    ],
)
async def test_an_end_that_a_token_does_not_tell(token: str, lifetime: float | None) -> None:
    """Whatever stands there, the token is used; where it tells no end, until it is rejected."""
    tokens = granted(await House(said({"token": token})).renew("pocketbase", credential("login", **ACCOUNT)))
    assert tokens.lifetime == lifetime


@pytest.mark.parametrize(
    ("provider", "made", "answer", "path", "account"),
    [
        (
            "github",
            credential("app_installation", refresh="", app_id="99", installation_id="4711", private_key="pem"),
            {"total_count": 1, "repositories": [{"full_name": "acme/web", "owner": {"login": "acme"}}]},
            "/installation/repositories",
            "acme",
        ),
        ("github", credential("oauth2", refresh="ghr"), {"login": "octavia"}, "/user", "octavia"),
        # Who the account is stands in its fields too, and is no secret.
        ("matrix", credential("login", refresh="", **MATRIX), {"user_id": MATRIX["user"]}, WHOAMI, MATRIX["user"]),
        (
            "outlook",
            credential("oauth2", refresh="r"),
            {"userPrincipalName": "anna@acme.com"},
            "/v1.0/me",
            "anna@acme.com",
        ),
        (
            "matrix",
            credential("login", refresh="", **MATRIX),
            {"user_id": "syt s3cret old"},
            WHOAMI,
            "syt [redacted] [redacted]",
        ),
    ],
)
async def test_each_kind_is_verified_by_a_call_that_it_can_make(
    provider: str, made: Credential, answer: dict[str, Any], path: str, account: str
) -> None:
    """An installation is no user; the account's name is told, its secrets never."""
    sender, clock, random = ScriptedSender([said(answer)]), ManualClock(), FixedRandom()
    executor = Executor(
        catalogue=CATALOGUE,
        credentials=Stored(made),
        sender=sender,
        clock=clock,
        random=random,
        observer=EventLog(),
        name=Name("sidecar", "test", "test"),
        limits=Limits(),
        quotas=lone_quotas(clock, random),
    )
    told = await Verification(executor, clock, random).account("default", "alice", CATALOGUE.providers[provider], made)
    assert told == account
    assert sender.sent[0].url.path == path
    assert sender.sent[0].headers["authorization"] == "Bearer old"


@pytest.mark.parametrize("name", sorted(CATALOGUE.providers))
def test_whoever_connects_is_told_how_to_make_an_app(name: str) -> None:
    """Each kind that needs an app of one's own has the steps to make one, and the day on which somebody looked."""
    for auth in CATALOGUE.providers[name].manifest.auth:
        if isinstance(auth, OAuth2):
            assert len(auth.app) > 2
        if is_issued(auth):
            assert auth.docs
            assert auth.checked
