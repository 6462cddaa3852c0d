"""What a manifest may say of credentials: the kinds, and how each is turned into an access token and carried.

A URL of a kind is absolute, or begins with `/` and is then taken below the connection's base URL. A path into an answer
is dotted (`authed_user.access_token`); of several the first that leads to something is taken.
"""

from __future__ import annotations

from typing import Literal

from sidecar.fact import Fact, Scalar

Place = Literal["header", "query"]
KeyPlace = Literal["header", "query", "path"]
ClientAuth = Literal["basic", "post", "none", "private_key_jwt"]


class KeyPart(Fact, frozen=True):
    """A further part of an API key: credential field `field`, sent in a header or query parameter of its own. One that
    is not `secret` names somebody (an account), and may stand in the base URL.
    """

    field: str
    place: Place
    name: str
    prefix: str = ""
    secret: bool = True


class ApiKey(Fact, frozen=True, tag_field="kind", tag="api_key"):
    """A key in one header or query parameter, or in the path as a segment of its own between base URL and operation,
    which has no `name` (Telegram); and what some providers want beside it. Credential fields: `key`, those of `more`.
    """

    place: KeyPlace
    name: str | None = None
    prefix: str = ""
    more: tuple[KeyPart, ...] = ()


class Bearer(Fact, frozen=True, tag_field="kind", tag="bearer"):
    """`Authorization: Bearer <token>` (RFC 6750). Credential field: `token`."""


class Basic(Fact, frozen=True, tag_field="kind", tag="basic"):
    """HTTP basic authentication (RFC 7617). Credential fields: `username`, `password`."""


class Carry(Fact, frozen=True):
    """How an access token goes into a request."""

    place: Place = "header"
    name: str = "authorization"
    prefix: str = "Bearer "


class AnswerTest(Fact, frozen=True):
    """A token answer of status 200 is one only where the value at `path` equals `equals` (Slack's `ok`)."""

    path: str
    equals: Scalar | None


class TokenAnswer(Fact, frozen=True):
    """Where a token answer keeps its parts (RFC 6749 section 5). `lifetime`: the seconds that a token lives where the
    answer does not say; without either it is renewed when the provider rejects it. `expires_unit` is that of
    `expires_in` (Matrix has milliseconds); `expires_in_token`: where the answer is silent, the access token is a JWT
    whose `exp` says when it ends (PocketBase). `keep` names values that stay with the connection (`instance_url`), each
    with its path. `final_errors` say that the grant is gone for good, `client_errors` that the app's secret is wrong.
    """

    access_token: tuple[str, ...] = ("access_token",)
    refresh_token: tuple[str, ...] = ("refresh_token",)
    expires_in: tuple[str, ...] = ("expires_in",)
    expires_unit: Literal["seconds", "milliseconds"] = "seconds"
    expires_at: tuple[str, ...] = ()
    expires_in_token: bool = False
    scope: tuple[str, ...] = ("scope",)
    error: tuple[str, ...] = ("error",)
    description: tuple[str, ...] = ("error_description",)
    final_errors: tuple[str, ...] = ("invalid_grant",)
    client_errors: tuple[str, ...] = ("invalid_client",)
    success: AnswerTest | None = None
    lifetime: float | None = None
    keep: dict[str, str] = {}


class FollowUp(Fact, frozen=True):
    """A read with the new token whose answer holds a value that stays with the connection (Atlassian's cloud id)."""

    url: str
    keep: dict[str, str]


class Unpublished(Fact, frozen=True):
    """A grant of an app that was not published there ends after so many `days`, whatever is done; `publish` is where a
    person publishes it.
    """

    days: float
    publish: str


class OAuth2(Fact, frozen=True, tag_field="kind", tag="oauth2"):
    """Authorization code grant (RFC 6749 section 4.1, RFC 9700), PKCE S256 unless the provider has none. Credential
    fields, for an import: `refresh_token`, and `client_id`, `client_secret` where it is not the configured app's.

    `issuer` is what its redirects say in `iss` (RFC 9207); with `issuer_always`, which is for providers that declare
    that they do, one that says nothing is refused as well. `scopes` says which operations (glob patterns) need a scope,
    `always` what is asked besides. `redirect` is what the provider lets an app register: a loopback address of any port
    (RFC 8252), or https alone. `unused_days`: a grant that is not used for so long ends. `callback` are parameters of
    the redirect that stay with the connection (QuickBooks' `realmId`). `app` are the steps to make an app there, for a
    person.
    """

    authorize_url: str
    token_url: str
    revoke_url: str | None = None
    issuer: str | None = None
    issuer_always: bool = False
    client_auth: ClientAuth = "basic"
    pkce: bool = True
    redirect: Literal["loopback", "https"] = "https"
    scopes: dict[str, tuple[str, ...]] = {}
    always: tuple[str, ...] = ()
    scope_separator: str = " "
    scope_parameter: str = "scope"
    authorize_parameters: dict[str, str] = {}
    token_parameters: dict[str, str] = {}
    answer: TokenAnswer = TokenAnswer()
    callback: tuple[str, ...] = ()
    follow_up: FollowUp | None = None
    carry: Carry = Carry()
    unused_days: float | None = None
    unpublished: Unpublished | None = None
    app: tuple[str, ...] = ()


