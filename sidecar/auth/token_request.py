"""The requests to token endpoints, for each kind (RFC 6749 sections 2.3, 4 and 6; RFC 7009; RFC 7523). Pure.

They exist in `httpx.Request` alone, which shows neither headers nor body.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from urllib.parse import quote_plus, urlencode

import httpx
import msgspec

from sidecar.kinds import Carry, ClientAuth, ClientCredentials, JwtBearer, LoginRequest, OAuth2
from sidecar.secret import Secret

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_SECONDS = 150  # Salesforce takes 3 minutes, GitHub 10, Google an hour
JWT_SKEW = 30  # our clock may be ahead of theirs, and they refuse what is issued in the future


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: the app, and its proof (a secret, or an assertion signed with its key)."""

    client_id: str
    how: ClientAuth
    proof: Secret | None = None


def code_request(
    auth: OAuth2, url: str, client: Client, *, code: str, redirect_uri: str, verifier: str | None
) -> httpx.Request:
    """Exchanges an authorization code (RFC 6749 section 4.1.3, RFC 7636 section 4.5)."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    if verifier is not None:
        form["code_verifier"] = verifier
    return _posted(url, client, auth.token_parameters | form)


def refresh_request(auth: OAuth2, url: str, client: Client, refresh_token: Secret) -> httpx.Request:
    """Renews a token; the scopes stay as they were granted (RFC 6749 section 6)."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token.reveal()}
    return _posted(url, client, auth.token_parameters | form)


def client_credentials_request(
    auth: ClientCredentials, url: str, client: Client, scopes: Sequence[str], further: Mapping[str, str]
) -> httpx.Request:
    """Asks for a token of the app itself (RFC 6749 section 4.4.2), with what a grant of the provider's own takes."""
    form = {"grant_type": auth.grant_type, **further}
    if scopes:
        form["scope"] = auth.scope_separator.join(scopes)
    return _posted(url, client, auth.token_parameters | form)


def assertion_request(url: str, assertion: str) -> httpx.Request:
    """Exchanges a JWT for a token (RFC 7523 section 2.1)."""
    return _posted(url, None, {"grant_type": JWT_BEARER, "assertion": assertion})


def installation_request(url: str, jwt: str) -> httpx.Request:
    """Exchanges an app's JWT for a token of an installation.
    https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app
    """
    headers = {"accept": "application/vnd.github+json", "authorization": f"Bearer {jwt}"}
    return httpx.Request("POST", url, headers=headers, content=b"")


def revoke_request(url: str, client: Client, token: Secret, hint: str) -> httpx.Request:
    """Ends a token at the provider (RFC 7009 section 2.1)."""
    return _posted(url, client, {"token": token.reveal(), "token_type_hint": hint})


def login_request(asked: LoginRequest, url: str, fields: Mapping[str, str], carry: Carry) -> httpx.Request:
    """A token request of a provider's own. A dotted name is a path in a JSON body."""
    values = dict(asked.fixed) | {name: fields[field] for name, field in asked.body.items() if field in fields}
    headers = {"accept": "application/json"}
    if asked.carry_token:
        url, headers = _carrying(url, headers, carry, fields["access_token"])
    if asked.encoding == "form":
        headers["content-type"] = "application/x-www-form-urlencoded"
        return httpx.Request(asked.method, url, headers=headers, content=urlencode(values).encode())
    headers["content-type"] = "application/json"
    return httpx.Request(asked.method, url, headers=headers, content=msgspec.json.encode(_nested(values)))


def read_request(url: str, carry: Carry, access_token: str) -> httpx.Request:
    """A read with a token."""
    url, headers = _carrying(url, {"accept": "application/json"}, carry, access_token)
    return httpx.Request("GET", url, headers=headers)


def client_claims(client_id: str, audience: str, now: float, jti: str) -> dict[str, object]:
    """What an app's assertion about itself says (RFC 7523 section 3, OpenID Connect Core section 9)."""
    return {"iss": client_id, "sub": client_id, "aud": audience, "jti": jti, **_times(now)}


def bearer_claims(
    auth: JwtBearer, url: str, fields: Mapping[str, str], scopes: Sequence[str], now: float, jti: str
) -> dict[str, object]:
    """What the assertion of a service account says (RFC 7523 section 3)."""
    claims: dict[str, object] = {"iss": fields["issuer"], "aud": auth.audience or url, "jti": jti, **_times(now)}
    if fields.get("subject"):
        claims["sub"] = fields["subject"]
    if scopes:  # https://developers.google.com/identity/protocols/oauth2/service-account#httprest
        claims["scope"] = auth.scope_separator.join(scopes)
    return claims | auth.claims


def app_claims(fields: Mapping[str, str], now: float) -> dict[str, object]:
    """What the JWT of an app says.
    https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
    """
    return {"iss": fields["app_id"], **_times(now)}


def _times(now: float) -> dict[str, object]:
    return {"iat": int(now) - JWT_SKEW, "exp": int(now) + JWT_SECONDS}


def _posted(url: str, client: Client | None, form: Mapping[str, str]) -> httpx.Request:
    headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
    also: dict[str, str] = {}
    proof = client.proof.reveal() if client and client.proof else ""
    match client:
        case None:
            pass
        case Client(how="basic"):
            # Each part is form-encoded first (RFC 6749 section 2.3.1); letters and digits stay as they are.
            pair = f"{quote_plus(client.client_id)}:{quote_plus(proof)}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        case Client(how="post"):
            also = {"client_id": client.client_id, "client_secret": proof}
        case Client(how="private_key_jwt"):
            also = {
                "client_id": client.client_id,
                "client_assertion_type": CLIENT_ASSERTION,
                "client_assertion": proof,
            }
        case Client(how="none"):
            also = {"client_id": client.client_id}
    return httpx.Request("POST", url, headers=headers, content=urlencode({**form, **also}).encode())


def _carrying(url: str, headers: dict[str, str], carry: Carry, token: str) -> tuple[str, dict[str, str]]:
    if carry.place == "header":
        return url, {**headers, carry.name: carry.prefix + token}
    separator = "&" if "?" in url else "?"
    return f"{url}{separator}{urlencode({carry.name: carry.prefix + token})}", headers


def _nested(values: Mapping[str, object]) -> dict[str, object]:
    body: dict[str, object] = {}
    for path, value in values.items():
        place = body
        *above, last = path.split(".")
        for name in above:
            inner = place.setdefault(name, {})
            if not isinstance(inner, dict):
                raise TypeError(f"{path} goes through a value")  # a loader mistake
            place = inner
        place[last] = value
    return body
