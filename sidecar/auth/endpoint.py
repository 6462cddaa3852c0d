"""Token endpoints: one exchange for each thing asked, through the same sender as calls.

Nothing is repeated here but what the protocol says is another question: the previous client secret after
`invalid_client`, a login after a refused refresh.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from sidecar.auth.apps import App, Apps
from sidecar.auth.kind import auth_of, is_issued, is_secret, secrets_of
from sidecar.auth.scopes import wanted_scopes
from sidecar.auth.token_answer import (
    OK,
    REFUSALS,
    THROTTLED,
    UNDECIDED,
    Granted,
    Refused,
    TokenOutcome,
    Unanswered,
    decoded,
    kept_of,
    read,
)
from sidecar.auth.token_request import (
    Client,
    app_claims,
    assertion_request,
    bearer_claims,
    client_claims,
    client_credentials_request,
    code_request,
    installation_request,
    login_request,
    read_request,
    refresh_request,
    revoke_request,
)
from sidecar.core.base_url import PLACEHOLDER, connection_url
from sidecar.core.limit import TOLD, Key, Reservation
from sidecar.core.outcome import retry_after
from sidecar.core.redact import redact_text, without_secrets
from sidecar.credential import Credential, Tokens
from sidecar.kinds import (
    AppInstallation,
    ClientCredentials,
    FollowUp,
    Issued,
    JwtBearer,
    Login,
    OAuth2,
)
from sidecar.manifest import Quota
from sidecar.model import Failure, SideEffect
from sidecar.ports import Clock, HttpSender, KeyRejected, OAuth, Random
from sidecar.provider import Provider
from sidecar.quota import Quotas
from sidecar.secret import Secret

MAX_ANSWER = 64 * 1024  # bytes; a token answer is never so long
PACE = Quota(name="token_endpoint", scope="app", rate=20, per=1, burst=20)
THROTTLED_SECONDS = 5.0  # where a 429 does not say how long
LONGEST_PAUSE = 300.0  # of every connection, for what one of them was told

log = logging.getLogger("sidecar.auth")


class Unfit(Exception):
    """What a request needs is not there: nothing was sent. The message is for a person."""


class TokenEndpoint:
    """Asks token endpoints. Each has a bucket of its own in this process, which a 429 closes for every connection."""

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
        pace: Quota = PACE,
    ) -> None:
        """`base_urls` as in `Executor`."""
        self._sender = sender
        self._apps = apps
        self._oauth = oauth
        self._clock = clock
        self._random = random
        self._user_agent = user_agent
        self._base_urls = base_urls or {}
        self._pace = pace
        self._quotas = Quotas(clock)

    async def renew(self, tenant: str, provider: Provider, credential: Credential, deadline: float) -> TokenOutcome:
        """New tokens in place of those of the credential, or its first ones. A refresh token that it holds is spent.

        `deadline` as for the sender. What comes with `Granted` is whole: a refresh token that still holds, and every
        value that stays with the connection.
        """
        auth = _issued(provider, credential.kind)
        if auth is None:
            return _unfit(f"{provider.manifest.title} issues no tokens for the kind {credential.kind}")
        asked = _Asked(tenant, provider, auth, credential, deadline)
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
        auth = _issued(provider, credential.kind)
        if not isinstance(auth, OAuth2):
            return _unfit(f"{provider.manifest.title} takes no authorization code for the kind {credential.kind}")
        asked = _Asked(tenant, provider, auth, credential, deadline, (code, verifier or ""))
        try:
            url, app = self._url(asked, auth.token_url), self._app(asked)
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
        auth = _issued(provider, credential.kind)
        if not isinstance(auth, OAuth2) or auth.revoke_url is None:
            return None
        asked = _Asked(tenant, provider, auth, credential, deadline)
        if asked.before is None:
            return None
        refresh = asked.before.refresh
        token, hint = (refresh, "refresh_token") if refresh else (asked.before.access, "access_token")
        try:
            url = self._url(asked, auth.revoke_url)
            outcome = await self._as_client(
                asked, self._app(asked), auth, url, lambda client: revoke_request(url, client, token, hint)
            )
        except (Unfit, KeyRejected) as unfit:
            return _unfit(str(unfit))
        if isinstance(outcome, Granted) or (isinstance(outcome, Refused) and outcome.status in OK):
            return None  # whatever it says
        return outcome

    def app_of(self, tenant: str, provider: Provider, auth: OAuth2, credential: Credential) -> str | Refused:
        """The client id of the app that would renew its tokens, or why none can. Nothing is sent."""
        try:
            return self._app(_Asked(tenant, provider, auth, credential, 0.0)).client_id
        except Unfit as unfit:
            return _unfit(str(unfit))

    async def _renewed(self, asked: _Asked, auth: Issued) -> TokenOutcome:
        match auth:
            case OAuth2():
                return await self._refreshed(asked, auth)
            case ClientCredentials():
                url, scopes = self._url(asked, auth.token_url), _scopes(asked, auth)
                app = self._app(asked)
                return await self._as_client(
                    asked, app, auth, url, lambda client: client_credentials_request(auth, url, client, scopes)
                )
            case JwtBearer():
                url, fields, scopes = self._url(asked, auth.token_url), asked.fields, _scopes(asked, auth)
                claims = bearer_claims(auth, url, fields, scopes, self._clock.wall(), self._jti())
                assertion = await self._oauth.signed(
                    claims, key=_private_key(asked), key_id=fields.get("key_id"), algorithm=auth.algorithm
                )
                return await self._ask(asked, assertion_request(url, assertion), (assertion,))
            case AppInstallation():
                url = self._url(asked, auth.token_url)
                claims = app_claims(asked.fields, self._clock.wall())
                jwt = await self._oauth.signed(claims, key=_private_key(asked), algorithm=auth.algorithm)
                return await self._ask(asked, installation_request(url, jwt), (jwt,))
            case Login():
                return await self._logged_in(asked, auth)

    async def _refreshed(self, asked: _Asked, auth: OAuth2) -> TokenOutcome:
        before = asked.before
        if before is None or before.refresh is None:
            detail = "the provider gave no refresh token; allow access again when the token has ended"
            return Refused(final=True, detail=detail)
        url, refresh = self._url(asked, auth.token_url), before.refresh
        return await self._as_client(
            asked, self._app(asked), auth, url, lambda client: refresh_request(auth, url, client, refresh)
        )

    async def _logged_in(self, asked: _Asked, auth: Login) -> TokenOutcome:
        """By the login's own refresh, where there is something to renew; a refused one is a login again."""
        fields = asked.fields
        if auth.refresh is not None and set(auth.refresh.body.values()) <= set(fields) and asked.before is not None:
            request = login_request(auth.refresh, self._url(asked, auth.refresh.url), fields, auth.carry)
            outcome = await self._ask(asked, request)
            if not isinstance(outcome, Refused) or outcome.status not in REFUSALS or outcome.status in UNDECIDED:
                return outcome
        return await self._ask(asked, login_request(auth.login, self._url(asked, auth.login.url), fields, auth.carry))

    async def _as_client(
        self,
        asked: _Asked,
        app: App,
        auth: OAuth2 | ClientCredentials,
        url: str,
        ask: Callable[[Client], httpx.Request],
    ) -> TokenOutcome:
        """The answer to the app with its newest secret; where that one is refused, with the one before, once."""
        refused: TokenOutcome | None = None
        for number, client in enumerate(await self._clients(app, auth, url, asked)):
            proof = client.proof.reveal() if client.proof else ""
            outcome = await self._ask(asked, ask(client), (proof,))
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

    async def _clients(self, app: App, auth: OAuth2 | ClientCredentials, url: str, asked: _Asked) -> list[Client]:
        """The proofs that the app has, in the order in which they are to be tried."""
        name = asked.provider.manifest.title
        match auth.client_auth:
            case "none":
                return [Client(client_id=app.client_id, how="none")]
            case "private_key_jwt":
                if app.private_key is None:
                    raise Unfit(f"the app of {name} has no private_key, with which its requests are signed")
                audience = getattr(auth, "issuer", None) or url
                claims = client_claims(app.client_id, audience, self._clock.wall(), self._jti())
                proof = Secret(await self._oauth.signed(claims, key=app.private_key, key_id=app.key_id))
                return [Client(client_id=app.client_id, how="private_key_jwt", proof=proof)]
            case how:
                if not app.client_secrets:
                    raise Unfit(f"the app of {name} has no client_secret")
                return [Client(client_id=app.client_id, how=how, proof=secret) for secret in app.client_secrets[:2]]

    def _app(self, asked: _Asked) -> App:
        """The app that asks: the credential's own, else the configured one. Raises Unfit."""
        name, fields = asked.provider.manifest.title, asked.credential.fields
        own = fields.get("client_id")
        if own is not None:
            secret, key_id = fields.get("client_secret"), fields.get("key_id")
            app = App(
                client_id=own.reveal(),
                client_secrets=(secret,) if secret else (),
                private_key=fields.get("private_key"),
                key_id=key_id.reveal() if key_id else None,
            )
        else:
            found = self._apps.app(asked.tenant, asked.provider.name)
            if found is None:
                problem = self._apps.problem(asked.tenant, asked.provider.name)
                raise Unfit(
                    problem or f"no app of {name} is set up here: put {asked.provider.name}.json into SIDECAR_APPS_DIR"
                )
            app = found
        bound = asked.credential.client_id
        if bound is not None and bound != app.client_id:
            raise Unfit(
                f"the tokens belong to the app {bound}, and the app of {name} here is {app.client_id}: set up the"
                " former again, or have access allowed again"
            )
        return app

    def _url(self, asked: _Asked, url: str) -> str:
        """The URL of a kind, absolute, with its fields. In the sandbox every URL is the sandbox's. Raises Unfit."""
        url = _filled(asked, url)
        replaced = self._base_urls.get(asked.provider.name)
        if replaced is not None:
            return replaced + (url if url.startswith("/") else urlsplit(url).path)
        if not url.startswith("/"):
            return url
        base = connection_url(asked.provider.manifest.base_url, asked.credential)
        if isinstance(base, Failure):
            raise Unfit(base.detail)
        return base + url

    async def _with_follow_up(self, asked: _Asked, outcome: TokenOutcome) -> TokenOutcome:
        """With every value that stays with the connection. Tokens are never lost for one that cannot be read."""
        if not isinstance(outcome, Granted):
            return outcome
        kept = {**asked.credential.kept, **outcome.kept}
        follow_up = asked.auth.follow_up if isinstance(asked.auth, OAuth2) else None
        if follow_up is not None and not set(follow_up.keep) <= set(kept):
            kept |= await self._followed_up(asked, follow_up, outcome.tokens.access.reveal())
        return msgspec.structs.replace(outcome, kept=kept)

    async def _followed_up(self, asked: _Asked, follow_up: FollowUp, token: str) -> dict[str, str]:
        try:
            answer = await self._send(asked, read_request(self._url(asked, follow_up.url), asked.auth.carry, token))
        except Unfit as unfit:
            answer = Unanswered(sent=False, detail=str(unfit))
        if isinstance(answer, _Answered) and answer.response.status_code in OK:
            return kept_of(follow_up.keep, decoded(answer.response.content))
        why = answer.response.status_code if isinstance(answer, _Answered) else answer.detail
        log.warning("%s did not say what stays with a connection: %s", asked.provider.manifest.title, why)
        return {}

    async def _ask(self, asked: _Asked, request: httpx.Request, secrets: Sequence[str] = ()) -> TokenOutcome:
        """One exchange with a token endpoint, and what it means, in words that repeat no secret."""
        answer = await self._send(asked, request)
        if isinstance(answer, Unanswered):
            return answer
        response = answer.response
        outcome = read(asked.auth, response.status_code, response.headers, response.content, answer.began, asked.before)
        if isinstance(outcome, Granted):
            return outcome
        hidden = [*asked.secrets, *secrets]
        return msgspec.structs.replace(
            outcome,
            detail=redact_text(outcome.detail, hidden),
            code=outcome.code and without_secrets(outcome.code, hidden),
        )

    async def _send(self, asked: _Asked, request: httpx.Request) -> _Answered | Unanswered:
        """The answer, when the endpoint's bucket has room before the deadline."""
        host = request.url.host
        where = request.url.netloc.decode()
        wanted = [(Key(where, (), bucket.name), bucket) for bucket in (self._pace, TOLD)]
        refused = await self._quotas.reserve(wanted, asked.deadline, _untold)
        if refused is not None:
            detail = f"the token endpoint {host} was not asked: {refused.detail}"
            return Unanswered(sent=False, detail=detail, retry_after=refused.retry_after)
        request.headers["user-agent"] = self._user_agent
        began = self._clock.wall()
        answer = await self._sender.send(request, deadline=asked.deadline, max_body=MAX_ANSWER)
        if isinstance(answer, Failure):
            detail = f"the token endpoint {host} gave no answer: {answer.reason}: {answer.detail}"
            return Unanswered(sent=answer.side_effect is not SideEffect.NONE, detail=detail)
        if answer.status_code == THROTTLED:
            wait = retry_after((), answer.headers, None, began) or THROTTLED_SECONDS
            self._quotas.close(wanted, min(wait, LONGEST_PAUSE))
        return _Answered(answer, began)

    def _jti(self) -> str:
        return self._random.token(16).hex()


