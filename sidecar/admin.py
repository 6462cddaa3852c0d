"""What an operator asks of connections: list, verify, limit, disable, enable, revoke. A secret is never shown.

An import is answered in `import_admin.py`, what is asked of keys in `key_admin.py`, of copies in `copy_admin.py`,
of durable calls in `queue_admin.py`.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from sidecar.auth.endpoint import TokenEndpoint
from sidecar.catalogue.answer import unknown_provider
from sidecar.catalogue.own_limits import own_limits
from sidecar.copy_admin import COPY_VERBS, CopyAdministrator
from sidecar.credential import Credential, Status
from sidecar.execute import Executor
from sidecar.import_admin import ISSUE_SECONDS, ImportAdministrator
from sidecar.key_admin import KEY_VERBS, KeyAdministrator
from sidecar.listed import listed, shown, success
from sidecar.model import Failure, Outcome, Reason
from sidecar.ports import Clock, Random
from sidecar.provider import Provider
from sidecar.queue_admin import QUEUE_VERBS, NoQueue, QueueAdministrator
from sidecar.quota_admin import QUOTA_VERBS, QuotaAdministrator
from sidecar.run import Credentials
from sidecar.store.credential import CredentialStore
from sidecar.verify import Verification
from sidecar.wire.event import Admin, timestamp
from sidecar.wire.subject import EVERY, AdminAddress

VERBS = (
    "import",
    "list",
    "verify",
    "limit",
    "disable",
    "enable",
    "revoke",
    *KEY_VERBS,
    *COPY_VERBS,
    *QUEUE_VERBS,
    *QUOTA_VERBS,
)
SWITCHED = {"disable": Status.DISABLED, "enable": Status.ACTIVE}
UNTOLD = "revoked here; the provider could not be told, so take the access back in the account's settings there too"


class LimitRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of `limit`: what the owner of the connection's server set, by the manifest's quotas, in place of what was
    said before.
    """

    limits: dict[str, tuple[str, ...]] = {}


class _Answers(Protocol):
    """Who answers verbs that are not about one connection."""

    async def answer(self, address: AdminAddress, payload: bytes) -> Outcome: ...


