"""`sidecar queue`: durable calls that wait, what became of them, and running again those that failed."""

from __future__ import annotations

import base64
from typing import Any

import anyio
import click
import msgspec

from sidecar.cli.failure import EXIT_CODES, USAGE, Stopped, stop
from sidecar.cli.options import connection_option, json_option, named, tenant_option
from sidecar.cli.session import Session, decoded, session, settings_here
from sidecar.cli.terminal import JSON, paint, put, put_body, put_json, say
from sidecar.model import Reason, SideEffect
from sidecar.settings import Settings
from sidecar.trace.line import Paint, Tone, columns, counted, plain, unpainted
from sidecar.wire.durable import Queue, QueuedCall, QueueRequest, ResultRequest
from sidecar.wire.reply import CancelReply
from sidecar.wire.subject import (
    CALL_ID,
    EVERY,
    AdminAddress,
    CancelAddress,
    admin_subject,
    cancel_subject,
    encode_token,
)

ASK_SECONDS = 30.0  # thousands may wait
RESULT_SECONDS = 10.0
CANCEL_SECONDS = 3.0  # for the reads of a call's records, or the end of its exchange
NOT_WHOLE = 1
NOT_KNOWN = 75
MOST = 1_000
TONES = {"waiting": Tone.WARN, "done": Tone.GOOD, "dead": Tone.BAD}


@click.group("queue", epilog=EXIT_CODES)
def command() -> None:
    """Durable calls: what waits, what became of it, and running again what failed."""


@command.command("list")
@click.option("--stage", type=click.Choice(["waiting", "done", "dead"]), help="Only those that stand so.")
@click.option("-c", "--connection", callback=named, help="Only this connection's.")
@click.option("--limit", type=click.IntRange(1, MOST), default=100, show_default=True, help="At most so many.")
@tenant_option
@json_option
def list_(*, stage: Any, connection: str | None, limit: int, tenant: str, as_json: bool) -> None:
    """The durable calls of the last days, the newest first: how each stands, and why it waits or failed.

    What is done is kept a day, what is dead (it failed for good) a week.
    """
    found = anyio.run(_asked, settings_here(), tenant, connection, QueueRequest(stage=stage, limit=limit))
    if as_json:
        put_json(found)
    else:
        put(listed(decoded(found, Queue), paint))


@command.command("show")
@click.argument("call_id")
@tenant_option
@json_option
def show(*, call_id: str, tenant: str, as_json: bool) -> None:
    """How one durable call stands. What happened to it on the way: sidecar trace show."""
    found = anyio.run(_asked, settings_here(), tenant, None, QueueRequest(act="show", call_id=_id(call_id)))
    if as_json:
        put_json(found)
    else:
        put(shown(decoded(found, QueuedCall), paint))


@command.command("result")
@click.argument("call_id")
@tenant_option
@connection_option
@json_option
def result(*, call_id: str, tenant: str, connection: str, as_json: bool) -> None:
    """The output of a durable call, or the failure that it ended in; for a day. Exit code 75 while it waits."""
    body, content_type = anyio.run(_result, settings_here(), tenant, connection, _id(call_id))
    if as_json and content_type != JSON:
        put_json({"content_type": content_type, "base64": base64.b64encode(body).decode()})
    elif as_json:
        put_json(body)
    else:
        put_body(body, content_type)


@command.command("redrive")
@click.argument("call_id", required=False)
@click.option("--all", "every", is_flag=True, help="All that failed for good and changed nothing.")
@click.option("-c", "--connection", callback=named, help="With --all: only this connection's.")
@tenant_option
@json_option
def redrive(*, call_id: str | None, every: bool, connection: str | None, tenant: str, as_json: bool) -> int:
    """Run a dead durable call again, as if it were new. One that may have changed something is refused: look first.

    One that waits is looked at once more; it does not run before its time.
    """
    if (call_id is None) != every:
        raise stop(USAGE, "name one durable call, or --all", "see sidecar queue list --stage dead")
    driven, refused = anyio.run(_redrive, settings_here(), tenant, connection, call_id and _id(call_id))
    if as_json:
        put_json({"redriven": driven, "refused": refused})
    else:
        put(f"{counted(len(driven), 'durable call')} waiting again")
        for name, why in refused.items():
            say(f"{name}: {plain(why)}")
    return NOT_WHOLE if refused else 0


@command.command("cancel")
@click.argument("call_id")
@tenant_option
@connection_option
@json_option
def cancel(*, call_id: str, tenant: str, connection: str, as_json: bool) -> int:
    """End a durable call that waits, or stop one that runs; what became of it.

    One that waits ends with nothing changed. Exit code 75 where it may have happened.
    """
    became = anyio.run(_cancel, settings_here(), tenant, connection, _id(call_id))
    if as_json:
        put_json(msgspec.to_builtins(became))
    else:
        put(_became(became))
    return 0 if became.cancelled and became.side_effect is SideEffect.NONE else NOT_KNOWN


