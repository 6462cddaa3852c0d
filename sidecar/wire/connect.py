"""What is asked and answered on `sidecar.connect.<tenant>.<connection>.<provider>.<start or status>`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

VALID_SECONDS = 600
EVERYTHING = ("*",)


class StartRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of `start`; empty asks for everything that the provider's operations need.

    The link is for whoever owns the account: give it to that person and to nobody else.
    """

    operations: tuple[str, ...] = EVERYTHING
    kind: str | None = None
    base_url: str | None = None
    expected_account: str | None = None
    return_to: str | None = None
    valid_seconds: Annotated[int, msgspec.Meta(ge=30, le=3_600)] = VALID_SECONDS


class ConnectLink(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `start`: a link that works once, for so many seconds."""

    link: str
    flow: str
    valid_seconds: int
    kind: str
    scopes: tuple[str, ...]
    redirect_uri: str
    expected_account: str | None = None

    def __repr__(self) -> str:
        return f"ConnectLink({self.flow}, {self.kind})"  # whoever has the link may open it


class StatusRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of `status`: of one flow as `start` named it, or empty, of the connection alone."""

    flow: str | None = None


FlowState = Literal["offered", "begun", "connected", "failed", "gone"]


class ConnectStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `status`: how far the flow is, and whether the connection can be used."""

    tenant: str
    connection: str
    provider: str
    status: str
    account: str | None = None
    flow: FlowState | None = None
    ending: str | None = None
    detail: str | None = None
