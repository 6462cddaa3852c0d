"""What is told of a call while it runs. No call ends in anything else because something of it cannot be told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import httpx

from sidecar.core import story
from sidecar.core.retry import Decision
from sidecar.log import defect
from sidecar.model import Call, Failure, Outcome
from sidecar.ports import Clock
from sidecar.run import Observer, Run
from sidecar.wire.event import CallEvent

log = logging.getLogger("sidecar.telling")


class Telling:
    """Tells `observer` of calls, in the words of `core/story.py`."""

    def __init__(self, observer: Observer, clock: Clock) -> None:
        self._observer = observer
        self._clock = clock

    def emit(self, tell: Callable[..., CallEvent], call: Call, *known: Any, **also: Any) -> bool:
        """Tell what happened; false when it is lost."""
        try:
            return self._observer.emit(tell(call, self._clock.now(), self._clock.wall(), *known, **also))
        except Exception as error:  # logged without the secrets that its words may hold
            log.exception("an event of call %s could not be told", call.call_id, exc_info=defect(error))
            return False

    def attempt(
        self, run: Run, answer: httpx.Response | Failure, result: Outcome, decision: Decision, began: float
    ) -> None:
        """Tell of one exchange."""
        self.emit(
            story.attempt,
            run.call,
            number=run.attempts,
            began=began,
            provider=run.provider,
            request=run.request,
            answer=answer,
            result=result,
            decision=decision,
            secrets=run.secrets,
            credential=run.credential,
        )

    async def is_told(self, run: Run) -> bool:
        """Whether `started` has left this process."""
        return run.told and await self._observer.handed_over()
