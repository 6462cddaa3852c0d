"""The requests to token endpoints: exactly what the RFCs and providers want, for each kind."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qsl

import httpx
import pytest

from sidecar.auth.token_request import (
    CLIENT_ASSERTION,
    Client,
    app_claims,
    assertion_request,
    bearer_claims,
    client_claims,
    client_credentials_request,
    code_request,
    installation_request,
    login_request,
    read_request,
    refresh_request,
    revoke_request,
)
from sidecar.kinds import Carry, ClientAuth, ClientCredentials, JwtBearer, LoginRequest, OAuth2
from sidecar.secret import Secret

URL = "https://auth.acme.example/token"
OAUTH = OAuth2(authorize_url="https://auth.acme.example/authorize", token_url=URL)
CANARY = "canary-of-the-mine"
NOW = 1_800_000_000.7


def client(how: ClientAuth = "basic", proof: str | None = "secret", client_id: str = "app") -> Client:
    return Client(client_id=client_id, how=how, proof=Secret(proof) if proof else None)


def form(request: httpx.Request) -> dict[str, str]:
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["accept"] == "application/json"
    pairs = parse_qsl(request.content.decode(), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs), "a parameter stands once (RFC 6749 section 3.2)"
    return dict(pairs)


@pytest.mark.parametrize(
    ("who", "header", "also"),
    [
        (client("basic"), "app:secret", {}),
        (client("basic", "a b:/?~é", "app:1"), "app%3A1:a+b%3A%2F%3F~%C3%A9", {}),
        (client("post"), None, {"client_id": "app", "client_secret": "secret"}),
        (client("none", None), None, {"client_id": "app"}),
        (client("none", "secret"), None, {"client_id": "app"}),
        (
            client("private_key_jwt", "signed"),
            None,
            {"client_id": "app", "client_assertion_type": CLIENT_ASSERTION, "client_assertion": "signed"},
        ),
    ],
)
def test_an_app_proves_itself_in_one_way(who: Client, header: str | None, also: dict[str, str]) -> None:
    """Never in two at once (RFC 6749 section 2.3); basic encodes each part first."""
    request = refresh_request(OAUTH, URL, who, Secret("old"))
    assert form(request) == {"grant_type": "refresh_token", "refresh_token": "old"} | also
    found = request.headers.get("authorization")
    assert found == (f"Basic {base64.b64encode(header.encode()).decode()}" if header else None)


def test_a_code_is_exchanged_with_its_verifier() -> None:
    """RFC 6749 section 4.1.3, RFC 7636 section 4.5."""
    request = code_request(OAUTH, URL, client(), code="c&d=1", redirect_uri="http://127.0.0.1:1/x", verifier="v")
    assert form(request) == {
        "grant_type": "authorization_code",
        "code": "c&d=1",
        "redirect_uri": "http://127.0.0.1:1/x",
        "code_verifier": "v",
    }
    plain = code_request(OAUTH, URL, client(), code="c", redirect_uri="https://x.example/", verifier=None)
    assert "code_verifier" not in form(plain)


def test_what_a_manifest_adds() -> None:
    """Further parameters, never in place of the protocol's."""
    auth = OAuth2(
        authorize_url=URL, token_url=URL, token_parameters={"audience": "api", "grant_type": "x", "refresh_token": "y"}
    )
    assert form(refresh_request(auth, URL, client(), Secret("old"))) == {
        "audience": "api",
        "grant_type": "refresh_token",
        "refresh_token": "old",
    }


def test_client_credentials() -> None:
    """Scopes as the provider separates them, left out where there are none."""
    auth = ClientCredentials(token_url=URL, scope_separator=",")
    assert form(client_credentials_request(auth, URL, client(), ("a", "b"), {})) == {
        "grant_type": "client_credentials",
        "scope": "a,b",
    }
    assert form(client_credentials_request(auth, URL, client(), (), {})) == {"grant_type": "client_credentials"}


