"""The offline provider: every provider below `/<provider>` of one loopback address, over real HTTP."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sidecar.adapters.address import bind
from sidecar.adapters.uvicorn_listener import DROP, droppable, listener
from sidecar.credential import Credential
from sidecar.model import Failure, Outcome
from sidecar.provider import Catalogue, Provider
from sidecar.sandbox.answer import Given, Offline
from sidecar.sandbox.case import Case, CaseResponse, response_body, response_headers
from sidecar.sandbox.compare import Seen
from sidecar.sandbox.credential import sandbox_credential
from sidecar.wire.subject import EVERY, AdminAddress

MARK = {"x-sandbox": "true"}
TENANT = "default"
CONNECTIONS = ("default", "alice")
LOG_SIZE = 10_000
CUT_OFF = b'{"cut'


class Received(msgspec.Struct, frozen=True):
    """One request as the sandbox saw it, without path and query: somebody's own key may stand there. `at` is monotonic
    seconds; `status` is None where the exchange was lost.
    """

    at: float
    provider: str
    method: str
    operation: str | None
    case: str | None
    status: int | None
    wrong: str | None


class Operator(Protocol):
    """Whoever answers the admin subjects, and keeps credentials."""

    async def answer(self, address: AdminAddress, payload: bytes) -> Outcome: ...

    async def keep(self, address: AdminAddress, credential: Credential) -> Failure | None: ...


class Known(msgspec.Struct, frozen=True):
    """A connection that is there already."""

    provider: str


class Sandbox:
    """The ASGI application; `received` holds the last requests, `port` is known once it listens."""

    def __init__(self, catalogue: Catalogue, cases: Mapping[str, Sequence[Case]]) -> None:
        self.received: deque[Received] = deque(maxlen=LOG_SIZE)
        self.port = 0
        self._catalogue = catalogue
        self._offline = {name: Offline(provider, cases.get(name, ())) for name, provider in catalogue.providers.items()}

    @property
    def base_urls(self) -> dict[str, str]:
        return base_urls(self.port, self._catalogue)

    @property
    def egress_allow(self) -> tuple[str, ...]:
        """What a sidecar must be allowed to call."""
        return (f"127.0.0.1:{self.port}",)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        provider, _, path = scope["raw_path"].decode("ascii").removeprefix("/").partition("/")
        seen = Seen(
            request.method,
            f"/{path}",
            tuple(parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True)),
            dict(request.headers.items()),
            await request.body(),
        )
        given = self._answer(provider, seen)
        status = given.response.status if given.response else None
        self.received.append(
            Received(time.monotonic(), provider, seen.method, given.operation, given.case, status, given.wrong)
        )
        if given.response is not None:
            await _response(given.response)(scope, receive, send)
        else:
            await _lose(given.lost, scope, send)

    def _answer(self, provider: str, seen: Seen) -> Given:
        offline = self._offline.get(provider)
        if offline is not None:
            return offline.answer(seen)
        why = f"there is no provider {provider!r}; providers: {', '.join(sorted(self._offline))}"
        return Given(CaseResponse(status=404, json={"error": "sandbox", "message": f"sandbox: {why}"}), wrong=why)


def base_urls(port: int, catalogue: Catalogue) -> dict[str, str]:
    """The base URL of each provider, for an executor."""
    return {name: f"http://127.0.0.1:{port}/{name}" for name in catalogue.providers}


@asynccontextmanager
async def sandbox(
    catalogue: Catalogue, cases: Mapping[str, Sequence[Case]], address: str = "127.0.0.1:0"
) -> AsyncIterator[Sandbox]:
    """A sandbox that answers until the block ends."""
    served = Sandbox(catalogue, cases)
    async with listener(droppable(served), bind(address), date=False) as bound:  # an answer's Date is the case's
        served.port = int(bound.rpartition(":")[2])
        yield served


class OfflineProviders:
    """What `app.development` wants as its sandbox. While it runs, `served` is the sandbox."""

    def __init__(self, cases: Mapping[str, Sequence[Case]]) -> None:
        self.served: Sandbox | None = None
        self._cases = cases

    @asynccontextmanager
    async def __call__(self, catalogue: Catalogue) -> AsyncIterator[Mapping[str, str]]:
        async with sandbox(catalogue, self._cases) as self.served:
            yield self.served.base_urls


async def store_credentials(
    administrator: Operator,
    catalogue: Catalogue,
    connections: Sequence[str] = CONNECTIONS,
    *,
    tenant: str = TENANT,
) -> Failure | None:
    """Give these connections of a tenant the sandbox's credentials, where they have none yet."""
    for name in connections:
        listed = await administrator.answer(AdminAddress(tenant, name, EVERY, "list"), b"")
        if isinstance(listed, Failure):
            return listed
        there = {known.provider for known in msgspec.json.decode(listed.body, type=list[Known])}
        for provider in catalogue.providers.values():
            if provider.name not in there:
                address = AdminAddress(tenant, name, provider.name, "import")
                failed = await administrator.keep(address, sandbox_credential(provider))
                if failed is not None:
                    return failed
    return None


def import_payload(provider: Provider, *, verify: bool = False) -> bytes:
    """The payload of an `import` of the sandbox's credential."""
    credential = sandbox_credential(provider)
    fields = credential.revealed()
    given = {"kind": credential.kind, "fields": fields, "base_url": credential.base_url, "verify": verify}
    return msgspec.json.encode(given)


def _response(response: CaseResponse) -> Response:
    return Response(response_body(response), response.status, {**response_headers(response), **MARK})


async def _lose(lost: str | None, scope: Scope, send: Send) -> None:
    """Close the connection: with nothing answered, or in the middle of the body."""
    if lost == "truncated":
        headers = [(b"content-type", b"application/json"), (b"content-length", b"100"), (b"x-sandbox", b"true")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": CUT_OFF, "more_body": True})
    await scope["extensions"][DROP]()
