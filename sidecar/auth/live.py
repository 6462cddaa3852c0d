"""Credentials ready to use: a token is renewed before it ends, while it still serves, and once when it is refused."""

from __future__ import annotations

import heapq
import logging
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.auth.flight import Flight
from sidecar.auth.kind import auth_of, is_issued
from sidecar.auth.life import Life, life_of
from sidecar.auth.refresh import access_of
from sidecar.auth.refresher import Refresher
from sidecar.credential import Credential, Status
from sidecar.model import Failure, Reason
from sidecar.ports import Clock, Random
from sidecar.provider import Provider
from sidecar.secret import Secret
from sidecar.store.credential import ASK_SECONDS, CredentialStore
from sidecar.store.known_credentials import KEPT_SECONDS
from sidecar.store.record import record_key, record_names

TICK_SECONDS = 0.5
AT_ONCE = 16  # renewals in the background; those that a call waits for are not counted
ROUNDS = 3  # of waiting for a renewal, in one call: others may renew what is over when it arrives
FUTILE_SECONDS = 60.0  # no second renewal of a connection whose new token was refused as well
AGAIN_SECONDS = 30.0  # after a renewal in the background it is looked at again, whatever became of it
OVER = Life(-math.inf, -math.inf)

log = logging.getLogger("sidecar.auth")


@dataclass(slots=True)
class _Held:
    """How long the access token of a connection lives for us, and when a call last used it. `forced`: when it was asked
    for because the one before was refused.
    """

    access: Secret | None
    life: Life
    used: float
    forced: float = -math.inf


class LiveCredentials:
    """`execute.Credentials` over the store and the refresher. Kinds without tokens pass as they are."""

    def __init__(
        self,
        *,
        store: CredentialStore,
        refresher: Refresher,
        providers: Mapping[str, Provider],
        clock: Clock,
        random: Random,
        capacity: int,
    ) -> None:
        self._store = store
        self._refresher = refresher
        self._providers = providers
        self._clock = clock
        self._random = random
        self._capacity = capacity
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._due: list[tuple[float, str]] = []
        self._background: set[Flight] = set()

    async def load(
        self, tenant: str, connection: str, provider: str, *, within: float = ASK_SECONDS
    ) -> Credential | Failure:
        """The credential, with a token that is believed to be valid, within so many seconds; or why there is none."""
        deadline = self._clock.now() + within
        known, left = self._providers.get(provider), within
        for _ in range(ROUNDS):
            found = await self._store.load(tenant, connection, provider, within=left)
            if isinstance(found, Failure) or known is None or not _issued(known, found.kind):
                return found
            key = record_key(tenant, connection, provider)
            served = self._with_unpersisted(key, found)
            held, now = self._hold(key, served), self._clock.now()
            held.used = now
            self._held.move_to_end(key)
            if now < held.life.over:
                if now >= held.life.due:
                    self._refresher.begin(tenant, connection, known, held.access)
                return served
            flight = self._refresher.begin(tenant, connection, known, held.access)
            failure = await self._waited(flight, deadline)
            if failure is not None:
                return failure
            left = self._left(deadline)
        return _refreshing("the token has ended, and so has every new one")

    async def rejected(
        self, tenant: str, connection: str, provider: str, credential: Credential, *, within: float
    ) -> Credential | Failure | None:
        """A credential to try once more, after the provider refused this one's token, whatever the clock says of it;
        None where there is none to be had.
        """
        deadline, known = self._clock.now() + within, self._providers.get(provider)
        if known is None or not _issued(known, credential.kind):
            return None
        key, refused = record_key(tenant, connection, provider), access_of(credential)
        held = self._held.get(key)
        now = self._clock.now()
        if held is not None and held.access == refused and now - held.forced < FUTILE_SECONDS:
            return None
        for _ in range(ROUNDS):
            flight = self._refresher.begin(tenant, connection, known, refused)
            failure = await self._waited(flight, deadline)
            if failure is not None:
                return failure
            if flight.state.stale == refused:
                break  # else it was under way for the token before
        renewed = await self.load(tenant, connection, provider, within=self._left(deadline))
        if isinstance(renewed, Failure):
            return renewed
        if access_of(renewed) == refused:
            return None
        self._hold(key, renewed).forced = now
        return renewed

    async def keep_fresh(self) -> None:
        """Renew in the background what calls used in the last hour, when it is due, until cancelled."""
        while True:
            await self._clock.sleep(TICK_SECONDS)
            self._background = {flight for flight in self._background if not flight.ended}
            now = self._clock.now()
            while self._due and self._due[0][0] <= now and len(self._background) < AT_ONCE:
                _, key = heapq.heappop(self._due)
                self._renew_in_background(key, now)

    def _renew_in_background(self, key: str, now: float) -> None:
        held = self._held.get(key)
        tenant, connection, name = record_names(key)
        credential, provider = self._store.known(tenant, connection, name), self._providers.get(name)
        if held is None or credential is None or provider is None or now - held.used > KEPT_SECONDS:
            self._held.pop(key, None)
            return
        if credential.status is not Status.ACTIVE:
            return
        used, held = held.used, self._hold(key, self._with_unpersisted(key, credential))
        held.used = used
        if now < held.life.due:
            return  # another one renewed it; it is in line anew
        self._background.add(self._refresher.begin(tenant, connection, provider, held.access))
        self._put_in_line(key, now + AGAIN_SECONDS * (0.5 + self._random.jitter()))

    async def _waited(self, flight: Flight, deadline: float) -> Failure | None:
        """None when there is something new to look at."""
        if not await flight.answer(self._left(deadline)):
            return _refreshing("the token is being renewed, and that was not done before the deadline")
        return flight.known if isinstance(flight.known, Failure) else None

    def _with_unpersisted(self, key: str, found: Credential) -> Credential:
        """New tokens serve from memory while the store does not take them."""
        refreshing = found.refreshing
        if refreshing is None:
            return found
        return self._refresher.unpersisted(key, refreshing.attempt) or found

    def _hold(self, key: str, credential: Credential) -> _Held:
        """What is held of the connection; made anew for a token that was not seen before."""
        held, access = self._held.get(key), access_of(credential)
        if held is not None and held.access == access:
            return held
        now = self._clock.now()
        life = OVER
        if credential.tokens is not None:
            life = life_of(credential.tokens, now, self._clock.wall(), self._random.jitter())
        held = self._held[key] = _Held(access, life, now)
        if math.isfinite(life.due):
            self._put_in_line(key, life.due)
        while len(self._held) > self._capacity:
            self._held.popitem(last=False)
        return held

    def _put_in_line(self, key: str, due: float) -> None:
        heapq.heappush(self._due, (due, key))

    def _left(self, deadline: float) -> float:
        return max(0.0, deadline - self._clock.now())


def _issued(provider: Provider, kind: str) -> bool:
    auth = auth_of(provider.manifest.auth, kind)
    return auth is not None and is_issued(auth)


def _refreshing(detail: str) -> Failure:
    return Failure(reason=Reason.CREDENTIAL_REFRESHING, detail=detail, retry_after=1.0)
