"""Whether a provider takes a credential, and whose account it says that this is: the manifest's verification call."""

from __future__ import annotations

import msgspec

from sidecar.auth.kind import auth_of, is_secret
from sidecar.core.dig import dig_text
from sidecar.core.redact import without_secrets
from sidecar.credential import Credential
from sidecar.execute import Executor
from sidecar.model import Access, Call, Failure
from sidecar.ports import Clock, Random
from sidecar.provider import Provider
from sidecar.wire.request import call_id_at, trace_context

VERIFY_SECONDS = 20.0


class Verification:
    """Tries credentials before they are stored."""

    def __init__(self, executor: Executor, clock: Clock, random: Random) -> None:
        self._executor = executor
        self._clock = clock
        self._random = random

    async def account(
        self, tenant: str, connection: str, provider: Provider, credential: Credential
    ) -> str | Failure | None:
        """The account that the provider names for this credential ("": it takes it and names none), or why it does not
        take it. None: nothing of it can be tried.
        """
        verify = provider.verification(credential.kind)
        if verify is None:
            return None
        now, wall, dice = self._clock.now(), self._clock.wall(), self._random.token(34)
        call = Call(
            call_id=call_id_at(wall, dice),
            access=Access.READ,
            tenant=tenant,
            connection=connection,
            provider=provider.name,
            operation=verify.operation,
            payload=msgspec.json.encode(verify.input),
            accepted=now,
            deadline=now + VERIFY_SECONDS,
            trace=trace_context({}, dice[10:18], dice[18:34]),
        )
        ended = await self._executor.run(call, credential)
        if isinstance(ended.outcome, Failure):
            return ended.outcome
        account = dig_text(msgspec.json.decode(ended.outcome.body), (verify.account,)) if verify.account else None
        auth = auth_of(provider.manifest.auth, credential.kind)
        # A user name may be a key (then no account is called so), but is what many providers call the account.
        secrets = [
            text
            for name, text in credential.revealed().items()
            if name != "username" and (auth is None or is_secret(auth, name))
        ]
        return without_secrets(account, secrets) if account else ""
