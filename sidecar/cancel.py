"""Cancels: a call is told to stop, and whoever cancels it is told what became of it.

Every sidecar hears every cancel, as nobody knows who holds the call. Only who holds it replies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from sidecar.answer import Answer, Answers
from sidecar.micro import Endpoint
from sidecar.model import Access, Failure, Reason, Success
from sidecar.ports import Clock, Message
from sidecar.replies import Replies
from sidecar.stop import Stop
from sidecar.wire.reply import Asked, cancel_reply


class Cancels:
    """Carries out cancels. `seat_all` has every call decoded that stands in a line, in the next turn of the loop;
    `refused` counts, by why; `spawn` runs what has to wait.
    """

    def __init__(
        self,
        *,
        answers: Answers,
        replies: Replies,
        clock: Clock,
        seat_all: Callable[[], None],
        refused: Callable[[str], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._answers = answers
        self._replies = replies
        self._clock = clock
        self._seat_all = seat_all
        self._refused = refused
        self._spawn = spawn

    def hear(self, message: Message, endpoint: Endpoint) -> None:
        """A cancel came. A turn of the loop later a call that came right before it has begun."""
        asyncio.get_running_loop().call_soon(self._seat, message, endpoint)

    def _seat(self, message: Message, endpoint: Endpoint) -> None:
        """What stands in a line has no name yet: it is seated first, and known a turn of the loop later."""
        self._seat_all()
        asyncio.get_running_loop().call_soon(self._cancel, message, endpoint)

    def _cancel(self, message: Message, endpoint: Endpoint) -> None:
        """Stop the call that the subject names, and tell what became of it.

        What is malformed is not answered either: every sidecar would, and no call has such
        an id, so that what silence says (nobody holds it) is true.
        """
        held = self._answers.named_by(message.subject)
        if isinstance(held, Failure):
            self._refused("out_of_scope" if held.reason is Reason.TENANT_DENIED else "malformed")
        elif held is not None:
            held.tell(Reason.CANCELLED_BY_CALLER)
            self._spawn(self._tell_canceller(message, held, endpoint, self._clock.now()))
        else:
            self._spawn(self._withdraw(message, endpoint, self._clock.now()))

    async def _tell_canceller(self, message: Message, held: Stop, endpoint: Endpoint, accepted: float) -> None:
        """What became of the call, when it has ended: a moment later where it was told to."""
        await asyncio.wait([held.task])
        answered: Answer | None = None
        if held.became is not None:
            answered = Answer(*held.became)
            if isinstance(answered.outcome, Failure) and answered.outcome.reason is not Reason.CANCELLED_BY_CALLER:
                answered = await self._answers.withdrawn(message.subject) or answered  # a durable call that was put off
        elif not held.task.cancelled():
            answered = held.task.result()
        self._tell_became(message, answered, endpoint, accepted)

    async def _withdraw(self, message: Message, endpoint: Endpoint, accepted: float) -> None:
        """End a durable call that waits, if the subject names one. Who ended it replies."""
        answered = await self._answers.withdrawn(message.subject)
        if answered is not None:
            self._tell_became(message, answered, endpoint, accepted)

    def _tell_became(self, message: Message, answered: Answer | None, endpoint: Endpoint, accepted: float) -> None:
        endpoint.count(self._clock.now() - accepted, None)
        if message.reply and answered is not None:
            asked = Asked(call_id=answered.asked.call_id, access=Access.READ)
            became = Success(body=msgspec.json.encode(cancel_reply(answered.asked, answered.outcome)))
            self._replies.send(message, Answer(asked, became))
