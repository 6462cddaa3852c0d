"""The image at work: set up, serve and end, in the containers of the manifests, on the NATS configuration we ship."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import shutil
import statistics
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client

from tests.build import write_provider
from tests.deploy.container import Place, Started, command, secret, started
from tests.deploy.manifests import ROOT, SETTINGS, Manifest, Ours, documents, environment, ours
from tests.deploy.outside import Server, Upstream, shipped_server, upstream
from tests.deploy.recipes import Recipes, Unmet
from tests.real.servers import free_ports

LOGINS = ("connector-sidecar-nats-admin", "connector-sidecar-nats")  # Secrets
TENANT, CONNECTION, PROVIDER, TOKEN = "acme", "alice", "tracker", "token-of-alice"
STARTS = 3
SETUP_SECONDS = 60.0


async def serve(recipes: Recipes, root: Path) -> list[str]:
    """Set up, then serve in both modes. Gives the figures in words; raises Unmet."""
    work = recipes.scratch / "image-run"
    shutil.rmtree(work, ignore_errors=True)
    empty = work / "empty"
    empty.mkdir(parents=True)
    place = Place(root, recipes.config(), work / "secrets", empty)
    key = f"k{secrets.token_hex(4)} {base64.b64encode(secrets.token_bytes(32)).decode()}\n".encode()
    secret(place, "connector-sidecar-keks", {TENANT: key})
    secret(place, "connector-sidecar-kek", {"kek": key})
    write_provider(work / "connectors", name=PROVIDER, base_url={"kind": "self_hosted"})
    shared, agent = (_with_passwords(recipes, work, overlay) for overlay in ("overlays/shared", "overlays/agent"))
    async with shipped_server(work / "nats") as server:
        with upstream() as provider:
            trial = _Trial(place, work, server, provider)
            lines = [await trial.set_up(shared)]
            lines += await trial.serves("shared", shared, "sidecar", connect=True)
            lines += await trial.serves("beside an agent", agent, f"{TENANT}-sidecar", connect=False)
    return lines


def _with_passwords(recipes: Recipes, work: Path, overlay: str) -> list[Manifest]:
    """An overlay as somebody would write it whose nats-server has passwords."""
    folder = work / "kustomize" / f"{Path(overlay).name}-with-passwords"
    folder.mkdir(parents=True)
    base, component = (
        os.path.relpath(ROOT / "deploy/kustomize" / name, folder) for name in (overlay, "components/nats-password")
    )
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [base],
        "components": [component],
        "images": [{"name": "connector-sidecar", "newName": "registry.example/connector-sidecar"}],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    rendered = recipes.rendered(folder)
    recipes.validate(rendered)
    return documents(rendered.read_text(encoding="utf-8"))


class _Trial:
    """One run: where the containers are, and what they reach."""

    def __init__(self, place: Place, work: Path, server: Server, provider: Upstream) -> None:
        self._place = place
        self._work = work
        self._server = server
        self._provider = provider

    async def set_up(self, manifests: list[Manifest]) -> str:
        """`sidecar setup` as the Job runs it."""
        words = self._words(manifests, "setup", "setup", {"SIDECAR_REPLICAS": "1"})
        log = self._work / "setup.log"
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(*words, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
            status = await asyncio.wait_for(process.wait(), SETUP_SECONDS)
        if status != 0:
            raise Unmet(f"setup exited with {status}:\n{log.read_text(encoding='utf-8', errors='replace')[-1500:]}")
        return "setup, as the Job runs it: streams and buckets are there"

    async def serves(self, mode: str, manifests: list[Manifest], user: str, *, connect: bool) -> list[str]:
        """Start a few times; then a call as the right user, and one in flight at SIGTERM."""
        seconds: list[float] = []
        for _ in range(STARTS - 1):
            async with self._running(mode, manifests, user) as running:
                seconds.append(running.ready_seconds)
                await running.end()
        async with self._running(mode, manifests, user) as running:
            seconds.append(running.ready_seconds)
            _restricted(running)
            memory = running.memory_bytes()
            if connect:
                await self._connect_account()
            ended = await self._call(running)
        return [
            f"{mode}: ready in {statistics.median(seconds):.2f} s (median of {STARTS}: "
            + ", ".join(f"{value:.2f}" for value in sorted(seconds))
            + f"), {memory / 1e6:.0f} MB; uid 10001, read-only root, no capabilities",
            f"{mode}: a call answered as the right user; one in flight at SIGTERM answered, gone after {ended:.2f} s",
        ]

    @asynccontextmanager
    async def _running(self, mode: str, manifests: list[Manifest], user: str) -> AsyncIterator[Started]:
        address = f"127.0.0.1:{free_ports(1)[0]}"
        changed = {
            "SIDECAR_OPERATIONS_ADDRESS": address,
            "SIDECAR_REPLICAS": "1",
            "SIDECAR_CONNECTORS": "/run/connectors",
            "SIDECAR_EGRESS_ALLOW": self._provider.place,
        }
        words = self._words(manifests, "run", user, changed, {"/run/connectors": self._work / "connectors"})
        async with started(words, address, self._work / f"{mode.replace(' ', '-')}.log") as running:
            yield running

    def _words(
        self,
        manifests: list[Manifest],
        verb: str,
        user: str,
        changed: Mapping[str, str],
        folders: Mapping[str, Path] | None = None,
    ) -> list[str]:
        """The container whose argument is `verb`, with what a machine without Kubernetes must have otherwise."""
        one = _container(manifests, verb)
        settings = next(
            manifest["data"]
            for manifest in manifests
            if manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"].startswith(f"{SETTINGS}-")
        )
        login = {"url": self._server.url(user)}
        variables = environment(one.container, settings, dict.fromkeys(LOGINS, login))
        return command(self._place, one, variables | dict(changed), folders or {})

    async def _connect_account(self) -> None:
        async with self._client("operator") as operator:
            given = {
                "kind": "bearer",
                "fields": {"token": TOKEN},
                "verify": False,
                "base_url": f"http://{self._provider.place}",
            }
            await _ask(operator, f"sidecar.admin.{TENANT}.{CONNECTION}.{PROVIDER}.import", given)

    async def _call(self, running: Started) -> float:
        """A call, and one more that is in flight at SIGTERM; the seconds until the process was gone."""
        subject = f"sidecar.read.{TENANT}.{CONNECTION}.{PROVIDER}.items.get"
        async with self._client("agent") as agent:
            self._provider.asked.clear()
            answer = await _ask(agent, subject, {"id": "7"})
            if answer != {"path": "/items/7"} or self._provider.asked != [f"Bearer {TOKEN}"]:
                raise Unmet(f"a call was answered {answer}, and the provider was asked by {self._provider.asked}")
            slow = asyncio.create_task(_ask(agent, subject, {"id": "slow"}))
            async with asyncio.timeout(20):
                while len(self._provider.asked) < 2:  # noqa: ASYNC110 - a thread decides
                    await asyncio.sleep(0.005)
            ended = await running.end()
            if await slow != {"path": "/items/slow"}:
                raise Unmet(f"the call in flight was answered {await slow}")
        return ended

    @asynccontextmanager
    async def _client(self, name: str) -> AsyncIterator[Client]:
        url = self._server.url(f"{TENANT}-{name}")
        client = await nats.connect(url, inbox_prefix=f"_INBOX.{TENANT}.{name}".encode(), allow_reconnect=False)
        try:
            yield client
        finally:
            await client.close()


def _container(manifests: list[Manifest], verb: str) -> Ours:
    found = [
        one
        for one in ours({f"{manifest['kind']}/{manifest['metadata']['name']}": manifest for manifest in manifests})
        if one.container["args"] == [verb]
    ]
    if len(found) != 1:
        raise Unmet(f"{len(found)} containers run `{verb}`")
    return found[0]


def _restricted(running: Started) -> None:
    """What the kernel says of the process."""
    facts = dict(line.split(":", 1) for line in running.status() if ":" in line)
    ids = {name: facts[name].split() for name in ("Uid", "Gid", "Groups", "NoNewPrivs")}
    wanted = {"Uid": ["10001"] * 4, "Gid": ["10001"] * 4, "Groups": ["10001"], "NoNewPrivs": ["1"]}
    if ids != wanted or running.capabilities() != {"0" * 16}:
        raise Unmet(f"the process has {ids}, capabilities {running.capabilities()}")


async def _ask(client: Client, subject: str, values: dict[str, Any]) -> Any:
    reply = await client.request(subject, json.dumps(values).encode(), timeout=35)
    failed = (reply.headers or {}).get("Nats-Service-Error")
    if failed:
        raise Unmet(f"{subject}: {failed}")
    return json.loads(reply.data)
