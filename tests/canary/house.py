"""The whole product around the provider that tells everything, with an agent, an operator and a browser."""

from __future__ import annotations

import html
import json
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import nats
from nats.aio.client import Client

from sidecar.adapters.system import SystemClock
from sidecar.app import catalogue_of, connected, sidecar
from sidecar.keys import keys_to_run
from sidecar.settings import Settings
from tests.auth.keys import rsa_key
from tests.auth_real.exchange import serving
from tests.build import write_provider
from tests.canary.places import Places, listened, logged, on_disk, overheard, remembered
from tests.canary.tattler import MODES, Tattler
from tests.nats.place import own_server
from tests.processes import prepare
from tests.real.servers import free_ports

TENANT = "default"
PATIENCE = 30.0
HOOKS = """
def explain(status, headers, body):
    if status == 418:
        raise ValueError(f"this is a defect about {body} and {dict(headers)}")
    return None
"""
ANSWER = {"token_url": "/token"}
KINDS: list[dict[str, Any]] = [
    {
        "kind": "api_key",
        "place": "path",
        "prefix": "bot",
        "more": [
            {"field": "more", "place": "query", "name": "more"},
            {"field": "third", "place": "header", "name": "x-key"},
        ],
    },
    {"kind": "bearer"},
    {"kind": "basic"},
    {"kind": "oauth2", "authorize_url": "/authorize", "redirect": "loopback", "revoke_url": "/token/gone", **ANSWER},
    {"kind": "client_credentials", "client_auth": "post", **ANSWER},
    {"kind": "jwt_bearer", **ANSWER},
    {"kind": "app_installation", "token_url": "/token/{installation_id}"},
    {
        "kind": "login",
        "fields": ["username", "password"],
        "secret": ["password"],
        "login": {"url": "/token", "body": {"username": "username", "password": "password"}},
        "refresh": {"url": "/token", "body": {"refresh_token": "refresh_token"}},
    },
]
READ = {"access": "read", "summary": "x", "method": "GET", "path": "/me", "docs": "https://d.example"}
WRITE = READ | {"access": "write", "method": "POST", "path": "/items"}
ERRORS = {"code": ["error.code"], "message": ["error.message"], "request_id": ["x-request-id"]}


def canary(kind: str) -> str:
    """A secret that stands for one kind, unlike any other text."""
    return f"{kind}-{secrets.token_urlsafe(24)}"


def fields_of(kind: str) -> dict[str, str]:
    """Credential fields of a kind, each secret one a canary."""
    match kind:
        case "api_key":
            return {"key": canary("key"), "more": canary("more"), "third": canary("third")}
        case "bearer":
            return {"token": canary("token")}
        case "basic" | "login":
            return {"username": "somebody", "password": canary("password")}
        case "oauth2":
            return {"refresh_token": canary("refresh")}
        case "client_credentials":
            return {"client_id": "a-client", "client_secret": canary("client-secret")}
        case "jwt_bearer":
            return {"issuer": "robot@x.example", "subject": "ann@x.example", "private_key": rsa_key()}
        case _:
            return {"app_id": "12", "installation_id": "34", "private_key": rsa_key()}


PUBLIC = {"username", "client_id", "issuer", "subject", "app_id", "installation_id"}


