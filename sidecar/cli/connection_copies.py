"""`sidecar connection export`, and a file of it put back: sealed records, which only the tenant's keys open."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import anyio
import click
import msgspec

from sidecar.cli.account import admin
from sidecar.cli.failure import NO_FILE, NOT_READY, USAGE, stop
from sidecar.cli.options import json_option, named, provider_name, tenant_option
from sidecar.cli.session import Session, decoded, session, settings_here
from sidecar.cli.terminal import paint, put, put_json
from sidecar.settings import Settings
from sidecar.trace.line import Tone, columns, counted, plain
from sidecar.wire.subject import EVERY, AdminAddress

EXPORT = "export"  # the form of these files, for `connection import --from`
FORMAT = 1
WHAT = "connector-sidecar connections"
BATCH = 200
BATCH_BYTES = 192 * 1024  # of sealed records in one message
NEWLINE = b"\n"
OWNER_ONLY = 0o600
INCOMPLETE = 1


class Head(msgspec.Struct, frozen=True):
    """The first line."""

    what: str
    format: int
    tenant: str
    exported: str


class Copy(msgspec.Struct, frozen=True):
    """A line for each record."""

    record: str
    key: str
    sealed: bytes


class End(msgspec.Struct, frozen=True):
    """The last line: a file without it is not whole."""

    records: int


class Batch(msgspec.Struct, frozen=True):
    copies: tuple[Copy, ...] = ()
    next: str | None = None


class Unopened(msgspec.Struct, frozen=True):
    record: str
    problem: str


class Restored(msgspec.Struct, frozen=True):
    restored: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    failed: tuple[Unopened, ...] = ()


EXPORT_HELP = """Write a tenant's connections into FILE as they are stored: sealed.

