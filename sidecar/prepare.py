"""Before anything is sent: look up, validate, find the credential, render. What refuses a call here costs nothing.

Before a further attempt the credential is found again: it may be another one by then, or need a new token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sidecar.auth.kind import is_issued
from sidecar.auth.proof import proof_of
from sidecar.catalogue.validate import nearest, validate
from sidecar.core.base_url import connection_url
from sidecar.core.plan import Plan, Plans
from sidecar.core.quota.demand import caller_of
from sidecar.core.refusal import access_mismatch, found_late, moved, unknown_operation, unusable
from sidecar.credential import Credential
from sidecar.model import Call, Failure, Reason, Request
from sidecar.ports import Clock
from sidecar.provider import Catalogue
from sidecar.run import Credentials, Renewal, Run
from sidecar.stop import Stop
from sidecar.wire.request import decode_input


class Asked(msgspec.Struct, frozen=True):
    """What a call asks for, looked up and valid: the operation, and the values of its input."""

    plan: Plan
    values: dict[str, Any]


class Preparation:
    """Makes runs of calls. `base_urls` replaces what a provider's manifest and connections say (the sandbox does).
    Without `renewal` a token that the provider refused stays so.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        credentials: Credentials,
        clock: Clock,
        prefix: str,
        base_urls: Mapping[str, str] | None = None,
        renewal: Renewal | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._credentials = credentials
        self._clock = clock
        self._prefix = prefix
        self._base_urls = base_urls or {}
        self._renewal = renewal
        self._plans = Plans(catalogue)

    def look_up(self, call: Call) -> Asked | Failure:
        """What the call asks for, without any look at its connection."""
        plan = self._plans.of(call.provider, call.operation)
        if plan is None:
            return self._unknown(call)
        if plan.operation.access is not call.access:
            return access_mismatch(self._prefix, call, plan.operation)
        values = decode_input(call.payload)
        if isinstance(values, Failure):
            return values
        return validate(plan.operation, values) or Asked(plan, values)

    async def prepare(self, call: Call, given: Credential | None, stop: Stop, *, told: bool) -> Run | Failure:
        """The run of a call, ready for its first attempt. `given` is tried in place of the stored credential."""
        asked = self.look_up(call)
        if isinstance(asked, Failure):
            return asked
        credential = given or await self.load(call)
        if isinstance(credential, Failure):
            return credential
        plan, values = asked.plan, asked.values
        proof = proof_of(plan.provider.manifest.auth, credential)
        if proof is None:
            return unusable(call, credential.kind)
        request = self._request(call, asked, credential)
        if isinstance(request, Failure):
            return request
        caller = caller_of(plan.provider, call.tenant, call.connection, credential)
        demand = plan.tariff.demand(caller, values)
        trial = given is not None
        return Run(call, plan.provider, plan.operation, credential, proof, request, told, stop, demand, trial=trial)

    async def load(self, call: Call) -> Credential | Failure:
        """The credential of the call's connection, found before its deadline."""
        left = max(0.0, call.deadline - self._clock.now())
        found = await self._credentials.load(call.tenant, call.connection, call.provider, within=left)
        return found_late(found) if isinstance(found, Failure) else found

    async def again(self, run: Run) -> Failure | None:
        """Before a further attempt: the connection may have been disabled or given another credential meanwhile."""
        if run.attempts == 0 or run.trial:
            return None
        credential = await (self._renewed(run, run.refused) if run.refused else self.load(run.call))
        if isinstance(credential, Failure):
            return credential
        proof = proof_of(run.provider.manifest.auth, credential)
        if proof is None:
            return unusable(run.call, credential.kind)
        fact = run.provider.manifest.base_url  # the request is for the server before: not its secret
        if connection_url(fact, credential) != connection_url(fact, run.credential):
            return moved(run.call)
        run.credential, run.proof = credential, proof
        return None

    def may_renew(self, run: Run) -> bool:
        """Whether a token that the provider refused is renewed, once in a call."""
        return self._renewal is not None and run.refused is None and not run.trial and is_issued(run.auth)

    async def _renewed(self, run: Run, refused: Failure) -> Credential | Failure:
        """The credential with a new token, in place of the one that was refused just now; later as any other."""
        call, left = run.call, max(0.0, run.call.deadline - self._clock.now())
        if self._renewal is None or run.renewed:
            return await self.load(call)
        run.renewed = True
        found = await self._renewal.rejected(call.tenant, call.connection, call.provider, run.credential, within=left)
        return refused if found is None else found

    def _request(self, call: Call, asked: Asked, credential: Credential) -> Request | Failure:
        provider = asked.plan.provider
        url = self._base_urls.get(provider.name) or connection_url(provider.manifest.base_url, credential)
        return url if isinstance(url, Failure) else asked.plan.request(call, url, asked.values)

    def _unknown(self, call: Call) -> Failure:
        provider = self._catalogue.providers.get(call.provider)
        if provider is None:
            return Failure(reason=Reason.UNKNOWN_PROVIDER, detail=f"provider {call.provider} is not served here")
        return unknown_operation(call, nearest(call.operation, provider.operations))
