"""The image at work: set up, serve and end, in the containers of the manifests, on the NATS configurations we ship."""

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
from typing import Any, NamedTuple

import nats
from nats.aio.client import Client

from sidecar.nats_config import OWN, SHARED
from tests.build import write_provider
from tests.deploy.container import Node, Started, command, secret, started
from tests.deploy.manifests import KUSTOMIZE, SETTINGS, Manifest, Ours, documents, environment, ours
from tests.deploy.recipes import Recipes, Unmet
from tests.deploy.upstream import Upstream, upstream
from tests.permissions.place import Form, Place, empty_place
from tests.real.servers import free_ports

CONNECTION, PROVIDER = "alice", "tracker"
LOGINS = ("connector-sidecar-nats-admin", "connector-sidecar-nats")  # Secrets
SETUP_SECONDS = 60.0


class Mode(NamedTuple):
    """How the image serves: the overlay, who it is to NATS, and a tenant that it serves."""

    words: str
    overlay: str
    user: str
    tenant: str
    settings: Mapping[str, str]


SETUP = Mode("setup", "overlays/shared", "setup", "", {})
MODES = (
    Mode("shared", "overlays/shared", "sidecar", SHARED, {}),
    Mode(
        "beside an agent",
        "overlays/agent",
        f"{OWN}-sidecar",
        OWN,
        {"SIDECAR_TENANT": OWN, "SIDECAR_INBOX_PREFIX": f"_INBOX.{OWN}.sidecar"},
    ),
)


async def serve(recipes: Recipes, root: Path, form: Form, starts: int) -> list[str]:
    """Set up, then serve in both modes. Gives the figures in words; raises Unmet."""
    work = recipes.scratch / "image-run"
    shutil.rmtree(work, ignore_errors=True)
    for folder in ("empty", "nats"):
        (work / folder).mkdir(parents=True)
    node = Node(root, recipes.config(), work / "secrets", work / "empty")
    write_provider(work / "connectors", name=PROVIDER, base_url={"kind": "self_hosted"})
    manifests = {mode.overlay: _manifests(recipes, work, mode.overlay, form) for mode in MODES}
    async with empty_place(form, work / "nats") as place:
        with upstream() as provider:
            trial = _Trial(node, work, place, provider, manifests)
            lines = [await trial.set_up()]
            secret(node, "connector-sidecar-keks", {place.as_served(SHARED): _key()})
            secret(node, "connector-sidecar-kek", {"kek": _key()})
            for mode in MODES:
                lines += await trial.serves(mode, starts)
    return lines


def _key() -> bytes:
    return f"k{secrets.token_hex(4)} {base64.b64encode(secrets.token_bytes(32)).decode()}\n".encode()


