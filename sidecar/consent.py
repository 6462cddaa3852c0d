"""What a browser is led through: the link opened, the provider asked, the answer exchanged, tried and stored.

Whatever happens ends in a value that has a page. No step is done twice: each is a compare-and-set of the flow's record,
so it does not matter which sidecar the browser reaches.
"""

from __future__ import annotations

import logging
from base64 import urlsafe_b64encode
from collections.abc import Mapping

import msgspec

from sidecar.auth.apps import Apps
from sidecar.auth.flow import (
    Browser,
    Ended,
    Ending,
    Link,
    answered,
    begun,
    browser_of,
    cookie_name,
    cookie_value,
    ends,
    link_of,
    offered,
    over,
    returned,
)
from sidecar.auth.kind import auth_of
from sidecar.connect import Site, connect_event
from sidecar.core.base_url import connection_url
from sidecar.credential import Credential
from sidecar.exchange import Codes, Exchange, away
from sidecar.kinds import OAuth2
from sidecar.model import Failure, Reason
from sidecar.ports import Clock, OAuth, Random
from sidecar.provider import Catalogue, Provider
from sidecar.run import Observer
from sidecar.store.credential import CredentialStore
from sidecar.store.flow import Flow, FlowStore, Held, Place
from sidecar.verify import Verification

log = logging.getLogger("sidecar.connect")

SECRET_BYTES = 32


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner of an account is asked to allow, before going anywhere."""

    tenant: str
    connection: str
    provider: str
    scopes: tuple[str, ...]
    expected_account: str | None
    host: str


class Going(msgspec.Struct, frozen=True, kw_only=True):
    """Where the browser goes to, with the cookie that it has to bring back."""

    provider: str
    url: str
    cookie: str
    value: str
    seconds: int

    def __repr__(self) -> str:
        return f"Going({self.provider})"  # neither state nor cookie


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended for this browser; names are known once the flow is."""

    ended: Ended
    tenant: str | None = None
    connection: str | None = None
    provider: str | None = None
    account: str | None = None
    expected_account: str | None = None
    return_to: str | None = None


