"""Batches of `keys` and `rewrap`, one after the other, added up; rounds of them until nothing is left to move."""

from __future__ import annotations

from collections import Counter

import anyio
import msgspec

from sidecar.cli.failure import NO_REPLY, NO_SIDECAR, NOT_READY, Stopped, stop
from sidecar.cli.session import Session, decoded
from sidecar.cli.terminal import say
from sidecar.model import Reason
from sidecar.trace.line import counted
from sidecar.wire.subject import AdminAddress, admin_subject

LIMIT = 500
BATCH_SECONDS = 30.0  # a sidecar answers after four, unless its store is slow
TRIES = 5  # of a batch: what is done is done, so it may be asked for again
PAUSE_SECONDS = 1.0
ROUNDS = 5
TELL_SECONDS = 1.0  # between two lines of progress
AGAIN = frozenset({NO_REPLY, Reason.STORE_UNAVAILABLE, Reason.SHUTTING_DOWN, Reason.QUEUE_FULL})


class Unopened(msgspec.Struct, frozen=True):
    """A record that could not be opened, and why."""

    record: str
    problem: str


class Batch(msgspec.Struct, frozen=True):
    """A batch as a sidecar tells it."""

    key: str
    held: tuple[str, ...] = ()
    records: dict[str, int] = {}
    rewrapped: int = 0
    left: int = 0
    failed: tuple[Unopened, ...] = ()
    next: str | None = None


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """All batches together: `keys` are the ids that each sidecar that answered calls the newest, `removable` those
    that a sidecar holds and no record needs.
    """

    keys: tuple[str, ...]
    held: tuple[str, ...]
    records: dict[str, int]
    rewrapped: int
    left: int
    failed: tuple[Unopened, ...]
    removable: tuple[str, ...]
    complete: bool


async def listed(nats: Session, address: AdminAddress) -> Total:
    """What the sidecars hold and have."""
    return await _round(nats, address, _Progress("looked at"))


async def in_rounds(nats: Session, address: AdminAddress) -> Total:
    """Rounds of re-wrapping until one finds nothing to do. Stopped where sidecars do not hold the same keys."""
    progress, moved = _Progress("re-wrapped"), 0
    total = await _round(nats, address, progress)
    for _ in range(ROUNDS):
        moved += total.rewrapped
        if total.complete or (total.rewrapped == 0 and len(total.keys) == 1):
            break
        await anyio.sleep(PAUSE_SECONDS)
        total = await _round(nats, address, progress)
    if len(total.keys) > 1:
        told = f"the sidecars of tenant {address.tenant} do not hold the same keys: newest are {', '.join(total.keys)}"
        raise stop(NOT_READY, told, "give all of them the same key file, wait until each has it, then rotate again")
    return msgspec.structs.replace(total, rewrapped=moved)


class _Progress:
    """A line on stderr now and then."""

    def __init__(self, word: str) -> None:
        self._word = word
        self._count = 0
        self._told = anyio.current_time()

    def add(self, count: int) -> None:
        self._count += count
        if anyio.current_time() - self._told >= TELL_SECONDS:
            self._told = anyio.current_time()
            say(f"{counted(self._count, 'record')} {self._word}")


async def _round(nats: Session, address: AdminAddress, progress: _Progress) -> Total:
    newest: dict[str, None] = {}
    held: dict[str, None] = {}
    records: Counter[str] = Counter()
    failed: list[Unopened] = []
    rewrapped, after = 0, None
    while True:
        batch = await _batch(nats, address, after)
        newest[batch.key] = None
        held |= dict.fromkeys(batch.held)
        records.update(batch.records)
        failed += batch.failed
        rewrapped += batch.rewrapped
        progress.add(batch.rewrapped if address.verb == "rewrap" else sum(batch.records.values()))
        after = batch.next
        if after is None:
            break
    keys = tuple(newest)
    left = records.total() - records[keys[0]]
    one = len(keys) == 1
    return Total(
        keys=keys,
        held=tuple(held),
        records=dict(records),
        rewrapped=rewrapped,
        left=left,
        failed=tuple(failed),
        removable=tuple(key for key in held if one and not failed and records[key] == 0 and key != keys[0]),
        complete=one and left == 0 and not failed,
    )


async def _batch(nats: Session, address: AdminAddress, after: str | None) -> Batch:
    """One batch, asked for again where a sidecar or the store was away for a moment."""
    payload = msgspec.json.encode({"after": after, "limit": LIMIT})
    tries = 1
    while True:
        try:
            answer = await nats.ask(admin_subject(nats.prefix, address), payload, timeout=BATCH_SECONDS)
            return decoded(answer.body, Batch)
        except Stopped as stopped:
            if stopped.failure.reason == NO_SIDECAR:
                hint = "where each sidecar serves a part of the tenant, name it: -c NAME or --provider NAME"
                raise stop(NO_SIDECAR, f"no sidecar serves these records of tenant {address.tenant}", hint) from None
            if stopped.failure.reason not in AGAIN or tries == TRIES:
                raise
        tries += 1
        await anyio.sleep(PAUSE_SECONDS)
