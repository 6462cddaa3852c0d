"""Find one call in the trace by its id, whole or by its ending.

No subject names a call, so its `started` event is looked for first; that names the subject of all the others.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import datetime

import anyio
import msgspec

from sidecar.adapters.nats_bus import NatsBus
from sidecar.adapters.nats_reader import read_trace

SHORTEST, WHOLE = 4, 32  # hexadecimal digits
ENDING = re.compile(r"[0-9a-f-]{4,36}")
SKEW = 600.0  # seconds that the clocks of caller, sidecar and nats-server may differ
STORED = 1.0  # seconds that a call's last events may come later than its reply
PAUSE = 0.05
AFTERWARDS = 60.0  # seconds after its end in which the same call id may have come again
UUID7 = 7


class Wanted(msgspec.Struct, frozen=True):
    """What is looked for: the end of a call id, and where it is whole, the Unix second that it was made at."""

    text: str
    digits: str
    made: float | None = None

    def is_end_of(self, call_id: str) -> bool:
        return call_id.lower().replace("-", "").endswith(self.digits)


@dataclass(slots=True)
class Found:
    """A call: its id, when and what it was, the subject of its events without their last token, and the events."""

    call_id: str
    time: str
    what: str
    subject: str
    events: list[bytes] = field(default_factory=list)
    ended: bool = False


class _Named(msgspec.Struct, frozen=True):
    """As much of an event as it takes to know whose it is."""

    call_id: str = ""
    time: str = ""
    event: str = ""
    operation: str = ""
    provider: str = ""
    connection: str = ""


def wanted_call(text: str) -> Wanted | None:
    """What the words mean; None where they are no call id nor the end of one."""
    lower = text.strip().lower()
    digits = lower.replace("-", "")
    if not ENDING.fullmatch(lower) or not SHORTEST <= len(digits) <= WHOLE:
        return None
    if len(digits) < WHOLE:
        return Wanted(lower, digits)
    whole = uuid.UUID(digits)
    # RFC 9562 section 5.7: a version 7 begins with its Unix millisecond.
    return Wanted(str(whole), digits, (whole.int >> 80) / 1000 if whole.version == UUID7 else None)


async def find(bus: NatsBus, wanted: Wanted, where: str, since: float) -> list[Found]:
    """The calls that are meant, with their events: usually one. Raises StoreUnavailable.

    `where` is the subject of trace events without their last token; `since` is Unix seconds, and counts where the id
    does not say when it was made. A call without an end is looked for again for a second: it may have been
    answered just now.
    """
    enough = anyio.current_time() + STORED
    found = await _found(bus, wanted, where, since)
    while _may_go_on(found) and anyio.current_time() < enough:
        await anyio.sleep(PAUSE)
        found = await _found(bus, wanted, where, since)
    return found


def _may_go_on(found: list[Found]) -> bool:
    """Whether more may be stored in a moment of what was found. Several are told of as they are."""
    return not found or (len(found) == 1 and not found[0].ended)


async def _found(bus: NatsBus, wanted: Wanted, where: str, since: float) -> list[Found]:
    """What the trace holds of them now. Of several no events are read."""
    found: list[Found] = []
    if wanted.made is not None:
        found = await _calls(bus, wanted, where, wanted.made - SKEW)
    if not found:
        found = await _calls(bus, wanted, where, since)
    if len(found) == 1:
        await _collect(bus, found[0])
    return found


async def _calls(bus: NatsBus, wanted: Wanted, where: str, since: float) -> list[Found]:
    """The calls with this ending, by their first event; by their last where the first is not kept any more."""
    whole = wanted.made is not None
    for event in ("started", "finished"):
        calls: dict[str, Found] = {}
        async with contextlib.aclosing(_named(bus, f"{where}.{event}", since)) as entries:
            async for subject, named, _ in entries:
                if wanted.is_end_of(named.call_id) and named.call_id not in calls:
                    what = f"{named.connection} / {named.provider}.{named.operation}"
                    calls[named.call_id] = Found(named.call_id, named.time, what, subject.rpartition(".")[0])
                    if whole:
                        break
        if calls:
            return list(calls.values())
    return []


async def _collect(bus: NatsBus, call: Found) -> None:
    """All events of the call, until a while after its end."""
    ended: float | None = None
    async with contextlib.aclosing(_named(bus, f"{call.subject}.*", _unix(call.time) - SKEW)) as entries:
        async for _, named, payload in entries:
            if named.call_id == call.call_id:
                call.events.append(payload)
                if named.event == "finished":
                    ended, call.ended = _unix(named.time), True
            elif ended is not None and _unix(named.time) > ended + AFTERWARDS:
                return


async def _named(bus: NatsBus, subject: str, since: float) -> AsyncGenerator[tuple[str, _Named, bytes], None]:
    """The events on a subject since a moment; what cannot be read is left out."""
    async with contextlib.aclosing(read_trace(bus, subject, since=max(0.0, since))) as entries:
        async for entry in entries:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                yield entry.subject, msgspec.json.decode(entry.payload, type=_Named), entry.payload


def _unix(time: str) -> float:
    """Unix seconds of an event's time; 0 where it makes no sense, so that everything is looked at."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return 0.0
