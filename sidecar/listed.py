"""A connection as an operator sees it: everything but the secret."""

from __future__ import annotations

from typing import Literal

import msgspec

from sidecar.auth.life import life_of
from sidecar.catalogue.own_limits import figures
from sidecar.credential import Credential, Status
from sidecar.model import Failure, Success
from sidecar.store.credential import Named
from sidecar.wire.event import timestamp
from sidecar.wire.subject import AdminAddress

Token = Literal["valid", "expiring", "refreshing", "ended"]


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A connection as an operator sees it: everything but the secret. What is issued tells its OAuth app, the scopes
    that were granted, when the access token ends, and how it stands: the provider is not asked. `limits` as given.
    """

    tenant: str
    connection: str
    provider: str
    kind: str
    status: str
    account: str | None = None
    base_url: str | None = None
    changed: str | None = None
    verified: bool | None = None
    problem: str | None = None
    client_id: str | None = None
    scopes: tuple[str, ...] = ()
    expires: str | None = None
    why: str | None = None
    kept: dict[str, str] = {}
    token: Token | None = None
    limits: dict[str, list[str]] = {}


def listed(item: Named, wall: float) -> Connection:
    """A connection of a list, also one whose record does not open."""
    credential = item.credential
    if isinstance(credential, Failure):
        problem = f"{credential.reason}: {credential.detail}"
        return Connection(
            tenant=item.tenant,
            connection=item.connection,
            provider=item.provider,
            kind="unknown",
            status="unreadable",
            problem=problem,
        )
    tokens = credential.tokens
    return Connection(
        tenant=item.tenant,
        connection=item.connection,
        provider=item.provider,
        kind=credential.kind,
        status=credential.status,
        account=credential.account,
        base_url=credential.base_url,
        changed=timestamp(credential.changed),
        client_id=credential.client_id,
        scopes=tokens.scopes if tokens else (),
        expires=timestamp(tokens.expires) if tokens and tokens.expires is not None else None,
        why=credential.why,
        kept=dict(credential.kept),
        token=_token(credential, wall),
        limits=figures(credential.limits),
    )


def shown(address: AdminAddress, credential: Credential, verified: str | Failure | None, wall: float) -> Connection:
    """One connection; `verified`: whose it is as its provider says, or why not, or None where nobody asked."""
    named = Named(address.tenant, address.connection, address.provider, credential)
    problem = f"{verified.reason}: {verified.detail}" if isinstance(verified, Failure) else None
    known = None if verified is None else problem is None
    return msgspec.structs.replace(listed(named, wall), verified=known, problem=problem)


def _token(credential: Credential, wall: float) -> Token | None:
    """How its access token stands, by the wall clock: each sidecar renews by its own from when it first saw it."""
    if credential.status is not Status.ACTIVE:
        return None
    if credential.refreshing is not None and credential.refreshing.owner is not None:
        return "refreshing"
    if credential.tokens is None or credential.tokens.expires is None:
        return None
    life = life_of(credential.tokens, wall, wall, 1.0)
    return "ended" if wall >= life.over else "expiring" if wall >= life.due else "valid"


def success(body: object) -> Success:
    """The answer that says this."""
    return Success(body=msgspec.json.encode(body))
