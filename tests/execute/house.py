"""One executor with a scripted world around it: what was sent, what came back, what was told, how long it slept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from sidecar.credential import Credential
from sidecar.execute import Executor
from sidecar.model import Access, Call, Failure, Reason, SideEffect, Success, TraceContext
from sidecar.once import Once
from sidecar.ports import HttpSender
from sidecar.provider import Catalogue, Provider
from sidecar.run import Credentials, Ended, Limits, Name, Renewal
from sidecar.sandbox.lone import lone_quotas
from sidecar.sandbox.scripted import EventLog, FixedRandom, ManualClock, ScriptedSender
from sidecar.secret import Secret
from sidecar.wire.event import Attempt, Finished, Wait
from tests.build import provider

OK = httpx.Response(200, json={"id": 1})
LOST = Failure(reason=Reason.OUTCOME_UNKNOWN, detail="no answer came", side_effect=SideEffect.UNKNOWN)
REFUSED = Failure(reason=Reason.CONNECT_FAILED, detail="could not connect to api.acme.example")
CUT_OFF = Failure(reason=Reason.RESPONSE_TRUNCATED, detail="the answer was cut off", side_effect=SideEffect.DONE)
CALL_ID = "018f0000-0000-7000-8000-000000000001"
TRACE = TraceContext("a" * 32, "b" * 16)

Answer = httpx.Response | Failure


def credential(kind: str = "bearer", **fields: str) -> Credential:
    known = {name: Secret(value) for name, value in (fields or {"token": "hunter2hunter2"}).items()}
    return Credential(kind=kind, fields=known, created=0.0, changed=0.0)


class Connections:
    """What `load` gives, one after the other; the last one for good."""

    def __init__(self, *found: Credential | Failure) -> None:
        self.found = list(found) or [credential()]
        self.asked: list[tuple[str, str, str]] = []

    async def load(self, tenant: str, connection: str, provider: str, *, within: float) -> Credential | Failure:
        self.asked.append((tenant, connection, provider))
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]


class World(ScriptedSender):
    """A sender by script that runs the house's `before` at each exchange: time goes by, or somebody looks."""

    def __init__(self, house: House) -> None:
        super().__init__(house.answers)
        self.house = house

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> Answer:
        self.house.before()
        return await super().send(request, deadline=deadline, max_body=max_body)


@dataclass
class House:
    answers: Iterable[Answer] = ()
    providers: Mapping[str, Provider] = field(default_factory=lambda: {"acme": provider()})
    connections: Connections = field(default_factory=Connections)
    store: Credentials | None = None  # in place of `connections`
    limits: Limits = field(default_factory=Limits)
    clock: ManualClock = field(default_factory=ManualClock)
    trace: EventLog = field(default_factory=EventLog)
    before: Callable[[], None] = lambda: None
    network: HttpSender | None = None  # in place of `answers`
    renewal: Renewal | None = None
    once: Once | None = None

    def __post_init__(self) -> None:
        self.sender = World(self)
        self.executor = Executor(
            catalogue=Catalogue(self.providers, "digest"),
            credentials=self.store or self.connections,
            sender=self.network or self.sender,
            clock=self.clock,
            random=FixedRandom(),
            observer=self.trace,
            name=Name("sidecar", "test", "test"),
            limits=self.limits,
            quotas=lone_quotas(self.clock, FixedRandom()),
            renewal=self.renewal,
            once=self.once,
        )

    def call(self, operation: str = "items.create", *, timeout: float = 30.0, **also: Any) -> Call:
        write = operation in {"items.create", "items.replace", "http.request"}
        known: dict[str, Any] = {
            "call_id": CALL_ID,
            "access": Access.WRITE if write else Access.READ,
            "tenant": "default",
            "connection": "default",
            "provider": "acme",
            "operation": operation,
            "payload": b'{"title": "x"}' if write else b'{"id": "7"}',
            "accepted": self.clock.now(),
            "deadline": self.clock.now() + timeout,
            "trace": TRACE,
        }
        return Call(**(known | also))

    async def run(self, operation: str = "items.create", **also: Any) -> Ended:
        return await self.executor.run(self.call(operation, **also))

    async def failure(self, operation: str = "items.create", **also: Any) -> Failure:
        outcome = (await self.run(operation, **also)).outcome
        assert isinstance(outcome, Failure), outcome
        return outcome

    async def success(self, operation: str = "items.create", **also: Any) -> Success:
        outcome = (await self.run(operation, **also)).outcome
        assert isinstance(outcome, Success), outcome
        return outcome

    @property
    def told(self) -> list[str]:
        """The events' names, in order."""
        return [str(event.__struct_config__.tag) for event in self.trace.events]

    @property
    def finished(self) -> Finished:
        """The one event that says how it ended; it is the last."""
        [only] = [event for event in self.trace.events if isinstance(event, Finished)]
        assert self.trace.events[-1] is only
        return only

    @property
    def attempts(self) -> list[Attempt]:
        return [event for event in self.trace.events if isinstance(event, Attempt)]

    @property
    def waits(self) -> list[Wait]:
        return [event for event in self.trace.events if isinstance(event, Wait)]


def decoded(outcome: Success) -> Any:
    return msgspec.json.decode(outcome.body)
