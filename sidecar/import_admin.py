"""What an operator asks of a credential to bring in: checked, tokens asked for, tried, stored. It is never shown."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sidecar.auth.endpoint import TokenEndpoint
from sidecar.auth.issue import failure_of, spent, used_up, with_tokens
from sidecar.auth.kind import check_fields, is_issued, kept_names, kind_of, unknown_names
from sidecar.auth.token_answer import Granted, Refused
from sidecar.catalogue.own_limits import own_limits
from sidecar.core.base_url import base_url, connection_url, named_in
from sidecar.credential import Credential, OwnLimit, may_be_kept
from sidecar.kinds import Auth, OAuth2
from sidecar.listed import shown, success
from sidecar.manifest import BaseUrl, KeptUrl
from sidecar.model import Failure, Outcome, Problem, Reason, SideEffect
from sidecar.ports import Clock
from sidecar.provider import Provider
from sidecar.secret import Secret
from sidecar.store.credential import CredentialStore, Revised
from sidecar.verify import Verification
from sidecar.wire.subject import AdminAddress
from sidecar.wire.unknown import told_without_names

ISSUE_SECONDS = 20.0
LOST = "the provider took the refresh token and gave another, which could not be stored: allow access again"
NOWHERE = frozenset({Reason.STORE_UNAVAILABLE, Reason.TENANT_DENIED})
NOT_TAKEN = frozenset({Reason.CREDENTIAL_REJECTED, Reason.EGRESS_BLOCKED})


class ImportRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of `import`: a credential of one kind. `kind` may be left out where the provider has one.

    With `verify` (the default) the provider is asked whether it takes the credential before it is stored. `client_id`
    is the OAuth app that a refresh token was issued to: another app cannot use it. With `dry_run` nothing is asked or
    stored: the answer says whether it could be. `kept` are values of the account that stay with the connection, where
    the provider names them only when its owner allows access (QuickBooks' `realmId`). `limits` are what the owner of
    its server set, by the manifest's quotas (`{"messages": ["10/60"]}`); left out, they stay as they are.
    """

    fields: dict[str, str]
    kind: str | None = None
    base_url: str | None = None
    verify: bool = True
    client_id: str | None = None
    dry_run: bool = False
    kept: dict[str, str] = {}
    limits: dict[str, tuple[str, ...]] | None = None

    def __repr__(self) -> str:
        return f"ImportRequest({self.kind}, fields {sorted(self.fields)})"  # never their values


class Tried(msgspec.Struct, frozen=True):
    """A credential that may be stored, and whose it is (None: not asked, or not told). `stored`: but for its account,
    it is, and calls use it already.
    """

    credential: Credential
    verified: str | Failure | None = None
    stored: bool = False


