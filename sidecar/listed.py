"""A connection as an operator sees it: everything but the secret."""

from __future__ import annotations

import msgspec

from sidecar.credential import Credential
from sidecar.model import Failure, Success
from sidecar.store.credential import Named
from sidecar.wire.event import timestamp
from sidecar.wire.subject import AdminAddress


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A connection as an operator sees it: everything but the secret. What is issued tells its OAuth app, the scopes
    that were granted, and when the access token ends.
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


def listed(item: Named) -> Connection:
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
    )


def shown(address: AdminAddress, credential: Credential, verified: str | Failure | None) -> Connection:
    """One connection; `verified`: whose it is as its provider says, or why not, or None where nobody asked."""
    named = Named(address.tenant, address.connection, address.provider, credential)
    problem = f"{verified.reason}: {verified.detail}" if isinstance(verified, Failure) else None
    known = None if verified is None else problem is None
    return msgspec.structs.replace(listed(named), verified=known, problem=problem)


def success(body: object) -> Success:
    """The answer that says this."""
    return Success(body=msgspec.json.encode(body))
