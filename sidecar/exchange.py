"""From a provider's code to a connection that works: exchanged, tried, compared with who is expected, stored."""

from __future__ import annotations

import logging
from typing import Protocol

import msgspec

from sidecar.auth.flow import Ended, Ending, Returned, account_fits
from sidecar.auth.token_answer import Granted, Refused, TokenOutcome
from sidecar.credential import Credential, Status
from sidecar.model import Failure, Reason
from sidecar.offer import UNREADABLE
from sidecar.ports import Clock
from sidecar.provider import Provider
from sidecar.store.credential import ATTEMPTS, BUCKET, CredentialStore, Revised
from sidecar.store.flow import Flow, Place
from sidecar.store.record import not_written, overtaken
from sidecar.store.write import Written
from sidecar.verify import Verification

log = logging.getLogger("sidecar.connect")

EXCHANGE_SECONDS = 15.0


class Codes(Protocol):
    """Who turns a provider's code into tokens."""

    async def exchange(
        self,
        tenant: str,
        provider: Provider,
        credential: Credential,
        deadline: float,
        *,
        code: str,
        redirect_uri: str,
        verifier: str | None,
    ) -> TokenOutcome: ...


class Exchange:
    """Makes connections of codes. To be run to its end: a code that was exchanged and not stored is lost."""

    def __init__(self, codes: Codes, verification: Verification, credentials: CredentialStore, clock: Clock) -> None:
        self._codes = codes
        self._verification = verification
        self._credentials = credentials
        self._clock = clock

    async def connected(
        self, place: Place, provider: Provider, flow: Flow, answer: Returned
    ) -> tuple[Ended, str | None]:
        """The code exchanged, the account tried and stored; and whose it is, as far as that is known."""
        now = self._clock.wall()
        credential = Credential(
            kind=flow.kind,
            fields={},
            base_url=flow.base_url,
            created=now,
            changed=now,
            client_id=flow.client_id,
            kept=answer.kept,
        )
        outcome = await self._codes.exchange(
            place.tenant,
            provider,
            credential,
            self._clock.now() + EXCHANGE_SECONDS,
            code=answer.code or "",
            redirect_uri=flow.redirect_uri or "",
            verifier=flow.verifier,
        )
        if not isinstance(outcome, Granted):
            ending = Ending.CODE_REFUSED if isinstance(outcome, Refused) else Ending.NO_ANSWER
            return Ended(ending, outcome.detail), None
        credential = msgspec.structs.replace(
            credential, tokens=outcome.tokens, kept=outcome.kept, client_id=outcome.client_id or flow.client_id
        )
        named = await self._verification.account(place.tenant, place.connection, provider, credential)
        if isinstance(named, Failure):
            return Ended(Ending.NOT_VERIFIED, named.detail), None
        account = named or None
        # Its token is not revoked: at some providers that would end the grant of the account's own connection too.
        if not account_fits(flow.expected_account, account):
            return Ended(Ending.OTHER_ACCOUNT), account
        return await self._stored(place, msgspec.structs.replace(credential, account=account), flow.over), account

    async def _stored(self, place: Place, credential: Credential, over: int | None) -> Ended:
        """Stored over what is there, unless that is disabled, or was revoked since it was of the revision `over`: what
        an operator stopped is not connected around.
        """
        who = place.tenant, place.connection, place.provider
        for _ in range(ATTEMPTS):
            there = await self._credentials.look(*who)
            if isinstance(there, Failure) and there.reason not in UNREADABLE:
                return away(there)
            if not isinstance(there, Revised):
                failed = await self._credentials.save(*who, credential)
                return Ended(Ending.CONNECTED) if failed is None else away(failed)
            if there.credential.status is Status.DISABLED:
                return Ended(Ending.DISABLED)
            if there.credential.status is Status.REVOKED and there.revision != over:
                return Ended(Ending.REVOKED)
            limits = there.credential.limits_at(credential.base_url)
            new = msgspec.structs.replace(credential, created=there.credential.created, limits=limits)
            outcome = await self._credentials.put(*who, new, there.revision)
            if isinstance(outcome, Written):
                return Ended(Ending.CONNECTED)
            if isinstance(outcome, Failure) or not overtaken(outcome):
                return away(outcome if isinstance(outcome, Failure) else not_written(BUCKET, place.key, outcome))
        return Ended(Ending.UNAVAILABLE, Reason.CAS_CONFLICT)


def away(failure: Failure) -> Ended:
    """The end of a flow that the store, or a key, does not let go on."""
    log.warning("a connect flow could not go on: %s: %s", failure.reason, failure.detail)
    return Ended(Ending.UNAVAILABLE, failure.reason)
