"""The sandbox's credential of each auth kind, and where it stands in a request."""

from __future__ import annotations

from urllib.parse import parse_qsl

from sidecar.auth.kind import fields_of, kind_of
from sidecar.auth.proof import Proof
from sidecar.core.base_url import named_in, server_and_path
from sidecar.credential import Credential, Tokens
from sidecar.kinds import Auth, Issued
from sidecar.manifest import BaseUrl, KeptUrl, SelfHosted, Subdomain
from sidecar.provider import Provider
from sidecar.sandbox.case import ACCESS_TOKEN, CREDENTIAL, SERVER, SUBDOMAIN
from sidecar.sandbox.compare import Standing
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
        kept=kept(provider.manifest.base_url),
        created=0.0,
        changed=0.0,
        tokens=Tokens(access=Secret(ACCESS_TOKEN)) if isinstance(kind, Issued) else None,  # never has to be renewed
    )


def fields(auth: Auth) -> dict[str, str]:
    """The fields of the sandbox's credential of this kind."""
    return {name: CREDENTIAL.get(name, invented(name)) for name in fields_of(auth)}


def kept(fact: BaseUrl) -> dict[str, str]:
    """The values of the sandbox's account that its base URL is made of; a whole URL is at the first of its hosts."""
    if not isinstance(fact, KeptUrl):
        return {}
    server, _ = server_and_path(fact.url)
    whole = {server[1:-1]: f"https://test{fact.suffixes[0]}"} if server.startswith("{") else {}
    return {name: invented(name) for name in named_in(fact.url)} | whole


def invented(name: str) -> str:
    """The value in cases of what has a name alone."""
    return f"test-{name.replace('_', '-')}"


def carried(auth: Auth) -> Standing:
    """Where the sandbox's credential of this kind stands in a request; of several parts the first."""
    given = {"access_token": ACCESS_TOKEN} if isinstance(auth, Issued) else fields(auth)
    segment, query, headers = Proof(auth, given).carried()
    if segment:
        return Standing("path", "", f"/{segment}")
    for name, value in parse_qsl(query):
        return Standing("query", name, value)
    name, value = (text.decode() for text in headers[0])
    return Standing("header", name.lower(), value)