@dataclass
class House:
    """Everything that can be asked; every reply is a place."""

    client: Client
    tattler: Tattler
    port: int
    places: Places
    public_url: str
    asked: set[str] = field(default_factory=set)

    async def request(self, subject: str, payload: bytes, place: str) -> Any:
        """The reply; None for a failure."""
        answer = await self.client.request(subject, payload, timeout=PATIENCE)
        self.places.note(place, answer.data)
        self.places.note(place, str(answer.headers or ""))
        failed = "Nats-Service-Error-Code" in (answer.headers or {})
        return None if failed else json.loads(answer.data)

    async def give(self, connection: str, body: Mapping[str, Any]) -> bool:
        """Import, as an operator does; the request itself is no place."""
        subject = f"sidecar.admin.{TENANT}.{connection}.acme.import"
        self.asked.add(subject)
        return await self.request(subject, json.dumps(body).encode(), "reply to import") is not None

    async def call(self, connection: str) -> None:
        for access, operation in (("read", "items.get"), ("write", "items.create")):
            await self.request(f"sidecar.{access}.{TENANT}.{connection}.acme.{operation}", b"", "reply to a call")
        dry = {"Dry-Run": "true"}
        subject = f"sidecar.read.{TENANT}.{connection}.acme.items.get"
        self.places.note("dry run", (await self.client.request(subject, b"", headers=dry, timeout=PATIENCE)).data)

    async def look(self, connection: str) -> None:
        """What an operator may ask of a connection."""
        for verb in ("list", "verify", "disable", "enable", "export"):
            subject = f"sidecar.admin.{TENANT}.{connection}.acme.{verb}"
            await self.request(subject, b"", f"reply to {verb}")

    async def consent(self, connection: str, mode: str, code: str) -> None:
        """A person connects an account in a browser; what the pages show is a place."""
        payload = json.dumps({"base_url": self.url(mode), "kind": "oauth2"}).encode()
        link = await self.request(f"sidecar.connect.{TENANT}.{connection}.acme.start", payload, "reply to start")
        assert link is not None, self.places.seen["reply to start"]
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as browser:
            pages = [await browser.get(link["link"]), await browser.post(link["link"])]
            where = re.search(r'(?:href|url)="?([^"]*/authorize\?[^"]*)"', pages[1].text)
            assert where is not None, pages[1].text
            state = parse_qs(urlsplit(html.unescape(where[1])).query)["state"][0]
            answer = {"code": code, "state": state}
            pages.append(await browser.get(f"{self.public_url}/callback", params=answer))
        for page in pages:
            self.places.note("page", page.text)
            self.places.note("page", str(page.headers))

    def url(self, mode: str) -> str:
        return f"http://127.0.0.1:{self.port}/{mode}"


@asynccontextmanager
async def house(folder: Path, places: Places) -> AsyncIterator[House]:
    """Serves until the block ends; what it wrote, logged and counted is then among the places."""
    app = {"client_id": "an-app", "client_secrets": [canary("client-secret"), canary("client-secret-before")]}
    tattler = Tattler({*app["client_secrets"]}, lambda: remembered(places))
    for name in ("nats", "apps", "state"):
        (folder / name).mkdir()
    write_provider(
        folder / "providers",
        operations={"items.get": READ, "items.create": WRITE},
        code=HOOKS,
        base_url={"kind": "self_hosted"},
        auth=KINDS,
        errors=ERRORS,
        hooks={"explain": "explain"},
        verify={"operation": "items.get", "account": "account", "docs": "https://d.example"},
    )
    login = {"user": "u", "password": canary("nats-password")}
    tattler.secrets.add(login["password"])
    config = {"authorization": login, "jetstream": {"store_dir": str(folder / "nats")}}
    (port,) = free_ports(1)
    with logged(places):
        async with serving(tattler.answer) as upstream, own_server(folder / "nats", config) as server:
            servers = {"servers": [f"http://127.0.0.1:{upstream}/{mode}" for mode in MODES]}
            (folder / "apps" / "acme.json").write_text(json.dumps(app | servers))
            (folder / "apps" / "acme.json").chmod(0o600)
            url = f"nats://u:{login['password']}@127.0.0.1:{server.port}"
            await prepare(url, folder / "kek")
            tattler.secrets |= {line for line in (folder / "kek").read_text().split() if len(line) > len("1795280368:")}
            settings = Settings(
                nats_url=url,
                kek_file=str(folder / "kek"),
                connectors=(str(folder / "providers"),),
                apps_dir=str(folder / "apps"),
                state_dir=str(folder / "state"),
                egress_allow=("127.0.0.1",),
                operations_address="127.0.0.1:0",
                connect_address=f"127.0.0.1:{port}",
                public_url=f"http://127.0.0.1:{port}",
            )
            keys = keys_to_run(settings, SystemClock().now)
            assert not isinstance(keys, str)
            client = await nats.connect(url)
            ear = await nats.connect(url)
            async with (
                connected(settings, url) as bus,
                sidecar(settings, bus=bus, keys=keys, catalogue=catalogue_of(settings)) as running,
            ):
                here = House(client, tattler, upstream, places, f"http://127.0.0.1:{port}")
                await overheard(ear, places, here.asked)
                yield here
                assert running.operations_address is not None
                await listened(places, running.operations_address)
            await ear.flush()
            await ear.close()
            await client.close()
        (folder / "nats" / "nats.conf").unlink()  # holds its password; it is the server's, and not ours
        on_disk(places, "NATS server's files", folder / "nats")
        on_disk(places, "state directory", folder / "state")
    places.note("settings", f"{settings!r} {settings}")
