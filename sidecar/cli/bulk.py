"""Many credentials at once: each row looked at first, then stored by a sidecar, which asks the provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import msgspec

from sidecar.auth.kind import KINDS
from sidecar.cli.account import Connection, admin
from sidecar.cli.bulk_rows import NoRows, Reading, Row, rows
from sidecar.cli.failure import NO_FILE, USAGE, Stopped, stop
from sidecar.cli.provider_text import Kind, Served
from sidecar.cli.session import Session, decoded, session
from sidecar.cli.terminal import paint, put, put_json, say
from sidecar.settings import Settings
from sidecar.trace.line import Tone, columns, counted, plain
from sidecar.wire.subject import EVERY, AdminAddress

MOST_BYTES = 64 * 1024 * 1024
INCOMPLETE = 1  # exit code: it ran, and rows are left
TELL_EVERY = 50  # rows
ONE_SECRET = ""  # the field of a bare secret, until the provider says what it is called
WORDS = {"stored": Tone.GOOD, "ready": Tone.GOOD, "there": Tone.DIM, "refused": Tone.BAD}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a row: `ready` (of a dry run), `stored`, `there` (left as it is), or `refused`, and why."""

    row: int
    connection: str
    provider: str
    verdict: str
    kind: str | None = None
    account: str | None = None
    why: str | None = None


def many(
    settings: Settings, file: str, tenant: str, reading: Reading, *, verify: bool, dry_run: bool, as_json: bool
) -> int:
    """Import the rows of a file, or say what would come of each; the exit code."""
    try:
        found = rows(text_of(file), reading)
    except NoRows as error:
        raise stop(USAGE, f"{file}: {error}", "see sidecar connection import --help") from error
    verdicts = anyio.run(_all, settings, tenant, found, verify, dry_run)
    if as_json:
        put_json({"dry_run": dry_run, "rows": verdicts})
    else:
        put("\n".join(told(verdicts, dry_run=dry_run)))
    return INCOMPLETE if any(item.verdict == "refused" for item in verdicts) else 0


