"""Sidecars that share one store of idempotency keys, each with its own executor and script of answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.abc
import httpx
import msgspec

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.adapters.system import SystemRandom
from sidecar.kept import Kept
from sidecar.model import Failure, Outcome, Success
from sidecar.once import Once
from sidecar.ports import HttpSender
from sidecar.provider import Provider
from sidecar.run import Ended
from sidecar.sandbox.scripted import ManualClock
from sidecar.scope import Scope
from sidecar.store.idempotency import BUCKET, IdempotencyStore
from sidecar.store.record import record_place
from tests.build import CREATE_ITEM, OPERATIONS, provider
from tests.execute.house import Answer, House
from tests.store.test_credential import MemoryStore

KEYS = FileKeys({"k1": bytes(32)})
KEY = "run-4711.notify"
ACME = provider(
    operations={**OPERATIONS, "items.replace": CREATE_ITEM | {"method": "PUT"}},
    raw={"headers": ["x-note"]},
)
KEYED = provider(idempotency={"header": "Idempotency-Key", "operations": ["items.*"]})
MAX_PAYLOAD = 1_000_000


class Blocked(HttpSender):
    """A provider that has the request and answers when it is told to."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.sent: list[httpx.Request] = []
        self.has_it = anyio.Event()
        self.go_on = anyio.Event()

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> Answer:
        del deadline, max_body
        self.sent.append(request)
        self.has_it.set()
        await self.go_on.wait()
        return self.answer

    async def aclose(self) -> None:
        """Nothing to close."""


@dataclass
class Fleet:
    """Sidecars on one store and one clock. `tasks` runs what they do in the background, as `serve` would."""

    tasks: anyio.abc.TaskGroup
    memory: MemoryStore = field(default_factory=MemoryStore)
    clock: ManualClock = field(default_factory=ManualClock)
    max_payload: int = MAX_PAYLOAD

    def sidecar(
        self,
        *answers: Answer,
        acme: Provider = ACME,
        network: HttpSender | None = None,
        clock: ManualClock | None = None,
        keys: FileKeys = KEYS,
    ) -> Sidecar:
        clock = clock or self.clock
        store = IdempotencyStore(self.memory, keys, clock, SystemRandom(), Scope(), max_payload=self.max_payload)
        once = Once(store, clock, SystemRandom())
        self.tasks.start_soon(once.serve)
        house = House(answers, providers={"acme": acme}, clock=clock, network=network, once=once)
        return Sidecar(house, once)

    @property
    def records(self) -> dict[str, Kept]:
        """What stands in the store, opened."""
        there = {key: entry for key, entry in self.memory.entries.items() if not entry.deleted}
        return {
            key: msgspec.json.decode(KEYS.open(key.split(".")[0], record_place(BUCKET, key), entry.value), type=Kept)
            for key, entry in there.items()
        }


@dataclass
class Sidecar:
    house: House
    once: Once

    async def run(self, operation: str = "items.create", *, key: str | None = KEY, **also: Any) -> Ended:
        await anyio.lowlevel.checkpoint()  # `serve` begins
        return await self.house.run(operation, idempotency_key=key, **also)

    async def failure(self, operation: str = "items.create", **also: Any) -> Failure:
        return failed((await self.run(operation, **also)).outcome)

    @property
    def sent(self) -> int:
        return len(self.house.sender.sent)


def failed(outcome: Outcome) -> Failure:
    assert isinstance(outcome, Failure), outcome
    return outcome


def succeeded(outcome: Outcome) -> Success:
    assert isinstance(outcome, Success), outcome
    return outcome