def _manifests(recipes: Recipes, work: Path, overlay: str, form: Form) -> list[Manifest]:
    """The overlay; where users have passwords, as somebody would write it who has such a nats-server."""
    folder = KUSTOMIZE / overlay
    if form is not Form.OPERATOR:
        folder = work / "kustomize" / f"{folder.name}-with-passwords"
        folder.mkdir(parents=True)
        named = (os.path.relpath(KUSTOMIZE / name, folder) for name in (overlay, "components/nats-password"))
        resource, component = named
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [resource],
            "components": [component],
            "images": [{"name": "connector-sidecar", "newName": "registry.example/connector-sidecar"}],
        }
        (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    rendered = recipes.rendered(folder)
    recipes.validate(rendered)
    return documents(rendered.read_text(encoding="utf-8"))


class _Trial:
    """One run: where the containers are, and what they reach."""

    def __init__(
        self, node: Node, work: Path, place: Place, provider: Upstream, manifests: Mapping[str, list[Manifest]]
    ) -> None:
        self._node = node
        self._work = work
        self._place = place
        self._provider = provider
        self._manifests = manifests

    async def set_up(self) -> str:
        """`sidecar setup` as the Job runs it, once for each account that has streams; and again, to change nothing."""
        log = self._work / "setup.log"
        admins = self._place.admins()
        for admin in (*admins, *admins):
            words = self._words(SETUP._replace(user=admin), "setup", {"SIDECAR_REPLICAS": "1"})
            with log.open("ab") as file:
                process = await asyncio.create_subprocess_exec(
                    *words, stdin=subprocess.DEVNULL, stdout=file, stderr=file
                )
                status = await asyncio.wait_for(process.wait(), SETUP_SECONDS)
            if status != 0:
                tail = log.read_text(encoding="utf-8", errors="replace")[-1500:]
                raise Unmet(f"setup as {admin} exited with {status}:\n{tail}")
        return f"setup, as the Job runs it: done for {len(admins)} account(s), and again"

    async def serves(self, mode: Mode, starts: int) -> list[str]:
        """Start a few times; then a call as the right user, and one in flight at SIGTERM."""
        seconds: list[float] = []
        for _ in range(starts - 1):
            async with self._running(mode) as running:
                seconds.append(running.ready_seconds)
                await running.end()
        async with self._running(mode) as running:
            seconds.append(running.ready_seconds)
            _restricted(running)
            memory = running.memory_bytes()
            ended = await self._call(mode, running)
        each = ", ".join(f"{value:.2f}" for value in sorted(seconds))
        return [
            f"{mode.words}: ready in {statistics.median(seconds):.2f} s ({each}), {memory / 1e6:.0f} MB",
            f"{mode.words}: uid 10001, read-only root, no capabilities; a call answered as the right user",
            f"{mode.words}: a call in flight at SIGTERM answered, gone after {ended:.2f} s",
        ]

    @asynccontextmanager
    async def _running(self, mode: Mode) -> AsyncIterator[Started]:
        address = f"127.0.0.1:{free_ports(1)[0]}"
        changed = {
            **mode.settings,
            "SIDECAR_OPERATIONS_ADDRESS": address,
            "SIDECAR_REPLICAS": "1",
            "SIDECAR_CONNECTORS": "/run/connectors",
            "SIDECAR_EGRESS_ALLOW": self._provider.place,
        }
        words = self._words(mode, "run", changed, {"/run/connectors": self._work / "connectors"})
        async with started(words, address, self._work / f"{mode.user}.log") as running:
            yield running

    def _words(
        self, mode: Mode, verb: str, changed: Mapping[str, str], folders: Mapping[str, Path] | None = None
    ) -> list[str]:
        """The container whose argument is `verb`, with what a machine without Kubernetes must have otherwise."""
        manifests = self._manifests[mode.overlay]
        one = _container(manifests, verb)
        settings = next(
            manifest["data"]
            for manifest in manifests
            if manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"].startswith(f"{SETTINGS}-")
        )
        url, credentials = self._place.address(mode.user)
        variables = environment(one.container, settings, {name: {"url": url} for name in LOGINS})
        if credentials is not None:
            for name in LOGINS:
                secret(self._node, name, {"nats.creds": credentials.read_bytes()})
            variables["SIDECAR_NATS_URL"] = url
        return command(self._node, one, variables | dict(changed), folders or {})

    async def _call(self, mode: Mode, running: Started) -> float:
        """A call, and one more that is in flight at SIGTERM; the seconds until the process was gone."""
        token = f"token-of-{mode.tenant}"
        given = {"kind": "bearer", "fields": {"token": token}, "base_url": f"http://{self._provider.place}"}
        where = f"{mode.tenant}.{CONNECTION}.{PROVIDER}"
        async with self._client(f"{mode.tenant}-operator") as operator:
            await _ask(operator, f"sidecar.admin.{where}.import", {**given, "verify": False})
        async with self._client(f"{mode.tenant}-agent") as agent:
            self._provider.asked.clear()
            answer = await _ask(agent, f"sidecar.read.{where}.items.get", {"id": "7"})
            if answer != {"path": "/items/7"} or self._provider.asked != [f"Bearer {token}"]:
                raise Unmet(f"a call was answered {answer}, and the provider was asked by {self._provider.asked}")
            slow = asyncio.create_task(_ask(agent, f"sidecar.read.{where}.items.get", {"id": "slow"}))
            async with asyncio.timeout(20):
                while len(self._provider.asked) < 2:  # noqa: ASYNC110 - a thread decides
                    await asyncio.sleep(0.005)
            ended = await running.end()
            if await slow != {"path": "/items/slow"}:
                raise Unmet(f"the call in flight was answered {await slow}")
        return ended

    @asynccontextmanager
    async def _client(self, name: str) -> AsyncIterator[Client]:
        url, credentials = self._place.address(name)
        inbox = self._place.users[name][0].holder.inbox.encode()
        login = {} if credentials is None else {"user_credentials": str(credentials)}
        client = await nats.connect(url, inbox_prefix=inbox, allow_reconnect=False, **login)
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
