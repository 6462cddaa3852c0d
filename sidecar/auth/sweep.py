"""Against death by disuse: grants that their provider ends when nobody uses them are renewed long before.

Every sidecar looks through its scope once a day, at a time of its own and slowly. That a grant is renewed once is the
renewal's doing, so nobody has to be elected.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from sidecar.auth.kind import auth_of
from sidecar.auth.refresh import access_of
from sidecar.auth.refresher import Refresher
from sidecar.credential import Credential, Status
from sidecar.kinds import OAuth2
from sidecar.model import Failure
from sidecar.ports import Clock, Random
from sidecar.provider import Provider
from sidecar.store.credential import CredentialStore, Revised

DAY = 86_400.0
FIRST_SECONDS = 3_600.0  # after the start, at most
PACE_SECONDS = 0.1  # between two records: 10,000 in a quarter of an hour
SHARE = 1 / 3  # of the time after which its provider ends it, a grant may go unused
RENEWAL_SECONDS = 60.0

log = logging.getLogger("sidecar.auth")


class Sweep:
    """Renews what nobody used for long."""

    def __init__(
        self,
        *,
        store: CredentialStore,
        refresher: Refresher,
        providers: Mapping[str, Provider],
        clock: Clock,
        random: Random,
    ) -> None:
        self._store = store
        self._refresher = refresher
        self._providers = {name: provider for name, provider in providers.items() if _ends_unused(provider)}
        self._clock = clock
        self._random = random

    async def daily(self) -> None:
        """Until cancelled; returns at once where no provider served here ends what is not used."""
        if not self._providers:
            return
        await self._clock.sleep(FIRST_SECONDS * self._random.jitter())
        while True:
            await self.once()
            await self._clock.sleep(DAY * (0.5 + self._random.jitter()))

    async def once(self) -> int:
        """Look at every connection; how many were renewed."""
        names = await self._store.names()
        if isinstance(names, Failure):
            log.warning("connections could not be looked through for unused grants: %s", names.detail)
            return 0
        renewed = 0
        for tenant, connection, name in names:
            provider = self._providers.get(name)
            if provider is not None:
                renewed += await self._renewed(tenant, connection, provider)
                await self._clock.sleep(PACE_SECONDS)
        if renewed:
            log.info("%d grants that nobody used for long were renewed", renewed)
        return renewed

    async def _renewed(self, tenant: str, connection: str, provider: Provider) -> bool:
        found = await self._store.look(tenant, connection, provider.name, keep=False)
        if not isinstance(found, Revised) or not is_unused(provider, found.credential, self._clock.wall()):
            return False
        flight = self._refresher.begin(tenant, connection, provider, access_of(found.credential))
        return await flight.answer(RENEWAL_SECONDS) and not isinstance(flight.known, Failure)


def is_unused(provider: Provider, credential: Credential, wall: float) -> bool:
    """Whether its refresh token was last used so long ago that its provider may end it before long. Days are compared:
    a clock that is off by minutes decides nothing.
    """
    auth, tokens = auth_of(provider.manifest.auth, credential.kind), credential.tokens
    if not isinstance(auth, OAuth2) or auth.unused_days is None or credential.status is not Status.ACTIVE:
        return False
    if tokens is None or tokens.refresh is None or tokens.expires is None or tokens.lifetime is None:
        return False
    return wall - (tokens.expires - tokens.lifetime) > auth.unused_days * DAY * SHARE


def _ends_unused(provider: Provider) -> bool:
    return any(isinstance(auth, OAuth2) and auth.unused_days is not None for auth in provider.manifest.auth)
