"""A connection's credential: what it proves itself with, and whether it may."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from sidecar.secret import Secret

LONGEST_KEPT = 512


class Status(StrEnum):
    """Whether a connection may be used."""

    ACTIVE = "active"
    REAUTH_REQUIRED = "reauth_required"
    DISABLED = "disabled"
    REVOKED = "revoked"


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider issued. `expires` is in Unix seconds by our clock, counted from when it was asked for; None: it
    lives until the provider rejects it. `lifetime` in seconds.
    """

    access: Secret
    refresh: Secret | None = None
    expires: float | None = None
    lifetime: float | None = None
    scopes: tuple[str, ...] = ()


class Refreshing(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody is about to spend the refresh token, or did: nobody else may until it is known what became of it.
    `owner` is that process, None when it is over; `attempt` is this one try of it. `unanswered` counts the requests
    before it that may have spent the same token and were never answered.
    """

    owner: str | None
    attempt: str
    unanswered: int = 0


class OwnLimit(msgspec.Struct, frozen=True):
    """What the owner of the connection's server set: at most `units` of this quota in any `seconds`, or at once."""

    quota: str
    units: int
    seconds: float | None = None

    @property
    def figures(self) -> str:
        """As an operator writes them: `10/60`, or `4` of what may be under way at once."""
        return f"{self.units}" if self.seconds is None else f"{self.units}/{self.seconds:g}"


class Credential(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What a connection proves itself with. Times are Unix seconds; `account` is who the provider says it is.

    `fields` last, `tokens` are issued for them and renewed. `client_id` is the app that the tokens are bound to, `kept`
    what the provider said that stays with the connection, `why` the reason of a status, `limits` what is allowed there.
    What `auth/proof.py` makes of it hangs on it, and so is gone when it is.
    """

    kind: str
    fields: Mapping[str, Secret]
    base_url: str | None = None
    status: Status = Status.ACTIVE
    account: str | None = None
    created: float
    changed: float
    tokens: Tokens | None = None
    refreshing: Refreshing | None = None
    client_id: str | None = None
    kept: Mapping[str, str] = {}
    why: str | None = None
    limits: tuple[OwnLimit, ...] = ()

    def limits_at(self, base_url: str | None) -> tuple[OwnLimit, ...]:
        """The limits of another credential of the connection: those of this one, unless it is for another server."""
        return self.limits if base_url == self.base_url else ()

    @property
    def lost(self) -> bool:
        """Whether it must be allowed again because the answer that held its next token never arrived."""
        return self.status is Status.REAUTH_REQUIRED and self.refreshing is not None

    def revealed(self) -> dict[str, str]:
        """Its fields and tokens in plain, for who adds them to a request, or keeps them out of an answer."""
        plain = {name: secret.reveal() for name, secret in self.fields.items()}
        if self.tokens is not None:
            plain["access_token"] = self.tokens.access.reveal()
            if self.tokens.refresh is not None:
                plain["refresh_token"] = self.tokens.refresh.reveal()
        return plain


def may_be_kept(text: str) -> bool:
    """Whether a value that somebody says of an account can stay with its connection: any URL or header can carry it."""
    return 0 < len(text) <= LONGEST_KEPT and text.isascii() and text.isprintable()
