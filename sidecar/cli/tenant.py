"""`sidecar tenant`: everything that is kept of one tenant, deleted."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import anyio
import click
import msgspec

from sidecar.adapters.nats_contents import forget
from sidecar.adapters.nats_jetstream import ApiRefused
from sidecar.cli.account import Connection
from sidecar.cli.app_here import apps_folder
from sidecar.cli.failure import EXIT_CODES, NATS_DENIED, NO_SIDECAR, NOT_READY, UNKNOWN_TENANT, USAGE, Stopped, stop
from sidecar.cli.options import json_option
from sidecar.cli.session import LOGIN, Session, decoded, key_places, session, settings_here
from sidecar.cli.stdin import at_a_terminal
from sidecar.cli.terminal import paint, put, put_json, say
from sidecar.model import Reason
from sidecar.permissions import BUCKETS, CALLS, FLOWS, KEYED, LATER_STREAM, QUEUE_STREAM, QUOTAS, TRACE_STREAM
from sidecar.ports import KeyUnavailable, StoreDenied, StoreUnavailable
from sidecar.settings import Settings
from sidecar.store.record import record_key
from sidecar.trace.line import Tone, columns, counted, plain
from sidecar.wire.subject import EVERY, AdminAddress, admin_subject, encode_token, is_name

LIST_SECONDS = 10.0
REVOKE_SECONDS = 30.0  # the provider may be told
ABREAST = 8
ROUNDS = 5  # what was on its way while the first one ran is forgotten by the next
NOTICED_SECONDS = 30  # a sidecar that knows a credential looks at its record as often
NOT_WHOLE = 1
REVOKED = "revoked"
NOBODYS = "-.-.-"  # the end of a subject that is never written to
SPOKEN = 5  # names of connections in one line
WITHOUT_IT = frozenset({NATS_DENIED, NO_SIDECAR})


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """What is gone: messages of each kind. `unrevoked` are connections that no sidecar ended, with why; `untold` those
    that were, and whose providers could not be told.
    """

    tenant: str
    connections: int
    revoked: int
    unrevoked: dict[str, str]
    untold: tuple[str, ...]
    credentials: int
    flows: int
    events: int
    durable: int
    left: tuple[str, ...]


@click.group("tenant", epilog=EXIT_CODES)
def command() -> None:
    """What is kept of one tenant."""


DELETE_HELP = """Delete what is kept of a tenant: its credentials, its connect links, its durable calls, its trace.

