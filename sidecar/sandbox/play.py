"""One case through the real executor: a scripted sender, a clock that moves when slept on, dice at one half."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterator

import httpx
import msgspec

from sidecar.auth.kind import auth_of
from sidecar.core.base_url import connection_url
from sidecar.core.redirect import answers_by_redirect
from sidecar.credential import Credential
from sidecar.execute import Executor
from sidecar.kinds import Auth
from sidecar.model import Access, Call, Failure, Outcome, Reason, SideEffect, Success, TraceContext
from sidecar.provider import Catalogue, HookFailed, Operation, Provider
from sidecar.run import Limits, Name
from sidecar.sandbox.case import Case, Exchange, response_body, response_headers
from sidecar.sandbox.compare import canonical, differences, seen
from sidecar.sandbox.credential import carried, sandbox_credential
from sidecar.sandbox.lone import lone_quotas
from sidecar.sandbox.scripted import EventLog, FixedRandom, ManualClock, ScriptedSender
from sidecar.wire.request import call_id_at, decode_cursor

WAIT_TOLERANCE = 0.0005  # seconds
# What a lost exchange leaves known: nothing left, something did and no answer came, the answer came without its body.
LOST = {
    "before_send": Failure(reason=Reason.CONNECT_FAILED, detail="the connection was refused"),
    "after_send": Failure(
        reason=Reason.OUTCOME_UNKNOWN, detail="the connection was lost", side_effect=SideEffect.UNKNOWN
    ),
    "truncated": Failure(
        reason=Reason.RESPONSE_TRUNCATED, detail="the answer was cut off", side_effect=SideEffect.DONE
    ),
}


class Stored(msgspec.Struct, frozen=True):
    """The one credential of every connection."""

    credential: Credential

    async def load(self, tenant: str, connection: str, provider: str, *, within: float) -> Credential | Failure:  # noqa: ARG002  # the same for all
        return self.credential


async def play(provider: Provider, case: Case) -> list[str]:
    """What does not come out as the case says: sentences, none when all is as expected."""
    operation = provider.operations.get(case.operation)
    if operation is None:
        return [f"there is no operation {case.operation!r}"]
    auth = provider.manifest.auth[0] if case.auth is None else auth_of(provider.manifest.auth, case.auth)
    if auth is None:
        return [f"the manifest has no auth kind {case.auth!r}"]
    clock, random = ManualClock(), FixedRandom()
    sender = ScriptedSender(answer(exchange) for exchange in case.exchanges)
    credential = sandbox_credential(provider, auth)
    executor = Executor(
        catalogue=Catalogue({provider.name: _unpaced(provider)}, provider.digest),
        credentials=Stored(credential),
        sender=sender,
        clock=clock,
        random=random,
        observer=EventLog(),
        name=Name("sidecar", "check", "check"),
        limits=Limits(),
        quotas=lone_quotas(clock, random),
    )
    ended = await executor.run(_call(provider, case, operation.access, clock))
    return [
        *_hook_mistakes(ended.outcome),
        *_exchange_mistakes(provider, case, auth, credential, sender),
        *_outcome_mistakes(operation, case, ended.outcome),
        *_wait_mistakes(case, clock.slept),
    ]


def _unpaced(provider: Provider) -> Provider:
    """The provider without its quotas: a case proves what is sent and what answers mean, and one call is no crowd."""
    manifest = msgspec.structs.replace(provider.manifest, quotas=())
    return msgspec.structs.replace(provider, manifest=manifest)


def answer(exchange: Exchange) -> httpx.Response | Failure:
    """What a sender gives for this exchange."""
    if exchange.response is None:
        return LOST[exchange.lost or "after_send"]
    return httpx.Response(
        exchange.response.status, headers=response_headers(exchange.response), content=response_body(exchange.response)
    )


def _call(provider: Provider, case: Case, access: Access, clock: ManualClock) -> Call:
    return Call(
        call_id=call_id_at(clock.wall(), bytes(10)),
        access=access,
        tenant="default",
        connection="default",
        provider=provider.name,
        operation=case.operation,
        payload=msgspec.json.encode(case.input),
        accepted=clock.now(),
        deadline=clock.now() + case.timeout_ms / 1000,
        trace=TraceContext("1" * 32, "1" * 16),
        cursor=case.cursor,
    )


def _exchange_mistakes(
    provider: Provider, case: Case, auth: Auth, credential: Credential, sender: ScriptedSender
) -> Iterator[str]:
    base = connection_url(provider.manifest.base_url, credential)
    for number, (exchange, request) in enumerate(zip(case.exchanges, sender.sent, strict=False), start=1):
        for difference in differences(exchange.request, seen(request, str(base)), carried(auth)):
            yield f"request {number}, {difference}"
    expected, sent = len(case.exchanges), len(sender.sent)
    if sent > expected:
        last = sender.sent[-1]
        yield f"exchanges: {expected} expected, another was sent: {last.method} {last.url}"
    elif sent < expected:
        yield f"exchanges: {expected} expected, only {sent} sent"


def _outcome_mistakes(operation: Operation, case: Case, outcome: Outcome) -> Iterator[str]:
    expect = case.expect
    if isinstance(outcome, Success):
        if expect.reason is not None:
            yield f"outcome: expected {expect.reason}, got success with {_brief(outcome.body)}"
        else:
            yield from _output_mistakes(case, outcome)
        return
    if expect.reason is None:
        yield f"outcome: expected success, got {outcome.reason}: {_why(outcome)}{_instead(operation, case, outcome)}"
        return
    exact = {
        "reason": (expect.reason, outcome.reason),
        "side_effect": (expect.side_effect, outcome.side_effect),
        "provider_code": (expect.provider_code, outcome.provider_code),
        "retry_after_ms": (
            expect.retry_after_ms,
            None if outcome.retry_after is None else round(outcome.retry_after * 1000),
        ),
    }
    for name, (wanted, got) in exact.items():
        if wanted is not None and wanted != got:
            yield f"{name}: expected {wanted}, got {got} ({outcome.detail})"
    for name, part, text in (("detail", expect.detail, outcome.detail), ("hint", expect.hint, outcome.hint)):
        if part is not None and part not in (text or ""):
            yield f"{name}: expected to hold {part!r}, got {text!r}"


def _hook_mistakes(outcome: Outcome) -> Iterator[str]:
    """A hook that failed, whatever was made of the answer without it. A case holds no secret: all of it is told."""
    if isinstance(outcome, Failure) and isinstance(outcome.cause, HookFailed):
        raised = outcome.cause.__cause__
        yield f"{outcome.cause}: {type(raised).__name__}: {raised} ({outcome.cause.place})"


def _instead(operation: Operation, case: Case, failure: Failure) -> str:
    """How the operation would say that such an answer is its success."""
    last = answer(case.exchanges[-1]) if case.exchanges else None
    if operation.raw or not isinstance(last, httpx.Response):
        return ""
    if failure.reason is Reason.REDIRECT_BLOCKED and answers_by_redirect(_located(operation), last):
        return "; an operation that is answered so says `returns: location`"
    if failure.reason is Reason.BAD_PROVIDER_RESPONSE and operation.fact.returns == "json" and not last.content:
        return "; an operation that is answered so says `returns: nothing`"
    return ""


def _located(operation: Operation) -> Operation:
    return msgspec.structs.replace(operation, fact=msgspec.structs.replace(operation.fact, returns="location"))


def _why(failure: Failure) -> str:
    """Its detail; of a defect, which has a log to say more in a sidecar, what was raised and where."""
    cause = failure.cause
    if failure.reason is not Reason.BUG or cause is None:
        return failure.detail
    return str(cause)


def _output_mistakes(case: Case, outcome: Success) -> Iterator[str]:
    expect = case.expect
    if expect.output_base64 is not None and b64encode(outcome.body).decode() != expect.output_base64:
        yield f"output_base64: expected {expect.output_base64}, got {b64encode(outcome.body[:300]).decode()}"
    if expect.output is not msgspec.UNSET:
        got = _decoded(outcome)
        if got is None or canonical(expect.output) != got:
            yield f"output: expected {canonical(expect.output)}, got {got or _brief(outcome.body)}"
    cursor = None if outcome.next_cursor is None else decode_cursor(outcome.next_cursor)
    if cursor != expect.next_cursor:
        yield f"next_cursor: expected {expect.next_cursor}, got {cursor}"


def _decoded(outcome: Success) -> str | None:
    """The output as JSON in one spelling; None where it is not JSON."""
    if "json" not in outcome.content_type:
        return None
    return canonical(msgspec.json.decode(outcome.body))


def _wait_mistakes(case: Case, slept: list[float]) -> Iterator[str]:
    waits = case.expect.waits
    same = len(waits) == len(slept) and all(
        math.isclose(wanted, got, abs_tol=WAIT_TOLERANCE) for wanted, got in zip(waits, slept, strict=True)
    )
    if not same:
        yield f"waits: expected {list(waits)}, slept {[round(seconds, 3) for seconds in slept]}"


def _brief(body: bytes) -> str:
    return body[:300].decode(errors="replace")
