"""One call under way, and whom the executor asks about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from sidecar.auth.proof import Proof
from sidecar.core.breaker import Entry
from sidecar.core.idempotency import takes_key
from sidecar.core.quota.limit import Demand
from sidecar.core.retry import RetryPolicy
from sidecar.credential import Credential
from sidecar.kept import Done
from sidecar.kinds import Auth
from sidecar.model import Call, Failure, Outcome, Request, SideEffect
from sidecar.once import Held
from sidecar.permit import Permit
from sidecar.provider import Operation, Provider
from sidecar.stop import Stop
from sidecar.wire.event import Event

SURE = (SideEffect.NONE, SideEffect.UNKNOWN, SideEffect.DONE)  # of several attempts the last of these is known


class Credentials(Protocol):
    """Where the credentials of connections are kept."""

    async def load(self, tenant: str, connection: str, provider: str, *, within: float) -> Credential | Failure:
        """The connection's credential, found within so many seconds, or why it cannot be used."""


class Renewal(Protocol):
    """Who has a token renewed that the provider refused."""

    async def rejected(
        self, tenant: str, connection: str, provider: str, credential: Credential, *, within: float
    ) -> Credential | Failure | None:
        """A credential to send once more with, found within so many seconds; None where there is none to be had."""


class Observer(Protocol):
    """Whoever wants to know what happens to calls: metrics, and the trace on NATS."""

    def emit(self, event: Event) -> bool:
        """Take the event; false when it is lost."""

    def later(self, tell: Callable[[], None]) -> None:
        """Call this when what is done now is done, and its reply is out: it then emits what is over by now. It never
        raises: others' events are told in the same turn.
        """

    async def handed_over(self) -> bool:
        """Whether the events emitted so far have left this process; waits until they have."""


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one call; sizes in bytes."""

    retry: RetryPolicy = RetryPolicy()
    max_response_bytes: int = 4 * 1024 * 1024
    max_output_bytes: int = 1024 * 1024


class Name(msgspec.Struct, frozen=True):
    """What this process is called: by the first token of its subjects, in the trace, and at providers."""

    prefix: str
    sidecar: str
    user_agent: str


class Ended(msgspec.Struct, frozen=True):
    """How a call ended, and after how many attempts. `replayed`: it is the answer to an earlier call with the same
    idempotency key, of this id. `again`: with that key the same call may be sent again, whatever came of this one.
    """

    outcome: Outcome
    attempts: int
    replayed: str | None = None
    again: bool = False


class Run(msgspec.Struct, eq=False):
    """One call under way. `told`: the trace knows that it started. `side_effect` is what all its attempts so far may
    have done, not the last one alone. `began`: when the exchange began that has not ended yet, and `entry` what its
    end tells the breaker. `last`: what the attempt before ended in.
    `refused`: how the provider refused its token, which is then renewed, once. `retry_cost`:
    what the last retry took from the tenant's budget. Of a call with an idempotency key: `held` is its record, or
    `replayed` what the first one ended in; `again`: the same call may be sent again, whatever came of it. `permit`:
    leave for its next exchange, or for the one under way. `hook_failed`: it was logged that the explain hook did.
    """

    call: Call
    provider: Provider
    operation: Operation
    credential: Credential
    proof: Proof
    request: Request
    told: bool
    stop: Stop
    demand: Demand
    trial: bool = False
    attempts: int = 0
    side_effect: SideEffect = SideEffect.NONE
    began: float | None = None
    entry: Entry | None = None
    last: Failure | None = None
    retry_cost: int = 0
    refused: Failure | None = None
    renewed: bool = False
    held: Held | None = None
    replayed: Done | None = None
    again: bool = False
    permit: Permit | None = None
    why: list[str] = []
    hook_failed: bool = False

    def may_send(self) -> bool:
        """Whether its leave for an exchange holds now."""
        return self.permit is None or self.permit.may_send()

    def may_go_on(self) -> bool:
        """Whether its leave holds still, some way before the first byte."""
        return self.permit is None or self.permit.holds()

    @property
    def held_back(self) -> bool:
        """Whether its leave ended before the first byte of the exchange: nothing was sent."""
        return self.permit is not None and self.permit.void

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does what sending it once does."""
        return self.operation.repeatable(self.request.method) or takes_key(self.provider, self.operation)

    @property
    def auth(self) -> Auth:
        """The kind of its credential."""
        return self.proof.auth

    @property
    def secrets(self) -> Sequence[str]:
        """What nobody is shown, also where the provider says it."""
        return self.proof.secrets


def surest(one: SideEffect, other: SideEffect) -> SideEffect:
    """What two attempts may have done together."""
    return max(one, other, key=SURE.index)