class Administrator:
    """Answers the admin subjects. `live` gives credentials as calls get them, with a token that is valid."""

    def __init__(
        self,
        *,
        executor: Executor,
        credentials: CredentialStore,
        live: Credentials,
        tokens: TokenEndpoint,
        keys: KeyAdministrator,
        copies: CopyAdministrator,
        clock: Clock,
        random: Random,
        queue: QueueAdministrator | None = None,
        quota: QuotaAdministrator | None = None,
    ) -> None:
        self._executor = executor
        self._credentials = credentials
        self._live = live
        self._tokens = tokens
        self._others: dict[str, _Answers] = {
            **dict.fromkeys(KEY_VERBS, keys),
            **dict.fromkeys(COPY_VERBS, copies),
            **dict.fromkeys(QUEUE_VERBS, queue or NoQueue()),
            **({} if quota is None else dict.fromkeys(QUOTA_VERBS, quota)),
        }
        self._clock = clock
        self._verification = Verification(executor, clock, random)
        self._imports = ImportAdministrator(credentials, tokens, self._verification, clock)

    async def answer(self, address: AdminAddress, payload: bytes) -> Outcome:
        """The answer to `sidecar.admin.<tenant>.<connection>.<provider>.<verb>`."""
        if address.verb == "list":
            return await self._list(address)
        if address.verb in self._others:
            return await self._others[address.verb].answer(address, payload)
        if EVERY in (address.connection, address.provider):
            return Failure(reason=Reason.MALFORMED, detail=f"{address.verb} takes one connection of one provider")
        provider = self._executor.catalogue.providers.get(address.provider)
        if provider is None:
            return unknown_provider(self._executor.catalogue, address.provider)
        match address.verb:
            case "import":
                return await self._imports.answer(address, provider, payload)
            case "verify":
                return await self._verify(address, provider)
            case "limit":
                return await self._limit(address, provider, payload)
            case "disable" | "enable" as verb:
                return await self._set_status(address, SWITCHED[verb])
            case "revoke":
                return await self._revoke(address, provider)
            case _:
                detail = f"there is no admin verb {address.verb[:80]!r}; verbs: {', '.join(VERBS)}"
                return Failure(reason=Reason.MALFORMED, detail=detail)

    async def keep(self, address: AdminAddress, credential: Credential) -> Failure | None:
        """Store a credential that is whole, as it is: nobody is asked. The sandbox's are."""
        now = self._clock.wall()
        fresh = msgspec.structs.replace(credential, created=now, changed=now)
        return await self._credentials.save(address.tenant, address.connection, address.provider, fresh)

    def event(self, address: AdminAddress, outcome: Outcome) -> Admin:
        """What the trace says of it."""
        failure = outcome if isinstance(outcome, Failure) else None
        return Admin(
            time=timestamp(self._clock.wall()),
            tenant=address.tenant,
            connection=address.connection,
            provider=address.provider,
            verb=address.verb if address.verb in VERBS else "unknown",  # what callers make up is never counted apart
            outcome=failure.reason if failure else "ok",
            detail=failure.detail if failure else None,
        )

    async def _list(self, address: AdminAddress) -> Outcome:
        connection = None if address.connection == EVERY else address.connection
        provider = None if address.provider == EVERY else address.provider
        found = await self._credentials.list(address.tenant, connection, provider)
        if isinstance(found, Failure):
            return found
        return success([listed(item, self._clock.wall()) for item in found])

    async def _verify(self, address: AdminAddress, provider: Provider) -> Outcome:
        names = (address.tenant, address.connection, address.provider)
        credential = await self._live.load(*names, within=ISSUE_SECONDS)
        if isinstance(credential, Failure):
            return credential
        verified = await self._try(address, provider, credential)
        if isinstance(verified, Failure):
            return verified
        return success(shown(address, credential, verified, self._clock.wall()))

    async def _limit(self, address: AdminAddress, provider: Provider, payload: bytes) -> Outcome:
        try:
            asked = msgspec.json.decode(payload or b"{}", type=LimitRequest)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Failure(reason=Reason.MALFORMED, detail='send {"limits": {"QUOTA": ["UNITS/SECONDS"]}}')
        limits = own_limits(provider, asked.limits)
        if isinstance(limits, Failure):
            return limits
        changed = await self._credentials.set_limits(address.tenant, address.connection, address.provider, limits)
        if isinstance(changed, Failure):
            return changed
        return success(shown(address, changed, None, self._clock.wall()))

    async def _set_status(self, address: AdminAddress, status: Status) -> Outcome:
        changed = await self._credentials.set_status(address.tenant, address.connection, address.provider, status)
        if isinstance(changed, Failure):
            return changed
        return success(shown(address, changed, None, self._clock.wall()))

    async def _revoke(self, address: AdminAddress, provider: Provider) -> Outcome:
        """Here first, where it counts at once; then the provider is told, as far as it wants to know."""
        found = await self._credentials.list(address.tenant, address.connection, address.provider)
        before = found[0].credential if isinstance(found, list) and found else None
        changed = await self._credentials.set_status(
            address.tenant, address.connection, address.provider, Status.REVOKED
        )
        if isinstance(changed, Failure):
            return changed
        ended = shown(address, changed, None, self._clock.wall())
        if isinstance(before, Credential):
            deadline = self._clock.now() + ISSUE_SECONDS
            untold = await self._tokens.revoke(address.tenant, provider, before, deadline)
            if untold is not None:
                ended = msgspec.structs.replace(ended, problem=f"{UNTOLD}: {untold.detail}")
        return success(ended)

    async def _try(self, address: AdminAddress, provider: Provider, credential: Credential) -> str | Failure | None:
        return await self._verification.account(address.tenant, address.connection, provider, credential)
