"""The protocol pieces that a library does: PKCE, where a person is sent, what is signed."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys

import httpx
import pytest

from sidecar.adapters.authlib_oauth import AuthlibOAuth
from sidecar.auth.apps import App
from sidecar.kinds import OAuth2
from sidecar.ports import KeyRejected
from sidecar.secret import Secret
from tests.auth.keys import ec_key, encrypted_key, opened, public_key, rsa_key

pytestmark = pytest.mark.anyio

OAUTH = AuthlibOAuth()
AUTH = OAuth2(authorize_url="https://auth.acme.example/authorize", token_url="https://auth.acme.example/token")
APP = App(client_id="the app", client_secrets=(Secret("canary"),))
BACK = "http://127.0.0.1:8077/callback?x=1"


def url(auth: OAuth2 = AUTH, *, scopes: tuple[str, ...] = ("a", "b c"), verifier: str | None = "v" * 43) -> httpx.URL:
    return httpx.URL(OAUTH.authorize_url(auth, APP, redirect_uri=BACK, state="s&t", scopes=scopes, verifier=verifier))


def test_where_a_person_is_sent() -> None:
    """RFC 6749 section 4.1.1 with PKCE S256; nothing secret is in it."""
    found = url()
    challenge = base64.urlsafe_b64encode(hashlib.sha256(b"v" * 43).digest()).decode().rstrip("=")
    assert str(found).startswith("https://auth.acme.example/authorize?")
    assert dict(found.params) == {
        "response_type": "code",
        "client_id": "the app",
        "redirect_uri": BACK,
        "scope": "a b c",
        "state": "s&t",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    assert "canary" not in str(found)
    assert "v" * 43 not in str(found)


def test_what_a_provider_wants_otherwise() -> None:
    """Its own parameters and separator, a scope parameter of its own, no PKCE; its URL's query stays."""
    auth = OAuth2(
        authorize_url="https://auth.acme.example/authorize?tenant=1",
        token_url="https://auth.acme.example/token",
        scope_parameter="user_scope",
        scope_separator=",",
        authorize_parameters={"access_type": "offline", "uri": "x", "self": "a=b&c"},
    )
    assert dict(url(auth, scopes=("a", "b"), verifier=None).params) == {
        "tenant": "1",
        "response_type": "code",
        "client_id": "the app",
        "redirect_uri": BACK,
        "user_scope": "a,b",
        "state": "s&t",
        "access_type": "offline",
        "uri": "x",
        "self": "a=b&c",
    }
    assert "user_scope" not in url(auth, scopes=()).params


def test_a_verifier_is_fresh_and_long() -> None:
    """RFC 7636 section 4.1: 43 to 128 unreserved characters."""
    made = {OAUTH.new_verifier() for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier) for verifier in made)


@pytest.mark.parametrize(
    ("pem", "algorithm", "found"),
    [(rsa_key, None, "RS256"), (rsa_key, "RS256", "RS256"), (ec_key, None, "ES256"), (ec_key, "ES256", "ES256")],
)
async def test_signed_by_the_key(pem: type, algorithm: str | None, found: str) -> None:
    """The claims as given and nothing beside; the algorithm suits the key."""
    key = pem()
    token = await OAUTH.signed({"iss": "me", "exp": 7}, key=Secret(key), key_id="k1", algorithm=algorithm)
    header, claims = opened(token, key, found)
    assert claims == {"iss": "me", "exp": 7}
    assert header == {"alg": found, "typ": "JWT", "kid": "k1"}


async def test_no_key_id_no_kid() -> None:
    """It is left out, not empty."""
    header, _ = opened(await OAUTH.signed({}, key=Secret(rsa_key())), rsa_key(), "RS256")
    assert "kid" not in header


@pytest.mark.parametrize(
    ("pem", "algorithm", "words"),
    [
        ("", None, "not a PEM"),
        ("canary", None, "not a PEM"),
        (encrypted_key(), None, "password"),
        (public_key(ec_key()), None, "public"),
        (ec_key(), "RS256", "RS256"),
        (rsa_key(), "ES256", "ES256"),
        (rsa_key(1024), "RS256", "2048"),
    ],
)
async def test_a_key_that_cannot_sign(pem: str, algorithm: str | None, words: str) -> None:
    """Refused in words that hold nothing of it."""
    with pytest.raises(KeyRejected, match=words) as told:
        await OAUTH.signed({}, key=Secret(pem), algorithm=algorithm)
    assert "canary" not in str(told.value)
    assert told.value.__cause__ is None


def test_the_library_is_imported_when_it_is_needed() -> None:
    """A process that renews nothing pays nothing for it, and its HTTP client is never imported."""
    code = (
        "import sys, sidecar.adapters.authlib_oauth as a; b = {'authlib', 'joserfc'} & sys.modules.keys();"
        " a.AuthlibOAuth().new_verifier();"
        "from sidecar.kinds import OAuth2; from sidecar.auth.apps import App;"
        "a.AuthlibOAuth().authorize_url(OAuth2(authorize_url='https://a.example', token_url='/t'), App(client_id='a'),"
        " redirect_uri='x', state='s', scopes=(), verifier='v');"
        "print(b, [name for name in sys.modules if name.startswith('authlib.integrations')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout.strip() == "set() []"
