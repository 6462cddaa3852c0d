"""Sidecars that share quotas over one real nats-server, each with a connection of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.abc

from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.system import elapsed
from sidecar.core.quota.event import Event
from sidecar.scope import Scope
from sidecar.sharing import Sharing
from sidecar.wire.quota import quota_subjects


@dataclass
class Part:
    """One sidecar's part, and what it heard."""

    bus: NatsBus
    sharing: Sharing
    heard: list[Event] = field(default_factory=list)


@dataclass
class Place:
    """Sidecars of one tenant, each with a connection of its own."""

    url: str
    tenant: str
    parts: dict[str, Part]
    tasks: anyio.abc.TaskGroup

    async def part(self, name: str, tenant: str | None = None) -> Part:
        bus = await connect(self.url)
        subjects = quota_subjects("sidecar", Scope(tenant or self.tenant))
        part = Part(bus, Sharing(bus=bus, store=NatsStore(bus), subjects=subjects, me=name, elapsed=elapsed))
        part.sharing.attach(part.heard.append)
        await part.sharing.start()
        await bus.round_trip(20)
        self.tasks.start_soon(part.sharing.serve)
        self.parts[f"{tenant}{name}"] = part
        return part


@asynccontextmanager
async def placed(url: str, tenant: str) -> AsyncIterator[Place]:
    async with anyio.create_task_group() as tasks:
        there = Place(url, tenant, {}, tasks)
        yield there
        tasks.cancel_scope.cancel()
    for part in there.parts.values():
        await part.bus.close()
