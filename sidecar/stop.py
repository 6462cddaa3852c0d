"""How a call under way is told to end before its time: its caller cancels it, or the process ends."""

from __future__ import annotations

import asyncio
from typing import Any

from sidecar.model import Outcome, Reason


class Stop:
    """One call's. The first who tells it gives the reason; it is obeyed unless the outcome is known by then.

    `task` runs the call; whoever makes it sets it, before anybody can tell anything. `turn`: what the call waits for
    before anything else, where it could not begin at once. `became`: the call and its outcome, where `task` does not
    give that as its result.
    """

    __slots__ = ("_cancelled", "_settled", "became", "reason", "task", "turn")

    task: asyncio.Task[Any]
    became: tuple[Any, Outcome] | None

    def __init__(self, turn: asyncio.Future[None] | None = None) -> None:
        self.turn = turn
        self.reason: Reason | None = None
        self.became = None
        self._settled = False
        self._cancelled = False

    @classmethod
    def here(cls) -> Stop:
        """Of a call that the current task runs."""
        stop, task = cls(), asyncio.current_task()
        if task is None:
            raise RuntimeError("a call needs a task")
        stop.task = task
        return stop

    def tell(self, reason: Reason) -> bool:
        """End it for this reason; false when it was told before, or its outcome is known and it ends by itself."""
        if self._settled or self.reason is not None:
            return False
        self.reason = reason
        # Not at once: a task that is cancelled before its first step never takes it, and its caller gets no reply.
        self.task.get_loop().call_soon(self._cancel)
        return True

    def settle(self) -> None:
        """The outcome is known: nothing stops the call any more on the way to its reply."""
        self._settled = True

    def arrived(self) -> bool:
        """Whether the cancellation that just arrived was told here; it is then over. Any other one goes on up."""
        if not self._cancelled:
            return False
        self._settled, self._cancelled = True, False
        self.task.uncancel()
        return True

    def _cancel(self) -> None:
        if not self._settled:
            self._cancelled = self.task.cancel()