class Consent:
    """Leads browsers through flows, whoever offered them."""

    def __init__(
        self,
        *,
        site: Site,
        catalogue: Catalogue,
        apps: Apps,
        oauth: OAuth,
        codes: Codes,
        verification: Verification,
        credentials: CredentialStore,
        flows: FlowStore,
        observer: Observer,
        clock: Clock,
        random: Random,
    ) -> None:
        self._site = site
        self._catalogue = catalogue
        self._apps = apps
        self._oauth = oauth
        self._exchange = Exchange(codes, verification, credentials, clock)
        self._flows = flows
        self._observer = observer
        self._clock = clock
        self._random = random

    async def show(self, code: str) -> Offer | Arrived:
        """What a link is for. Looking at it changes nothing: mail programs and chats look at links too."""
        opened = await self._opened(code)
        if isinstance(opened, Arrived):
            return opened
        link, held, provider, auth = opened
        url = self._authorize_url(provider, auth, held.flow)
        if isinstance(url, Ended):
            return self._arrived(url, link.place, held.flow)
        return Offer(
            tenant=link.tenant,
            connection=link.connection,
            provider=provider.manifest.title,
            scopes=held.flow.scopes,
            expected_account=held.flow.expected_account,
            host=url.split("/")[2],
        )

    async def begin(self, code: str) -> Going | Arrived:
        """Use the link up, and send this browser to the provider."""
        opened = await self._opened(code)
        if isinstance(opened, Arrived):
            return opened
        link, held, provider, auth = opened
        url, app = self._authorize_url(provider, auth, held.flow), self._apps.app(link.tenant, provider.name)
        if isinstance(url, Ended) or app is None:
            ended = url if isinstance(url, Ended) else Ended(Ending.UNAVAILABLE, "its app is not set up here any more")
            return self._arrived(ended, link.place, held.flow)
        state, browser, verifier = self._secret(), self._secret(), self._oauth.new_verifier()
        redirect_uri = self._site.redirect_uri(auth)
        flow = begun(
            held.flow,
            state=state,
            browser=browser,
            verifier=verifier,
            client_id=app.client_id,
            redirect_uri=redirect_uri,
        )
        written = await self._flows.write(link.place, flow, held.revision)
        if isinstance(written, Failure):
            ended = Ended(Ending.LINK_USED) if written.reason is Reason.CAS_CONFLICT else Ended(Ending.UNAVAILABLE, "")
            return self._arrived(ended, link.place, held.flow)
        going = self._oauth.authorize_url(
            msgspec.structs.replace(auth, authorize_url=url),
            app,
            redirect_uri=redirect_uri,
            state=state,
            scopes=flow.scopes,
            verifier=verifier if auth.pkce else None,
        )
        return Going(
            provider=provider.manifest.title,
            url=going,
            cookie=cookie_name(state, secure=self._site.secure),
            value=cookie_value(Browser(link.place, browser)),
            seconds=flow.valid_seconds,
        )

    async def finish(self, parameters: Mapping[str, str], cookies: Mapping[str, str]) -> Arrived:
        """Take in what the provider sent the browser back with. To be run to its end, whether or not the browser
        waits: a code that was exchanged and not stored is lost.
        """
        browser = browser_of(parameters.get("state"), cookies, secure=self._site.secure)
        if isinstance(browser, Ended):
            return Arrived(ended=browser)
        place = browser.place
        held = await self._flows.read(place)
        if not isinstance(held, Held):
            return Arrived(ended=Ended(Ending.LINK_GONE) if held is None else away(held))
        provider, auth = self._served(place, held.flow)
        answer = returned(auth, parameters) if auth else None
        if provider is None or auth is None or answer is None:
            return Arrived(ended=Ended(Ending.UNAVAILABLE, f"{place.provider} is not served here"))
        flow = answered(held.flow, auth, answer, browser.secret)
        if isinstance(flow, Ended):
            if ends(flow):
                await self._end(place, held.flow, held.revision, flow)
            return self._arrived(flow, place, held.flow) if flow.ending is not Ending.NO_COOKIE else Arrived(ended=flow)
        revision = await self._flows.write(place, flow, held.revision)
        if isinstance(revision, Failure):
            again = revision.reason is Reason.CAS_CONFLICT
            return self._arrived(Ended(Ending.ALREADY_ANSWERED) if again else away(revision), place, flow)
        ended, account = await self._exchange.connected(place, provider, flow, answer)
        await self._end(place, flow, revision, ended, account)
        return self._arrived(ended, place, flow, account)

    async def _end(self, place: Place, flow: Flow, revision: int, ended: Ended, account: str | None = None) -> None:
        """Note how it ended, for who asks its status, and tell the trace."""
        written = await self._flows.write(place, over(flow, ended, account), revision)
        if isinstance(written, Failure):
            log.warning("the end of a connect flow could not be noted: %s", written.detail)
        event = connect_event(self._clock, place.tenant, place.connection, place.provider, "finish", ended)
        self._observer.emit(event)

    async def _opened(self, code: str) -> tuple[Link, Held, Provider, OAuth2] | Arrived:
        """The flow of a link that may be begun."""
        link = link_of(code)
        if link is None:
            return Arrived(ended=Ended(Ending.LINK_GONE))
        held = await self._flows.read(link.place)
        if isinstance(held, Failure):
            return Arrived(ended=away(held))
        flow = offered(held.flow if held else None)
        if held is None or isinstance(flow, Ended):
            ended = flow if isinstance(flow, Ended) else Ended(Ending.LINK_GONE)
            return self._arrived(ended, link.place, held.flow if held else None)
        provider, auth = self._served(link.place, flow)
        if provider is None or auth is None:
            return Arrived(ended=Ended(Ending.UNAVAILABLE, f"{link.provider} is not served here"))
        return link, held, provider, auth

    def _served(self, place: Place, flow: Flow) -> tuple[Provider | None, OAuth2 | None]:
        provider = self._catalogue.providers.get(place.provider)
        auth = auth_of(provider.manifest.auth, flow.kind) if provider else None
        return provider, auth if isinstance(auth, OAuth2) else None

    def _authorize_url(self, provider: Provider, auth: OAuth2, flow: Flow) -> str | Ended:
        """Where consent is given, absolute."""
        if not auth.authorize_url.startswith("/"):
            return auth.authorize_url
        asked = Credential(kind=flow.kind, fields={}, base_url=flow.base_url, created=0, changed=0)
        base = connection_url(provider.manifest.base_url, asked)
        return Ended(Ending.UNAVAILABLE, base.detail) if isinstance(base, Failure) else base + auth.authorize_url

    def _arrived(self, ended: Ended, place: Place, flow: Flow | None, account: str | None = None) -> Arrived:
        provider = self._catalogue.providers.get(place.provider)
        return Arrived(
            ended=ended,
            tenant=place.tenant,
            connection=place.connection,
            provider=provider.manifest.title if provider else place.provider,
            account=account or (flow.account if flow else None),
            expected_account=flow.expected_account if flow else None,
            return_to=flow.return_to if flow else None,
        )

    def _secret(self) -> str:
        return urlsafe_b64encode(self._random.token(SECRET_BYTES)).decode().rstrip("=")
