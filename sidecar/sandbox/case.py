"""Cases: for one call of an operation the exact requests expected, the answers given, and what must come of it.

A case proves its provider in `sidecar provider check`, and its answers are what the sandbox answers with.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from sidecar.manifest import Fact
from sidecar.model import Reason, SideEffect

# What conformance checks and the sandbox use as credential, by field name of the auth kind.
CREDENTIAL = {"key": "test-key", "token": "test-token", "username": "test-user", "password": "test-password"}
SERVER = "https://server.example"  # the base URL of a self-hosted provider in cases
SUBDOMAIN = "acme"  # the subdomain in cases


class CaseRequest(Fact, frozen=True):
    """The request expected, exactly: path below the base URL, decoded query, and one form of body at most.

    `headers` lists those that must be there with this value (names without case); others may be there too.
    """

    method: str
    path: str
    query: dict[str, str | tuple[str, ...]] = {}
    headers: dict[str, str] = {}
    json: Any = msgspec.UNSET
    form: dict[str, str | tuple[str, ...]] | None = None
    multipart: dict[str, str] | None = None
    text: str | None = None


class CaseResponse(Fact, frozen=True):
    """The answer given: one form of body at most."""

    status: int
    headers: dict[str, str] = {}
    json: Any = msgspec.UNSET
    text: str | None = None
    base64: str | None = None


class Exchange(Fact, frozen=True):
    """One HTTP exchange. Instead of a response the exchange may be `lost`: before a byte was sent, after, or in the body."""

    request: CaseRequest
    response: CaseResponse | None = None
    lost: Literal["before_send", "after_send", "truncated"] | None = None


class Expect(Fact, frozen=True):
    """What must come of the call. Without `reason` it succeeds with `output`; `waits` are the seconds slept, in order."""

    output: Any = msgspec.UNSET
    output_base64: str | None = None
    next_cursor: str | None = None
    reason: Reason | None = None
    side_effect: SideEffect | None = None
    provider_code: str | None = None
    detail: str | None = None
    hint: str | None = None
    retry_after_ms: int | None = None
    waits: tuple[float, ...] = ()


class Case(Fact, frozen=True):
    """`auth` names the auth kind of the credential used (default: the manifest's first)."""

    name: str
    operation: str
    expect: Expect
    input: dict[str, Any] = {}
    exchanges: tuple[Exchange, ...] = ()
    cursor: str | None = None
    auth: str | None = None
    timeout_ms: int = 30_000
