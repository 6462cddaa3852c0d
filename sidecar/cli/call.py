"""`sidecar call`: one call over NATS; the output on stdout, one line about it on stderr."""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path
from typing import Any

import anyio
import click
import msgspec

from sidecar.cli.failure import EXIT_CODES, NOT_SERVED_YET, USAGE, Stopped, stop
from sidecar.cli.key_option import KeyAsked, key_options
from sidecar.cli.options import connection_option, finite, json_option, operation_name, tenant_option
from sidecar.cli.session import Answer, Session, decoded, session, settings_here
from sidecar.cli.stdin import STDIN, read_some
from sidecar.cli.terminal import JSON, json_bytes, paint, put, put_body, put_json, say
from sidecar.model import Access, Failure, Reason, SideEffect
from sidecar.settings import Settings
from sidecar.trace.line import Tone, counted, ending, plain, seconds
from sidecar.wire import header
from sidecar.wire.durable import SubmitReply
from sidecar.wire.reply import CancelReply
from sidecar.wire.request import DEFAULT_TIMEOUT_MS, call_id_at, decode_input
from sidecar.wire.subject import Address, CancelAddress, call_subject, cancel_subject, submit_subject

MAX_INPUT = 64 * 1024 * 1024
CANCEL_SECONDS = 2.0
SUBMIT_SECONDS = 20.0
PATIENCE = 1.0  # seconds that we wait longer than the sidecar may take

HELP = """Call an operation of a provider, such as github.issues.create.

The input is a JSON object: as an argument, from a file with @FILE, or from stdin with -. Without one it is {}.
Whether it reads or writes is looked up; `sidecar provider show PROVIDER` lists what there is.
Ctrl-C cancels the call and says what became of it.

\b
  sidecar call github.issues.list '{"owner": "acme", "repo": "web"}' -c alice
  sidecar call slack.messages.post @message.json --dry-run
  sidecar call slack.messages.post @message.json --submit --not-before 2026-11-21T20:00:00Z
  sidecar call slack.messages.post @message.json --run 4711 --step notify

With an idempotency key whatever is sent again within 24 hours, unchanged, is done once and answered alike; --run and
--step make the key of run, step, operation and input.
"""


class Described(msgspec.Struct, frozen=True):
    """What the catalogue says of an operation, as far as a call needs it."""

    access: Access


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the command's words ask for; `timeout` in seconds."""

    tenant: str
    connection: str
    provider: str
    operation: str
    payload: bytes
    timeout: float | None
    cursor: str | None
    dry_run: bool
    idempotency_key: str | None = None
    not_before: str | None = None

    @property
    def what(self) -> str:
        return f"{self.provider}.{self.operation}"


@click.command("call", help=HELP, epilog=EXIT_CODES)
@click.argument("operation", metavar="PROVIDER.OPERATION")
@click.argument("given", metavar="['JSON' | @FILE | -]", required=False)
@tenant_option
@connection_option
@click.option("--timeout", type=float, callback=finite, metavar="SECONDS", help="How long it may take. Default 30.")
@click.option("--dry-run", is_flag=True, help="Check everything, show the request, send nothing.")
@click.option("--cursor", help="The next page: the word that the page before named.")
@key_options
@click.option("--submit", is_flag=True, help="Have it done, whatever becomes of this command: tells the call's id.")
@click.option("--not-before", metavar="MOMENT", help="With --submit: not earlier, such as 2026-11-21T20:00:00Z.")
@click.option("--all-pages", is_flag=True, help="Not served yet: refused.")
@json_option
def command(
    *,
    operation: str,
    given: str | None,
    tenant: str,
    connection: str,
    timeout: float | None,
    dry_run: bool,
    cursor: str | None,
    key: KeyAsked,
    submit: bool,
    not_before: str | None,
    all_pages: bool,
    as_json: bool,
) -> None:
    if all_pages:  # whoever asks for it relies on it, so it is never ignored
        raise stop(
            NOT_SERVED_YET,
            "this version fetches one page at a time",
            "send it without --all-pages; each page names the --cursor of the next one",
        )
    if not_before is not None and not submit:
        raise stop(USAGE, "--not-before is for durable calls", "give --submit too")
    provider, name = operation_name(operation)
    payload = payload_of(given)
    asked = Asked(
        tenant=tenant,
        connection=connection,
        provider=provider,
        operation=name,
        payload=payload,
        timeout=timeout,
        cursor=cursor,
        dry_run=dry_run,
        idempotency_key=key.of(f"{provider}.{name}", payload),
        not_before=not_before,
    )
    anyio.run(_submit if submit else _call, settings_here(), asked, as_json)


