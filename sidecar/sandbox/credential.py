"""The sandbox's credential of each auth kind, and where it stands in a request."""

from __future__ import annotations

import httpx

from sidecar.auth.kind import fields_of, kind_of
from sidecar.auth.proof import Proof, authorise
from sidecar.credential import Credential, Tokens
from sidecar.kinds import Auth, Issued
from sidecar.manifest import SelfHosted, Subdomain
from sidecar.model import Request
from sidecar.provider import Provider
from sidecar.sandbox.case import ACCESS_TOKEN, CREDENTIAL, SERVER, SUBDOMAIN
from sidecar.secret import Secret


def sandbox_credential(provider: Provider, auth: Auth | None = None) -> Credential:
    """The credential of cases and of the sandbox, of this kind or of the manifest's first."""
    kind = auth or provider.manifest.auth[0]
    match provider.manifest.base_url:
        case SelfHosted():
            url: str | None = SERVER
        case Subdomain():
            url = SUBDOMAIN
        case _:
            url = None
    return Credential(
        kind=kind_of(kind),
        fields={name: Secret(value) for name, value in fields(kind).items()},
        base_url=url,
        created=0.0,
        changed=0.0,
        tokens=Tokens(access=Secret(ACCESS_TOKEN)) if isinstance(kind, Issued) else None,  # never has to be renewed
    )


def fields(auth: Auth) -> dict[str, str]:
    """The fields of the sandbox's credential of this kind."""
    return {name: CREDENTIAL.get(name, f"test-{name.replace('_', '-')}") for name in fields_of(auth)}


def carried(auth: Auth) -> tuple[str, str, str]:
    """Where the sandbox's credential of this kind stands in a request: `header` or `query`, name, value."""
    bare = httpx.Request("GET", "https://server.example/", headers={"user-agent": ""})
    given = {"access_token": ACCESS_TOKEN} if isinstance(auth, Issued) else fields(auth)
    request = authorise(Request("GET", str(bare.url)), Proof(auth, given), "")
    for name, value in request.url.params.multi_items():
        return "query", name, value
    name = next(name for name in request.headers if name not in bare.headers)
    return "header", name, request.headers[name]


def query_name(auth: Auth) -> str | None:
    """The query parameter that carries a credential of this kind, or None."""
    place, name, _ = carried(auth)
    return name if place == "query" else None
