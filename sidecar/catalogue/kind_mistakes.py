"""What is wrong with the credential kinds of a manifest: told when it is loaded, not when a token is asked for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from sidecar.auth.kind import ACCESS_TOKEN
from sidecar.auth.token_request import JWT_BEARER
from sidecar.catalogue.path_mistakes import listed, path_mistakes
from sidecar.core.base_url import PLACEHOLDER, base_url
from sidecar.kinds import (
    ApiKey,
    AppInstallation,
    ClientCredentials,
    FollowUp,
    Issued,
    JwtBearer,
    Login,
    LoginRequest,
    OAuth2,
    TokenAnswer,
)
from sidecar.manifest import SelfHosted
from sidecar.model import Failure

REFRESH_TOKEN = "refresh_token"
OF_TOKENS = frozenset({ACCESS_TOKEN, REFRESH_TOKEN})
PATH = re.compile(r"(/[A-Za-z0-9._~:{}-]+)+/?")
NAME = re.compile(r"[A-Za-z0-9_]+")  # of a value that stays with the connection
# What an authorize URL holds of ours (RFC 6749 section 4.1.1, RFC 7636 section 4.3), and a token request.
OUR_PARAMETERS = frozenset(
    {"response_type", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method"}
)
OUR_FORM = frozenset(
    {
        "grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "client_id", "client_secret", "scope",
        "client_assertion", "client_assertion_type",
    }
)  # fmt: skip
GRANT = re.compile(r"[!-~]+")  # a word, or a URI (RFC 6749 section 4.5)
OTHER_GRANTS = frozenset({"authorization_code", "refresh_token", "password", JWT_BEARER})  # those of other kinds
OUR_FIELDS = OF_TOKENS | {"client_id", "client_secret", "private_key", "key_id", "scope"}
PATHS_OF_ANSWER = ("access_token", "refresh_token", "expires_in", "expires_at", "scope", "error", "description")


def issued_mistakes(auth: Issued, operations: Collection[str]) -> Iterator[str]:
    """Each mistake as `key: rule`, below `auth.<kind>`."""
    yield from _answer_mistakes(auth.answer)
    if auth.follow_up is not None:
        yield from _follow_up_mistakes(auth.follow_up)
    match auth:
        case OAuth2():
            yield from _oauth_mistakes(auth)
            yield from _scope_mistakes(auth.scopes, operations)
        case ClientCredentials():
            yield from _client_mistakes(auth)
            yield from _scope_mistakes(auth.scopes, operations)
        case JwtBearer():
            yield from _url_mistakes("token_url", auth.token_url)
            yield from _scope_mistakes(auth.scopes, operations)
            yield from _ours("claims", auth.claims, frozenset({"iss", "sub", "aud", "iat", "exp", "jti", "scope"}))
            for name in auth.file:
                if name not in {"issuer", "private_key", "subject", "key_id"}:
                    yield f"file: {name!r} is not a field of jwt_bearer"
        case AppInstallation(token_url=url):
            yield from _url_mistakes("token_url", url.replace("{installation_id}", "1"))
            if "{installation_id}" not in url:
                yield "token_url: must hold {installation_id}"
        case Login():
            yield from _login_mistakes(auth)


def key_mistakes(auth: ApiKey) -> Iterator[str]:
    """A field that is a secret in one place is one in every place."""
    secrets = {"key", *(part.field for part in auth.more if part.secret)}
    for index, part in enumerate(auth.more):
        if not part.secret and part.field in secrets:
            yield f"more.{index}.secret: {part.field!r} is a secret elsewhere"


def _oauth_mistakes(auth: OAuth2) -> Iterator[str]:
    yield from _url_mistakes("authorize_url", auth.authorize_url)
    yield from _url_mistakes("token_url", auth.token_url)
    if auth.revoke_url is not None:
        yield from _url_mistakes("revoke_url", auth.revoke_url)
    yield from _ours("authorize_parameters", auth.authorize_parameters, OUR_PARAMETERS | {auth.scope_parameter})
    yield from _ours("token_parameters", auth.token_parameters, OUR_FORM)
    for name in auth.callback:
        if name in {"code", "state", "iss", "error", "error_description"}:
            yield f"callback: {name!r} is the protocol's"
    if auth.client_auth == "none" and not auth.pkce:
        yield "pkce: an app without a secret needs it (RFC 9700 section 2.1.1)"
    if auth.unused_days is not None and auth.unused_days <= 0:
        yield "unused_days: must be above 0"
    if auth.unpublished is not None and auth.unpublished.days <= 0:
        yield "unpublished.days: must be above 0"


def _client_mistakes(auth: ClientCredentials) -> Iterator[str]:
    yield from _url_mistakes("token_url", auth.token_url)
    yield from _ours("token_parameters", auth.token_parameters, OUR_FORM)
    if auth.client_auth == "none":
        yield "client_auth: an app without proof gets no token of its own (RFC 6749 section 4.4)"
    if not GRANT.fullmatch(auth.grant_type) or auth.grant_type in OTHER_GRANTS:
        yield f"grant_type: {auth.grant_type!r} is no grant of an app itself"
    yield from _ours("fields", auth.fields, OUR_FORM)
    for name, field in auth.fields.items():
        if name in auth.token_parameters:
            yield f"fields: {name!r} stands among token_parameters too"
        if not NAME.fullmatch(field) or field in OUR_FIELDS:
            yield f"fields.{name}: {field!r} is no name for a further field"


def _url_mistakes(key: str, url: str) -> Iterator[str]:
    """https, or http at a loopback address, or a path below the base URL."""
    if url.startswith("/"):
        if not PATH.fullmatch(url.partition("?")[0]):
            yield f"{key}: {url!r} is not a plain path"
        return
    read = base_url(SelfHosted(), url.partition("?")[0])
    if isinstance(read, Failure):
        yield f"{key}: {read.detail.removeprefix('base_url: ')}"
    elif not url.startswith("https://") and not _loopback(url):
        yield f"{key}: must be https; secrets go there"
    elif "#" in url:
        yield f"{key}: has no fragment (RFC 6749 section 3.1)"


def _loopback(url: str) -> bool:
    return (urlsplit(url).hostname or "") in {"localhost", "127.0.0.1", "::1"}


def _scope_mistakes(scopes: Mapping[str, tuple[str, ...]], operations: Collection[str]) -> Iterator[str]:
    for scope, patterns in scopes.items():
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in operations):
                yield f"scopes.{scope}: {pattern!r} names no operation"


def _answer_mistakes(answer: TokenAnswer) -> Iterator[str]:
    if not answer.access_token:
        yield "answer.access_token: name a path"
    if answer.lifetime is not None and answer.lifetime <= 0:
        yield "answer.lifetime: must be above 0"
    yield from _keep_mistakes("answer.keep", answer.keep)
    for key in PATHS_OF_ANSWER:
        yield from path_mistakes(listed(f"answer.{key}", getattr(answer, key)))
    yield from path_mistakes({"answer.success.path": answer.success.path if answer.success else None})


def _follow_up_mistakes(follow_up: FollowUp) -> Iterator[str]:
    yield from _url_mistakes("follow_up.url", follow_up.url)
    yield from _keep_mistakes("follow_up.keep", follow_up.keep)
    if not follow_up.keep:
        yield "follow_up.keep: is what it is for"


def _keep_mistakes(key: str, keep: Mapping[str, str]) -> Iterator[str]:
    for name in keep:
        if not NAME.fullmatch(name):
            yield f"{key}: {name!r} must be a word of [A-Za-z0-9_]"
    yield from path_mistakes({f"{key}.{name}": path for name, path in keep.items()})


def _login_mistakes(auth: Login) -> Iterator[str]:
    if not auth.fields:
        yield "fields: name at least one"
    for name in auth.secret:
        if name not in auth.fields:
            yield f"secret: {name!r} is not one of fields"
    for name in sorted(OF_TOKENS & set(auth.fields)):
        yield f"fields: {name!r} is the name of what the provider issues"
    yield from _login_request_mistakes("login", auth, auth.login, frozenset(auth.fields))
    if auth.login.carry_token:
        yield "login.carry_token: there is no token before the login"
    if auth.refresh is not None:
        yield from _login_request_mistakes("refresh", auth, auth.refresh, frozenset(auth.fields) | OF_TOKENS)


def _login_request_mistakes(key: str, auth: Login, request: LoginRequest, known: Collection[str]) -> Iterator[str]:
    yield from _url_mistakes(f"{key}.url", PLACEHOLDER.sub("1", request.url))
    for name in PLACEHOLDER.findall(request.url):
        if name not in auth.fields or name in auth.secret:
            yield f"{key}.url: {{{name}}} must be one of fields, and no secret"
    if PLACEHOLDER.search(urlsplit(request.url).netloc):
        yield f"{key}.url: a credential does not say which host secrets go to"
    for name, field in request.body.items():
        if field not in known:
            yield f"{key}.body.{name}: {field!r} is not a field of the credential"
        if name in request.fixed:
            yield f"{key}.body.{name}: stands among fixed too"
    if request.encoding == "json":
        paths = (*request.body, *request.fixed)
        yield from path_mistakes({f"{key}.{name}": name for name in paths})
        for name in paths:
            if any(other.startswith(f"{name}.") for other in paths):
                yield f"{key}: {name!r} is a value, and others are below it"


def _ours(key: str, given: Collection[str], ours: Collection[str]) -> Iterator[str]:
    for name in given:
        if name in ours:
            yield f"{key}: {name!r} is said by the protocol itself"
