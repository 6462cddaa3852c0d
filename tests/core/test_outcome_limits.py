"""What a failed answer says about when to come back, and the test of success beyond the status."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from sidecar.adapters.json_schema import compile_schema
from sidecar.core.outcome import outcome
from sidecar.core.raw import RAW_FACTS, RAW_SCHEMAS
from sidecar.kinds import Bearer
from sidecar.manifest import Errors, FixedUrl, Manifest, RetryAfter, SuccessTest
from sidecar.manifest import Operation as OperationFact
from sidecar.model import Access, Failure, Reason, Success
from sidecar.provider import Explained, Operation, Provider

WALL = 1_000_000.0
RESET = {"x-reset": "1001800"}


def provider(success: SuccessTest | None = None) -> Provider:
    manifest = Manifest(
        format=1,
        name="acme",
        title="Acme",
        version="1",
        base_url=FixedUrl(url="https://acme.example"),
        auth=(Bearer(),),
        retry_after=(RetryAfter(unit="epoch_seconds", header="x-reset"),),
        errors=Errors(code=("error",)),
        success=success,
    )
    return Provider(manifest=manifest, operations={}, explain=None, digest="")


def operation(access: Access = Access.READ, *, raw: bool = False) -> Operation:
    fact = RAW_FACTS["http.get"] if raw else OperationFact(access=access, summary="", method="GET", path="/")
    schema = RAW_SCHEMAS["http.get"] if raw else {"type": "object"}
    problems = compile_schema(schema)
    return Operation(
        provider="acme", name="a", fact=fact, parameters=(), input_schema=schema, problems=problems, raw=raw
    )


@pytest.mark.parametrize(
    ("status", "headers", "reason", "wait"),
    [
        (429, RESET, Reason.PROVIDER_RATE_LIMITED, 1800),
        (503, {**RESET, "retry-after": "0"}, Reason.PROVIDER_UNAVAILABLE, 1800),
        (502, RESET, Reason.PROVIDER_5XX, None),
        (503, RESET, Reason.PROVIDER_5XX, None),
        (400, RESET, Reason.PROVIDER_REJECTED, None),
        (502, {**RESET, "retry-after": "7"}, Reason.PROVIDER_5XX, 7),
    ],
)
def test_a_reset_that_stands_in_every_answer_is_a_wait_only_where_the_limit_was_met(
    status: int, headers: dict[str, str], reason: Reason, wait: float | None
) -> None:
    """A window's reset beside a failure of another kind does not put off the next attempt by half an hour."""
    result = outcome(provider(), operation(), httpx.Response(status, headers=headers), WALL)
    assert isinstance(result, Failure)
    assert (result.reason, result.retry_after) == (reason, wait)


@pytest.mark.parametrize(
    ("content", "succeeds"),
    [
        (b'{"ok": true}', True),
        (b'{"ok": false, "error": "gone"}', False),
        (b'{"url": "https://acme.example/file"}', True),
        (b"\x89PNG", True),
        (b"", True),
    ],
)
def test_a_raw_answer_that_says_it_failed_is_no_success(content: bytes, *, succeeds: bool) -> None:
    """A raw request may be answered in any form; a wrong value at the success test's path is a failure all the same."""
    tested = provider(success=SuccessTest(path="ok", equals=True))
    content_type = "application/json" if content.startswith(b"{") else "image/png"
    response = httpx.Response(200, headers={"content-type": content_type}, content=content)
    result = outcome(tested, operation(raw=True), response, WALL)
    assert isinstance(result, Success) is succeeds
    if isinstance(result, Failure):
        assert (result.reason, result.provider_code) == (Reason.PROVIDER_REJECTED, "gone")


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {}, 20.0),
        (429, {"date": "Mon, 12 Jan 1970 13:46:50 GMT"}, 10.0),
        (429, {"retry-after": "7"}, 7.0),
        (429, {"date": "Mon, 12 Jan 1970 13:50:00 GMT"}, 0.0),
        (500, {}, None),
    ],
)
def test_a_moment_told_in_words_is_waited_for(status: int, headers: dict[str, str], wait: float | None) -> None:
    """What the explain hook read as the moment to come back counts by the provider's own clock, after what a header
    says, and only where a limit was met.
    """
    words = msgspec.structs.replace(provider(), explain=lambda *_: Explained(retry_at=WALL + 20))
    result = outcome(words, operation(), httpx.Response(status, headers=headers), WALL)
    assert isinstance(result, Failure)
    assert result.retry_after == wait