@dataclass(frozen=True, slots=True)
class _Answered:
    """An answer, and when it was asked for (Unix seconds)."""

    response: httpx.Response
    began: float


@dataclass(frozen=True, slots=True)
class _Asked:
    """One question to a token endpoint: for whom, and until when. `more`: what is secret of this question alone."""

    tenant: str
    provider: Provider
    auth: Issued
    credential: Credential
    deadline: float
    more: tuple[str, ...] = field(default=(), repr=False)

    @property
    def fields(self) -> dict[str, str]:
        return self.credential.revealed()

    @property
    def before(self) -> Tokens | None:
        """The tokens there are; of an import, the refresh token that it brings."""
        brought = self.credential.fields.get("refresh_token")
        if self.credential.tokens is None and brought is not None:
            return Tokens(access=Secret(""), refresh=brought)
        return self.credential.tokens

    @property
    def secrets(self) -> list[str]:
        return [*secrets_of(self.auth, self.fields), *self.more]


def _issued(provider: Provider, kind: str) -> Issued | None:
    auth = auth_of(provider.manifest.auth, kind)
    return auth if auth is not None and is_issued(auth) else None


def _scopes(asked: _Asked, auth: ClientCredentials | JwtBearer) -> tuple[str, ...]:
    """Those that the credential names, else those of every operation."""
    named = asked.credential.fields.get("scope")
    return tuple(named.reveal().split()) if named else wanted_scopes(auth, asked.provider.operations)


def _filled(asked: _Asked, url: str) -> str:
    """The URL with the credential's fields in their places, each one segment of the path. Raises Unfit."""

    def segment(match: re.Match[str]) -> str:
        name = match[1]
        text = "" if is_secret(asked.auth, name) else asked.fields.get(name, "")
        if text in {"", ".", ".."}:
            raise Unfit(f"the credential's {name} cannot be part of a URL")
        return quote(text, safe="")

    return PLACEHOLDER.sub(segment, url)


def _private_key(asked: _Asked) -> Secret:
    key = asked.credential.fields.get("private_key")
    if key is None:
        raise Unfit("the credential has no private_key")
    return key


def _unfit(detail: str) -> Refused:
    return Refused(final=False, detail=detail)


async def _untold(_reserved: Reservation, _wait: float) -> None:
    """A wait for a token endpoint is told by who waits for the token."""
