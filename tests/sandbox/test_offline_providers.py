"""Every provider of the repository answers offline: a call that its cases let succeed succeeds through the sandbox."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from sidecar.adapters.json_schema import compile_schema
from sidecar.adapters.yaml_file import read_yaml
from sidecar.catalogue.load import load_catalogue
from sidecar.cli.call import HELP
from sidecar.execute import Executor
from sidecar.model import Access, Call, Failure, Outcome, Success, TraceContext
from sidecar.ports import Formats
from sidecar.run import Limits, Name
from sidecar.sandbox.case import Case, succeeds
from sidecar.sandbox.credential import sandbox_credential
from sidecar.sandbox.lone import lone_quotas
from sidecar.sandbox.play import Stored
from sidecar.sandbox.read import all_cases
from sidecar.sandbox.scripted import EventLog, FixedRandom, ManualClock
from sidecar.sandbox.server import Sandbox
from sidecar.wire.request import call_id_at

pytestmark = pytest.mark.anyio

CONNECTORS = Path(__file__).parents[2] / "connectors"
CATALOGUE = load_catalogue([CONNECTORS], Formats(read_yaml, compile_schema))
CASES = all_cases([CONNECTORS], read_yaml)
PLAIN = [
    pytest.param(name, case, id=f"{name}: {case.name}")
    for name, cases in CASES.items()
    for case in cases
    if succeeds(case) and len(case.exchanges) == 1 and case.auth is None
]
README = (CONNECTORS.parent / "README.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"(?:sidecar call |\.default\.alice\.)(\w+)\.([\w.]+) '(\{.*?\})'")
FIRST = [
    *dict.fromkeys(EXAMPLE.findall(README + HELP)),
    *(
        (name, operation.name, "{}")
        for name, provider in CATALOGUE.providers.items()
        for operation in provider.operations.values()
        if operation.access is Access.READ and not operation.fact.required and not operation.raw
    ),
]


class ToSandbox:
    """`ports.HttpSender` straight into the sandbox's application."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(sandbox))

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> httpx.Response | Failure:
        return await self._client.send(request)

    async def aclose(self) -> None:
        await self._client.aclose()


@pytest.mark.parametrize(("name", "case"), PLAIN)
async def test_a_call_that_succeeds_in_its_case_succeeds_offline(name: str, case: Case) -> None:
    """The request is found again among all cases of the provider, and the output is the case's."""
    sandbox, outcome, _ = await called(name, case.operation, case.input, case.cursor)
    assert isinstance(outcome, Success), sandbox.received[0]
    assert sandbox.received[0].wrong is None
    if case.expect.output is not msgspec.UNSET:
        # Two cases may tell two answers to one request; then the first answers.
        alike = [
            other.expect.output for other in CASES[name] if (other.input, other.cursor) == (case.input, case.cursor)
        ]
        assert msgspec.json.decode(outcome.body) in alike


@pytest.mark.parametrize(("name", "operation", "given"), FIRST)
async def test_what_somebody_tries_first_succeeds_at_once(name: str, operation: str, given: str) -> None:
    """The examples of the README and of `call --help`, and what can be read without any input, meet no case of a limit
    or a failure.
    """
    sandbox, outcome, slept = await called(name, operation, json.loads(given))
    assert isinstance(outcome, Success), sandbox.received[0]
    assert slept == []


async def test_the_first_example_of_the_readme_has_items() -> None:
    """An empty list would show nothing."""
    assert ("github", "issues.list", '{"owner": "acme", "repo": "web"}') in FIRST
    _, outcome, _ = await called("github", "issues.list", {"owner": "acme", "repo": "web"})
    assert isinstance(outcome, Success)
    assert len(msgspec.json.decode(outcome.body)) == 2


async def called(name: str, wanted: str, given: Any, cursor: str | None = None) -> tuple[Sandbox, Outcome, list[float]]:
    """The sandbox that was asked, what came of the call, and how long it waited."""
    sandbox = Sandbox(CATALOGUE, CASES)
    clock, sender = ManualClock(), ToSandbox(sandbox)
    operation = CATALOGUE.operation(name, wanted)
    assert operation is not None
    executor = Executor(
        catalogue=CATALOGUE,
        credentials=Stored(sandbox_credential(CATALOGUE.providers[name])),
        sender=sender,
        clock=clock,
        random=FixedRandom(),
        observer=EventLog(),
        name=Name("sidecar", "test", "test"),
        limits=Limits(),
        quotas=lone_quotas(clock, FixedRandom()),
        base_urls=sandbox.base_urls,
    )
    call = Call(
        call_id=call_id_at(clock.wall(), b"1234567890"),
        access=operation.access,
        tenant="default",
        connection="default",
        provider=name,
        operation=wanted,
        payload=msgspec.json.encode(given),
        accepted=clock.now(),
        deadline=clock.now() + 30,
        trace=TraceContext("1" * 32, "1" * 16),
        cursor=cursor,
    )
    ended = await executor.run(call)
    await sender.aclose()
    return sandbox, ended.outcome, clock.slept
