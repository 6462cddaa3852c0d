"""A token endpoint of ours with a scripted provider behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import httpx
import msgspec

from sidecar.adapters.authlib_oauth import AuthlibOAuth
from sidecar.auth.apps import Apps
from sidecar.auth.endpoint import TokenEndpoint
from sidecar.credential import Credential, Tokens
from sidecar.model import Failure
from sidecar.ports import Clock, HttpSender
from sidecar.provider import Provider
from sidecar.sandbox.scripted import FixedRandom, ManualClock, ScriptedSender
from sidecar.secret import Secret
from tests.build import provider

URL = "https://auth.acme.example/token"
CANARY = "canary-of-the-mine"
OAUTH: dict[str, Any] = {
    "kind": "oauth2",
    "authorize_url": "https://auth.acme.example/authorize",
    "token_url": URL,
    "revoke_url": "https://auth.acme.example/revoke",
}
NEW: dict[str, Any] = {"access_token": "new", "refresh_token": "next", "expires_in": 3600}


class AppTexts:
    """Apps in memory, as their files would be."""

    def __init__(self, apps: Mapping[str, Any]) -> None:
        self.texts = {f"{name}.json": json.dumps(app).encode() for name, app in apps.items()}

    def content(self, name: str) -> bytes | None:
        return self.texts.get(name)


def app(client_id: str = "app", *secrets: str) -> dict[str, Any]:
    return {"client_id": client_id, "client_secrets": secrets or ("secret",)}


def acme(*auth: Mapping[str, Any], **facts: Any) -> Provider:
    """A provider of these kinds."""
    return provider(auth=list(auth), **facts)


def endpoint(
    sender: HttpSender, apps: Mapping[str, Any] | None = None, clock: Clock | None = None, **also: Any
) -> TokenEndpoint:
    return TokenEndpoint(
        sender=sender,
        apps=Apps(AppTexts({"acme": app()} if apps is None else apps)),
        oauth=AuthlibOAuth(),
        clock=clock or ManualClock(),
        random=FixedRandom(),
        user_agent="connector-sidecar/1",
        **also,
    )


def credential(kind: str = "oauth2", *, fields: Mapping[str, str] = {}, **also: Any) -> Credential:
    held = {name: Secret(value) for name, value in fields.items()}
    return Credential(kind=kind, fields=held, created=0, changed=0, **also)


def held(access: str = "old", refresh: str | None = "old refresh", **also: Any) -> Tokens:
    return Tokens(access=Secret(access), refresh=Secret(refresh) if refresh else None, **also)


def said(body: object = NEW, status: int = 200, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return httpx.Response(
        status, content=content, headers={name.replace("_", "-"): text for name, text in headers.items()}
    )


def script(*answers: httpx.Response | Failure) -> ScriptedSender:
    return ScriptedSender(answers)


def form(request: httpx.Request) -> dict[str, str]:
    return dict(parse_qsl(request.content.decode(), keep_blank_values=True))
