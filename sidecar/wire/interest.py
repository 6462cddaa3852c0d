"""What a sidecar of a scope listens to, and the refusal of what comes from outside of it all the same."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

import msgspec

from sidecar.model import Access, Failure, Reason
from sidecar.scope import Scope
from sidecar.wire.subject import EVERY, encode_token


class Kind(StrEnum):
    """Who answers what comes on a subject."""

    CALL = "call"
    ADMIN = "admin"
    CATALOG = "catalog"
    CANCEL = "cancel"
    CONNECT = "connect"
    SUBMIT = "submit"
    RESULT = "result"


class Interest(msgspec.Struct, frozen=True):
    """One subscription. `name` is legal where ADR-32 wants the name of an endpoint, and the only one of its kind."""

    kind: Kind
    name: str
    subject: str


def interests(prefix: str, scope: Scope, providers: Collection[str]) -> list[Interest]:
    """What to subscribe to: provider by provider, so that one that nobody serves is NATS's own `no responders`; tenant
    and connections by name where the scope names them, so that NATS brings nothing else.

    What spans all connections, or all providers, is left to those who serve them all; so are durable calls, for whoever
    takes one from the queue must be able to run it.
    """
    tenant = "*" if scope.tenant is None else encode_token(scope.tenant)
    found: list[Interest] = []
    for number, connection in enumerate(map(encode_token, scope.connections), 1) if scope.connections else [(0, "*")]:
        of_this = f"_{number}" if number else ""
        place = f"{tenant}.{connection}"
        for provider in filter(scope.holds_provider, providers):
            for access in Access:
                subject = f"{prefix}.{access}.{place}.{provider}.>"
                found.append(Interest(Kind.CALL, f"{access}_{provider}{of_this}", subject))
            found.append(
                Interest(Kind.ADMIN, f"admin_{provider}{of_this}", f"{prefix}.admin.{place}.{provider}.*"),
            )
            connect = f"{prefix}.connect.{place}.{provider}.*"
            found.append(Interest(Kind.CONNECT, f"connect_{provider}{of_this}", connect))
        if not scope.providers:
            found.append(Interest(Kind.ADMIN, f"admin{of_this}", f"{prefix}.admin.{place}.{EVERY}.*"))
        found.append(Interest(Kind.CANCEL, f"cancel{of_this}", f"{prefix}.cancel.{place}.*"))
    if not scope.connections and not scope.providers:
        found += [
            Interest(Kind.SUBMIT, f"submit_{provider}", f"{prefix}.submit.{tenant}.*.{provider}.>")
            for provider in providers
        ]
        found.append(Interest(Kind.RESULT, "result", f"{prefix}.read.{tenant}.*.{EVERY}.result.get"))
    return [*found, Interest(Kind.CATALOG, "catalog", f"{prefix}.catalog.{tenant}.>")]


def denied(scope: Scope, tenant: str, connection: str | None = None, provider: str | None = None) -> Failure | None:
    """The refusal of what is not of this scope; what is not named is not looked at."""
    if not scope.holds_tenant(tenant):
        what = f"tenant {tenant}"
    elif connection is not None and not scope.holds_connection(connection):
        what = f"connection {connection}"
    elif provider is not None and not scope.holds_provider(provider):
        what = f"provider {provider}"
    else:
        return None
    return Failure(reason=Reason.TENANT_DENIED, detail=f"this sidecar does not serve {what}")
