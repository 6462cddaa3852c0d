"""The kinds whose tokens a provider issues: their fields, which of them are secret, and how the token is carried."""

from __future__ import annotations

import pytest

from sidecar.auth.kind import (
    check_fields,
    fields_of,
    is_issued,
    is_secret,
    optional_fields_of,
    secrets_of,
    shown,
)
from sidecar.auth.proof import Proof, authorise
from sidecar.auth.scopes import wanted_scopes
from sidecar.kinds import (
    AppInstallation,
    Auth,
    Basic,
    Bearer,
    Carry,
    ClientCredentials,
    Issued,
    JwtBearer,
    Login,
    LoginRequest,
    OAuth2,
)
from sidecar.model import Failure, Request
from tests.auth.keys import ec_key, encrypted_key, public_key, rsa_key

URL = "https://auth.acme.example/token"
OAUTH = OAuth2(authorize_url="https://auth.acme.example/authorize", token_url=URL)
SIGNED = OAuth2(authorize_url="https://auth.acme.example/authorize", token_url=URL, client_auth="private_key_jwt")
PUBLIC = OAuth2(authorize_url="https://auth.acme.example/authorize", token_url=URL, client_auth="none")
CREDENTIALS = ClientCredentials(token_url=URL)
SIGNING = ClientCredentials(token_url=URL, client_auth="private_key_jwt")
OF_ACCOUNT = ClientCredentials(token_url=URL, grant_type="account_credentials", fields={"account_id": "account"})
SERVICE = JwtBearer(token_url=URL)
APP = AppInstallation(token_url="/{installation_id}")
LOGIN = Login(fields=("user", "password"), secret=("password",), login=LoginRequest(url="/login"))
TOKENS = {"access_token": "t1", "refresh_token": "t2"}


@pytest.mark.parametrize(
    ("auth", "fields"),
    [
        (OAUTH, {"refresh_token": "r"}),
        (OAUTH, {"refresh_token": "r", "client_id": "c", "client_secret": "s"}),
        (PUBLIC, {"refresh_token": "r", "client_id": "c"}),
        (SIGNED, {"refresh_token": "r", "client_id": "c", "private_key": "PEM", "key_id": "k"}),
        (CREDENTIALS, {"client_id": "c", "client_secret": "s"}),
        (CREDENTIALS, {"client_id": "c", "client_secret": "s", "scope": "a b"}),
        (OF_ACCOUNT, {"client_id": "c", "client_secret": "s", "account": "a"}),
        (SIGNING, {"client_id": "c", "private_key": "PEM"}),
        (SIGNING, {"client_id": "c", "private_key": "PEM", "key_id": "k"}),
        (SERVICE, {"issuer": "i", "private_key": "PEM"}),
        (SERVICE, {"issuer": "i", "private_key": "PEM", "subject": "u", "key_id": "k", "scope": "a"}),
        (APP, {"app_id": "1", "installation_id": "2", "private_key": "PEM"}),
        (LOGIN, {"user": "ü", "password": "pass wörd"}),
    ],
)
def test_what_is_taken(auth: Issued, fields: dict[str, str]) -> None:
    """What a kind needs, and what it takes besides; a key with or without a line's end behind it."""
    for pem in (rsa_key(), rsa_key().strip(), ec_key()):
        filled = {name: pem if text == "PEM" else text for name, text in fields.items()}
        assert check_fields((auth,), None, filled) is auth
    assert set(fields) <= {*fields_of(auth), *optional_fields_of(auth)}
    assert set(fields_of(auth)) <= set(fields)


@pytest.mark.parametrize("auth", [OAUTH, SIGNED, PUBLIC, CREDENTIALS, OF_ACCOUNT, SIGNING, SERVICE, APP, LOGIN])
def test_nothing_that_is_needed_may_be_missing(auth: Issued) -> None:
    """Each is named. A name that the kind does not know is told of and not said: a secret may have slipped to there."""
    refused = check_fields((auth,), None, {"canary-name": "canary"})
    assert isinstance(refused, Failure)
    assert [problem.pointer for problem in refused.problems] == [
        *(f"/fields/{name}" for name in fields_of(auth)),
        "/fields",
    ]
    assert "canary" not in repr(refused)


