"""What is known of events that were published: whether JetStream has them.

The last of those that go out together asks, by a reply subject that ends in its number. Where nobody takes it the
server says so at once, and all since the answer before may be lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from sidecar.ports import Bus, Message

PATIENCE = 5.0  # seconds in which an answer is due


class _Taken(msgspec.Struct):
    """JetStream's word on a message. https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-22.md"""

    seq: int = 0


class Proof:
    """Counts events, and calls `lost` with how many nobody has. What was lost between two answers that are both good is
    not seen: an answer speaks for all before it.
    """

    def __init__(self, bus: Bus, inbox: str, lost: Callable[[int], None], *, patience: float = PATIENCE) -> None:
        self._bus = bus
        self._inbox = inbox
        self._lost = lost
        self._patience = patience
        self._published = 0
        self._asked = 0  # the number of the last one that could ask
        self._known = 0  # up to this number it is known what became of them
        self._looks = False

    async def listen(self) -> None:
        await self._bus.subscribe(f"{self._inbox}.*", self._told)

    @property
    def reply(self) -> str:
        """By which the next event asks."""
        return f"{self._inbox}.{self._published + 1}"

    def count(self, *, asked: bool) -> None:
        """One more was published."""
        self._published += 1
        if asked:
            self._asked = self._published
            if not self._looks:
                self._look_later()

    def _told(self, message: Message) -> None:
        number = int(message.subject.rpartition(".")[2])
        try:
            taken = msgspec.json.decode(message.data, type=_Taken).seq > 0
        except msgspec.DecodeError:  # as what has no payload: nobody is there
            taken = False
        self._settle(number, taken=taken)

    def _settle(self, number: int, *, taken: bool) -> None:
        if number > self._known:
            if not taken:
                self._lost(number - self._known)
            self._known = number

    def _look_later(self) -> None:
        self._looks = True
        asyncio.get_running_loop().call_later(self._patience, self._look, self._asked)

    def _look(self, asked: int) -> None:
        """What waits for the connection is not lost yet."""
        self._looks = False
        if self._bus.connected:
            self._settle(asked, taken=False)
        if self._asked > self._known:
            self._look_later()