class ClientCredentials(Fact, frozen=True, tag_field="kind", tag="client_credentials"):
    """Client credentials grant (RFC 6749 section 4.4). Credential fields: `client_id`, `client_secret` (with
    `private_key_jwt` instead `private_key`, and `key_id` where the provider wants it); `scope` in place of the scopes
    of every operation, with spaces between.

    `grant_type` is the provider's own where it has one (Zoom's `account_credentials`); `fields` are parameters that
    such a grant takes from further credential fields, which name somebody and are no secret.
    """

    token_url: str
    client_auth: ClientAuth = "basic"
    grant_type: str = "client_credentials"
    fields: dict[str, str] = {}
    scopes: dict[str, tuple[str, ...]] = {}
    always: tuple[str, ...] = ()
    scope_separator: str = " "
    token_parameters: dict[str, str] = {}
    answer: TokenAnswer = TokenAnswer()
    follow_up: FollowUp | None = None
    carry: Carry = Carry()


class JwtBearer(Fact, frozen=True, tag_field="kind", tag="jwt_bearer"):
    """JWT bearer assertion (RFC 7523 section 2.1). Credential fields: `issuer`, `private_key` (PEM), and where wanted
    `subject`, `key_id`, and `scope` as for client credentials. `file` maps the fields to the names of a key file that
    the provider hands out.
    """

    token_url: str
    audience: str | None = None
    algorithm: Literal["RS256", "ES256"] = "RS256"
    scopes: dict[str, tuple[str, ...]] = {}
    always: tuple[str, ...] = ()
    scope_separator: str = " "
    claims: dict[str, Scalar] = {}
    file: dict[str, str] = {}
    answer: TokenAnswer = TokenAnswer()
    follow_up: FollowUp | None = None
    carry: Carry = Carry()


class AppInstallation(Fact, frozen=True, tag_field="kind", tag="app_installation"):
    """A JWT of an app, exchanged for a token of one installation (GitHub Apps). Credential fields: `app_id`,
    `installation_id`, `private_key` (PEM). `{installation_id}` of `token_url` is the field.
    """

    token_url: str
    algorithm: Literal["RS256"] = "RS256"
    answer: TokenAnswer = TokenAnswer(access_token=("token",), expires_in=(), expires_at=("expires_at",))
    follow_up: FollowUp | None = None
    carry: Carry = Carry()


class LoginRequest(Fact, frozen=True):
    """A token request of a provider's own: `body` maps its names to credential fields (or `refresh_token`,
    `access_token`), `fixed` are values sent as they are. `{name}` in the path of `url` is a credential field that is no
    secret. `carry_token`: the access token goes along as in any call.
    """

    url: str
    method: Literal["POST", "PUT"] = "POST"
    encoding: Literal["json", "form"] = "json"
    body: dict[str, str] = {}
    fixed: dict[str, Scalar] = {}
    carry_token: bool = False


class Login(Fact, frozen=True, tag_field="kind", tag="login"):
    """A login for a token (Matrix, PocketBase, Directus). Credential fields: `fields`; those of `secret` are nobody's
    to see. `refresh` renews the token; where it is missing or refused, `login` is done again.
    """

    fields: tuple[str, ...]
    secret: tuple[str, ...]
    login: LoginRequest
    refresh: LoginRequest | None = None
    answer: TokenAnswer = TokenAnswer()
    follow_up: FollowUp | None = None
    carry: Carry = Carry()


Auth = ApiKey | Bearer | Basic | OAuth2 | ClientCredentials | JwtBearer | AppInstallation | Login
Static = ApiKey | Bearer | Basic
Issued = OAuth2 | ClientCredentials | JwtBearer | AppInstallation | Login


def places_of(auth: Auth) -> tuple[tuple[Place, str], ...]:
    """The headers and query parameters that a credential of the kind stands in: `header` or `query`, and the name."""
    match auth:
        case ApiKey(place=place, name=name, more=more):
            own = () if place == "path" or name is None else ((place, name),)
            return (*own, *((part.place, part.name) for part in more))
        case Bearer() | Basic():
            return (("header", "authorization"),)
        case _:
            return ((auth.carry.place, auth.carry.name),)