class ImportAdministrator:
    """Answers the admin verb `import`."""

    def __init__(
        self, credentials: CredentialStore, tokens: TokenEndpoint, verification: Verification, clock: Clock
    ) -> None:
        self._credentials = credentials
        self._tokens = tokens
        self._verification = verification
        self._clock = clock
        self._spending: set[Secret] = set()  # refresh tokens that an import under way brought

    async def answer(self, address: AdminAddress, provider: Provider, payload: bytes) -> Outcome:
        """The answer to `import`."""
        asked = _decode(payload)
        if isinstance(asked, Failure):
            return asked
        auth = _checked(provider, asked)
        if isinstance(auth, Failure):
            return auth
        fields = {name: Secret(value) for name, value in asked.fields.items()}
        limits = await self._limits(address, provider, asked)
        if isinstance(limits, Failure):
            return limits
        now = self._clock.wall()
        credential = Credential(
            kind=kind_of(auth),
            fields=fields,
            base_url=asked.base_url,
            kept=asked.kept,
            created=now,
            changed=now,
            client_id=asked.client_id,
            limits=limits,
        )
        token = fields.get("refresh_token")
        if token is None:
            return await self._imported(address, provider, auth, asked, credential)
        if token in self._spending:
            detail = "the same refresh token is being imported at this moment; nothing was stored by this request"
            return Failure(reason=Reason.CAS_CONFLICT, detail=detail, retry_after=ISSUE_SECONDS)
        self._spending.add(token)
        try:
            return await self._imported(address, provider, auth, asked, credential)
        finally:
            self._spending.discard(token)

    async def _limits(
        self, address: AdminAddress, provider: Provider, asked: ImportRequest
    ) -> tuple[OwnLimit, ...] | Failure:
        """Those it brings, else those that the connection has."""
        if asked.limits is not None:
            return own_limits(provider, asked.limits)
        there = await self._credentials.look(address.tenant, address.connection, address.provider, keep=False)
        return there.credential.limits_at(asked.base_url) if isinstance(there, Revised) else ()

    async def _imported(
        self, address: AdminAddress, provider: Provider, auth: Auth, asked: ImportRequest, credential: Credential
    ) -> Outcome:
        """Whether it was stored, or could be."""
        refused = await self._unspent(address, credential) if is_issued(auth) else None
        if refused is not None:
            return msgspec.structs.replace(refused, detail=f"{refused.detail}; nothing was stored")
        if asked.dry_run:
            return self._foreseen(address, provider, auth, credential)
        tried = await self._tried(address, provider, auth, credential) if asked.verify else Tried(credential)
        if isinstance(tried, Failure):
            return msgspec.structs.replace(tried, detail=f"{tried.detail}; nothing was stored", hint=None)
        write = self._credentials.name if tried.stored else self._credentials.save
        failed = await write(address.tenant, address.connection, address.provider, tried.credential)
        return failed or success(shown(address, tried.credential, tried.verified, self._clock.wall()))

    def _foreseen(self, address: AdminAddress, provider: Provider, auth: Auth, credential: Credential) -> Outcome:
        """What an import would come to, as far as it can be known without asking the provider."""
        app = self._tokens.app_of(address.tenant, provider, auth, credential) if isinstance(auth, OAuth2) else None
        if isinstance(app, Refused):
            return failure_of(app)
        return success(shown(address, msgspec.structs.replace(credential, client_id=app), None, self._clock.wall()))

    async def _tried(
        self, address: AdminAddress, provider: Provider, auth: Auth, credential: Credential
    ) -> Tried | Failure:
        """The credential as the provider takes it, with tokens where it issues them; or why it is not to be stored."""
        rotated = False
        if is_issued(auth):
            deadline = self._clock.now() + ISSUE_SECONDS
            outcome = await self._tokens.obtain(address.tenant, provider, credential, deadline)
            if not isinstance(outcome, Granted):
                return failure_of(outcome)
            rotated = spent(credential, outcome)
            credential = with_tokens(credential, outcome)
        if rotated:  # what was given for it is all that there is: stored before anything can go wrong
            failed = await self._credentials.save(address.tenant, address.connection, address.provider, credential)
            if failed is not None:
                detail = f"{failed.detail}; {LOST}"
                return msgspec.structs.replace(failed, detail=detail, side_effect=SideEffect.DONE)
        verified = await self._verification.account(address.tenant, address.connection, provider, credential)
        if isinstance(verified, Failure) and verified.reason in NOT_TAKEN and not rotated:
            return verified
        account = verified or None if isinstance(verified, str) else None
        return Tried(msgspec.structs.replace(credential, account=account), verified, stored=rotated)

    async def _unspent(self, address: AdminAddress, credential: Credential) -> Failure | None:
        """Why its refresh token must not be spent now: there is nowhere to store what comes for it, or it was spent
        before, and servers take a second use for theft and end the grant (RFC 9700 section 4.14.2).
        """
        there = await self._credentials.look(address.tenant, address.connection, address.provider)
        if isinstance(there, Failure):
            return there if there.reason in NOWHERE else None
        if there is None or not used_up(there.credential, credential):
            return None
        detail = "was imported before, and the provider gave another for it; the connection has that one"
        problem = Problem("/fields/refresh_token", detail)
        return Failure(reason=Reason.VALIDATION, detail=f"{problem.pointer} {detail}", problems=(problem,))


def _checked(provider: Provider, asked: ImportRequest) -> Auth | Failure:
    """The kind of credential, or everything that is wrong with fields and base URL."""
    auth = check_fields(provider.manifest.auth, asked.kind, asked.fields)
    problems = list(auth.problems) if isinstance(auth, Failure) else _wrong_kept(auth, asked.kept)
    url = _known_url(provider.manifest.base_url, None if problems or isinstance(auth, Failure) else auth, asked)
    if isinstance(url, Failure):
        problems.append(Problem("/base_url", url.detail.removeprefix("base_url: ")))
    if not problems:
        return auth
    detail = "; ".join(f"{problem.pointer} {problem.detail}" for problem in problems)
    return Failure(reason=Reason.VALIDATION, detail=detail, problems=tuple(problems))


def _known_url(fact: BaseUrl, auth: Auth | None, asked: ImportRequest) -> str | Failure | None:
    """The base URL, as far as it is known before there are tokens. `auth` is None where the fields are wrong."""
    if not isinstance(fact, KeptUrl) or asked.base_url is not None:
        return base_url(fact, asked.base_url)
    if auth is None or not set(named_in(fact.url)) <= {*asked.fields, *asked.kept}:
        return None
    fields = {name: Secret(text) for name, text in asked.fields.items()}
    return connection_url(fact, Credential(kind=kind_of(auth), fields=fields, kept=asked.kept, created=0, changed=0))


def _wrong_kept(auth: Auth, kept: Mapping[str, str]) -> list[Problem]:
    """What is wrong with the values of an account, without them."""
    known = tuple(sorted(kept_names((auth,))))
    return [
        *unknown_names("/kept", kept, known, "stay with a connection of this kind"),
        *(
            Problem(f"/kept/{name}", "is empty, too long, or has a character that no URL or header can carry")
            for name, text in kept.items()
            if name in known and not may_be_kept(text)
        ),
    ]


def _decode(payload: bytes) -> ImportRequest | Failure:
    try:
        return msgspec.json.decode(payload or b"{}", type=ImportRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = told_without_names(error, ImportRequest, "the payload")
        shape = '{"kind": "...", "fields": {"name": "value"}, "base_url": "..."}'
        return Failure(reason=Reason.MALFORMED, detail=f"{detail}; send {shape}")
