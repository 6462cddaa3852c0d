"""One renewal under way in this process: what it is for, who waits for it, and what is known of its end."""

from __future__ import annotations

import anyio

from sidecar.auth.refresh import Phase, Renewing
from sidecar.credential import Credential
from sidecar.model import Failure
from sidecar.provider import Provider


class Place:
    """Whose credential: tenant, connection, and the provider that is asked."""

    __slots__ = ("connection", "key", "provider", "tenant")

    def __init__(self, tenant: str, connection: str, provider: Provider, key: str) -> None:
        self.tenant = tenant
        self.connection = connection
        self.provider = provider
        self.key = key

    @property
    def names(self) -> tuple[str, str, str]:
        return self.tenant, self.connection, self.provider.name


class Flight:
    """Callers wait here; that one of them is cancelled, or runs out of time, changes nothing for the flight.

    `known` is set as soon as nobody need wait any longer: tokens that are not stored yet, or why there are none; None
    then says that the record tells.
    """

    def __init__(self, place: Place, state: Renewing) -> None:
        self.place = place
        self.state = state
        self.known: Credential | Failure | None = None
        self.ended = False
        self.scope = anyio.CancelScope()
        self.over = anyio.Event()  # nothing of it runs any more
        self._answered = anyio.Event()
        self._woken = anyio.Event()

    async def answer(self, within: float) -> bool:
        """Wait until nobody need wait any longer; false when that lasts longer than so many seconds."""
        with anyio.move_on_after(within):
            await self._answered.wait()
        return self._answered.is_set()

    def tell(self, known: Credential | Failure | None) -> None:
        self.known = known
        self._answered.set()

    def end(self, known: Credential | Failure | None) -> None:
        self.ended = True
        self.tell(known)

    def wake(self) -> None:
        """The record changed: there may be nothing left to pause for."""
        self._woken.set()

    async def woken(self) -> None:
        """Return at the next change of the record, or at once when one came since the last time."""
        await self._woken.wait()
        self._woken = anyio.Event()

    @property
    def begun(self) -> bool:
        """Whether something may have been written or sent, so that it has to be brought to its end."""
        return self.state.result is not None or self.state.phase is not Phase.LOOKING
