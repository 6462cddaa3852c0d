"""What is told of a call: its events, built from what is known at each step. Nothing secret goes in."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import httpx

from sidecar.core.outcome import request_id
from sidecar.core.redact import MAX_SAID, redact_headers, redact_url, said, without_secrets
from sidecar.core.retry import Decision
from sidecar.credential import Credential
from sidecar.model import MEANINGS, Call, Failure, Outcome, Request, Success
from sidecar.provider import Provider
from sidecar.wire.event import Attempt, Finished, Started, Wait, timestamp


def started(call: Call, now: float, wall: float, *, catalog_hash: str, sidecar: str) -> Started:
    return Started(
        *_about(call, now, wall),
        access=call.access,
        timeout_ms=round((call.deadline - call.accepted) * 1000),
        input_bytes=len(call.payload),
        input_sha256=_sha256(call.payload),
        catalog_hash=catalog_hash,
        sidecar=sidecar,
        parent_span_id=call.trace.parent_span_id,
        cursor=call.cursor,
    )


def wait(
    call: Call,
    now: float,
    wall: float,
    seconds: float,
    why: str,
    *,
    bucket: str | None = None,
    jitter: float | None = None,
) -> Wait:
    return Wait(*_about(call, now, wall), seconds=seconds, why=why, bucket=bucket, jitter=jitter)


def attempt(
    call: Call,
    now: float,
    wall: float,
    *,
    number: int,
    began: float,
    provider: Provider,
    request: Request,
    answer: httpx.Response | Failure,
    result: Outcome,
    decision: Decision,
    secrets: Sequence[str],
    credential: Credential,
) -> Attempt:
    """One exchange: what was asked, what came back (of a failure what it said), what was decided."""
    failure = result if isinstance(result, Failure) else None
    return Attempt(
        *_about(call, now, wall),
        attempt=number,
        method=request.method,
        url=_cut(redact_url(request.url)),
        request_headers=redact_headers(request.headers),
        request_bytes=len(request.content),
        request_sha256=_sha256(request.content) if request.content else "",
        duration_ms=_ms(now - began),
        reason=failure.reason if failure else None,
        side_effect=failure.side_effect if failure else None,
        decided=decision.why,
        token_valid_s=_valid_seconds(credential, wall - now + began),
        **_answered(provider, answer, failure, secrets),
    )


def finished(
    call: Call,
    now: float,
    wall: float,
    *,
    attempts: int,
    result: Outcome,
    why: Sequence[str],
    replayed: str | None = None,
) -> Finished:
    about = _about(call, now, wall)
    if isinstance(result, Success):
        return Finished(
            *about,
            outcome="ok",
            status=result.provider_status,
            attempts=attempts,
            output_bytes=len(result.body),
            dry_run=call.dry_run,
            replayed=replayed,
            why=tuple(why),
        )
    detail = _cut(result.detail)
    return Finished(
        *about,
        outcome=result.reason,
        code=MEANINGS[result.reason].code,
        side_effect=result.side_effect,
        status=result.provider_status,
        provider_code=result.provider_code,
        provider_request_id=result.provider_request_id,
        attempts=attempts,
        detail=detail,
        hint=result.hint and _cut(result.hint),
        retry_after_ms=None if result.retry_after is None else round(result.retry_after * 1000),
        dry_run=call.dry_run,
        replayed=replayed,
        why=(*map(_cut, why), detail),
    )


def _about(call: Call, now: float, wall: float) -> tuple[str, str, str, str, str, str, str, str, float]:
    """What every event of a call says, in the order of its fields."""
    trace = call.trace
    return (
        timestamp(wall),
        call.call_id,
        trace.trace_id,
        trace.span_id,
        call.tenant,
        call.connection,
        call.provider,
        call.operation,
        _ms(now - call.accepted),
    )


def _answered(
    provider: Provider, answer: httpx.Response | Failure, failure: Failure | None, secrets: Sequence[str]
) -> dict[str, Any]:
    if isinstance(answer, Failure):
        return {"said": _cut(without_secrets(answer.detail, secrets))}
    content = answer.content
    first_byte = answer.extensions.get("first_byte")
    return {
        "status": answer.status_code,
        "response_headers": redact_headers(answer.headers.raw, secrets),
        "response_bytes": len(content),
        "response_sha256": _sha256(content),
        "provider_request_id": request_id(provider, answer.headers, secrets),
        "first_byte_ms": None if first_byte is None else _ms(first_byte),
        "reused": answer.extensions.get("reused"),
        "said": _said(answer, secrets) if failure else None,
    }


def _said(answer: httpx.Response, secrets: Sequence[str]) -> str | None:
    """Its words, or why there are none."""
    lost: Failure | None = answer.extensions.get("lost")
    return said(answer.content, secrets) if lost is None else _cut(without_secrets(lost.detail, secrets))


def _valid_seconds(credential: Credential, wall: float) -> float | None:
    """How long its token was to live from that moment, where anybody said so."""
    if credential.tokens is None or credential.tokens.expires is None:
        return None
    return round(credential.tokens.expires - wall, 3)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SAID else f"{text[:MAX_SAID]}..."


def _sha256(content: bytes) -> str:
    return sha256(content).hexdigest()


def _ms(seconds: float) -> float:
    return round(seconds * 1e6) / 1e3
