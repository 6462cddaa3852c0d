"""Durable calls with a scripted world around them: a queue and a store in memory, a clock that is moved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import msgspec

from sidecar.delivery import Deliveries
from sidecar.durable_ground import DurableGround
from sidecar.execute import Executor
from sidecar.model import Failure, Outcome
from sidecar.once import Once
from sidecar.ports import HttpSender, QueueFull, StoreUnavailable, Word
from sidecar.provider import Catalogue, Provider
from sidecar.queue import DurableCalls
from sidecar.queue_admin import QueueAdministrator
from sidecar.run import Limits, Name
from sidecar.sandbox.lone import lone_quotas
from sidecar.sandbox.scripted import EventLog, FixedRandom, ManualClock, ScriptedSender
from sidecar.scope import Scope
from sidecar.stop import Stop
from sidecar.store.durable import DurableStore
from sidecar.store.idempotency import IdempotencyStore
from sidecar.submit import Submission
from sidecar.wake import Forgotten
from sidecar.wire.durable import Submitted, decode_submit
from sidecar.wire.request import Arrival
from sidecar.wire.subject import CancelAddress
from tests.build import provider
from tests.execute.house import Connections
from tests.store.test_credential import MemoryStore
from tests.worker.house import KEY, Published, ScriptedBus

OK = httpx.Response(201, json={"id": 1})
DOWN = httpx.Response(503, headers={"retry-after": "40"})
TURNS = 2_000


@dataclass
class MemoryQueue:
    """`ports.Queue` in one process, by the clock of the test."""

    clock: ManualClock
    hold_seconds: float = 3600.0
    depth: int = 1_000_000
    words: dict[str, list[tuple[bytes, int]]] = field(default_factory=dict)  # of a tenant, each with its deliveries
    later: dict[tuple[str, int], tuple[bytes, float]] = field(default_factory=dict)
    out: dict[str, tuple[str, bytes, int]] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)
    away: bool = False
    asked: int = 0

    async def put(self, tenant: str, body: bytes, *, message_id: str) -> None:
        await self._answer()
        if len(self.words.get(tenant, [])) >= self.depth:
            raise QueueFull("maximum messages per subject exceeded")
        self.words.setdefault(tenant, []).append((body, 0))

    async def put_later(self, tenant: str, place: int, body: bytes, *, at: float) -> bool:
        await self._answer()
        if (tenant, place) in self.later:
            return False
        self.later[tenant, place] = (body, at)
        return True

    async def say_now(self, tenant: str, place: int, body: bytes) -> bool:
        await self._answer()
        if self.later.get((tenant, place), (b"", 0.0))[0] != body:
            return False
        self.later[tenant, place] = (body, 0.0)
        return True

    async def open(self, tenant: str) -> None:
        await self._answer()
        self.opened.append(tenant)

    async def tenants(self) -> list[str]:
        await self._answer()
        return sorted({*self.opened})

    async def take(self, tenant: str, *, later: bool, within: float) -> Word | None:
        for _ in range(TURNS):
            self.asked += 1
            await self._answer()
            found = self._due(tenant) if later else self._next(tenant)
            if found is not None:
                return found
            await anyio.sleep(0.001)
        return None

    def _next(self, tenant: str) -> Word | None:
        if not self.words.get(tenant):
            return None
        body, number = self.words[tenant].pop(0)
        return self._given(tenant, body, number + 1, timely=False)

    def _due(self, tenant: str) -> Word | None:
        for (whose, place), (body, at) in list(self.later.items()):
            if whose == tenant and at <= self.clock.wall():
                del self.later[whose, place]
                return self._given(tenant, body, 1, timely=True)
        return None

    def _given(self, tenant: str, body: bytes, number: int, *, timely: bool) -> Word:
        word = Word(body, number, f"ack {self.asked}", timely)
        self.out[word.ack] = (tenant, body, number)
        return word

    async def ack(self, word: Word) -> None:
        await self._answer()
        self.out.pop(word.ack, None)

    async def hold(self, word: Word) -> None:
        await self._answer()

    async def give_back(self, word: Word) -> None:
        await self._answer()
        tenant, body, number = self.out.pop(word.ack)
        self.words.setdefault(tenant, []).insert(0, (body, number))

    def say_again(self) -> None:
        """Everything that was taken and not acknowledged, as after its time."""
        for tenant, body, number in self.out.values():
            self.words.setdefault(tenant, []).append((body, number))
        self.out.clear()

    async def close(self) -> list[Word]:
        return []

    async def _answer(self) -> None:
        await anyio.lowlevel.checkpoint()
        if self.away:
            raise StoreUnavailable("nobody answers")


@dataclass
class Counts:
    ended: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)

    def durable_in_flight(self, number: int) -> None:
        self.levels.append(number)

    def durable_ended(self, how: str) -> None:
        self.ended.append(how)

    def refused(self, why: str) -> None:
        self.refusals.append(why)


@dataclass
class House:
    answers: Iterable[httpx.Response | Failure] = ()
    sender: HttpSender | None = None
    providers: Mapping[str, Provider] = field(default_factory=lambda: {"acme": provider()})
    scope: Scope = field(default_factory=Scope)
    depth: int = 100
    most: int = 16
    sweep_seconds: float = 600.0

    def __post_init__(self) -> None:
        self.clock, self.random, self.trace, self.counts = ManualClock(), FixedRandom(), EventLog(), Counts()
        self.bus, self.memory, self.connections = ScriptedBus(), MemoryStore(), Connections()
        self.queue = MemoryQueue(self.clock)
        self.script = self.sender or ScriptedSender(self.answers)
        keyed = IdempotencyStore(
            self.memory, KEY, self.clock, self.random, self.scope, max_payload=self.bus.max_payload
        )
        self.once = Once(keyed, self.clock, self.random)
        self.executor = Executor(
            catalogue=Catalogue(self.providers, "digest"),
            credentials=self.connections,
            sender=self.script,
            clock=self.clock,
            random=self.random,
            observer=self.trace,
            name=Name("sidecar", "test", "test"),
            limits=Limits(),
            quotas=lone_quotas(self.clock, self.random),
            once=self.once,
        )
        self.store = DurableStore(self.memory, KEY, self.clock, self.random, self.scope)
        self.in_flight: dict[CancelAddress, Stop] = {}
        self.ground = DurableGround(
            queue=self.queue,
            store=self.store,
            bus=self.bus,
            prefix="sidecar",
            observer=self.trace,
            counters=self.counts,
            clock=self.clock,
            random=self.random,
            in_flight=self.in_flight,
        )
        self.submission = Submission(self.ground, self.executor, depth=self.depth)
        self.forgotten = Forgotten(self.store, self.submission, self.clock)
        self.durable = self.sidecar()
        self.administrator = QueueAdministrator(self.store, self.submission, self.clock)

    def sidecar(self) -> DurableCalls:
        """Another one on the same queue."""
        return DurableCalls(
            self.ground,
            Deliveries(self.ground, self.submission, self.executor),
            self.submission,
            self.forgotten,
            scope=self.scope,
            most=self.most,
            sweep_seconds=self.sweep_seconds,
        )

    async def submit(
        self,
        payload: bytes = b'{"title": "x"}',
        *,
        tenant: str = "acme",
        operation: str = "items.create",
        **headers: str,
    ) -> Outcome:
        """The answer to who submits; header names with `_` in place of `-`."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        arrival = Arrival(self.clock.now(), self.clock.wall(), self.random.token(34), 300_000)
        subject = f"sidecar.submit.{tenant}.alice.acme.{operation}"
        submitted = decode_submit("sidecar", subject, given, payload, arrival)
        if isinstance(submitted, Failure):
            return submitted
        assert isinstance(submitted, Submitted)
        found = self.submission.looked_up(submitted)
        return found if isinstance(found, Failure) else await self.submission.take(found, submitted)

    async def taken(self, payload: bytes = b'{"title": "x"}', **also: Any) -> str:
        """The id of a call that was taken in."""
        outcome = await self.submit(payload, **also)
        assert not isinstance(outcome, Failure), outcome
        return str(msgspec.json.decode(outcome.body)["call_id"])

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(self.once.serve)
            group.start_soon(self.durable.serve)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self.durable.stop(1.0)
                group.cancel_scope.cancel()

    @property
    def results(self) -> list[Published]:
        return [one for one in self.bus.published if one.subject.startswith("sidecar.result.")]


async def until(condition: Callable[[], object]) -> None:
    """Return when our own tasks have come so far."""
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - what is waited for is said by no event
            await anyio.sleep(0.001)
