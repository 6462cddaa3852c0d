"""Keys as text for a person: what was made, what is held, what was moved, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sidecar.cli.key_batches import Total
from sidecar.trace.line import Paint, Tone, columns, counted, plain, seconds, unpainted

MOST_RECORDS = 20


def made_text(path: Path, keys: Sequence[str], key: str, paint: Paint = unpainted) -> str:
    """A key in its file, and what comes next."""
    head = f"{paint(key, Tone.STRONG)} is in {plain(str(path))}, with {counted(len(keys) - 1, 'other key')}"
    if len(keys) == 1:
        return f"{head}\n  keep      a copy of that file in a safe place: without it no stored credential can be opened"
    if keys[-1] != key:
        return (
            f"{head}; it opens, {keys[-1]} seals\n"
            f"  next      wait until every sidecar has that file, then sidecar keys use {key}"
        )
    return (
        f"{head}; it seals what is written from now on\n  next      sidecar keys rotate, then keep a copy of that file"
    )


def listed_text(tenant: str, total: Total, paint: Paint = unpainted) -> str:
    """The keys, those that sidecars hold first, each with its records and its part."""
    ids = [*total.held, *(key for key in total.records if key not in total.held)]
    rows = [["key", "records", ""]]
    rows += [[plain(key, 64), f"{total.records.get(key, 0):,}", _part(key, total)] for key in ids]
    lines = columns(rows)
    return "\n".join([f"tenant {plain(tenant, 80)}", paint(lines[0], Tone.DIM), *lines[1:], *_unopened(total)])


def rotated_text(tenant: str, total: Total, took: float, paint: Paint = unpainted) -> str:
    """What was moved, what is left, and which keys nobody needs any more."""
    newest, whole = total.keys[0], sum(total.records.values())
    moved = f"{counted(total.rewrapped, 'record')} of tenant {plain(tenant, 80)} re-wrapped in {seconds(took)}"
    if not total.complete:
        left = f"{counted(total.left, 'record')} not under {newest}"
        return "\n".join([f"{moved}; {paint(left, Tone.BAD)}", *_unopened(total), "  again     sidecar keys rotate"])
    lines = [f"{moved}; {paint(f'all {whole:,} are under {newest}', Tone.GOOD)}"]
    if total.removable:
        lines += [
            f"  remove    {', '.join(total.removable)}: no record needs it; take its line out of the key file",
            "  keep      it elsewhere as long as you keep backups of the records from before",
        ]
    elif len(total.held) == 1:
        lines.append("  new key   sidecar keys new")
    return "\n".join(lines)


def _part(key: str, total: Total) -> str:
    if key in total.keys:
        return "newest: seals what is written" if len(total.keys) == 1 else "newest of some sidecars only"
    if key not in total.held:
        return "not in the key file: put it back"
    return "not needed any more" if key in total.removable else "opens; sidecar keys rotate moves its records"


def _unopened(total: Total) -> list[str]:
    rows = [[f"  {plain(item.record, 200)}", plain(item.problem)] for item in total.failed[:MOST_RECORDS]]
    more = len(total.failed) - len(rows)
    return columns(rows) + ([f"  and {counted(more, 'more record')}; --json lists all"] if more > 0 else [])
