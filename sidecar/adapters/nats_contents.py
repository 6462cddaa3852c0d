"""What streams hold: how full each is, and forgetting what one pattern of subjects names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sidecar.adapters.nats_jetstream import STREAM_NOT_FOUND, Answer, ApiRefused, ask
from sidecar.adapters.nats_streams import StreamSpec
from sidecar.ports import Bus

LOOK_SECONDS = 5.0
PURGE_SECONDS = 30.0  # a million events take a few


class Room(msgspec.Struct, frozen=True):
    """How much a stream holds, in bytes, and how much it may; None: as much as the server has room for."""

    title: str
    name: str
    used: int
    most: int | None
    keeps: bool

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.used / self.most if self.most else 0.0


class _State(msgspec.Struct, frozen=True):
    bytes: int = 0


class _Info(Answer, frozen=True, kw_only=True):
    config: dict[str, Any] = msgspec.field(default_factory=dict)
    state: _State = _State()


class _Purged(Answer, frozen=True, kw_only=True):
    purged: int = 0


async def room(bus: Bus, streams: Sequence[StreamSpec]) -> list[Room]:
    """How full those of the streams are that are there; `keeps`: what is full takes nothing more. Raises ApiRefused,
    StoreUnavailable, StoreDenied.
    """
    found: list[Room] = []
    for stream in streams:
        try:
            info = await ask(bus, f"STREAM.INFO.{stream.name}", None, _Info, LOOK_SECONDS)
        except ApiRefused as refused:
            if refused.err_code == STREAM_NOT_FOUND:
                continue
            raise
        most = int(info.config.get("max_bytes", -1))
        keeps = info.config.get("discard") == "new"
        found.append(Room(stream.title, stream.name, info.state.bytes, most if most > 0 else None, keeps))
    return found


async def forget(bus: Bus, stream: str, subjects: str) -> int:
    """Delete every message of these subjects for good; how many there were, 0 where the stream is not there.

    No mark of a deletion is left, so those who watch hear nothing. Raises ApiRefused, StoreUnavailable, StoreDenied.
    """
    try:
        return (await ask(bus, f"STREAM.PURGE.{stream}", {"filter": subjects}, _Purged, PURGE_SECONDS)).purged
    except ApiRefused as refused:
        if refused.err_code == STREAM_NOT_FOUND:
            return 0
        raise
