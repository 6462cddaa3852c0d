"""Cases: for one call of an operation the exact requests expected, the answers given, and what must come of it.

A case proves its provider in `sidecar provider check`, and its answers are what the sandbox answers with.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any, Literal

import msgspec

from sidecar.fact import Fact
from sidecar.model import Reason, SideEffect

# What conformance checks and the sandbox use as credential, by field name of the auth kind. A token that a provider
# issues is `test-token` too; a field that is not here is `test-` and its name.
CREDENTIAL = {"key": "test-key", "token": "test-token", "username": "test-user", "password": "test-password"}
ACCESS_TOKEN = "test-token"
SERVER = "https://server.example"  # the base URL of a self-hosted provider in cases
SUBDOMAIN = "acme"  # the subdomain in cases


class CasePart(Fact, frozen=True):
    """A part of a multipart body: its content as text or as bytes, and what else it must have. What is not named here
    is not compared.
    """

    text: str | None = None
    base64: str | None = None
    file_name: str | None = None
    content_type: str | None = None

    def __post_init__(self) -> None:
        if (self.text is None) is (self.base64 is None):
            raise ValueError("give text or base64, one of them")
        if self.base64 is not None:
            b64decode(self.base64, validate=True)


class CaseRequest(Fact, frozen=True):
    """The request expected, exactly: path below the base URL as sent, decoded query, and one form of body at most.

    `headers` lists those that must be there with this value (names without case); others may be there too. A credential
    in the query need not be listed. `{call_id}` in path or body stands for the call's id, with dashes or without. Of a
    multipart body every part is listed, several of one name as a list; text says what a part holds, CasePart more.
    """

    method: str
    path: str
    query: dict[str, str | tuple[str, ...]] = msgspec.field(default_factory=dict)
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    json: Any = msgspec.UNSET
    form: dict[str, str | tuple[str, ...]] | None = None
    multipart: dict[str, str | CasePart | tuple[str | CasePart, ...]] | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        _at_most_one(json=self.json, form=self.form, multipart=self.multipart, text=self.text)


class CaseResponse(Fact, frozen=True):
    """The answer given: one form of body at most."""

    status: int
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    json: Any = msgspec.UNSET
    text: str | None = None
    base64: str | None = None

    def __post_init__(self) -> None:
        _at_most_one(json=self.json, text=self.text, base64=self.base64)
        if self.base64 is not None:
            b64decode(self.base64, validate=True)


class Exchange(Fact, frozen=True):
    """One HTTP exchange. It may be `lost` instead of answered: before a byte was sent, after, or in the body."""

    request: CaseRequest
    response: CaseResponse | None = None
    lost: Literal["before_send", "after_send", "truncated"] | None = None

    def __post_init__(self) -> None:
        if (self.response is None) is (self.lost is None):
            raise ValueError("give a response or `lost`, one of them")


class Expect(Fact, frozen=True):
    """What must come of the call: without `reason` success with `output`. `waits` are the seconds slept, in order."""

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

    def __post_init__(self) -> None:
        if self.reason is None and any((self.side_effect, self.provider_code, self.detail, self.hint)):
            raise ValueError("side_effect, provider_code, detail and hint belong to a failure; name its reason")
        if self.reason is None and self.retry_after_ms is not None:
            raise ValueError("retry_after_ms belongs to a failure; name its reason")
        if self.reason is not None and (self.output is not msgspec.UNSET or self.output_base64 or self.next_cursor):
            raise ValueError("a failure has no output and no next_cursor")


class Case(Fact, frozen=True):
    """`auth` names the auth kind of the credential used (default: the manifest's first)."""

    name: str
    operation: str
    expect: Expect
    input: dict[str, Any] = msgspec.field(default_factory=dict)
    exchanges: tuple[Exchange, ...] = ()
    cursor: str | None = None
    auth: str | None = None
    timeout_ms: int = 30_000


def succeeds(case: Case) -> bool:
    """Whether the case is a call that reaches the provider and succeeds."""
    return case.expect.reason is None and bool(case.exchanges)


def response_headers(response: CaseResponse) -> dict[str, str]:
    """The headers of an answer, in lower case; JSON says that it is JSON."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return headers if response.json is msgspec.UNSET else {"content-type": "application/json", **headers}


def response_body(response: CaseResponse) -> bytes:
    if response.json is not msgspec.UNSET:
        return msgspec.json.encode(response.json)
    return b64decode(response.base64) if response.base64 is not None else (response.text or "").encode()


def _at_most_one(**bodies: object) -> None:
    # A null is a JSON body like any other; of the other forms it means that there is none.
    given = [
        name for name, body in bodies.items() if body is not msgspec.UNSET and (body is not None or name == "json")
    ]
    if len(given) > 1:
        raise ValueError(f"one body at most, not {' and '.join(given)}")