Nobody opens it without the tenant's keys, so keep those too, and apart. Put back what is missing with
`sidecar connection import --from export FILE`, and drill that with --dry-run.
"""


@click.command("export", help=EXPORT_HELP)
@click.argument("file")
@tenant_option
@click.option("-c", "--connection", callback=named, help="Only this one.")
@click.option("--provider", callback=provider_name, help="Only those of this provider.")
@json_option
def export(*, file: str, tenant: str, connection: str | None, provider: str | None, as_json: bool) -> None:
    path = Path(file).expanduser()
    if path.exists():
        raise stop(USAGE, f"{path} is there already, and is not written over", "name a file that is not there")
    address = AdminAddress(tenant, connection or EVERY, provider or EVERY, "export")
    copies = anyio.run(_taken, settings_here(), address)
    _write(path, tenant, copies)
    keys = Counter(copy.key for copy in copies)
    if as_json:
        put_json({"file": str(path), "tenant": tenant, "records": len(copies), "keys": keys})
        return
    rows = [
        ["written", f"{counted(len(copies), 'connection')} of tenant {plain(tenant, 60)} to {path}"],
        ["keys", ", ".join(f"{key} ({count})" for key, count in keys.items()) or "none"],
        ["keep", "the key file too, and apart from this one: without these keys nobody opens it"],
        ["drill", f"sidecar connection import --from export {path} --dry-run"],
    ]
    put("\n".join(columns(rows, "   ")))


async def _taken(settings: Settings, address: AdminAddress) -> list[Copy]:
    found: list[Copy] = []
    after: str | None = None
    async with session(settings) as nats:
        while True:
            payload = msgspec.json.encode({"after": after, "limit": BATCH})
            batch = decoded(await admin(nats, address, payload), Batch)
            found += batch.copies
            after = batch.next
            if after is None:
                return found


def _write(path: Path, tenant: str, copies: Sequence[Copy]) -> None:
    """The file whole, or none: written beside its place, readable by its owner alone."""
    head = Head(WHAT, FORMAT, tenant, datetime.now(UTC).isoformat(timespec="seconds"))
    lines = [msgspec.json.encode(line) for line in (head, *copies, End(len(copies)))]
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb") as file:
            file.write(NEWLINE.join(lines) + NEWLINE)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise stop(NO_FILE, f"{path} cannot be written: {error.strerror}") from error


def put_back(settings: Settings, file: str, tenant: str, *, dry_run: bool, as_json: bool) -> int:
    """Restore what is missing from a file of `export`; a dry run opens every copy and writes nothing. The exit code."""
    copies = _read(Path(file).expanduser(), tenant)
    done = anyio.run(_restored, settings, tenant, copies, dry_run)
    if as_json:
        put_json({"dry_run": dry_run, **msgspec.to_builtins(done)})
    else:
        put("\n".join(restored_text(done, dry_run=dry_run)))
    return INCOMPLETE if done.failed else 0


def _read(path: Path, tenant: str) -> list[Copy]:
    """The copies of a whole file of this tenant. Stopped otherwise."""
    hint = "give a file of sidecar connection export"
    try:
        head, *lines = path.read_bytes().splitlines()
    except OSError as error:
        raise stop(NO_FILE, f"{path}: {error.strerror}") from error
    except ValueError:
        raise stop(USAGE, f"{path} is empty", hint) from None
    try:
        begins = msgspec.json.decode(head, type=Head)
        if begins.what != WHAT or begins.format != FORMAT:
            raise stop(USAGE, f"{path} is of a form that this version does not read", "upgrade the command")
        if not lines:
            raise stop(USAGE, f"{path} is not whole: its end is missing", "take a copy that is whole")
        ends = msgspec.json.decode(lines[-1], type=End)
        copies = [msgspec.json.decode(line, type=Copy) for line in lines[:-1]]
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise stop(USAGE, f"{path} is no export, or it is not whole", hint) from None
    if ends.records != len(copies):
        seen = f"{path} is not whole: {len(copies)} of {ends.records} records"
        raise stop(USAGE, seen, "take a copy that is whole")
    if begins.tenant != tenant:
        why = f"{path} is of tenant {begins.tenant[:80]!r}; a record goes back to its own tenant only"
        raise stop(USAGE, why, f"give --tenant {plain(begins.tenant, 60)}")
    return copies


async def _restored(settings: Settings, tenant: str, copies: Sequence[Copy], dry_run: bool) -> Restored:  # noqa: FBT001  # anyio.run has no keywords
    done = Restored()
    async with session(settings) as nats:
        for batch in _batches(copies):
            one = await _one_batch(nats, tenant, batch, dry_run=dry_run)
            done = Restored(done.restored + one.restored, done.kept + one.kept, done.failed + one.failed)
    return done


async def _one_batch(nats: Session, tenant: str, batch: Sequence[Copy], *, dry_run: bool) -> Restored:
    payload = msgspec.json.encode({"copies": batch, "dry_run": dry_run})
    if len(payload) > nats.bus.max_payload:
        limit = f"one NATS message here holds {nats.bus.max_payload:,} bytes"
        raise stop(NOT_READY, f"a record is too large to be put back: {limit}", "raise max_payload of the nats-server")
    return decoded(await admin(nats, AdminAddress(tenant, EVERY, EVERY, "restore"), payload), Restored)


def _batches(copies: Sequence[Copy]) -> Iterator[list[Copy]]:
    batch: list[Copy] = []
    size = 0
    for copy in copies:
        if batch and (len(batch) >= BATCH or size + len(copy.sealed) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(copy)
        size += len(copy.sealed)
    if batch:
        yield batch


def restored_text(done: Restored, *, dry_run: bool) -> list[str]:
    """How many went back, what stayed, what cannot and why, what to do then."""
    would = "would be put back" if dry_run else "put back"
    rows = [
        ["connections", f"{len(done.restored)} {would}"],
        ["", f"{len(done.kept)} there already, left as they are"],
    ]
    if done.failed:
        rows.append(["", paint(f"{len(done.failed)} cannot be put back", Tone.BAD)])
        rows += [["", f"{plain(item.record, 120)}  {plain(item.problem)}"] for item in done.failed]
    if done.restored and not dry_run:
        rows.append(
            ["next", "sidecar connection list; a grant that was renewed since the export must be allowed again"]
        )
    return columns(rows, "   ")