async def _cancel(settings: Settings, tenant: str, connection: str, call_id: str) -> CancelReply:
    async with session(settings) as nats:
        subject = cancel_subject(nats.prefix, CancelAddress(tenant, connection, call_id))
        try:
            answer = await nats.ask(subject, b"", timeout=CANCEL_SECONDS, call_id=call_id)
        except Stopped as nobody:
            detail = f"no durable call of connection {connection} with this id waits or runs"
            raise stop(Reason.UNKNOWN_CALL, detail, f"see how it stands: sidecar queue show {call_id}") from nobody
        return decoded(answer.body, CancelReply)


def _became(became: CancelReply) -> str:
    if not became.cancelled:
        return f"too late to cancel: it ended ({became.outcome}); sidecar queue result {became.call_id}"
    if became.side_effect is SideEffect.NONE:
        return "cancelled: nothing was changed"
    return f"cancelled, but the request was sent: it may have happened; sidecar trace show {became.call_id}"


async def _asked(settings: Settings, tenant: str, connection: str | None, request: QueueRequest) -> bytes:
    async with session(settings) as nats:
        return await _ask(nats, tenant, connection, request)


async def _ask(nats: Session, tenant: str, connection: str | None, request: QueueRequest) -> bytes:
    subject = admin_subject(nats.prefix, AdminAddress(tenant, connection or EVERY, EVERY, "queue"))
    return (await nats.ask(subject, msgspec.json.encode(request), timeout=ASK_SECONDS)).body


async def _result(settings: Settings, tenant: str, connection: str, call_id: str) -> tuple[bytes, str]:
    async with session(settings) as nats:
        subject = f"{nats.prefix}.read.{encode_token(tenant)}.{encode_token(connection)}.{EVERY}.result.get"
        payload = msgspec.json.encode(ResultRequest(call_id))
        answer = await nats.ask(subject, payload, timeout=RESULT_SECONDS, call_id=call_id)
        return answer.body, answer.content_type


async def _redrive(
    settings: Settings, tenant: str, connection: str | None, call_id: str | None
) -> tuple[list[str], dict[str, str]]:
    """Which wait again, and which do not, each with why."""
    driven: list[str] = []
    refused: dict[str, str] = {}
    async with session(settings) as nats:
        if call_id is not None:
            await _ask(nats, tenant, connection, QueueRequest(act="redrive", call_id=call_id))
            return [call_id], refused
        dead = decoded(await _ask(nats, tenant, connection, QueueRequest(stage="dead", limit=MOST)), Queue)
        for item in dead.calls:
            if item.side_effect != "none":
                refused[item.call_id] = "it may have changed something"
                continue
            try:
                await _ask(nats, tenant, item.connection, QueueRequest(act="redrive", call_id=item.call_id))
                driven.append(item.call_id)
            except Stopped as stopped:
                refused[item.call_id] = stopped.failure.detail
    return driven, refused


def listed(queue: Queue, paint: Paint = unpainted) -> str:
    """A line for each call; what is left out is told."""
    rows = [
        [
            call.call_id,
            plain(call.connection, 40),
            f"{call.provider}.{call.operation}",
            paint(call.stage, TONES[call.stage]),
            _why(call),
        ]
        for call in queue.calls
    ]
    lines = columns(rows) or ["no durable call stands so" if queue.total else "no durable calls"]
    left = queue.total - len(queue.calls)
    return "\n".join([*lines, f"{left} more; --limit and --stage choose"] if left else lines)


def shown(call: QueuedCall, paint: Paint = unpainted) -> str:
    """Everything that is told of one call."""
    rows = [
        ["call", call.call_id],
        ["operation", f"{call.provider}.{call.operation}, as {plain(call.connection, 60)}"],
        ["stands", paint(call.stage, TONES[call.stage])],
        ["submitted", call.submitted],
        *([["due", call.due]] if call.due else []),
        ["runs", f"{call.tries} failed, {call.waits} found no room; {counted(call.attempts, 'request')} sent"],
        *([["why", plain(call.why)]] if call.why else []),
        *([["next", _next(call)]] if _next(call) else []),
    ]
    return "\n".join(columns(rows))


def _why(call: QueuedCall) -> str:
    due = f"until {call.due}" if call.due else ""
    return ", ".join(part for part in (due, plain(call.why or "", 120)) if part)


def _next(call: QueuedCall) -> str:
    if call.stage == "done":
        return f"sidecar queue result {call.call_id} -c {plain(call.connection, 60)}"
    if call.stage != "dead":
        return ""
    if call.side_effect == "none":
        return f"sidecar queue redrive {call.call_id}"
    return f"look whether it happened: sidecar trace show {call.call_id}"


def _id(given: str) -> str:
    if not CALL_ID.fullmatch(given):
        raise stop(USAGE, f"{given[:60]!r} is no call id", "`sidecar queue list` names them in full")
    return given.lower()
