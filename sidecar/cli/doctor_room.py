"""What the doctor sees of streams that fill up."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.adapters.nats_contents import Room, room
from sidecar.adapters.nats_jetstream import ApiRefused
from sidecar.cli.doctor_line import Line, fail, ok, warn
from sidecar.cli.session import Session
from sidecar.ports import StoreUnavailable
from sidecar.settings import Settings
from sidecar.streams import streams_of

NEARLY, FULL = 0.8, 0.99
SETTINGS = {"KV_SIDECAR_CREDENTIALS": "SIDECAR_CREDENTIALS_MAX_BYTES"}


async def room_lines(nats: Session, settings: Settings) -> list[Line]:
    """How full the buckets are; nothing for a login that may not look at them, which the line of JetStream tells."""
    try:
        return lines_of(await room(nats.bus, streams_of(settings)))
    except (StoreUnavailable, ApiRefused):
        return []


def lines_of(rooms: Sequence[Room]) -> list[Line]:
    """A line for each that is nearly full and keeps what it has; one for all the others. What makes room for newer
    messages by itself, as the trace does, is full by nature.
    """
    keeping = [item for item in rooms if item.keeps and item.most is not None]
    lines: list[Line] = []
    for item in keeping:
        if item.share >= NEARLY:
            seen = f"{item.title} is {item.share:.0%} full: {item.used / 1e6:,.1f} of {(item.most or 0) / 1e6:,.1f} MB"
            setting = SETTINGS.get(item.name)
            raised = f"raise {setting}, then run: sidecar setup" if setting else "revoke what nobody uses"
            if item.share >= FULL:
                lines.append(fail("room", f"{seen}; new tokens and connections are refused", raised))
            else:
                lines.append(warn("room", seen, f"{raised}; when it is full, new tokens are refused"))
    if keeping and not lines:
        most = max(keeping, key=lambda item: item.share)
        lines.append(ok("room", f"the fullest bucket is {most.share:.0%} full"))
    return lines
