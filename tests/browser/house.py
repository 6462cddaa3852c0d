"""Two sidecars behind one address, a strict OAuth server, and a browser: what connecting an account takes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import anyio
import httpx
import msgspec
from anyio.from_thread import BlockingPortal, start_blocking_portal

from sidecar.adapters.key_file import create_key_file
from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import provision
from sidecar.adapters.system import SystemClock, SystemRandom
from sidecar.app import FORMATS, Sidecar, sidecar
from sidecar.catalogue.load import load_catalogue
from sidecar.keys import keys_to_run
from sidecar.scope import Scope
from sidecar.settings import Settings
from sidecar.store.credential import CredentialStore
from sidecar.store.flow import FlowStore, Held, Place
from sidecar.streams import streams_of
from sidecar.wire.subject import ConnectAddress, connect_subject
from tests.browser.driver import Browser, browser
from tests.browser.front import Front, front
from tests.browser.strict import CLIENT_ID, CLIENT_SECRET, strict_server
from tests.build import CREATE_ITEM, GET_ITEM, write_provider

ME = GET_ITEM | {"path": "/me", "input": {}, "required": [], "summary": "Get the account."}
AUTH: dict[str, Any] = {
    "kind": "oauth2",
    "token_url": "/token",
    "redirect": "https",
    "always": ["openid", "offline_access"],
    "scopes": {"email": ["account.get"], "api:write": ["items.*"]},
    "authorize_parameters": {"prompt": "consent"},
}


@dataclass(slots=True)
class House:
    """Everything at once. `acme` is the tenant; `strict` lets alice in, `denying` says that she said no."""

    portal: BlockingPortal
    bus: NatsBus
    front: Front
    browser: Browser
    flows: FlowStore
    credentials: CredentialStore

    def ask(self, connection: str, verb: str, provider: str = "strict", **asked: object) -> Any:
        """The answer to an agent."""
        subject = connect_subject("sidecar", ConnectAddress("acme", connection, provider, verb))
        return json.loads(self.portal.call(self._ask, subject, msgspec.json.encode(asked)))

    async def _ask(self, subject: str, payload: bytes) -> bytes:
        return (await self.bus.request(subject, payload, timeout=20)).data

    def link(self, connection: str, provider: str = "strict", **asked: object) -> Any:
        answer = self.ask(connection, "start", provider, **asked)
        assert "link" in answer, answer
        return answer

    def status(self, connection: str, flow: str, provider: str = "strict") -> Any:
        return self.ask(connection, "status", provider, flow=flow)

    def vanish(self, connection: str, flow: str) -> None:
        """The flow's time is over, by the nats-server's own clock."""
        self.portal.call(self._vanish, Place("acme", connection, "strict", flow))

    async def _vanish(self, place: Place) -> None:
        held = await self.flows.read(place)
        assert isinstance(held, Held)
        await self.flows.write(place, msgspec.structs.replace(held.flow, valid_seconds=1), held.revision)
        with anyio.fail_after(30):
            while await self.flows.read(place) is not None:  # noqa: ASYNC110 - the server decides
                await anyio.sleep(0.05)

    def away(self, connection: str) -> tuple[str, Any]:
        """A browser that was sent to the provider and did not get there: the address it was sent to, and the link."""
        link = self.link(connection)
        self.front.held = True
        try:
            self.browser.go(link["link"])
            self.browser.press("button")
            self.browser.until("On the way to Strict")
            return str(self.browser.run("return document.querySelector('p a').href")), link
        finally:
            self.front.held = False

    def consent(self, url: str) -> dict[str, str]:
        """Alice allows access at the address that a browser was sent to; what she is sent back with."""
        return consent(self.front.at(url.removeprefix(self.front.url)), f"{self.front.url}/callback")

    def callback(self, parameters: dict[str, str]) -> str:
        return f"{self.front.url}/callback?{urlencode(parameters)}"


def consent(url: str, redirect_uri: str) -> dict[str, str]:
    """Alice allows access at the provider; what it sends her back with."""
    with httpx.Client(trust_env=False, timeout=30) as client:
        answer = client.get(url)
        for _ in range(10):
            where = str(answer.url.join(answer.headers["location"]))
            if where.startswith(redirect_uri):
                return dict(parse_qsl(urlsplit(where).query))
            answer = client.get(where)
    raise AssertionError("the provider never sends the browser back")


@contextmanager
def house(folder: Path, nats_url: str) -> Iterator[House]:
    """All of it, until the block ends."""
    with ExitStack() as parts:
        portal = parts.enter_context(start_blocking_portal("asyncio", {"use_uvloop": True}))
        facing = parts.enter_context(portal.wrap_async_context_manager(front(folder)))
        redirect = f"{facing.url}/callback"
        servers = {
            "strict": parts.enter_context(strict_server(folder / "strict", redirect)),
            "denying": parts.enter_context(strict_server(folder / "denying", redirect, DENY="1")),
        }
        settings = _settings(folder, nats_url, facing.url)
        facing.providers = servers
        _write(folder, servers, facing.url)
        serving = portal.wrap_async_context_manager(_two_sidecars(settings, folder, facing))
        bus = parts.enter_context(serving)
        one = parts.enter_context(browser(folder / "profile"))
        keys = keys_to_run(settings, SystemClock().now)
        assert not isinstance(keys, str)
        parts_of_store = (NatsStore(bus), keys, SystemClock(), SystemRandom())
        flows = FlowStore(*parts_of_store, Scope())
        credentials = CredentialStore(*parts_of_store, capacity=10)
        yield House(portal, bus, facing, one, flows, credentials)


def _settings(folder: Path, nats_url: str, public_url: str) -> Settings:
    (folder / "apps").mkdir()
    (folder / "keks").mkdir()
    create_key_file(folder / "keks" / "acme")
    return Settings(
        nats_url=nats_url,
        kek_dir=str(folder / "keks"),
        apps_dir=str(folder / "apps"),
        connect_address="127.0.0.1:0",
        public_url=public_url,
        return_urls=(f"{public_url}/settings",),
        egress_allow=("127.0.0.1",),
        grace_seconds=5,
    )


def _write(folder: Path, servers: dict[str, str], public_url: str) -> None:
    """A provider for each server, and the app that each knows us by."""
    for name, url in servers.items():
        write_provider(
            folder / "connectors",
            name=name,
            title=name.title(),
            operations={"account.get": ME, "items.create": CREATE_ITEM},
            base_url={"kind": "self_hosted", "default": url},
            auth=[AUTH | {"issuer": url, "issuer_always": True, "authorize_url": f"{public_url}/at/{name}/auth"}],
            verify={"operation": "account.get", "account": "email"},
        )
        app = folder / "apps" / f"{name}.json"
        app.write_text(json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}))
        app.chmod(0o600)


@asynccontextmanager
async def _two_sidecars(settings: Settings, folder: Path, facing: Front) -> AsyncIterator[NatsBus]:
    catalogue = load_catalogue([folder / "connectors"], FORMATS)
    async with AsyncExitStack() as parts:
        running: list[Sidecar] = []
        for _ in range(2):
            assert settings.nats_url is not None
            bus = await connect(settings.nats_url)
            parts.push_async_callback(bus.close)
            await provision(bus, streams_of(settings))
            keys = keys_to_run(settings, SystemClock().now)
            assert not isinstance(keys, str)
            running.append(await parts.enter_async_context(sidecar(settings, bus=bus, keys=keys, catalogue=catalogue)))
        facing.backends = [str(one.connect_address) for one in running]
        yield running[0].bus
