"""What goes back: answers and refusals, each published once. One that cannot be is counted, and ends nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sidecar.answer import Answer
from sidecar.log import defect
from sidecar.model import Access, Failure, Reason, SideEffect
from sidecar.ports import Bus, BusError, Message
from sidecar.wire.reply import Asked, Reply, encode_reply

log = logging.getLogger("sidecar.replies")


class Replies:
    """Publishes what messages are answered. `lost` is called for each reply that is not."""

    def __init__(self, bus: Bus, lost: Callable[[], None]) -> None:
        self._bus = bus
        self._lost = lost
        self._refusal: tuple[Failure, Reply] | None = None  # the last one: of thousands most are alike

    def send(self, message: Message, answered: Answer) -> None:
        """Answer the message."""
        self.publish(message, self._encoded(answered))

    def refuse(self, message: Message, failure: Failure) -> None:
        """Answer it with this failure, of which nothing has begun."""
        known = self._refusal
        if known is None or known[0] is not failure:
            known = self._refusal = failure, encode_reply(Asked(), failure, self._bus.max_payload)
        self.publish(message, known[1])

    def publish(self, message: Message, reply: Reply) -> None:
        """Answer it with what is encoded already."""
        try:
            self._bus.publish(message.reply, reply.payload, headers=reply.headers or None)
        except BusError as error:
            self._lost()
            log.warning("a reply could not be published: %s", error)
        except Exception as error:
            self._lost()
            log.exception("a reply could not be published", exc_info=defect(error))

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
