"""Sidecars that renew tokens, on one store and one token endpoint: real parts but for the endpoint, and the clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.adapters.system import SystemRandom
from sidecar.auth.live import LiveCredentials
from sidecar.auth.refresher import Refresher
from sidecar.auth.spill import Spill
from sidecar.auth.token_answer import Granted, Refused, TokenOutcome, Unanswered
from sidecar.credential import Credential, Tokens
from sidecar.model import Failure
from sidecar.ports import Clock, Keys, Store
from sidecar.provider import Provider
from sidecar.sandbox.scripted import EventLog, ManualClock
from sidecar.secret import Secret
from sidecar.store.credential import CredentialStore
from sidecar.wire.event import Auth
from tests.build import provider

KEYS = FileKeys({"k1": bytes(32)})
DICE = SystemRandom()
WHO = ("acme", "alice", "acme")
OAUTH = {
    "kind": "oauth2",
    "authorize_url": "https://auth.acme.example/authorize",
    "token_url": "https://auth.acme.example/token",
}
ACME = provider(auth=[OAUTH, {"kind": "bearer"}])


def credential(clock: Clock, number: int = 1, *, left: float | None = 3600.0, lifetime: float = 3600.0) -> Credential:
    """Of which the access token lives so many seconds more."""
    tokens = Tokens(
        access=Secret(f"access-{number}"),
        refresh=Secret(f"refresh-{number}"),
        expires=None if left is None else clock.wall() + left,
        lifetime=None if left is None else lifetime,
    )
    return Credential(kind="oauth2", fields={}, created=1.0, changed=1.0, tokens=tokens)


def access(found: Credential | Failure | None) -> str:
    assert isinstance(found, Credential), found
    assert found.tokens is not None
    return found.tokens.access.reveal()


@dataclass
class StrictEndpoint:
    """Rotates; a second use of a refresh token ends the grant (RFC 9700 section 4.14.2). `before` runs at each request,
    `outcomes` replace what it would answer, `slow` seconds pass before the answer.
    """

    clock: Clock
    number: int = 1
    lifetime: float = 3600.0
    revoked: bool = False
    slow: float = 0.0
    asked: list[str] = field(default_factory=list)
    outcomes: list[TokenOutcome] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    gate: anyio.Event | None = None
    ended: list[str] = field(default_factory=list)

    async def revoke(
        self, tenant: str, provider: Provider, credential: Credential, deadline: float
    ) -> Refused | Unanswered | None:
        assert credential.tokens is not None
        assert credential.tokens.refresh is not None
        self.ended.append(credential.tokens.refresh.reveal())
        return None

    async def renew(self, tenant: str, provider: Provider, credential: Credential, deadline: float) -> TokenOutcome:
        assert credential.tokens is not None
        assert credential.tokens.refresh is not None
        token = credential.tokens.refresh.reveal()
        self.asked.append(token)
        self.before()
        if self.gate is not None:
            await self.gate.wait()
        await anyio.sleep(self.slow)
        if self.outcomes:
            return self.outcomes.pop(0)
        if self.revoked or token != f"refresh-{self.number}":
            self.revoked = True
            return Refused(final=True, detail="the token endpoint answered 400: invalid_grant", code="invalid_grant")
        self.number += 1
        tokens = Tokens(
            access=Secret(f"access-{self.number}"),
            refresh=Secret(f"refresh-{self.number}"),
            expires=self.clock.wall() + self.lifetime,
            lifetime=self.lifetime,
        )
        return Granted(tokens=tokens)


class Count:
    """The gauge."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    def unpersisted(self, number: int) -> None:
        self.now = number
        self.most = max(self.most, number)


class Sidecar:
    """What one process has of it."""

    def __init__(
        self,
        store: Store,
        endpoint: StrictEndpoint,
        clock: Clock,
        *,
        spill: Spill | None = None,
        only: Provider = ACME,
        keys: Keys = KEYS,
    ) -> None:
        self.clock = clock
        self.store = CredentialStore(store, keys, clock, DICE, capacity=100)
        self.events = EventLog()
        self.gauge = Count()
        providers = {"acme": only}
        self.refresher = Refresher(
            store=self.store,
            endpoint=endpoint,
            providers=providers,
            clock=clock,
            random=DICE,
            observer=self.events,
            gauge=self.gauge,
            spill=spill,
        )
        self.live = LiveCredentials(
            store=self.store,
            refresher=self.refresher,
            providers=providers,
            clock=clock,
            random=DICE,
            capacity=100,
        )

    @asynccontextmanager
    async def serving(self, *, follow: bool = True, background: bool = False) -> AsyncIterator[Sidecar]:
        async with anyio.create_task_group() as tasks:
            if follow:
                tasks.start_soon(self.store.follow)
            tasks.start_soon(self.refresher.serve)
            if background:
                tasks.start_soon(self.live.keep_fresh)
            await anyio.wait_all_tasks_blocked() if isinstance(self.clock, ManualClock) else await anyio.sleep(0.2)
            yield self
            tasks.cancel_scope.cancel()

    async def load(self, within: float = 30.0) -> Credential | Failure:
        return await self.live.load(*WHO, within=within)

    @property
    def told(self) -> list[str]:
        """What the trace says came of renewals."""
        return [event.outcome for event in self.events.events if isinstance(event, Auth)]


async def settled(sidecar: Sidecar) -> None:
    """Nothing is under way any more."""
    while sidecar.refresher.under_way:  # noqa: ASYNC110  # an event would be there for tests alone
        await anyio.sleep(0.005)


async def stored(sidecar: Sidecar) -> Credential:
    found = await sidecar.store.look(*WHO)
    assert found is not None
    assert not isinstance(found, Failure)
    return found.credential