def test_an_assertion_needs_no_client() -> None:
    """RFC 7523 section 2.1."""
    request = assertion_request(URL, "a.b.c")
    assert form(request)["assertion"] == "a.b.c"
    assert form(request)["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert "authorization" not in request.headers


def test_the_claims_of_an_assertion() -> None:
    """Issued a little before now and over within 3 minutes, the shortest that a provider wants."""
    auth = JwtBearer(token_url=URL, claims={"x": 1})
    claims = bearer_claims(auth, URL, {"issuer": "me", "subject": "user@acme.example"}, ("a", "b"), NOW, "once")
    assert claims == {
        "iss": "me",
        "sub": "user@acme.example",
        "aud": URL,
        "scope": "a b",
        "jti": "once",
        "iat": 1_799_999_970,
        "exp": 1_800_000_150,
        "x": 1,
    }
    bare = bearer_claims(JwtBearer(token_url=URL, audience="aud"), URL, {"issuer": "me"}, (), NOW, "once")
    assert set(bare) == {"iss", "aud", "jti", "iat", "exp"}
    assert bare["aud"] == "aud"
    assert client_claims("app", URL, NOW, "once") | {} == {
        "iss": "app",
        "sub": "app",
        "aud": URL,
        "jti": "once",
        "iat": 1_799_999_970,
        "exp": 1_800_000_150,
    }
    assert set(app_claims({"app_id": "7"}, NOW)) == {"iss", "iat", "exp"}


def test_an_installation_is_asked_for_with_the_apps_jwt() -> None:
    """In the header, without a body."""
    request = installation_request("https://api.acme.example/app/installations/1/access_tokens", "a.b.c")
    assert (request.method, request.content) == ("POST", b"")
    assert request.headers["authorization"] == "Bearer a.b.c"


@pytest.mark.parametrize(
    ("asked", "content"),
    [
        (
            LoginRequest(url="/login", body={"identity": "user", "password": "password"}),
            {"identity": "u", "password": "p"},
        ),
        (
            LoginRequest(
                url="/login",
                body={"identifier.user": "user", "password": "password"},
                fixed={"type": "m.login.password", "identifier.type": "m.id.user", "refresh_token": True},
            ),
            {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": "u"},
                "password": "p",
                "refresh_token": True,
            },
        ),
        (LoginRequest(url="/login", body={"code": "not there"}), {}),
    ],
)
def test_a_login_of_the_providers_own(asked: LoginRequest, content: dict[str, object]) -> None:
    """A body described by data; a dotted name is a path."""
    request = login_request(asked, URL, {"user": "u", "password": "p", "access_token": "t"}, Carry())
    assert json.loads(request.content) == content
    assert request.headers["content-type"] == "application/json"
    assert "authorization" not in request.headers


def test_a_login_as_a_form_and_with_the_token() -> None:
    """The access token goes along as in any call where the manifest says so."""
    asked = LoginRequest(url="/refresh", encoding="form", body={"t": "refresh_token"}, carry_token=True)
    fields = {"refresh_token": "r&s", "access_token": "old"}
    request = login_request(asked, URL, fields, Carry())
    assert form(request) == {"t": "r&s"}
    assert request.headers["authorization"] == "Bearer old"
    in_query = login_request(asked, URL, fields, Carry(place="query", name="auth", prefix=""))
    assert in_query.url.params["auth"] == "old"
    assert "authorization" not in in_query.headers


def test_a_token_is_revoked_by_its_app() -> None:
    """RFC 7009 section 2.1."""
    assert form(revoke_request(URL, client("none", None), Secret("old"), "refresh_token")) == {
        "token": "old",
        "token_type_hint": "refresh_token",
        "client_id": "app",
    }


def test_a_read_with_a_token() -> None:
    """As any call carries it."""
    assert read_request("https://a.example/me?x=1", Carry(place="query", name="k", prefix=""), "t").url.params == (
        httpx.QueryParams({"x": "1", "k": "t"})
    )
    assert read_request("https://a.example/me", Carry(), "t").headers["authorization"] == "Bearer t"


def test_printing_a_request_shows_no_secret() -> None:
    """Neither of the app nor of the account."""
    request = refresh_request(OAUTH, URL, client("post", CANARY), Secret(CANARY))
    assert CANARY not in repr(request)
    assert CANARY not in str(request.url)
    assert CANARY not in repr(client("post", CANARY))
