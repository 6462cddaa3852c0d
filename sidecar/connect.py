"""What agents ask of connecting accounts: a link for the account's owner, and whether it is done."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from sidecar.auth.apps import App, Apps
from sidecar.auth.flow import ID, Ended, Ending, Link, link_code, short
from sidecar.catalogue.answer import unknown_provider
from sidecar.kinds import OAuth2
from sidecar.model import Failure, Outcome, Reason, Success
from sidecar.offer import UNREADABLE, as_before, connected_before, consent_of, flow_for
from sidecar.ports import Clock, Random
from sidecar.provider import Catalogue, Provider
from sidecar.store.credential import CredentialStore, Revised
from sidecar.store.flow import FlowStore, Held, Place, Stage
from sidecar.wire.connect import ConnectLink, ConnectStatus, FlowState, StartRequest, StatusRequest
from sidecar.wire.event import Admin, timestamp
from sidecar.wire.subject import ConnectAddress

T = TypeVar("T")

VERBS = ("start", "status")
PASTED = "https://localhost/callback"
STATES: Mapping[Stage, FlowState] = {
    Stage.OFFERED: "offered",
    Stage.BEGUN: "begun",
    Stage.ANSWERED: "begun",
    Stage.CONNECTED: "connected",
    Stage.FAILED: "failed",
}


class Site(msgspec.Struct, frozen=True):
    """Where browsers reach the pages: `url` without a slash at its end, None where nobody does; where they may be sent
    back to.
    """

    url: str | None = None
    return_urls: tuple[str, ...] = ()

    @property
    def secure(self) -> bool:
        return self.url is not None and self.url.startswith("https:")

    def redirect_uri(self, auth: OAuth2) -> str:
        """Where the provider sends people back to. On a laptop no page of ours has an https address: where a provider
        wants one, they end at a page that does not load, and bring its address back themselves (`sidecar connect`).
        """
        return PASTED if auth.redirect == "https" and not self.secure else f"{self.url}/callback"


class Connect:
    """Answers the connect subjects. It writes flows only; credentials come from the pages that a link leads to."""

    def __init__(
        self,
        *,
        site: Site,
        catalogue: Catalogue,
        apps: Apps,
        credentials: CredentialStore,
        flows: FlowStore,
        clock: Clock,
        random: Random,
    ) -> None:
        self._site = site
        self._catalogue = catalogue
        self._apps = apps
        self._credentials = credentials
        self._flows = flows
        self._clock = clock
        self._random = random

    async def answer(self, address: ConnectAddress, payload: bytes) -> Outcome:
        """The answer to `sidecar.connect.<tenant>.<connection>.<provider>.<verb>`."""
        provider = self._catalogue.providers.get(address.provider)
        if provider is None:
            return unknown_provider(self._catalogue, address.provider)
        answer: ConnectLink | ConnectStatus | Failure
        match address.verb:
            case "start":
                start = _decoded(payload, StartRequest)
                answer = start if isinstance(start, Failure) else await self.start(address, provider, start)
            case "status":
                asked = _decoded(payload, StatusRequest)
                answer = asked if isinstance(asked, Failure) else await self._status(address, asked)
            case _:
                detail = f"there is no connect verb {address.verb[:80]!r}; verbs: {', '.join(VERBS)}"
                return Failure(reason=Reason.MALFORMED, detail=detail)
        return answer if isinstance(answer, Failure) else Success(body=msgspec.json.encode(answer))

    def event(self, address: ConnectAddress, outcome: Outcome | Ended) -> Admin:
        """What the trace says of it; never the link."""
        return connect_event(self._clock, address.tenant, address.connection, address.provider, address.verb, outcome)

    async def start(
        self, address: ConnectAddress, provider: Provider, asked: StartRequest, *, again: bool = False
    ) -> ConnectLink | Failure:
        """A new link, or why this account cannot be connected here. `again`: no scopes but those there were."""
        auth = consent_of(provider, asked.kind)
        if isinstance(auth, Failure):
            return auth
        app = self._app(address.tenant, provider, auth)
        if isinstance(app, Failure):
            return app
        there = await self._look(address)
        known = connected_before(address, there)
        if isinstance(known, Failure):
            return known
        flow = flow_for(provider, auth, app, asked, known, self._site.return_urls)
        if isinstance(flow, Failure):
            return flow
        if isinstance(there, Revised):
            flow = msgspec.structs.replace(flow, over=there.revision)
        if again:
            flow = as_before(auth, flow, known)
        secret = urlsafe_b64encode(self._random.token(24)).decode()
        link = Link(address.tenant, address.connection, address.provider, secret)
        written = await self._flows.write(link.place, flow, None)
        if isinstance(written, Failure):
            return written
        return ConnectLink(
            link=f"{self._site.url}/connect/{link_code(link)}",
            flow=link.place.id,
            valid_seconds=flow.valid_seconds,
            kind=flow.kind,
            scopes=flow.scopes,
            redirect_uri=self._site.redirect_uri(auth),
            expected_account=flow.expected_account,
        )

    async def again(self, address: ConnectAddress) -> ConnectLink | Failure:
        """A link for the owner of a connection that was connected before: for the same account and the same scopes."""
        provider = self._catalogue.providers.get(address.provider)
        if provider is None:
            return unknown_provider(self._catalogue, address.provider)
        return await self.start(address, provider, StartRequest(), again=True)

    async def is_offered(self, address: ConnectAddress, flow: str) -> bool:
        """Whether a link can still be opened, as far as is known."""
        held = await self._flows.read(Place(address.tenant, address.connection, address.provider, flow))
        return isinstance(held, Held) and held.flow.stage is Stage.OFFERED

    def _app(self, tenant: str, provider: Provider, auth: OAuth2) -> App | Failure:
        """The app to send people to the provider with, where they can come back from there."""
        title = provider.manifest.title
        if self._site.url is None:
            return _not_set_up("nobody can open a link here", "set SIDECAR_PUBLIC_URL and SIDECAR_CONNECT_ADDRESS")
        app = self._apps.app(tenant, provider.name)
        if app is None:
            problem = self._apps.problem(tenant, provider.name)
            steps = "; ".join(auth.app) or f"make one at {title}"
            uri = self._site.redirect_uri(auth)
            where = f"redirect URI {uri}; put it into {provider.name}.json in SIDECAR_APPS_DIR"
            return _not_set_up(problem or f"no OAuth app of {title} is set up here", f"{steps}; {where}")
        return app

    async def _status(self, address: ConnectAddress, asked: StatusRequest) -> ConnectStatus | Failure:
        found = await self._look(address)
        if isinstance(found, Failure) and found.reason not in UNREADABLE:
            return found
        credential = found.credential if isinstance(found, Revised) else None
        status = ConnectStatus(
            tenant=address.tenant,
            connection=address.connection,
            provider=address.provider,
            status=credential.status if credential else "unreadable" if found else "none",
            account=credential.account if credential else None,
        )
        if asked.flow is None:
            return status
        if not ID.fullmatch(asked.flow):
            return Failure(reason=Reason.MALFORMED, detail="flow is what `start` answered as such")
        held = await self._flows.read(Place(address.tenant, address.connection, address.provider, asked.flow))
        if isinstance(held, Failure):
            return held
        if held is None:
            return msgspec.structs.replace(status, flow="gone")
        flow = held.flow
        return msgspec.structs.replace(status, flow=STATES[flow.stage], ending=flow.ending, detail=flow.detail)

    async def _look(self, address: ConnectAddress) -> Revised | Failure | None:
        return await self._credentials.look(address.tenant, address.connection, address.provider)


def connect_event(
    clock: Clock, tenant: str, connection: str, provider: str, verb: str, outcome: Outcome | Ended
) -> Admin:
    """What the trace says of a step of connecting an account."""
    ended: str
    said: str | None
    ended, said = "ok", None
    if isinstance(outcome, Failure):
        ended, said = str(outcome.reason), outcome.detail
    elif isinstance(outcome, Ended) and outcome.ending is not Ending.CONNECTED:
        ended, said = str(outcome.ending), outcome.detail and short(outcome.detail)
    return Admin(
        time=timestamp(clock.wall()),
        tenant=tenant,
        connection=connection,
        provider=provider,
        verb=f"connect.{verb}" if verb in (*VERBS, "finish") else "unknown",
        outcome=ended,
        detail=said,
    )


def _not_set_up(detail: str, hint: str) -> Failure:
    return Failure(reason=Reason.NOT_SET_UP, detail=detail, hint=hint)


def _decoded(payload: bytes, kind: type[T]) -> T | Failure:
    try:
        return msgspec.json.decode(payload or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = str(error) if isinstance(error, msgspec.ValidationError) else "the payload is not JSON"
        return Failure(reason=Reason.MALFORMED, detail=detail)