def text_of(file: str) -> str:
    """The file's text. Stopped where it cannot be read."""
    try:
        with Path(file).expanduser().open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise stop(USAGE, f"{file} has more than {MOST_BYTES:,} bytes", "split it into several files")
        return content.decode()
    except OSError as error:
        raise stop(NO_FILE, f"{file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise stop(USAGE, f"{file} does not hold text in UTF-8") from None


async def _all(
    settings: Settings,
    tenant: str,
    found: Sequence[Row],
    verify: bool,  # noqa: FBT001  # anyio.run has no keywords
    dry_run: bool,  # noqa: FBT001
) -> list[Verdict]:
    verdicts: list[Verdict] = []
    async with session(settings) as nats:
        served = {item.name: item for item in decoded(await nats.catalog(tenant, "providers"), list[Served])}
        listed = decoded(await admin(nats, AdminAddress(tenant, EVERY, EVERY, "list")), list[Connection])
        there = {(item.connection, item.provider): item for item in listed if item.status != "revoked"}
        for number, row in enumerate(found, 1):
            verdicts.append(await _one(nats, tenant, row, served, there, verify=verify, dry_run=dry_run))
            if number % TELL_EVERY == 0 and number < len(found):
                say(f"{number} of {counted(len(found), 'row')}")
    return verdicts


async def _one(
    nats: Session,
    tenant: str,
    row: Row,
    served: Mapping[str, Served],
    there: Mapping[tuple[str, str], Connection],
    *,
    verify: bool,
    dry_run: bool,
) -> Verdict:
    """One row, looked at, and unless it is a dry run, stored. What is there is left as it is."""
    prepared = fitted(row, served.get(row.provider), sorted(served))
    if prepared.problem is not None:
        return _verdict(prepared, "refused", why=prepared.problem)
    known = there.get((row.connection, row.provider))
    if known is not None:
        why = f"the connection is there, {known.status}: revoke it first if this row is to take its place"
        return _verdict(prepared, "there", why=why)
    asked = {"kind": prepared.kind, "fields": prepared.fields, "verify": verify, "dry_run": dry_run}
    also = {
        name: value for name in ("base_url", "client_id", "limits") if (value := getattr(prepared, name)) is not None
    }
    address = AdminAddress(tenant, row.connection, row.provider, "import")
    try:
        item = decoded(await admin(nats, address, msgspec.json.encode(asked | also)), Connection)
    except Stopped as stopped:
        if stopped.failure.reason in {"NO_NATS", "NATS_DENIED", "NO_SIDECAR"}:
            raise
        return _verdict(prepared, "refused", why=f"{stopped.failure.reason}: {stopped.failure.detail}")
    return _verdict(prepared, "ready" if dry_run else "stored", account=item.account, why=_doubt(prepared, item))


def fitted(row: Row, served: Served | None, known: Sequence[str]) -> Row:
    """The row with the kind of credential that the provider takes, or why it takes none like it."""
    if row.problem is not None:
        return row
    if served is None:
        return _unfit(row, f"{row.provider} is not served here; served are: {', '.join(known)}")
    kinds = {item.kind: item for item in served.auth}
    if row.kind is not None:
        if row.kind not in kinds:
            is_kind = row.kind in KINDS.values()  # another word beside a secret may be one
            problem = f"takes no credential of {f'kind {row.kind}' if is_kind else 'the kind that the row names'}"
            shown = row if is_kind else msgspec.structs.replace(row, kind=None)
            return _unfit(shown, f"{served.name} {problem}; kinds are: {', '.join(kinds)}")
        return row
    if set(row.fields) == {ONE_SECRET}:
        single = next((item for item in served.auth if len(item.fields) == 1 and item.kind != "oauth2"), None)
        if single is None:
            return _unfit(row, f"{served.name} takes no single key; kinds are: {', '.join(kinds)}")
        return msgspec.structs.replace(row, kind=single.kind, fields={single.fields[0]: row.fields[ONE_SECRET]})
    fitting = next((item for item in served.auth if _takes(item, row)), None)
    if fitting is None:
        return _unfit(row, f"these fields are of no kind that {served.name} takes: {', '.join(kinds)}")
    return msgspec.structs.replace(row, kind=fitting.kind)


def _takes(kind: Kind, row: Row) -> bool:
    return set(kind.fields) <= set(row.fields) <= {*kind.fields, *kind.optional}


def _unfit(row: Row, problem: str) -> Row:
    return msgspec.structs.replace(row, fields={}, problem=problem)


def _doubt(row: Row, item: Connection) -> str | None:
    """What is not known for sure of a row that can be stored."""
    if item.problem is not None:
        return item.problem
    if row.kind == "oauth2" and row.client_id is None and "client_id" not in row.fields:
        return f"the file does not say which OAuth app it belongs to; it works if that is {item.client_id or 'ours'}"
    return None


def _verdict(row: Row, verdict: str, *, account: str | None = None, why: str | None = None) -> Verdict:
    return Verdict(
        row=row.number,
        connection=row.connection,
        provider=row.provider,
        verdict=verdict,
        kind=row.kind,
        account=account,
        why=why,
    )


def told(verdicts: Sequence[Verdict], *, dry_run: bool) -> list[str]:
    """A line for each row, then how many of each verdict, then what to do."""
    lines = []
    for item, text in zip(verdicts, columns([_cells(item) for item in verdicts]), strict=True):
        lines.append(text.replace(item.verdict, paint(item.verdict, WORDS[item.verdict]), 1))
    counts = {word: sum(item.verdict == word for item in verdicts) for word in WORDS}
    lines.append(", ".join(f"{count} {word}" for word, count in counts.items() if count))
    if dry_run and counts["ready"]:
        lines.append("nothing was stored; without --dry-run each is tried at its provider, then stored")
        if any(item.verdict == "ready" and item.kind == "oauth2" for item in verdicts):
            lines.append(
                "that renews each grant: stop what uses them now, its copies of refresh tokens may be spent then"
            )
    if counts["refused"]:
        lines.append("those that are refused: sidecar connect PROVIDER -c NAME lets their owners allow access again")
    return lines


def _cells(item: Verdict) -> list[str]:
    about = "; ".join(text for text in (item.account, item.why) if text)
    return [
        f"{item.row:>4}",
        item.verdict,
        plain(item.connection or "-", 60),
        plain(item.provider or "-", 60),
        plain(item.kind or "-", 40),
        plain(about, 400),
    ]
