"""A credential as its sealed record holds it, in this format and the one before."""

from __future__ import annotations

from typing import Literal

import msgspec

from sidecar.credential import Credential, OwnLimit, Refreshing, Status, Tokens
from sidecar.secret import Secret

FORMAT: Literal[2] = 2


class StoredTokens(msgspec.Struct, frozen=True, kw_only=True):
    """`Tokens` in the sealed record."""

    access: str
    refresh: str | None
    expires: float | None
    lifetime: float | None
    scopes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"StoredTokens(expires {self.expires})"  # never their values


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The plain text of the sealed record."""

    format: Literal[2]
    kind: str
    fields: dict[str, str]
    base_url: str | None
    status: Status
    account: str | None
    created: float
    changed: float
    tokens: StoredTokens | None
    refreshing: Refreshing | None
    client_id: str | None
    kept: dict[str, str]
    why: str | None
    limits: tuple[OwnLimit, ...] = ()  # a sidecar of before does not know them, and goes by the manifest

    def __repr__(self) -> str:
        return f"Stored({self.kind}, {self.status}, fields {sorted(self.fields)})"  # never their values


class StoredBefore(msgspec.Struct, frozen=True, kw_only=True):
    """Format 1: kinds without tokens."""

    format: Literal[1]
    kind: str
    fields: dict[str, str]
    base_url: str | None
    status: Status
    account: str | None
    created: float
    changed: float

    def __repr__(self) -> str:
        return f"StoredBefore({self.kind}, {self.status}, fields {sorted(self.fields)})"  # never their values


def opened_form(stored: Stored) -> Credential:
    """The credential that a record holds."""
    return Credential(
        kind=stored.kind,
        fields={name: Secret(value) for name, value in stored.fields.items()},
        base_url=stored.base_url,
        status=stored.status,
        account=stored.account,
        created=stored.created,
        changed=stored.changed,
        tokens=_opened_tokens(stored.tokens) if stored.tokens else None,
        refreshing=stored.refreshing,
        client_id=stored.client_id,
        kept=stored.kept,
        why=stored.why,
        limits=stored.limits,
    )


def stored_form(credential: Credential) -> Stored:
    """The credential as its record holds it."""
    return Stored(
        format=FORMAT,
        kind=credential.kind,
        fields={name: secret.reveal() for name, secret in credential.fields.items()},
        base_url=credential.base_url,
        status=credential.status,
        account=credential.account,
        created=credential.created,
        changed=credential.changed,
        tokens=_stored_tokens(credential.tokens) if credential.tokens else None,
        refreshing=credential.refreshing,
        client_id=credential.client_id,
        kept=dict(credential.kept),
        why=credential.why,
        limits=credential.limits,
    )


def _opened_tokens(stored: StoredTokens) -> Tokens:
    return Tokens(
        access=Secret(stored.access),
        refresh=Secret(stored.refresh) if stored.refresh is not None else None,
        expires=stored.expires,
        lifetime=stored.lifetime,
        scopes=stored.scopes,
    )


def _stored_tokens(tokens: Tokens) -> StoredTokens:
    return StoredTokens(
        access=tokens.access.reveal(),
        refresh=tokens.refresh.reveal() if tokens.refresh else None,
        expires=tokens.expires,
        lifetime=tokens.lifetime,
        scopes=tokens.scopes,
    )


def upgraded(before: StoredBefore) -> Stored:
    """What was written in the format before."""
    same = {name: getattr(before, name) for name in before.__struct_fields__ if name != "format"}
    return Stored(**same, format=FORMAT, tokens=None, refreshing=None, client_id=None, kept={}, why=None)