def payload_of(given: str | None) -> bytes:
    """The input that the argument stands for, seen to be a JSON object. Stopped where it is none."""
    payload = _read(given)
    values = decode_input(payload)
    if isinstance(values, Failure):
        raise stop(values.reason, values.detail, _hint(given, values))
    return payload


def _read(given: str | None) -> bytes:
    if given is None:
        return b"{}"
    if given != "-" and not given.startswith("@"):
        return given.encode(errors="surrogateescape")
    path = given.removeprefix("@")
    content = read_some(path, MAX_INPUT)
    if len(content) > MAX_INPUT:
        where = "stdin" if path == STDIN else path
        raise stop(Reason.REQUEST_TOO_LARGE, f"{where} holds more than {MAX_INPUT:,} bytes")
    return content


def _hint(given: str | None, failure: Failure) -> str:
    if given is not None and Path(given[:200]).is_file():
        return f"give the file's content with @{given}"
    return failure.hint or """give a JSON object in single quotes, such as '{"query": "is:unread"}', or @FILE"""


async def _call(settings: Settings, asked: Asked, as_json: bool) -> None:  # noqa: FBT001  # anyio.run has no keywords
    async with session(settings) as nats:
        described = await nats.catalog(asked.tenant, "describe", asked.provider, asked.operation)
        access = decoded(described, Described).access
        call_id = call_id_at(time.time(), os.urandom(10))
        began = time.perf_counter()
        try:
            answer = await _ask(nats, asked, access, call_id)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                became = await cancel(nats, asked, call_id)
            if as_json:
                put_json(became or {"call_id": call_id, "cancelled": False, "outcome": None, "side_effect": "unknown"})
            else:
                say(cancelled_text(call_id, became))
            raise
        took = time.perf_counter() - began
    try:
        if as_json:
            put_json(answer.body if answer.content_type == JSON else in_json(answer))
        else:
            put_body(answer.body, answer.content_type)
    finally:  # what was done is told, wherever its output went
        say(json_bytes(facts(asked, answer, took)).decode() if as_json else summary(asked, answer, took))


async def _submit(settings: Settings, asked: Asked, as_json: bool) -> None:  # noqa: FBT001  # anyio.run has no keywords
    """The call's id on stdout, once it is certain that it will run."""
    call_id = call_id_at(time.time(), os.urandom(10))
    address = Address(Access.WRITE, asked.tenant, asked.connection, asked.provider, asked.operation)
    async with session(settings) as nats:
        answer = await nats.ask(
            submit_subject(nats.prefix, address),
            asked.payload,
            headers=headers_of(asked, call_id),
            timeout=SUBMIT_SECONDS,
            provider=asked.provider,
            tenant=asked.tenant,
            call_id=call_id,
            changes=True,
        )
    if as_json:
        put_json(answer.body)
        return
    taken = decoded(answer.body, SubmitReply)
    put(taken.call_id)
    when = f"not before {taken.due}" if taken.due else "waits its turn"
    say(f"{asked.what}  {plain(asked.connection, 60)}  {paint('taken', Tone.GOOD)}, {when}")
    say(f"its result, for a day: sidecar queue result {taken.call_id} -c {plain(asked.connection, 60)}")


async def cancel(nats: Session, asked: Asked, call_id: str) -> CancelReply | None:
    """End the call that was interrupted; what became of it, None where no sidecar says that it holds it."""
    subject = cancel_subject(nats.prefix, CancelAddress(asked.tenant, asked.connection, call_id))
    try:
        answer = await nats.ask(subject, b"", timeout=CANCEL_SECONDS, call_id=call_id)
        return decoded(answer.body, CancelReply)
    except Stopped:  # nobody holds it, or nobody can be asked
        return None


