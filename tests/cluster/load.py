"""Writers that change records as the product does, many at once, and note what each was told."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import anyio
import msgspec

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.adapters.nats_bus import NatsBus
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import CREDENTIALS
from sidecar.adapters.system import SystemClock, SystemRandom
from sidecar.model import Failure
from sidecar.store import write
from sidecar.store.record import Found, Records
from tests.cluster.ledger import Ledger, Outcome

TENANT = "load"
KEYS = FileKeys({"k1": bytes(range(32))})
OWN_LENGTH = 10  # writes to a record that one writer changes
SHARED_LENGTH = 100  # writes to a record that several change
SHARING = 3
OWN_WRITERS = 32
SHARED_RECORDS = 2
PAUSE_SECONDS = 0.1
READERS = 32


class Entries(msgspec.Struct, frozen=True):
    """What a record under load holds: the entries appended so far."""

    entries: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """The last state of a record that a writer knows; no revision: it is not there yet."""

    entries: tuple[int, ...] = ()
    revision: int | None = None


class Load:
    """Writers on records of their own and on records that they share, until `ended` is set.

    `acks` are the moments at which a write was acknowledged, in order (seconds of time.monotonic).
    """

    def __init__(self, name: str = "load", ledger: Ledger | None = None) -> None:
        self.ledger = ledger or Ledger()
        self.acks: list[float] = []
        self.ended = False
        self._name = name

    async def run(self, buses: Sequence[NatsBus], *, own: int = OWN_WRITERS, shared: int = SHARED_RECORDS) -> None:
        stores = itertools.cycle([records(bus) for bus in buses])
        async with anyio.create_task_group() as tasks:
            for writer in range(own):
                tasks.start_soon(self._write, next(stores), f"{self._name}.own{writer}", OWN_LENGTH)
            for counter in range(shared):
                for _ in range(SHARING):
                    tasks.start_soon(self._write, next(stores), f"{self._name}.shared{counter}", SHARED_LENGTH)

    def longest_pause(self, since: float) -> float:
        """Seconds for which nobody got an acknowledgement, from a moment until now."""
        moments = [since, *itertools.takewhile(lambda moment: moment > since, reversed(self.acks))]
        moments = [moments[0], *reversed(moments[1:]), time.monotonic()]
        return max(later - earlier for earlier, later in itertools.pairwise(moments))

    async def _write(self, store: Records[Entries], prefix: str, length: int) -> None:
        """Fill one record after the other."""
        for number in itertools.count():
            key = f"{prefix}.k{number}"
            known: Known | None = Known()
            while not self.ended and (known is None or len(known.entries) < length):
                known = await self.append(store, key, known) if known else await self._look(store, key)
            if self.ended:
                return

    async def append(self, store: Records[Entries], key: str, known: Known) -> Known | None:
        """One write over what is known; what is known then, None when that must be read."""
        entry = self.ledger.begin(key)
        entries = (*known.entries, entry)
        outcome = await store.attempt(TENANT, key, Entries(entries), known.revision)
        if isinstance(outcome, Failure):
            raise AssertionError(f"{key} cannot be sealed: {outcome.detail}")  # noqa: TRY004 - our own mistake
        self.ledger.tell(key, entry, told_as(outcome))
        if not isinstance(outcome, write.Written):
            return None
        self.acks.append(time.monotonic())
        return Known(entries, outcome.revision)

    async def _look(self, store: Records[Entries], key: str) -> Known | None:
        known = await look(store, key)
        if known is None:
            await anyio.sleep(PAUSE_SECONDS)
        return known


def records(bus: NatsBus) -> Records[Entries]:
    """The records under load, sealed as credentials are and in their bucket."""
    return Records(NatsStore(bus), KEYS, SystemClock(), SystemRandom(), CREDENTIALS, Entries)


async def look(store: Records[Entries], key: str) -> Known | None:
    """A record as it is read, which may be older than it is; None when the store does not answer."""
    found = await store.read(TENANT, key)
    match found:
        case None:
            return Known()
        case Found(value=Entries(entries=entries), revision=revision):
            return Known(entries, revision)
        case Found(value=Failure() as failure):
            raise AssertionError(f"{key} does not open: {failure.detail}")
        case _:
            return None


async def read_back(bus: NatsBus, keys: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """What all these records hold, asked of the node that this bus is connected to."""
    store = records(bus)
    held: dict[str, tuple[int, ...]] = {}
    waiting = iter(keys)

    async def read() -> None:
        for key in waiting:
            while (known := await look(store, key)) is None:  # noqa: ASYNC110 - another process decides
                await anyio.sleep(PAUSE_SECONDS)
            held[key] = known.entries

    async with anyio.create_task_group() as tasks:
        for _ in range(READERS):
            tasks.start_soon(read)
    return held


def told_as(outcome: write.Outcome) -> Outcome:
    match outcome:
        case write.Written():
            return Outcome.WRITTEN
        case write.Unknown():
            return Outcome.UNKNOWN
        case write.Conflict():
            return Outcome.CONFLICT
        case write.Full() | write.Unreached():
            return Outcome.REFUSED
