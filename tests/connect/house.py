"""The connect subjects and the connect pages over one store, with a provider that answers by script."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import httpx
import msgspec

from sidecar.adapters.authlib_oauth import AuthlibOAuth
from sidecar.auth.apps import Apps
from sidecar.connect import Site
from sidecar.consent import Consent
from sidecar.credential import Credential
from sidecar.model import Failure
from sidecar.pages.listener import pages
from sidecar.sandbox.scripted import FixedRandom, ScriptedSender
from sidecar.store.credential import Revised
from sidecar.verify import Verification
from tests.build import GET_ITEM, OPERATIONS, provider
from tests.worker.house import House, Published

SITE = Site("https://connect.acme.example", ("https://app.acme.example/settings",))
ME = GET_ITEM | {"path": "/me", "input": {}, "required": []}
AUTH: dict[str, Any] = {
    "kind": "oauth2",
    "authorize_url": "https://id.acme.example/auth",
    "token_url": "https://id.acme.example/token",
    "scopes": {"items": ["items.*"], "me": ["me.get"]},
    "always": ["offline"],
    "callback": ["realmId"],
}
FACTS: dict[str, Any] = {
    "operations": OPERATIONS | {"me.get": ME},
    "verify": {"operation": "me.get", "account": "login"},
    "auth": [AUTH],
}
CANARY = "canary-of-a-token"
TOKENS = httpx.Response(200, json={"access_token": CANARY, "refresh_token": f"{CANARY}-r", "expires_in": 3600})
ALICE = httpx.Response(200, json={"login": "alice"})
ONWARD = re.compile(r'http-equiv="refresh" content="0; url=([^"]+)"')
HEADING = re.compile(r"<h1[^>]*>(.*?)</h1>")


class OneApp:
    """A folder with the app of acme in it."""

    def __init__(self, **also: Any) -> None:
        self._content = json.dumps({"client_id": "the-app", "client_secret": "s3cret"} | also).encode()

    def content(self, name: str) -> bytes | None:
        return self._content if name == "acme.json" else None


@dataclass
class Place:
    """A worker, and the pages with a browser before them."""

    house: House
    browser: httpx.AsyncClient
    sender: ScriptedSender

    async def ask(self, verb: str, payload: Any = None, *, connection: str = "alice") -> Published:
        data = b"" if payload is None else msgspec.json.encode(payload)
        return await self.house.ask(f"sidecar.connect.default.{connection}.acme.{verb}", data)

    async def start(self, **asked: Any) -> Any:
        body = (await self.ask("start", asked)).body
        assert "link" in body, body
        return body

    async def begin(self, link: str) -> dict[str, str]:
        """Where the browser is sent to, by its parameters."""
        page = await self.browser.post(link, headers={"sec-fetch-site": "same-origin"})
        found = ONWARD.search(page.text)
        assert found is not None, page.text
        return dict(parse_qsl(urlsplit(unescape(found[1])).query))

    async def back(self, **parameters: str) -> httpx.Response:
        return await self.browser.get("/callback", params=parameters)

    async def whole(self, **asked: Any) -> httpx.Response:
        """From a new link to the last page."""
        sent = await self.begin((await self.start(**asked))["link"])
        return await self.back(state=sent["state"], code="c0de")

    async def stored(self, connection: str = "alice") -> Credential | None:
        found = await self.house.credentials.look("default", connection, "acme")
        return found.credential if isinstance(found, Revised) else None


@dataclass
class Script:
    """What the provider answers, and what is different from the usual."""

    answers: list[httpx.Response | Failure] = field(default_factory=lambda: [TOKENS, ALICE])
    facts: Mapping[str, Any] = field(default_factory=dict)
    site: Site = SITE
    apps: Apps = field(default_factory=lambda: Apps(OneApp()))
    sender: ScriptedSender | None = None


@asynccontextmanager
async def place(script: Script | None = None) -> AsyncIterator[Place]:
    """All of it in one process, until the block ends."""
    script = script or Script()
    sender = script.sender or ScriptedSender(script.answers)
    house = House(sender, {"acme": provider(**(FACTS | dict(script.facts)))}, site=script.site, apps=script.apps)
    await house.worker.start()
    consent = Consent(
        site=house.site,
        catalogue=house.executor.catalogue,
        apps=house.apps,
        oauth=AuthlibOAuth(),
        codes=house.tokens,
        verification=Verification(house.executor, house.clock, FixedRandom()),
        credentials=house.credentials,
        flows=house.flows,
        observer=house.trace,
        clock=house.clock,
        random=FixedRandom(),
    )
    async with anyio.create_task_group() as tasks:
        transport = httpx.ASGITransport(pages(consent, house.site, tasks))
        async with httpx.AsyncClient(transport=transport, base_url=script.site.url or "http://nowhere") as browser:
            yield Place(house, browser, sender)


def heading(page: httpx.Response) -> str:
    found = HEADING.search(page.text)
    assert found is not None, page.text
    return unescape(found[1])
