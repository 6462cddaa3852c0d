"""Token endpoints: one exchange for each thing asked, through the same sender as calls.

Nothing is repeated here but what the protocol says is another question: the previous client secret after
`invalid_client`, a login after a refused refresh.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import httpx
import msgspec

from sidecar.auth.apps import App, Apps
from sidecar.auth.clients import Clients
from sidecar.auth.question import Question, Unfit, issued_kind
from sidecar.auth.token_answer import OK, Granted, Refused, TokenOutcome, Unanswered, decoded, kept_of, refuses
from sidecar.auth.token_exchange import Answered, TokenExchange
from sidecar.auth.token_request import (
    Client,
    app_claims,
    assertion_request,
    bearer_claims,
    client_credentials_request,
    code_request,
    installation_request,
    login_request,
    read_request,
    refresh_request,
    revoke_request,
)
from sidecar.credential import Credential
from sidecar.kinds import AppInstallation, ClientCredentials, FollowUp, Issued, JwtBearer, Login, OAuth2
from sidecar.ports import Clock, HttpSender, KeyRejected, OAuth, Random
from sidecar.provider import Provider

log = logging.getLogger("sidecar.auth")


class TokenEndpoint:
    """Tokens for codes, for refresh tokens, for whatever a kind has; and grants taken back."""

    def __init__(
        self,
        *,
        sender: HttpSender,
        apps: Apps,
        oauth: OAuth,
        clock: Clock,
        random: Random,
        user_agent: str,
        base_urls: Mapping[str, str] | None = None,
    ) -> None:
        """`base_urls` as in `Executor`."""
        self._exchange = TokenExchange(sender, clock, user_agent)
        self._clients = Clients(apps, oauth, clock, random)
        self._oauth = oauth
        self._clock = clock
        self._random = random
        self._base_urls = base_urls or {}

    async def renew(self, tenant: str, provider: Provider, credential: Credential, deadline: float) -> TokenOutcome:
        """New tokens in place of those of the credential, or its first ones. A refresh token that it holds is spent.

        `deadline` as for the sender. What comes with `Granted` is whole: a refresh token that still holds, and every
        value that stays with the connection.
        """
        auth = issued_kind(provider, credential.kind)
        if auth is None:
            return _unfit(f"{provider.manifest.title} issues no tokens for the kind {credential.kind}")
        asked = Question(tenant, provider, auth, credential, deadline)
        try:
            return await self._with_follow_up(asked, await self._renewed(asked, auth))
        except (Unfit, KeyRejected) as unfit:
            return _unfit(str(unfit))

    async def obtain(self, tenant: str, provider: Provider, credential: Credential, deadline: float) -> TokenOutcome:
        """The first tokens for the fields of a credential, whatever tokens it holds."""
        return await self.renew(tenant, provider, msgspec.structs.replace(credential, tokens=None), deadline)

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
    ) -> TokenOutcome:
        """Tokens for an authorization code. The credential says what is known before: kind, base URL, the app's fields,
        what the redirect brought along in `kept`, the app that was sent for in `client_id`.
        """
        auth = issued_kind(provider, credential.kind)
        if not isinstance(auth, OAuth2):
            return _unfit(f"{provider.manifest.title} takes no authorization code for the kind {credential.kind}")
        asked = Question(tenant, provider, auth, credential, deadline, (code, verifier or ""))
        try:
            url, app = asked.url(auth.token_url, self._base_urls), self._clients.app(asked)
            outcome = await self._as_client(
                asked,
                app,
                auth,
                url,
                lambda client: code_request(
                    auth, url, client, code=code, redirect_uri=redirect_uri, verifier=verifier if auth.pkce else None
                ),
            )
            return await self._with_follow_up(asked, outcome)
        except (Unfit, KeyRejected) as unfit:
            return _unfit(str(unfit))

    async def revoke(
        self, tenant: str, provider: Provider, credential: Credential, deadline: float
    ) -> Refused | Unanswered | None:
        """End the grant at the provider, by its revocation endpoint; None when it is ended, or there is no such place.

        The refresh token takes its access tokens along (RFC 7009 section 2.1).
        """
        auth = issued_kind(provider, credential.kind)
        if not isinstance(auth, OAuth2) or auth.revoke_url is None:
            return None
        asked = Question(tenant, provider, auth, credential, deadline)
        if asked.before is None:
            return None
        refresh = asked.before.refresh
        token, hint = (refresh, "refresh_token") if refresh else (asked.before.access, "access_token")
        try:
            url = asked.url(auth.revoke_url, self._base_urls)
            outcome = await self._as_client(
                asked, self._clients.app(asked), auth, url, lambda client: revoke_request(url, client, token, hint)
            )
        except (Unfit, KeyRejected) as unfit:
            return _unfit(str(unfit))
        if isinstance(outcome, Granted) or (isinstance(outcome, Refused) and outcome.status in OK):
            return None  # whatever it says
        return outcome

    def app_of(self, tenant: str, provider: Provider, auth: OAuth2, credential: Credential) -> str | Refused:
        """The client id of the app that would renew its tokens, or why none can. Nothing is sent."""
        try:
            return self._clients.app(Question(tenant, provider, auth, credential, 0.0)).client_id
        except Unfit as unfit:
            return _unfit(str(unfit))

    async def _renewed(self, asked: Question, auth: Issued) -> TokenOutcome:
        match auth:
            case OAuth2():
                return await self._refreshed(asked, auth)
            case ClientCredentials():
                url, scopes = asked.url(auth.token_url, self._base_urls), asked.scopes
                app, further = self._clients.app(asked), asked.named(auth.fields)
                return await self._as_client(
                    asked, app, auth, url, lambda client: client_credentials_request(auth, url, client, scopes, further)
                )
            case JwtBearer():
                url, fields, scopes = asked.url(auth.token_url, self._base_urls), asked.fields, asked.scopes
                claims = bearer_claims(auth, url, fields, scopes, self._clock.wall(), self._jti())
                assertion = await self._oauth.signed(
                    claims, key=asked.private_key, key_id=fields.get("key_id"), algorithm=auth.algorithm
                )
                return await self._exchange.ask(asked, assertion_request(url, assertion), (assertion,))
            case AppInstallation():
                url = asked.url(auth.token_url, self._base_urls)
                claims = app_claims(asked.fields, self._clock.wall())
                jwt = await self._oauth.signed(claims, key=asked.private_key, algorithm=auth.algorithm)
                return await self._exchange.ask(asked, installation_request(url, jwt), (jwt,))
            case Login():
                return await self._logged_in(asked, auth)

    async def _refreshed(self, asked: Question, auth: OAuth2) -> TokenOutcome:
        before = asked.before
        if before is None or before.refresh is None:
            detail = "the provider gave no refresh token; allow access again when the token has ended"
            return Refused(final=True, detail=detail)
        url, refresh = asked.url(auth.token_url, self._base_urls), before.refresh
        return await self._as_client(
            asked, self._clients.app(asked), auth, url, lambda client: refresh_request(auth, url, client, refresh)
        )

    async def _logged_in(self, asked: Question, auth: Login) -> TokenOutcome:
        """By the login's own refresh, where there is something to renew; a refused one is a login again."""
        fields = asked.fields
        if auth.refresh is not None and set(auth.refresh.body.values()) <= set(fields) and asked.before is not None:
            request = login_request(auth.refresh, asked.url(auth.refresh.url, self._base_urls), fields, auth.carry)
            outcome = await self._exchange.ask(asked, request)
            if not isinstance(outcome, Refused) or not refuses(outcome):
                return outcome
        return await self._exchange.ask(
            asked, login_request(auth.login, asked.url(auth.login.url, self._base_urls), fields, auth.carry)
        )

    async def _as_client(
        self,
        asked: Question,
        app: App,
        auth: OAuth2 | ClientCredentials,
        url: str,
        ask: Callable[[Client], httpx.Request],
    ) -> TokenOutcome:
        """The answer to the app with its newest secret; where that one is refused, with the one before, once."""
        refused: TokenOutcome | None = None
        for number, client in enumerate(await self._clients.proofs(asked, auth, url, app)):
            proof = client.proof.reveal() if client.proof else ""
            outcome = await self._exchange.ask(asked, ask(client), (proof,))
            if not isinstance(outcome, Refused) or outcome.code not in auth.answer.client_errors:
                if number and isinstance(outcome, Granted):
                    name = asked.provider.name
                    log.warning("the newest client secret of the app of %s is refused; the one before it serves", name)
                return (
                    msgspec.structs.replace(outcome, client_id=app.client_id)
                    if isinstance(outcome, Granted)
                    else outcome
                )
            refused = outcome
        if isinstance(refused, Refused) and isinstance(auth, ClientCredentials):
            return msgspec.structs.replace(refused, final=True)  # the app's proof is the whole credential
        return refused or _unfit("the app has no proof of itself")

    async def _with_follow_up(self, asked: Question, outcome: TokenOutcome) -> TokenOutcome:
        """With every value that stays with the connection. Tokens are never lost for one that cannot be read."""
        if not isinstance(outcome, Granted):
            return outcome
        kept = {**asked.credential.kept, **outcome.kept}
        follow_up = asked.auth.follow_up
        if follow_up is not None and not set(follow_up.keep) <= set(kept):
            kept |= await self._followed_up(asked, follow_up, outcome.tokens.access.reveal())
        return msgspec.structs.replace(outcome, kept=kept)

    async def _followed_up(self, asked: Question, follow_up: FollowUp, token: str) -> dict[str, str]:
        try:
            answer = await self._exchange.send(
                asked, read_request(asked.url(follow_up.url, self._base_urls), asked.auth.carry, token)
            )
        except Unfit as unfit:
            answer = Unanswered(sent=False, detail=str(unfit))
        if isinstance(answer, Answered) and answer.response.status_code in OK:
            return kept_of(follow_up.keep, decoded(answer.response.content))
        why = answer.response.status_code if isinstance(answer, Answered) else answer.detail
        log.warning("%s did not say what stays with a connection: %s", asked.title, why)
        return {}

    def _jti(self) -> str:
        return self._random.token(16).hex()


def _unfit(detail: str) -> Refused:
    return Refused(final=False, detail=detail)
