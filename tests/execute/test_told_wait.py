"""A provider that said "not before" is sent nothing before, also by calls that were about to be sent."""

from __future__ import annotations

import uuid

import anyio
import anyio.lowlevel
import httpx
import pytest

from sidecar.credential import Credential
from sidecar.execute import Executor
from sidecar.model import Access, Call, Failure, Success, TraceContext
from sidecar.provider import Catalogue
from sidecar.run import Limits, Name
from sidecar.sandbox.lone import lone_quotas
from sidecar.sandbox.scripted import EventLog, FixedRandom, ManualClock, ScriptedSender
from sidecar.secret import Secret
from sidecar.wire.event import Attempt, Event
from tests.build import provider

pytestmark = pytest.mark.anyio

LIMITED = httpx.Response(429, headers={"retry-after": "5"})


class OneConnection:
    """The same credential for everybody."""

    async def load(self, tenant: str, connection: str, provider: str, *, within: float) -> Credential | Failure:
        return Credential(kind="bearer", fields={"token": Secret("t")}, base_url=None, created=0.0, changed=0.0)


class SlowClock(ManualClock):
    """Time that moves only after everybody else had a turn."""

    async def sleep(self, seconds: float) -> None:
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        await super().sleep(seconds)


class TimedSender(ScriptedSender):
    """Keeps when each request was sent."""

    def __init__(self, clock: ManualClock, answers: list[httpx.Response | Failure]) -> None:
        super().__init__(answers)
        self.clock = clock
        self.times: list[float] = []

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> httpx.Response | Failure:
        self.times.append(self.clock.now())
        return await super().send(request, deadline=deadline, max_body=max_body)


class SlowTrace(EventLog):
    """Has the second write's events leave this process only after the first write was answered."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = anyio.Event()
        self.writes = 0

    def emit(self, event: Event) -> bool:
        if isinstance(event, Attempt):
            self.answered.set()
        return super().emit(event)

    async def handed_over(self) -> bool:
        self.writes += 1
        if self.writes == 2:
            await self.answered.wait()
        return True


def call(clock: ManualClock) -> Call:
    return Call(
        call_id=str(uuid.uuid4()),
        access=Access.WRITE,
        tenant="default",
        connection="default",
        provider="acme",
        operation="items.create",
        payload=b'{"title": "x"}',
        accepted=clock.now(),
        deadline=clock.now() + 30,
        trace=TraceContext("1" * 32, "1" * 16),
    )


async def test_a_call_that_was_about_to_be_sent_waits_too() -> None:
    """A write whose turn came before the provider said to wait, and that was not sent yet, waits as told."""
    clock, trace = SlowClock(), SlowTrace()
    sender = TimedSender(clock, [LIMITED, httpx.Response(200, json={}), httpx.Response(200, json={})])
    executor = Executor(
        catalogue=Catalogue({"acme": provider()}, "digest"),
        credentials=OneConnection(),
        sender=sender,
        clock=clock,
        random=FixedRandom(),
        observer=trace,
        name=Name("sidecar", "test", "test"),
        limits=Limits(),
        quotas=lone_quotas(clock, FixedRandom()),
    )
    began = clock.now()
    outcomes = []

    async def one() -> None:
        outcomes.append((await executor.run(call(clock))).outcome)

    async with anyio.create_task_group() as together:
        together.start_soon(one)
        together.start_soon(one)
    assert all(isinstance(outcome, Success) for outcome in outcomes)
    assert sender.times[0] == began
    assert min(sender.times[1:]) >= began + 5
