"""The end of calls that are still under way after their deadline, whatever they wait for.

Each step of a call keeps to the deadline by itself, the sender too; this is for the one that does not. Calls that fall
into one step of time share one timer, as a timer of the loop costs as much as decoding a call.
"""

from __future__ import annotations

from sidecar.model import Reason
from sidecar.stop import Stop

STEPS_PER_SECOND = 100
PATIENCE = 0.02  # seconds from when the deadline is seen to be over: so long the sender may take to say what it knows


class Overdue:
    """The calls of this process that have a deadline."""

    def __init__(self) -> None:
        self._due: dict[int, set[Stop]] = {}

    def expect(self, stop: Stop, left: float) -> set[Stop]:
        """Have the call told to stop soon after so many seconds, unless `stop` is taken out of what is returned."""
        loop = stop.task.get_loop()  # who asks for the running one asks the system for the process, too
        step = int((loop.time() + max(0.0, left)) * STEPS_PER_SECOND) + 1
        due = self._due.get(step)
        if due is None:
            due = self._due[step] = set()
            loop.call_at(step / STEPS_PER_SECOND, loop.call_later, PATIENCE, self._tell, step)
        due.add(stop)
        return due

    def _tell(self, step: int) -> None:
        for stop in self._due.pop(step):
            stop.tell(Reason.BEFORE_SEND)
