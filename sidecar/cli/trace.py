"""`sidecar trace`: follow what happens, and explain one call."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import anyio
import click
import msgspec

from sidecar.cli.failure import AMBIGUOUS_CALL, EXIT_CODES, NATS_DENIED, UNKNOWN_CALL, USAGE, stop
from sidecar.cli.find_call import Found, Wanted, find, wanted_call
from sidecar.cli.options import json_option, named, provider_name
from sidecar.cli.session import LOGIN, Session, session, settings_here
from sidecar.cli.terminal import paint, put, put_json, say
from sidecar.model import Problem, Reason
from sidecar.ports import Message, StoreDenied, StoreUnavailable
from sidecar.settings import Settings
from sidecar.trace.line import counted
from sidecar.trace.show import event_line, read_event, trace_text
from sidecar.wire.event import Admin, Auth
from sidecar.wire.subject import encode_token

WAITING = 10_000  # events that may wait to be printed; more are dropped and counted
SINCE = re.compile(r"([0-9]{1,6})([smhd])")
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@click.group("trace", epilog=EXIT_CODES)
def command() -> None:
    """What happened to calls, and why."""


@command.command("tail")
@click.option("--tenant", callback=named, help="Only this tenant.")
@click.option("-c", "--connection", callback=named, help="Only this connection.")
@click.option("--provider", callback=provider_name, help="Only this provider.")
@json_option
def tail(*, tenant: str | None, connection: str | None, provider: str | None, as_json: bool) -> None:
    """Follow calls as they happen, one line for each event, until Ctrl-C."""
    settings = settings_here()
    try:
        anyio.run(_tail, settings, pattern(settings.prefix, tenant, connection, provider), as_json)
    except KeyboardInterrupt:
        return


def since_seconds(context: click.Context, parameter: click.Parameter, value: str) -> float:
    """`30m`, `24h`, `7d` in seconds."""
    del context, parameter
    match = SINCE.fullmatch(value)
    if match is None:
        raise click.BadParameter("a time span is a number and s, m, h or d, such as 30m, 24h or 7d")
    return int(match[1]) * UNITS[match[2]]


SHOW_HELP = """Explain one call: what was sent, what came back, what was waited for, and why it ended as it did.

CALL is a call id, whole or its last characters, as `sidecar call` prints them.
"""


@command.command("show", help=SHOW_HELP)
@click.argument("call")
@click.option("--since", default="24h", show_default=True, callback=since_seconds, help="How far back to look.")
@click.option("--tenant", callback=named, help="Only this tenant.")
@click.option("-c", "--connection", callback=named, help="Only this connection.")
@click.option("--provider", callback=provider_name, help="Only this provider.")
@json_option
def show(
    *, call: str, since: float, tenant: str | None, connection: str | None, provider: str | None, as_json: bool
) -> None:
    wanted = wanted_call(call)
    if wanted is None:
        rule = "a call id is a UUID, or at least the last 4 characters of one"
        raise stop(USAGE, f"{call[:60]!r} is no call id: {rule}", "see sidecar trace tail")
    settings = settings_here()
    where = pattern(settings.prefix, tenant, connection, provider)
    events = anyio.run(_find, settings, wanted, where, time.time() - since)
    if as_json:
        put_json(b"[" + b",".join(events) + b"]")
        return
    known = [event for event in map(read_event, events) if event is not None and not isinstance(event, Admin | Auth)]
    put(trace_text(known, paint))
    if len(known) < len(events):
        say(f"{counted(len(events) - len(known), 'event')} of a newer version cannot be shown; --json has all")


def pattern(prefix: str, tenant: str | None, connection: str | None, provider: str | None) -> str:
    """The subjects of the trace, but for the event: every one where no name is given."""
    tokens = ("*" if name is None else encode_token(name) for name in (tenant, connection, provider))
    return ".".join((prefix, "trace", *tokens))


async def _tail(settings: Settings, where: str, as_json: bool) -> None:  # noqa: FBT001  # anyio.run has no keywords
    async with session(settings, quiet=False) as nats:
        await follow(nats, where, lambda: say(f"following {where}.* at {nats.where}; Ctrl-C ends it"), as_json=as_json)


async def follow(nats: Session, where: str, started: Callable[[], None], *, as_json: bool) -> None:
    """Print each event that comes, until cancelled."""
    arrivals, events = anyio.create_memory_object_stream[bytes](WAITING)
    dropped = 0

    def hand_over(message: Message) -> None:
        nonlocal dropped
        try:
            arrivals.send_nowait(message.data)
        except anyio.WouldBlock:
            dropped += 1
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # nobody reads on: the end is near

    with arrivals, events:
        await nats.bus.subscribe(f"{where}.*", hand_over)
        await nats.bus.round_trip(5)
        started()
        async for data in events:
            _print(data, as_json=as_json)
            if dropped:
                say(f"{counted(dropped, 'event')} came too fast to be printed; `sidecar trace show` has them")
                dropped = 0


def _print(data: bytes, *, as_json: bool) -> None:
    if as_json:
        try:
            put_json(msgspec.json.format(data, indent=-1))
        except (msgspec.DecodeError, RecursionError):
            say("an event that is no JSON, or nested too deeply, was left out")
        return
    event = read_event(data)
    if event is None:
        say("an event that this version does not know cannot be shown; --json has all")
    else:
        put(event_line(event, paint))


async def _find(settings: Settings, wanted: Wanted, where: str, since: float) -> list[bytes]:
    """The events of the one call that is wanted, as published."""
    async with session(settings) as nats:
        try:
            found = await find(nats.bus, wanted, where, since)
        except StoreDenied as error:
            raise stop(NATS_DENIED, str(error), LOGIN) from error
        except StoreUnavailable as error:
            raise stop(Reason.STORE_UNAVAILABLE, str(error), "see sidecar doctor") from error
    if not found:
        look = "look further back with --since 7d, or check that the id is right: sidecar trace tail"
        raise stop(UNKNOWN_CALL, f"the trace has no call {wanted.text} in the time looked at", look)
    if len(found) > 1:
        told = f"{len(found)} calls end in {wanted.text}; give more of the one you mean"
        raise stop(AMBIGUOUS_CALL, told, errors=tuple(map(_candidate, found)))
    return found[0].events


def _candidate(found: Found) -> Problem:
    return Problem(found.call_id, f"{found.time[:19].replace('T', ' ')}  {found.what}")