@pytest.mark.parametrize(
    "key",
    [
        "canary",
        encrypted_key(),
        public_key(rsa_key()),
        rsa_key().replace("\n", "\\n"),
        f"{rsa_key()}canary",
        f"{rsa_key()}{rsa_key()}",
        "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_no_private_key(key: str) -> None:
    """Told without it: a key with a password, a public one, a certificate, line ends as text."""
    refused = check_fields((SERVICE,), None, {"issuer": "i", "private_key": key})
    assert isinstance(refused, Failure)
    assert [problem.pointer for problem in refused.problems] == ["/fields/private_key"]
    assert "canary" not in repr(refused)
    assert key[40:60] not in repr(refused) or len(key) < 60


@pytest.mark.parametrize(
    ("auth", "fields", "secrets"),
    [
        (OAUTH, {"client_id": "c", "client_secret": "s"} | TOKENS, ["s", "t1", "t2"]),
        (CREDENTIALS, {"client_id": "c", "client_secret": "s", "scope": "a", "access_token": "t1"}, ["s", "t1"]),
        (OF_ACCOUNT, {"client_id": "c", "client_secret": "s", "account": "a"}, ["s"]),
        (SERVICE, {"issuer": "i", "subject": "u", "key_id": "k", "private_key": "p"}, ["p"]),
        (APP, {"app_id": "1", "installation_id": "2", "private_key": "p", "access_token": "t1"}, ["p", "t1"]),
        (LOGIN, {"user": "u", "password": "p"} | TOKENS, ["p", "t1", "t2"]),
    ],
)
def test_names_are_no_secrets(auth: Issued, fields: dict[str, str], secrets: list[str]) -> None:
    """An id that stands in every answer is not cut out of it; tokens, keys and passwords are."""
    assert secrets_of(auth, fields) == secrets
    assert [text for name, text in fields.items() if is_secret(auth, name)] == secrets


@pytest.mark.parametrize(
    ("carry", "header", "query"),
    [
        (Carry(), "Bearer t1", None),
        (Carry(prefix="token "), "token t1", None),
        (Carry(place="query", name="access_token", prefix=""), None, "t1"),
    ],
)
def test_how_a_token_is_carried(carry: Carry, header: str | None, query: str | None) -> None:
    """As the manifest says; the fields that it was issued for stay here."""
    auth = OAuth2(authorize_url="https://a.example", token_url=URL, carry=carry)
    request = authorise(
        Request("GET", "https://api.acme.example/items"), Proof(auth, {"client_secret": "canary"} | TOKENS), "agent"
    )
    assert request.headers.get("authorization") == header
    assert request.url.params.get("access_token") == query
    assert "canary" not in f"{request.url} {request.headers.multi_items()}"
    assert "t2" not in f"{request.url} {request.headers.multi_items()}"
    assert "t1" not in shown(auth)


def test_which_kinds_have_tokens() -> None:
    """Those that a provider issues, and not keys, bearer tokens and passwords."""
    kinds: tuple[Auth, ...] = (OAUTH, CREDENTIALS, SERVICE, APP, LOGIN)
    assert all(is_issued(auth) for auth in kinds)
    assert not any(is_issued(auth) for auth in (Bearer(), Basic()))


@pytest.mark.parametrize(
    ("operations", "scopes"),
    [
        (["items.get"], ("base", "read")),
        (["items.get", "items.create"], ("base", "read", "write")),
        (["items.create"], ("base", "write")),
        (["other.get"], ("base",)),
        ([], ("base",)),
    ],
)
def test_only_the_scopes_that_are_needed(operations: list[str], scopes: tuple[str, ...]) -> None:
    """By the operations that are allowed; each once, in the manifest's order."""
    auth = OAuth2(
        authorize_url=URL,
        token_url=URL,
        always=("base",),
        scopes={"read": ("items.get",), "write": ("items.create", "items.update"), "base": ("items.*",)},
    )
    assert wanted_scopes(auth, operations) == scopes
