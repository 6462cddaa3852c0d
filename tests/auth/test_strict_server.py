"""Against a certified OAuth server of somebody else's, which takes every slip for theft. Needs SHARED and node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest

from sidecar.adapters.authlib_oauth import AuthlibOAuth
from sidecar.adapters.http1_sender import Http1Sender
from sidecar.adapters.system import SystemClock
from sidecar.auth.apps import App
from sidecar.auth.endpoint import TokenEndpoint
from sidecar.auth.issue import with_tokens
from sidecar.auth.token_answer import Granted, Refused, TokenOutcome
from sidecar.core.egress import parse_allow
from sidecar.credential import Credential
from sidecar.kinds import OAuth2
from sidecar.provider import Provider
from tests.auth.asking import acme, app, credential, endpoint
from tests.auth.keys import public_set, rsa_key
from tests.auth_real.strict import CLIENT_ID, CLIENT_SECRET, REDIRECT, StrictServer, strict_server, why_not

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.real,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

OAUTH = AuthlibOAuth()
SECONDS = 20.0
SCOPES = ("openid", "offline_access", "email")
APPS: dict[str, dict[str, Any]] = {
    "basic": app(CLIENT_ID, CLIENT_SECRET),
    "post": app(f"{CLIENT_ID}-post", CLIENT_SECRET),
    "none": {"client_id": f"{CLIENT_ID}-public"},
    "private_key_jwt": {"client_id": f"{CLIENT_ID}-jwt", "private_key": rsa_key(), "key_id": "k1"},
}


class Asking:
    """A token endpoint of ours before the strict server, as one kind of app."""

    def __init__(self, server: StrictServer, sender: Http1Sender, client_auth: str) -> None:
        self.server, self.sender, self.clock = server, sender, SystemClock()
        self.provider: Provider = acme(
            {
                "kind": "oauth2",
                "authorize_url": f"{server.url}/auth",
                "token_url": f"{server.url}/token",
                "revoke_url": f"{server.url}/token/revocation",
                "issuer": server.url,
                "client_auth": client_auth,
                "authorize_parameters": {"prompt": "consent"},
            }
        )
        self.use(APPS[client_auth])

    def use(self, described: dict[str, Any]) -> None:
        """From now on as this app."""
        self.asked: TokenEndpoint = endpoint(self.sender, {"acme": described}, self.clock)
        self.app = App(client_id=described["client_id"])

    async def allowed(self, *, verifier: str | None = None) -> TokenOutcome:
        """A person allows access, and the code is exchanged, with this verifier or the right one."""
        auth = self.provider.manifest.auth[0]
        assert isinstance(auth, OAuth2)
        right = OAUTH.new_verifier()
        url = OAUTH.authorize_url(auth, self.app, redirect_uri=REDIRECT, state="s", scopes=SCOPES, verifier=right)
        return await self.asked.exchange(
            "acme corp",
            self.provider,
            credential(),
            self.clock.now() + SECONDS,
            code=await _code(url),
            redirect_uri=REDIRECT,
            verifier=verifier or right,
        )

    async def connected(self) -> Credential:
        outcome = await self.allowed()
        assert isinstance(outcome, Granted), outcome
        return with_tokens(credential(), outcome)

    async def renewed(self, what: Credential) -> TokenOutcome:
        return await self.asked.renew("acme corp", self.provider, what, self.clock.now() + SECONDS)


async def _code(url: str) -> str:
    """As a browser: cookies are kept, and every redirect followed but the last."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as browser:
        while not url.startswith(REDIRECT):
            answer = await browser.get(url)
            url = urljoin(url, answer.headers["location"])
    return parse_qs(urlsplit(url).query)["code"][0]


@asynccontextmanager
async def asking(folder: Path, *client_auths: str) -> AsyncIterator[list[Asking]]:
    async with strict_server(folder, ttl=5) as server:
        sender = Http1Sender(allow=parse_allow(["127.0.0.0/8"]))
        try:
            yield [Asking(server, sender, how) for how in client_auths]
        finally:
            await sender.aclose()


async def test_every_way_in_which_an_app_proves_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A code is exchanged and its token renewed, twice, with a secret in the header or the body, with none, signed."""
    monkeypatch.setenv("CLIENT_JWKS", public_set(rsa_key(), "k1"))
    async with asking(tmp_path, *APPS) as all_of_them:
        for each in all_of_them:
            first = await each.connected()
            second = await each.renewed(first)
            assert isinstance(second, Granted), second
            third = await each.renewed(with_tokens(first, second))
            assert isinstance(third, Granted), third
            assert first.tokens is not None
            assert len({tokens.refresh for tokens in (first.tokens, second.tokens, third.tokens)}) == 3
            assert third.tokens.lifetime == 5
            assert third.client_id == each.app.client_id
        assert {call.error for call in await all_of_them[0].server.log()} == {None}


async def test_what_the_server_refuses(tmp_path: Path) -> None:
    """A refresh token's second use and a wrong verifier are final; a wrong secret is not, and spends nothing."""
    async with asking(tmp_path, "basic") as [each]:
        assert await each.allowed(verifier="x" * 43) == Refused(
            final=True,
            code="invalid_grant",
            status=400,
            detail="the token endpoint answered 400: invalid_grant: grant request is invalid",
        )
        first = await each.connected()
        each.use(app(CLIENT_ID, "wrong"))
        wrong = await each.renewed(first)
        assert isinstance(wrong, Refused)
        assert (wrong.final, wrong.code) == (False, "invalid_client")
        each.use(app(CLIENT_ID, "wrong", CLIENT_SECRET))
        second = await each.renewed(first)
        assert isinstance(second, Granted), second
        reused = await each.renewed(first)
        assert isinstance(reused, Refused)
        assert (reused.final, reused.code) == (True, "invalid_grant")


async def test_a_revoked_grant(tmp_path: Path) -> None:
    """Nothing comes of its refresh token any more."""
    async with asking(tmp_path, "basic") as [each]:
        first = await each.connected()
        deadline = each.clock.now() + SECONDS
        assert await each.asked.revoke("acme corp", each.provider, first, deadline) is None
        after = await each.renewed(first)
        assert isinstance(after, Refused)
        assert after.final


async def test_an_app_for_itself(tmp_path: Path) -> None:
    """Client credentials; a wrong secret is told."""
    async with strict_server(tmp_path, ttl=5) as server:
        sender, clock = Http1Sender(allow=parse_allow(["127.0.0.0/8"])), SystemClock()
        provider = acme({"kind": "client_credentials", "token_url": f"{server.url}/token"})
        for secret, sort in ((CLIENT_SECRET, Granted), ("wrong", Refused)):
            fields = {"client_id": CLIENT_ID, "client_secret": secret}
            what = credential("client_credentials", fields=fields)
            assert isinstance(await endpoint(sender, {}).renew("a", provider, what, clock.now() + SECONDS), sort)
        await sender.aclose()