def cancelled_text(call_id: str, became: CancelReply | None) -> str:
    """What became of a call that was interrupted, in one sentence."""
    if became is None:
        return f"no sidecar says that it holds the call; what became of it: sidecar trace show {call_id}"
    if not became.cancelled:
        return f"too late to cancel: the call ended ({became.outcome}); sidecar trace show {call_id}"
    if became.side_effect is SideEffect.NONE:
        return "cancelled: nothing was changed"
    return f"cancelled, but the request was sent: it may have happened; sidecar trace show {call_id}"


def headers_of(asked: Asked, call_id: str) -> dict[str, str]:
    """What the options say, as headers of the request."""
    headers = {header.CALL_ID: call_id}
    if asked.timeout is not None:
        headers[header.TIMEOUT_MS] = str(max(1, round(asked.timeout * 1000)))
    if asked.dry_run:
        headers[header.DRY_RUN] = "true"
    if asked.idempotency_key is not None:
        headers[header.IDEMPOTENCY_KEY] = asked.idempotency_key
    if asked.cursor is not None:
        headers[header.CURSOR] = header.one_line(asked.cursor, 10_000)
    if asked.not_before is not None:
        headers[header.NOT_BEFORE] = header.one_line(asked.not_before)
    return headers


async def _ask(nats: Session, asked: Asked, access: Access, call_id: str) -> Answer:
    timeout = DEFAULT_TIMEOUT_MS / 1000 if asked.timeout is None else asked.timeout
    address = Address(access, asked.tenant, asked.connection, asked.provider, asked.operation)
    return await nats.ask(
        call_subject(nats.prefix, address),
        asked.payload,
        headers=headers_of(asked, call_id),
        timeout=timeout + PATIENCE,
        provider=asked.provider,
        tenant=asked.tenant,
        call_id=call_id,
        changes=access is Access.WRITE and not asked.dry_run,
    )


def in_json(answer: Answer) -> dict[str, str]:
    """An output that is no JSON, as JSON."""
    return {"content_type": answer.content_type, "base64": base64.b64encode(answer.body).decode()}


def summary(asked: Asked, answer: Answer, took: float) -> str:
    """The one line about a call that succeeded; a second one when there is a next page."""
    known = facts(asked, answer, took)
    if asked.dry_run:
        result = paint("dry run: nothing was sent", Tone.WARN)
    else:
        status = known["provider_status"]
        done = f"{'done' if status is None else status} in {seconds(took)}"
        sent = "answered from the record of its key, nothing sent" if known["replayed"] else None
        result = f"{paint(done, Tone.GOOD)}, {sent or counted(known['attempts'], 'attempt')}"
    line = f"{asked.what}  {plain(asked.connection, 60)}  {result}  call {ending(str(known['call_id']))}"
    cursor = known["next_cursor"]
    return line if cursor is None else f"{line}\nnext page: --cursor {plain(cursor, 10_000)}"


def facts(asked: Asked, answer: Answer, took: float) -> dict[str, Any]:
    """What is known of a call that succeeded, beside its output."""
    headers = answer.headers
    status = headers.get(header.PROVIDER_STATUS.lower(), "")
    attempts = headers.get(header.ATTEMPTS.lower(), "")
    return {
        "call_id": headers.get(header.CALL_ID.lower(), ""),
        "provider": asked.provider,
        "operation": asked.operation,
        "connection": asked.connection,
        "provider_status": int(status) if status.isdecimal() else None,
        "attempts": int(attempts) if attempts.isdecimal() else 0,
        "duration_ms": round(took * 1000, 1),
        "next_cursor": headers.get(header.NEXT_CURSOR.lower()),
        "dry_run": asked.dry_run,
        "idempotency_key": asked.idempotency_key,
        "replayed": headers.get(header.IDEMPOTENT_REPLAYED.lower()) == "true",
    }
