"""A kind that would fail when a token is asked for, or send a secret astray, is told when it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.build import provider
from tests.catalogue.test_load import mistake

URL = "https://auth.acme.example/token"
OAUTH = {"kind": "oauth2", "authorize_url": "https://auth.acme.example/authorize", "token_url": URL}
CREDENTIALS = {"kind": "client_credentials", "token_url": URL}
BEARER = {"kind": "jwt_bearer", "token_url": URL}
APP = {"kind": "app_installation", "token_url": "/app/installations/{installation_id}/access_tokens"}
LOGIN: dict[str, Any] = {
    "kind": "login",
    "fields": ["user", "password"],
    "secret": ["password"],
    "login": {"url": "/login", "body": {"user": "user", "password": "password"}},
}
KEPT = {"kind": "kept", "url": "{instance_url}", "suffixes": [".acme.example"]}
NAMED = {"kind": "kept"}
BASIC = {"kind": "basic"}
KEY: dict[str, Any] = {
    "kind": "api_key",
    "place": "header",
    "name": "x-key",
    "more": [
        {"field": "account", "place": "header", "name": "x-account", "secret": False},
        {"field": "pin", "place": "header", "name": "x-pin"},
    ],
}
FAR_LOGIN = LOGIN | {"login": LOGIN["login"] | {"url": "https://acme.example/login"}}
KEEPS = OAUTH | {"answer": {"keep": {"instance_url": "instance_url"}}}


@pytest.mark.parametrize(
    ("auth", "facts"),
    [
        (OAUTH, {}),
        (OAUTH | {"token_url": "http://127.0.0.1:9101/token"}, {}),
        (OAUTH | {"token_url": "/oauth/token"}, {}),
        (OAUTH | {"scopes": {"read": ["items.*"]}, "authorize_parameters": {"prompt": "consent"}}, {}),
        (CREDENTIALS | {"client_auth": "private_key_jwt"}, {}),
        (
            CREDENTIALS | {"grant_type": "account_credentials", "fields": {"account_id": "account"}},
            {"base_url": NAMED | {"url": "https://api.acme.example/accounts/{account}"}},
        ),
        (BEARER | {"file": {"issuer": "client_email"}, "claims": {"x": 1}}, {}),
        (APP, {}),
        (LOGIN, {}),
        (LOGIN | {"refresh": {"url": "/refresh", "body": {"t": "refresh_token", "a": "access_token"}}}, {}),
        (KEEPS, {"base_url": KEPT}),
        (
            OAUTH | {"follow_up": {"url": "https://api.acme.example/sites", "keep": {"cloud_id": "0.id"}}},
            {"base_url": {"kind": "kept", "url": "https://api.acme.example/ex/{cloud_id}"}},
        ),
        (OAUTH | {"callback": ["realm"]}, {"base_url": {"kind": "kept", "url": "https://api.acme.example/{realm}"}}),
        (OAUTH | {"callback": ["realmId"]}, {"base_url": {"kind": "kept", "url": "https://acme.example/{realmId}"}}),
        (BASIC, {"base_url": NAMED | {"url": "https://api.acme.example/Accounts/{username}"}}),
        (BASIC, {"base_url": KEPT | {"url": "https://{username}.acme.example"}}),
        (KEY, {"base_url": NAMED | {"url": "https://api.acme.example/{account}"}}),
        (FAR_LOGIN, {"base_url": NAMED | {"url": "https://api.acme.example/{user}"}}),
        (
            OAUTH | {"answer": {"keep": {"baseUri": "uri", "id": "id"}}},
            {"base_url": KEPT | {"url": "{baseUri}/v2.1/accounts/{id}"}},
        ),
    ],
)
def test_what_is_right(auth: dict[str, Any], facts: dict[str, Any]) -> None:
    """Every kind, in the forms that providers need."""
    assert provider(auth=[auth], **facts).manifest.auth


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        (OAUTH | {"token_url": "http://auth.acme.example/token"}, "token_url: must be https"),
        (OAUTH | {"authorize_url": "ftp://auth.acme.example/"}, "authorize_url"),
        (OAUTH | {"token_url": "https://user:pass@auth.acme.example/"}, "token_url"),
        (OAUTH | {"token_url": "https://auth.acme.example/token#x"}, "token_url"),
        (OAUTH | {"revoke_url": "revoke"}, "revoke_url"),
        (OAUTH | {"token_url": "/a b"}, "token_url"),
        (OAUTH | {"token_url": "//evil.example/token"}, "token_url"),
        (OAUTH | {"scopes": {"read": ["nothing.*"]}}, "'nothing.*' names no operation"),
        (OAUTH | {"authorize_parameters": {"state": "1"}}, "'state' is said by the protocol"),
        (OAUTH | {"authorize_parameters": {"scope": "1"}}, "'scope' is said by the protocol"),
        (OAUTH | {"token_parameters": {"grant_type": "password"}}, "'grant_type' is said by the protocol"),
        (OAUTH | {"client_auth": "none", "pkce": False}, "pkce"),
        (OAUTH | {"unused_days": 0}, "unused_days"),
        (OAUTH | {"unpublished": {"days": 0, "publish": "https://acme.example"}}, "unpublished.days"),
        (KEY | {"more": [KEY["more"][0] | {"field": "key"}]}, "more.0.secret: 'key' is a secret elsewhere"),
        (KEY | {"more": [KEY["more"][0] | {"field": "pin"}, KEY["more"][1]]}, "more.0.secret: 'pin' is a secret"),
        (OAUTH | {"callback": ["code"]}, "'code' is the protocol's"),
        (OAUTH | {"follow_up": {"url": "https://a.acme.example/", "keep": {}}}, "follow_up.keep"),
        (OAUTH | {"follow_up": {"url": "http://a.acme.example/", "keep": {"x": "y"}}}, "follow_up.url"),
        (OAUTH | {"answer": {"access_token": []}}, "answer.access_token"),
        (OAUTH | {"answer": {"refresh_token": ["a", ""]}}, "answer.refresh_token.1: '' is no path"),
        (OAUTH | {"answer": {"keep": {"a": "b..c"}}}, "answer.keep.a: 'b..c' is no path"),
        (OAUTH | {"answer": {"success": {"path": "", "equals": True}}}, "answer.success.path: '' is no path"),
        (LOGIN | {"login": {"url": "/login", "body": {"": "user"}}}, "login.: '' is no path"),
        (OAUTH | {"answer": {"lifetime": -1}}, "answer.lifetime"),
        (OAUTH | {"answer": {"keep": {"A-b": "x"}}}, "answer.keep: 'A-b'"),
        (OAUTH | {"carry": {"name": "host"}}, "carry"),
        (OAUTH | {"carry": {"name": "x-token", "prefix": "a\nb"}}, "carry"),
        (BEARER | {"follow_up": {"url": "http://a.acme.example/", "keep": {"x": "y"}}}, "follow_up.url"),
        (LOGIN | {"follow_up": {"url": "https://a.acme.example/", "keep": {}}}, "follow_up.keep"),
        (CREDENTIALS | {"client_auth": "none"}, "client_auth"),
        (CREDENTIALS | {"grant_type": ""}, "grant_type: '' is no grant of an app"),
        (CREDENTIALS | {"grant_type": "password"}, "grant_type: 'password' is no grant of an app"),
        (CREDENTIALS | {"grant_type": "refresh_token"}, "grant_type: 'refresh_token' is no grant of an app"),
        (CREDENTIALS | {"fields": {"scope": "account"}}, "fields: 'scope' is said by the protocol"),
        (CREDENTIALS | {"fields": {"a": "b"}, "token_parameters": {"a": "c"}}, "'a' stands among token_parameters too"),
        (CREDENTIALS | {"fields": {"a": "client_secret"}}, "fields.a: 'client_secret' is no name for a further field"),
        (CREDENTIALS | {"fields": {"a": "access_token"}}, "fields.a: 'access_token' is no name for a further field"),
        (CREDENTIALS | {"fields": {"a": "a-b"}}, "fields.a: 'a-b' is no name for a further field"),
        (CREDENTIALS | {"token_parameters": {"scope": "x"}}, "'scope' is said by the protocol"),
        (BEARER | {"claims": {"exp": 1}}, "'exp' is said by the protocol"),
        (BEARER | {"file": {"password": "x"}}, "'password' is not a field"),
        (APP | {"token_url": "/app/tokens"}, "{installation_id}"),
        (LOGIN | {"fields": []}, "fields: name at least one"),
        (LOGIN | {"secret": ["pin"]}, "'pin' is not one of fields"),
        (LOGIN | {"fields": ["user", "password", "access_token"]}, "'access_token' is the name"),
        (LOGIN | {"login": {"url": "/login", "body": {"user": "usr"}}}, "'usr' is not a field"),
        (LOGIN | {"login": {"url": "/login", "body": {"t": "refresh_token"}}}, "'refresh_token' is not a field"),
        (LOGIN | {"login": {"url": "/login", "carry_token": True}}, "carry_token"),
        (LOGIN | {"login": {"url": "http://acme.example/login"}}, "login.url: must be https"),
        (LOGIN | {"login": {"url": "/login", "body": {"a": "user"}, "fixed": {"a": 1}}}, "stands among fixed too"),
        (LOGIN | {"login": {"url": "/login", "body": {"a.b": "user"}, "fixed": {"a": 1}}}, "others are below it"),
        (LOGIN | {"login": {"url": "https://{user}.acme.example/login"}}, "which host"),
        (LOGIN | {"login": {"url": "/{password}/login"}}, "no secret"),
    ],
)
def test_what_is_wrong_with_a_kind(tmp_path: Path, auth: dict[str, Any], words: str) -> None:
    """Named by its kind and key."""
    told = mistake(tmp_path, auth=[auth])
    assert words in told
    assert f"auth.{auth['kind']}." in told


def test_what_is_a_secret_of_one_kind_is_no_part_of_the_url_of_another(tmp_path: Path) -> None:
    """Also where that kind can do without it."""
    login = FAR_LOGIN | {"fields": ["client_secret", "password"], "login": {"url": "https://acme.example/login"}}
    told = mistake(tmp_path, auth=[OAUTH, login], base_url=NAMED | {"url": "https://acme.example/{client_secret}"})
    assert "'client_secret' is a secret of oauth2" in told


@pytest.mark.parametrize(
    ("auth", "url", "words"),
    [
        (OAUTH, KEPT, "no kind keeps 'instance_url'"),
        (KEEPS, KEPT | {"suffixes": []}, "suffixes: are required"),
        (KEEPS, KEPT | {"suffixes": ["acme.example"]}, "must start with a dot"),
        (KEEPS, KEPT | {"suffixes": [".example"]}, "must start with a dot and name a domain"),
        (KEEPS, KEPT | {"url": "https://api.acme.example"}, "names no value"),
        (KEEPS, KEPT | {"url": "http://api.acme.example/{instance_url}"}, "https"),
        (KEEPS, KEPT | {"url": "http://{instance_url}.acme.example"}, "is not an https:// URL"),
        (KEEPS, KEPT | {"url": "{instance_url}/a b"}, "is not an https:// URL"),
        (KEEPS, KEPT | {"url": "{instance_url}.acme.example"}, "is not an https:// URL"),
        (KEEPS, KEPT | {"url": "{instance_url}/v1", "suffixes": []}, "suffixes: are required"),
        (KEEPS, KEPT | {"url": "{instance_url}/{account-id}"}, "{account-id} must hold the name of a value"),
        (KEEPS, KEPT | {"url": "{instance_url}/{account_id}"}, "no kind keeps 'account_id'"),
        (KEEPS, {"kind": "kept", "url": "https://{instance_url}.acme.example"}, "suffixes: are required"),
        (KEEPS | {"token_url": "/token"}, KEPT, "token_url: must be absolute"),
        (LOGIN | {"answer": {"keep": {"instance_url": "x"}}}, KEPT, "login.url: must be absolute"),
        (
            BEARER | {"follow_up": {"url": "/userinfo", "keep": {"instance_url": "x"}}},
            KEPT,
            "follow_up.url: must be absolute",
        ),
        (BASIC, NAMED | {"url": "https://acme.example/{password}"}, "'password' is a secret of basic"),
        (KEY, NAMED | {"url": "https://acme.example/{key}"}, "'key' is a secret of api_key"),
        (KEY, NAMED | {"url": "https://acme.example/{pin}"}, "'pin' is a secret of api_key"),
        (FAR_LOGIN, NAMED | {"url": "https://acme.example/{password}"}, "'password' is a secret of login"),
        (OAUTH, NAMED | {"url": "https://acme.example/{refresh_token}"}, "'refresh_token' is a secret of oauth2"),
        (OAUTH, NAMED | {"url": "https://acme.example/{access_token}"}, "no kind keeps 'access_token'"),
        (BASIC, NAMED | {"url": "https://acme.example/{account}"}, "no kind keeps 'account'"),
        (BASIC, NAMED | {"url": "https://{username}.acme.example"}, "suffixes: are required"),
    ],
)
def test_what_is_wrong_with_the_accounts_own_url(
    tmp_path: Path, auth: dict[str, Any], url: dict[str, Any], words: str
) -> None:
    """A URL that could lead anywhere, or to nothing."""
    assert words in mistake(tmp_path, auth=[auth], base_url=url)
