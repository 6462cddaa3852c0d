"""What goes back: answers and refusals, each published once. One that cannot be is counted, and ends nothing else."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable

from sidecar.answer import Answer
from sidecar.log import defect
from sidecar.model import Access, Failure, Reason, SideEffect
from sidecar.ports import Bus, BusError, Message
from sidecar.wire.reply import Asked, Reply, encode_reply

log = logging.getLogger("sidecar.replies")

REFUSALS_AT_ONCE = 64  # then others have a turn


class Replies:
    """Publishes what messages are answered. `lost` is called for each reply that is not."""

    def __init__(self, bus: Bus, lost: Callable[[], None]) -> None:
        self._bus = bus
        self._lost = lost
        self._refusals: deque[tuple[Message, Failure]] = deque()

    async def send(self, message: Message, answered: Answer) -> None:
        """Answer the message."""
        await self.publish(message, self._encoded(answered))

    async def publish(self, message: Message, reply: Reply) -> None:
        """Answer it with what is encoded already."""
        try:
            self._bus.publish(message.reply, reply.payload, headers=reply.headers or None)
        except BusError as error:
            self._lost()
            log.warning("a reply could not be published: %s", error)
        except Exception as error:
            self._lost()
            log.exception("a reply could not be published", exc_info=defect(error))

    def refuse(self, message: Message, failure: Failure) -> bool:
        """Have the message refused by `refusals`; true where somebody has to begin that."""
        self._refusals.append((message, failure))
        return len(self._refusals) == 1

    async def refusals(self) -> None:
        """Publish all that are refused together: thousands may be, and none of them waits for the others."""
        known: tuple[Failure, Reply] | None = None
        for number in itertools.count(1):
            if not self._refusals:
                return
            message, failure = self._refusals[0]
            if known is None or known[0] != failure:
                known = failure, encode_reply(Asked(), failure, self._bus.max_payload)
            await self.publish(message, known[1])
            self._refusals.popleft()
            if number % REFUSALS_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _encoded(self, answered: Answer) -> Reply:
        asked, most = answered.asked, self._bus.max_payload
        try:
            return encode_reply(asked, answered.outcome, most)
        except Exception as error:  # a hook's words may be no UTF-8; the caller is answered all the same
            log.exception("the reply to call %s could not be written", asked.call_id, exc_info=defect(error))
            return encode_reply(asked, defect_told(asked.access), most)


def defect_told(access: Access) -> Failure:
    """What is told where a defect leaves nothing else to tell."""
    side_effect = SideEffect.NONE if access is Access.READ else SideEffect.UNKNOWN
    return Failure(reason=Reason.BUG, detail="a defect of the sidecar; see its log", side_effect=side_effect)
