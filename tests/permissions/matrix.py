"""Every kind of subject x role x tenant, against a real nats-server: `python -m tests.permissions.matrix`."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import anyio

from sidecar.app import FORMATS, provider_folders_of, sidecar
from sidecar.catalogue.load import load_catalogue
from sidecar.keys import keys_on_a_laptop
from sidecar.nats_accounts import SERVING
from sidecar.nats_config import OWN, SHARED
from sidecar.permissions import REPLIES, SIDECARS, Kind, Role
from sidecar.settings import Settings
from tests.permissions.cells import EXPECTED, Cell, cells
from tests.permissions.connection import Arrived, Wire
from tests.permissions.place import Form, Place, place

STAND_IN = (Kind.SUBMIT, Kind.CANCEL)  # not served, or answered only by who holds the call
ASKED = (Kind.READ, Kind.WRITE, Kind.CATALOG, Kind.CONNECT, Kind.ADMIN, Kind.SERVICE, *STAND_IN)
JETSTREAM = (
    Kind.RECORD,
    Kind.RECORD_GET,
    Kind.RECORD_WATCH,
    Kind.FLOW,
    Kind.FLOW_GET,
    Kind.CALL_RECORD,
    Kind.CALL_RECORD_GET,
    Kind.CALL_RECORD_LIST,
    Kind.KEYED_RECORD_LIST,
    Kind.QUEUE,
    Kind.QUEUE_CHECK,
    Kind.QUEUE_LOOK,
    Kind.TRACE_WATCH,
    Kind.TRACE_CHECK,
)
JETSTREAM_ADMIN = (Kind.STREAM_LOOK, Kind.STREAM_MAKE, Kind.STREAM_FORGET)
SECONDS = 20.0


@asynccontextmanager
async def serving(there: Place) -> AsyncIterator[None]:
    """Real sidecars: a shared one, and where a tenant has its own account, one that serves that tenant alone."""
    async with AsyncExitStack() as parts:
        await parts.enter_async_context(one_sidecar(there, "sidecar", None))
        if there.form is not Form.SINGLE:
            await parts.enter_async_context(one_sidecar(there, f"{OWN}-sidecar", OWN))
        yield


@asynccontextmanager
async def one_sidecar(there: Place, user: str, tenant: str | None) -> AsyncIterator[None]:
    bus = await there.bus(user)
    keys_dir = str(there.folder / "keys")
    settings = Settings(tenant=tenant, data_dir=keys_dir, grace_seconds=0, reply_prefixes=REPLIES)
    catalogue = load_catalogue(provider_folders_of(settings), FORMATS)
    keys = keys_on_a_laptop(settings, anyio.current_time)
    try:
        async with sidecar(settings, bus=bus, keys=keys, catalogue=catalogue):
            yield
            assert bus.counts.permission_violations == 0, bus.last_error
    finally:
        await bus.close()


async def run(form: Form, folder: Path) -> list[Cell]:
    """Every cell tried. Each user has one connection; all listen before anybody publishes."""
    async with place(form, folder) as there, serving(there), AsyncExitStack() as parts:
        wires = {name: await parts.enter_async_context(there.wire(name)) for name in there.users}
        tried = _cells(there)
        await _listen(there, wires, tried)
        for number, cell in enumerate(cell for cell in tried if cell.verb == "publish"):
            cell.number = number
            reply = f"{there.users[cell.user][0].holder.inbox}.cell.{number}"
            wires[cell.user].publish(cell.subject, cell.payload, reply)
        with anyio.move_on_after(SECONDS):
            while not all(_is_done(cell, wires[cell.user]) for cell in tried):
                for wire in wires.values():
                    await wire.settled()
                await anyio.sleep(0.02)
        _note(tried, wires)
        return tried


async def _listen(there: Place, wires: dict[str, Wire], tried: list[Cell]) -> None:
    for name, (user, _) in there.users.items():
        wires[name].subscribe(f"{user.holder.inbox}.>")
        if user.holder.role in SIDECARS:
            wires[name].on_message = partial(_stand_in, wires[name])
    for cell in tried:
        if cell.verb == "subscribe":
            cell.number = wires[cell.user].subscribe(cell.subject)
    for wire in wires.values():
        await wire.settled()


def _cells(there: Place) -> list[Cell]:
    found: list[Cell] = []
    for name, (user, account) in there.users.items():
        at_home = account == SERVING and there.form is Form.OPERATOR
        tenants = {tenant: there.as_served(tenant) if at_home else tenant for tenant in (SHARED, OWN)}
        found += cells(name, account, user.holder, tenants)
    for cell in found:  # a tenant that serves itself, in its own account, is out of everybody else's reach
        told_here = cell.kind in (Kind.QUOTA, Kind.SERVICE)
        cell.reached = told_here or (cell.account, cell.tenant) != (SERVING, OWN) or there.form is Form.SINGLE
    return found


def _stand_in(wire: Wire, message: Arrived) -> None:
    """Answers for the kinds that no sidecar serves yet."""
    if message.reply and message.subject.split(".")[1] in STAND_IN:
        wire.publish(message.reply, b"stand-in")


def needs_answer(cell: Cell) -> bool:
    """Whether somebody answers what this cell publishes."""
    if cell.verb != "publish" or not cell.allowed:
        return False
    if cell.kind in (*JETSTREAM, *JETSTREAM_ADMIN):
        return cell.account in (SERVING, OWN)  # the other accounts have no JetStream
    return cell.kind in ASKED


def _is_done(cell: Cell, wire: Wire) -> bool:
    """Whether nothing more is awaited of it."""
    if not cell.allowed:
        return wire.was_refused(cell.verb, cell.subject)
    if cell.verb == "subscribe":
        return _heard(cell, wire) or not cell.reached
    return not needs_answer(cell) or _answered(cell, wire)


def _answered(cell: Cell, wire: Wire) -> bool:
    ending = f".cell.{cell.number}"
    return any(item.subject.endswith(ending) and not item.status.startswith("503") for item in wire.arrived)


def _heard(cell: Cell, wire: Wire) -> bool:
    return any(item.subscription == cell.number for item in wire.arrived)


def _note(tried: Iterable[Cell], wires: dict[str, Wire]) -> None:
    """What came of each cell."""
    replies = {message.reply for wire in wires.values() for message in wire.arrived}
    for cell in tried:
        wire = wires[cell.user]
        cell.refused = wire.was_refused(cell.verb, cell.subject)
        if cell.verb == "publish":
            cell.answered = _answered(cell, wire)
            cell.heard = any(reply.endswith(f".cell.{cell.number}") for reply in replies)
        else:
            cell.heard = _heard(cell, wire)


def wrong(cell: Cell) -> str | None:
    """Why the cell is not as it must be. That a refused cell stays silent means something only as its allowed
    neighbours on the same subjects are answered and heard, which is checked here too.
    """
    if cell.allowed and cell.refused:
        return "refused, though allowed"
    if cell.allowed and cell.verb == "subscribe" and cell.reached != cell.heard:
        return "allowed, but nothing arrived" if cell.reached else "heard from another account"
    if needs_answer(cell) and not cell.answered:
        return "allowed, but not answered"
    if not cell.allowed and not cell.refused:
        return "not refused"
    if not cell.allowed and (cell.heard or cell.answered):
        return "refused, but it came through"
    return None


MARKS = {"publish": "p", "subscribe": "s"}


def text(form: Form, tried: list[Cell]) -> str:
    """The matrix: `p` publishes, `s` subscribes (capital: answered, or heard), `.` refused; own tenant / another."""
    roles = [role for role in Role if any(cell.role is role for cell in tried)]
    found: dict[tuple[Kind, Role, bool], list[Cell]] = defaultdict(list)
    for cell in tried:
        found[cell.kind, cell.role, cell.own].append(cell)
    rows = [[f"{form}", *roles]]
    rows += [
        [kind, *(f"{_shown(found[kind, role, True])} / {_shown(found[kind, role, False])}" for role in roles)]
        for kind in EXPECTED
    ]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    allowed = [cell for cell in tried if cell.allowed]
    answered = sum(cell.answered or cell.heard for cell in allowed)
    bad = [cell for cell in tried if wrong(cell)]
    lines.append(
        f"{len(tried)} cells: {len(allowed)} allowed ({answered} answered or heard),"
        f" {len(tried) - len(allowed)} refused, {len(bad)} wrong"
    )
    lines += [f"WRONG {cell.user} {cell.verb} {cell.subject}: {wrong(cell)}" for cell in bad]
    return "\n".join(lines)


def _shown(group: list[Cell]) -> str:
    if not group:
        return "-"
    marks = {
        MARKS[cell.verb].upper() if cell.answered or cell.heard else MARKS[cell.verb]
        for cell in group
        if not cell.refused
    }
    return "".join(sorted(marks, key=str.lower)) or "."


async def main() -> int:
    failed = False
    for form in Form:
        with tempfile.TemporaryDirectory() as folder:
            tried = await run(form, Path(folder))
        sys.stdout.write(text(form, tried) + "\n\n")
        failed = failed or any(wrong(cell) for cell in tried)
    return 1 if failed else 0


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    sys.exit(anyio.run(main))
