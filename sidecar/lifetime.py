"""When the process serves, when it ends, and how fast. Parts look at it; it knows none of them."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable

import anyio

log = logging.getLogger("sidecar.lifetime")


class Lifetime:
    """Starting, then serving, then ending. `lost` says why NATS could not be had any more; `given_up` is how many calls
    were still in flight at the end.
    """

    def __init__(self) -> None:
        self.serving = False
        self.ending = anyio.Event()
        self.lost: str | None = None
        self.given_up = 0
        self.hurry: Callable[[], None] = _nothing

    @property
    def unready(self) -> str | None:
        """Why nothing is to be sent here, or None."""
        if self.ending.is_set():
            return "ending: no more calls are taken"
        return None if self.serving else "starting"

    def signal(self, number: int) -> None:
        """The first signal begins the end, another hurries it."""
        name = signal.Signals(number).name
        if not self.ending.is_set():
            log.info("%s: taking no more calls, finishing those in flight; another signal gives them up", name)
            self.ending.set()
        else:
            log.warning("%s again: giving up what is in flight", name)
            self.hurry()

    def lose(self, why: str) -> None:
        """NATS is away for good: there is nothing to serve."""
        log.error("%s: ending", why)
        self.lost = why
        self.ending.set()


def _nothing() -> None:
    pass
