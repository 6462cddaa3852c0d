"""The product as its users run it, for the scenes: nats-servers, sidecars as processes, the counting upstream."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import nats
from nats.aio.client import Client

from sidecar.adapters.key_file import create_key_file
from sidecar.key_places import file_name
from tests.app.fleet import FAILED, Member
from tests.chaos.providers import write_providers
from tests.chaos.servers import Servers, servers
from tests.chaos.told import Load, Plan, load
from tests.processes import AS_INSTALLED
from tests.real.servers import CannotStart
from tests.upstream import Behaviour, Upstream, upstream

# A wall clock that is wrong, as on a machine without NTP: what reads it, reads it through here.
AHEAD = (
    "import os, time; ahead, true = float(os.environ.pop('CLOCK_AHEAD', 0)), time.time;"
    "time.time = lambda: true() + ahead;"
)
TENANT = "default"
PATIENCE = 60.0
STARTS = 10
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass
class Place:
    """What is there; `up` is the upstream."""

    folder: Path
    nats: Servers
    up: Upstream
    agent: Client
    environment: dict[str, str]
    members: list[Member] = field(default_factory=list)
    parts: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def member(self, **variables: str) -> Member:
        """One more sidecar; it serves. What it logs is in a file of the folder."""
        name = secrets.token_hex(3)
        state = self.folder / f"state-{name}"
        state.mkdir()
        with (self.folder / f"member-{name}.log").open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", AHEAD + AS_INSTALLED, "run", "--json"),
                env=self.environment | {"SIDECAR_STATE_DIR": str(state)} | variables,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        self.parts.push_async_callback(_killed, child)
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), PATIENCE)
        facts = json.loads(line or b"{}")
        if "pid" not in facts:
            code = await asyncio.wait_for(child.wait(), PATIENCE)
            said = (self.folder / f"member-{name}.log").read_text()[-400:]
            raise CannotStart(f"a sidecar ended with {code}: {facts.get('detail', '')} {said}")
        member = Member(child, facts)
        self.members.append(member)
        return member

    async def grow(self, number: int, **variables: str) -> list[Member]:
        return list(await asyncio.gather(*(self.member(**variables) for _ in range(number))))

    async def kill(self, member: Member) -> None:
        """SIGKILL, and nothing of it is left."""
        member.child.kill()
        await member.child.wait()
        self.members.remove(member)

    async def replace(self, member: Member) -> Member:
        """SIGKILL, and another one in its place, as an orchestrator does: started again if it cannot begin yet."""
        await self.kill(member)
        for _ in range(STARTS - 1):
            with contextlib.suppress(CannotStart):
                return await self.member()
        return await self.member()

    async def connect(self, provider: str, *, connection: str = "shop", tenant: str = TENANT, **more: Any) -> None:
        """An account at the upstream. A member must serve."""
        body = {"fields": {"token": f"token-{connection}"}, "base_url": self.up.url, "verify": False, **more}
        told, answer = await self.ask(f"sidecar.admin.{tenant}.{connection}.{provider}.import", body)
        assert FAILED not in told, answer

    async def ask(
        self, subject: str, payload: Mapping[str, Any] = NOTHING, headers: Mapping[str, str] = NOTHING
    ) -> tuple[Mapping[str, str], Any]:
        """The headers and the body of a reply."""
        answer = await self.agent.request(
            subject, msgspec.json.encode(dict(payload)), timeout=PATIENCE, headers=dict(headers)
        )
        return answer.headers or {}, msgspec.json.decode(answer.data or b"null")

    def load(self, plan: Plan) -> AbstractAsyncContextManager[Load]:
        """Agents that call."""
        return load(self.folder, self.nats.url, plan)


@asynccontextmanager
async def place(
    folder: Path,
    behaviour: Behaviour | None = None,
    *,
    tenants: Sequence[str] = (TENANT,),
    nodes: int = 1,
    **variables: str,
) -> AsyncIterator[Place]:
    """Nats-servers with what we ship for them, the upstream, an operator's keys and an agent; no member yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("nats", "keys", "connectors"):
        (folder / name).mkdir()
    for tenant in tenants:
        create_key_file(folder / "keys" / file_name(tenant))
    write_providers(folder / "connectors")
    async with upstream(folder, behaviour) as up, servers(folder / "nats", nodes) as running:
        mine = {name: value for name, value in os.environ.items() if not name.startswith("SIDECAR_")}
        environment = mine | {
            "SIDECAR_NATS_URL": running.url,
            "SIDECAR_REPLICAS": str(nodes),
            "SIDECAR_KEK_DIR": str(folder / "keys"),
            "SIDECAR_CONNECTORS": str(folder / "connectors"),
            "SIDECAR_EGRESS_ALLOW": "127.0.0.1",
            "SIDECAR_OPERATIONS_ADDRESS": "127.0.0.1:0",
            "SIDECAR_LOG_FORMAT": "text",
            "PYTHONPATH": os.pathsep.join(sys.path),
            **variables,
        }
        agent = await nats.connect(running.url.split(","), error_cb=_quiet, max_reconnect_attempts=-1)
        here = Place(folder, running, up, agent, environment)
        try:
            async with here.parts:
                yield here
        finally:
            await agent.close()


async def _killed(child: Process) -> None:
    if child.returncode is None:
        child.kill()
    await child.wait()


async def _quiet(_error: Exception) -> None:
    pass