Each connection is revoked first, so that no sidecar goes on with what it knows. Nothing brings it back but an export
(`sidecar connection export`). It needs the rights of roles operator (to revoke) and admin (to delete); without the
first it deletes all the same, and says so.
"""


@command.command("delete", help=DELETE_HELP)
@click.argument("name")
@click.option("--confirm", metavar="NAME", help="The name once more, where there is no terminal to ask on.")
@json_option
def delete(*, name: str, confirm: str | None, as_json: bool) -> int:
    tenant = _named(name)
    settings = settings_here()
    _confirmed(tenant, confirm)
    deleted = anyio.run(_delete, settings, tenant)
    if as_json:
        put_json(deleted)
    else:
        put(deleted_text(deleted))
    return NOT_WHOLE if deleted.unrevoked else 0


def _named(name: str) -> str:
    if not is_name(name):
        raise stop(USAGE, f"{name[:80]!r} is not the name of a tenant", "see sidecar connection list --tenant NAME")
    return name


def _confirmed(tenant: str, confirm: str | None) -> None:
    """Returns where the name was given again."""
    if confirm is None:
        if not at_a_terminal():
            raise stop(USAGE, "there is no terminal to ask on", f"give the name again: --confirm {plain(tenant, 60)}")
        say(f"Every credential, connect link and trace event of tenant {plain(tenant, 60)} is deleted for good.")
        confirm = click.prompt("Its name again", err=True, default="", show_default=False)
    if confirm != tenant:
        raise stop(USAGE, f"{confirm[:80]!r} is not {tenant!r}: nothing was deleted", "give the same name twice")


async def _delete(settings: Settings, tenant: str) -> Deleted:
    async with session(settings) as nats:
        key = record_key(tenant)
        records = [(f"KV_{bucket}", f"$KV.{bucket}.{key}.") for bucket in BUCKETS]
        links, trace = (f"KV_{FLOWS}", f"$KV.{FLOWS}.{key}."), f"{nats.prefix}.trace.{encode_token(tenant)}."
        quotas = (f"KV_{QUOTAS}", f"$KV.{QUOTAS}.{key}.")  # they name connections
        keyed = (f"KV_{KEYED}", f"$KV.{KEYED}.{key}.")
        calls = (f"KV_{CALLS}", f"$KV.{CALLS}.{key}.")
        for stream, below in (*records, links, quotas, keyed, calls, (TRACE_STREAM, trace)):
            await _forgotten(nats, stream, below + NOBODYS)  # who may not delete revokes nothing either
        found, unrevoked, untold = await _revoked(nats, tenant)
        credentials = sum([await _forgotten(nats, bucket, f"{below}>") for bucket, below in records])
        flows = await _forgotten(nats, links[0], f"{links[1]}>")
        events = await _forgotten(nats, TRACE_STREAM, f"{trace}>")
        others = await _forgotten(nats, quotas[0], f"{quotas[1]}>") + await _forgotten(nats, keyed[0], f"{keyed[1]}>")
        durable = await _forgotten(nats, calls[0], f"{calls[1]}>")
        others += await _forgotten(nats, QUEUE_STREAM, f"{nats.prefix}.queue.{encode_token(tenant)}")
        others += await _forgotten(nats, LATER_STREAM, f"{nats.prefix}.later.{encode_token(tenant)}.>")
    left = left_here(settings, tenant)
    if not (found or unrevoked or credentials or flows or durable or others or left):  # an event tells that we asked
        detail = f"nothing was kept of tenant {tenant!r} but events of its trace, which are gone"
        raise stop(UNKNOWN_TENANT, detail, "check the name; nothing lists the tenants that there are")
    return Deleted(
        tenant=tenant,
        connections=found,
        revoked=max(0, found - len(unrevoked)),
        unrevoked=unrevoked,
        untold=tuple(untold),
        credentials=credentials,
        flows=flows,
        events=events,
        durable=durable,
        left=tuple(left),
    )


async def _revoked(nats: Session, tenant: str) -> tuple[int, dict[str, str], list[str]]:
    """How many connections there were; which of them no sidecar revoked, each with why; of which no provider knows."""
    address = AdminAddress(tenant, EVERY, EVERY, "list")
    try:
        body = (await nats.ask(admin_subject(nats.prefix, address), b"", timeout=LIST_SECONDS)).body
    except Stopped as stopped:
        if stopped.failure.reason not in WITHOUT_IT:
            raise
        return 0, {EVERY: stopped.failure.detail}, []
    listed = decoded(body, list[Connection])
    unrevoked: dict[str, str] = {}
    untold: list[str] = []

    async def revoke(item: Connection) -> None:
        whose = AdminAddress(tenant, item.connection, item.provider, "revoke")
        who = f"{item.connection} of {item.provider}"
        try:
            answer = await nats.ask(admin_subject(nats.prefix, whose), b"", timeout=REVOKE_SECONDS, changes=True)
            if decoded(answer.body, Connection).problem is not None:
                untold.append(who)
        except Stopped as stopped:
            unrevoked[who] = stopped.failure.detail

    waiting = [item for item in listed if item.status != REVOKED]
    for start in range(0, len(waiting), ABREAST):
        async with anyio.create_task_group() as tasks:
            for item in waiting[start : start + ABREAST]:
                tasks.start_soon(revoke, item)
    return len(listed), unrevoked, sorted(untold)


async def _forgotten(nats: Session, stream: str, subjects: str) -> int:
    """How many messages are gone, when none is left."""
    total = 0
    for _ in range(ROUNDS):
        try:
            gone = await forget(nats.bus, stream, subjects)
        except StoreDenied as error:
            raise stop(NATS_DENIED, str(error), LOGIN) from error
        except StoreUnavailable as error:
            hint = "do it again: what is deleted stays so"
            raise stop(Reason.STORE_UNAVAILABLE, f"{stream} does not answer: {error}", hint) from error
        except ApiRefused as refused:
            raise stop(NOT_READY, f"{stream} cannot be purged: {refused}", "look at the nats-server's log") from refused
        total += gone
        if gone == 0:
            break
    return total


def left_here(settings: Settings, tenant: str) -> list[str]:
    """The tenant's files on this machine that nothing but their owner deletes."""
    found: list[Path] = []
    places = key_places(settings)
    with suppress(KeyUnavailable):
        found.append(places.file_of(tenant))
    token = encode_token(tenant).replace("%", ".")
    found += sorted(apps_folder(settings).glob(f"{token}.*.json"))
    return [str(file) for file in found if file.is_file()]


def deleted_text(deleted: Deleted) -> str:
    """What is gone, what no sidecar ended, what is left for a person to do."""
    rows = [
        ["connections", f"{deleted.revoked} revoked before"],
        ["credentials", f"{counted(deleted.credentials, 'record')} deleted"],
        ["links", f"{counted(deleted.flows, 'connect link')} deleted"],
        ["calls", f"{counted(deleted.durable, 'durable call')} deleted"],
        ["trace", f"{counted(deleted.events, 'event')} deleted"],
    ]
    if EVERY in deleted.unrevoked:
        rows[0][1] = f"{paint('not revoked', Tone.WARN)}: {plain(deleted.unrevoked[EVERY])}"
    elif deleted.unrevoked:
        some = ", ".join(plain(name, 80) for name in list(deleted.unrevoked)[:SPOKEN])
        why = plain(next(iter(deleted.unrevoked.values())))
        rows[0][1] += f", {paint(f'{len(deleted.unrevoked)} not', Tone.WARN)}: {some} ({why})"
    if deleted.untold:
        some = ", ".join(plain(name, 80) for name in deleted.untold[:SPOKEN])
        rows.append(["", f"{len(deleted.untold)} whose provider could not be told, take it back there: {some}"])
    if deleted.unrevoked:
        rows.append(["", f"a sidecar that still knows them stops within {NOTICED_SECONDS} s; withdraw them there too"])
    if deleted.left:
        rows.append(["next", "delete these too; without the key no copy in a backup can be opened:"])
        rows += [["", file] for file in deleted.left]
    return "\n".join([f"tenant {plain(deleted.tenant, 60)} is deleted", *columns(rows, "   ")])
