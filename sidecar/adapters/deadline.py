"""Many deadlines on few timers: what `asyncio.timeout_at` gives, a little late and several times cheaper.

A timer of uvloop costs as much as building a request. Deadlines that fall into one step share one timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

STEPS_PER_SECOND = 50  # so a deadline acts at most 20 ms late, and never early


class Deadlines:
    """The deadlines of one event loop; to be made while it runs."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: dict[int, set[Deadline]] = {}

    def at(self, when: float, later: Later | None = None) -> Deadline:
        """A scope whose task is cancelled at `when`, a moment of the loop's clock; it then raises TimeoutError. With
        `later` it is that moment instead, where at `when` there is reason for it.
        """
        return Deadline(self, self.due(when), self._loop, later)

    def due(self, when: float) -> set[Deadline]:
        """Those that expire with one that does at `when`."""
        step = int(when * STEPS_PER_SECOND) + 1
        due = self._due.get(step)
        if due is None:
            due = self._due[step] = set()
            self._loop.call_at(step / STEPS_PER_SECOND, after_a_look, self._loop, self._expire, step)
        return due

    def _expire(self, step: int) -> None:
        for deadline in self._due.pop(step):
            deadline.expire()


def after_a_look(loop: asyncio.AbstractEventLoop, act: Callable[[int], None], step: int) -> None:
    """Act when the loop has looked at its sockets once more: a process that stood still finds its deadlines passed
    first, and then what had come in time.
    """
    loop.call_soon(loop.call_soon, act, step)


class Later(NamedTuple):
    """Another moment, and what is asked whether it is to be that one."""

    moment: float
    allowed: Callable[[], bool]


class Deadline:
    """One scope of `Deadlines`. A cancellation that came from elsewhere passes through it unchanged."""

    __slots__ = ("_all", "_cancelling", "_due", "_expired", "_later", "_loop", "_task")

    def __init__(
        self, together: Deadlines, due: set[Deadline], loop: asyncio.AbstractEventLoop, later: Later | None
    ) -> None:
        self._all = together
        self._due = due
        self._later = later
        self._loop = loop
        self._expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("a deadline needs a task to cancel")
        self._task = task
        self._cancelling = task.cancelling()
        self._due.add(self)

    def expire(self) -> None:
        later, self._later = self._later, None
        if later is not None and later.allowed():
            self._due = self._all.due(later.moment)
            self._due.add(self)
            return
        self._expired = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._due.discard(self)
        # As asyncio.Timeout does it: our own cancellation is taken back, and only if no other came beside it does it
        # become a TimeoutError. https://docs.python.org/3/library/asyncio-task.html#asyncio.Task.uncancel
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
