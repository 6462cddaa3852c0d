"""What is told of a call while it runs. No call ends in anything else because something of it cannot be told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

import httpx

from sidecar.core import story
from sidecar.core.retry import Decision
from sidecar.log import defect
from sidecar.model import Call, Failure, Outcome
from sidecar.ports import Clock
from sidecar.run import Observer, Run
from sidecar.wire.event import Event

log = logging.getLogger("sidecar.telling")


class Telling:
    """Tells `observer` of calls, in the words of `core/story.py`."""

    def __init__(self, observer: Observer, clock: Clock) -> None:
        self._observer = observer
        self._clock = clock

    def started(self, call: Call, *, catalog_hash: str, sidecar: str) -> bool:
        """Tell that it is about to run; false when that is lost, as with all that follow."""
        try:
            now, wall = self._clock.now(), self._clock.wall()
            return self._observer.emit(story.started(call, now, wall, catalog_hash=catalog_hash, sidecar=sidecar))
        except Exception as error:  # noqa: BLE001 - whatever it is, the call goes on
            return _untold(call, error)

    def waits(
        self, call: Call, seconds: float, why: str, *, bucket: str | None = None, jitter: float | None = None
    ) -> bool:
        try:
            now, wall = self._clock.now(), self._clock.wall()
            return self._observer.emit(story.wait(call, now, wall, seconds, why, bucket=bucket, jitter=jitter))
        except Exception as error:  # noqa: BLE001 - as above
            return _untold(call, error)

    def attempt(
        self, run: Run, answer: httpx.Response | Failure, result: Outcome, decision: Decision, began: float
    ) -> None:
        """Tell of one exchange; of the last one behind the reply, which waits for nothing."""
        made = partial(
            story.attempt,
            run.call,
            self._clock.now(),
            self._clock.wall(),
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
        if decision.delay is None:
            self._observer.later(partial(self._tell, run.call, made))
        else:
            self._tell(run.call, made)

    def finished(
        self, call: Call, *, attempts: int, result: Outcome, why: Sequence[str], replayed: str | None = None
    ) -> None:
        """Tell how it ended, behind the reply."""
        now, wall = self._clock.now(), self._clock.wall()
        made = partial(story.finished, call, now, wall, attempts=attempts, result=result, why=why, replayed=replayed)
        self._observer.later(partial(self._tell, call, made))

    def _tell(self, call: Call, made: Callable[[], Event]) -> None:
        try:
            self._observer.emit(made())
        except Exception as error:  # noqa: BLE001 - as above
            _untold(call, error)

    async def is_told(self, run: Run) -> bool:
        """Whether `started` has left this process."""
        return run.told and await self._observer.handed_over()


def _untold(call: Call, error: Exception) -> bool:
    """Logged without the secrets that its words may hold."""
    log.error("an event of call %s could not be told", call.call_id, exc_info=defect(error))
    return False
