"""What is wrong with a provider as a whole, beyond the form of its parts: told when it is loaded, not when called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from sidecar.auth.kind import is_issued, kind_of
from sidecar.catalogue.base_url_mistakes import base_url_mistakes, relative_mistakes
from sidecar.catalogue.kind_mistakes import issued_mistakes, key_mistakes
from sidecar.catalogue.path_mistakes import listed, path_mistakes, success_mistakes
from sidecar.catalogue.place_mistakes import (
    Places,
    answered_mistakes,
    carried_mistakes,
    credential_places,
    header_mistakes,
    parameter_mistakes,
)
from sidecar.catalogue.quota_mistakes import quota_mistakes, rule_mistakes, told_mistakes
from sidecar.catalogue.validate import validate
from sidecar.kinds import ApiKey
from sidecar.manifest import Errors, Manifest, Verify
from sidecar.model import Access, Reason
from sidecar.provider import Operation
from sidecar.wire.subject import NAME

# What an answer can mean. Others say that nothing was sent, and would let a write be sent twice.
ANSWERED = frozenset(
    {
        Reason.BAD_PROVIDER_RESPONSE, Reason.CREDENTIAL_REJECTED, Reason.OUTCOME_UNKNOWN, Reason.PROVIDER_5XX,
        Reason.PROVIDER_CONFLICT, Reason.PROVIDER_FORBIDDEN, Reason.PROVIDER_NOT_FOUND, Reason.PROVIDER_PRECONDITION,
        Reason.PROVIDER_RATE_LIMITED, Reason.PROVIDER_REJECTED, Reason.PROVIDER_UNAVAILABLE, Reason.REQUEST_TOO_LARGE,
        Reason.SCOPE_MISSING,
    }
)  # fmt: skip


def manifest_mistakes(folder: str, manifest: Manifest, operations: Mapping[str, Operation]) -> Iterator[str]:
    """Each mistake as `key: rule`. `folder` is the name of the folder, `operations` are those that were loaded."""
    if manifest.name != folder:
        yield f"name: {manifest.name!r} must be the folder's name, {folder!r}"
    if not NAME.fullmatch(manifest.name):
        yield f"name: {manifest.name!r} must be a lower-case word of [a-z0-9_]"
    if not manifest.docs:
        yield "docs: the provider's documentation URL is required"
    if manifest.max_response_bytes is not None and manifest.max_response_bytes < 1:
        yield "max_response_bytes: must be above 0"
    yield from base_url_mistakes(manifest.base_url, manifest.auth)
    yield from _auth_mistakes(manifest, operations)
    places = credential_places(manifest.auth)
    for name, value in manifest.headers.items():
        yield from (f"headers: {wrong}" for wrong in header_mistakes(name, value, places))
    yield from _raw_mistakes(manifest, places)
    yield from _idempotency_mistakes(manifest, operations, places)
    yield from quota_mistakes(manifest.quotas, operations)
    quotas = {quota.name for quota in manifest.quotas}
    yield from told_mistakes(manifest.limits_told, quotas)
    yield from _error_mistakes(manifest.errors, quotas)
    for index, source in enumerate(manifest.retry_after):
        if (source.header is None) is (source.path is None):
            yield f"retry_after.{index}: name a header or a path, one of them"
    if manifest.success is not None:
        yield from success_mistakes("success", manifest.success)
    yield from path_mistakes(_paths_of(manifest))
    for key, name in _answered_headers(manifest).items():
        yield from answered_mistakes(key, name)
    yield from _verify_mistakes(manifest, operations)


def _auth_mistakes(manifest: Manifest, operations: Collection[str]) -> Iterator[str]:
    if not manifest.auth:
        yield "auth: name at least one kind"
    for kind in _twice(kind_of(auth) for auth in manifest.auth):
        yield f"auth: kind {kind} stands twice"
    for auth in manifest.auth:
        name = f"auth.{kind_of(auth)}"
        yield from (f"{name}{wrong}" for wrong in carried_mistakes(auth))
        if isinstance(auth, ApiKey):
            yield from (f"{name}.{wrong}" for wrong in key_mistakes(auth))
        if is_issued(auth):
            wrongs = (*issued_mistakes(auth, operations), *relative_mistakes(manifest.base_url, auth))
            yield from (f"{name}.{wrong}" for wrong in wrongs)


def _raw_mistakes(manifest: Manifest, places: Places) -> Iterator[str]:
    if manifest.raw is None:
        return
    for name in manifest.raw.headers:
        if name != name.lower():
            yield f"raw.headers: {name!r} must be in lower case"
        yield from (f"raw.headers: {wrong}" for wrong in header_mistakes(name, "", places))
    for pattern in manifest.raw.closed:
        if not pattern.startswith(("/", "*")):
            yield f"raw.closed: {pattern!r} must start with / or *, as every path does"


def _idempotency_mistakes(manifest: Manifest, operations: Mapping[str, Operation], places: Places) -> Iterator[str]:
    fact = manifest.idempotency
    if fact is None:
        return
    if (fact.header is None) is (fact.query is None):
        yield "idempotency: name a header or a query parameter, one of them"
    if fact.header is not None:
        yield from (f"idempotency.header: {wrong}" for wrong in header_mistakes(fact.header, "", places))
    if fact.query is not None:
        yield from (f"idempotency.query: {wrong}" for wrong in parameter_mistakes(fact.query, places))
    for pattern in fact.operations:
        if not any(fnmatchcase(name, pattern) for name, known in operations.items() if known.access is Access.WRITE):
            yield f"idempotency.operations: {pattern!r} fits no write operation"


def _error_mistakes(errors: Errors, quotas: Collection[str]) -> Iterator[str]:
    for index, rule in enumerate(errors.rules):
        if rule.reason not in ANSWERED:
            yield f"errors.rules.{index}.reason: {rule.reason} is not what an answer can mean"
        if not rule.status and not rule.code and not rule.header and rule.message is None:
            yield f"errors.rules.{index}: matches every answer; name a status, a code, a header or words of the message"
        yield from rule_mistakes(index, rule, quotas)


def _paths_of(manifest: Manifest) -> dict[str, str | None]:
    """Every path into an answer, by its key."""
    calls = {"verify": manifest.verify, **{f"verify_as.{kind}": call for kind, call in manifest.verify_as.items()}}
    return {
        **listed("errors.code", manifest.errors.code),
        **listed("errors.message", manifest.errors.message),
        **{f"retry_after.{index}.path": source.path for index, source in enumerate(manifest.retry_after)},
        **_told_at(manifest, "body"),
        **{f"{key}.account": call.account for key, call in calls.items() if call is not None},
    }


def _answered_headers(manifest: Manifest) -> dict[str, str]:
    """Every header that is looked for in answers, by its key."""
    named = {
        **{f"retry_after.{index}.header": source.header for index, source in enumerate(manifest.retry_after)},
        **_told_at(manifest, "header"),
        **listed("errors.request_id", manifest.errors.request_id),
    }
    for index, rule in enumerate(manifest.errors.rules):
        named |= {f"errors.rules.{index}.header": name for name in rule.header}
    return {key: name for key, name in named.items() if name is not None}


def _told_at(manifest: Manifest, place: str) -> dict[str, str | None]:
    """What `limits_told` looks for in the answer's headers, or at paths of its body."""
    return {
        f"limits_told.{index}.{key}": name
        for index, told in enumerate(manifest.limits_told)
        for key, name in (("limit", told.limit), ("remaining", told.remaining), ("reset", told.reset))
        if told.place == place
    }


def _verify_mistakes(manifest: Manifest, operations: Mapping[str, Operation]) -> Iterator[str]:
    if manifest.verify is not None:
        yield from _call_mistakes("verify", manifest.verify, operations)
    for kind, verify in manifest.verify_as.items():
        if kind not in {kind_of(auth) for auth in manifest.auth}:
            yield f"verify_as.{kind}: auth has no such kind"
        yield from _call_mistakes(f"verify_as.{kind}", verify, operations)


def _call_mistakes(key: str, verify: Verify, operations: Mapping[str, Operation]) -> Iterator[str]:
    operation = operations.get(verify.operation)
    if operation is None:
        yield f"{key}.operation: there is no operation {verify.operation!r}"
        return
    if operation.access is Access.WRITE:
        yield f"{key}.operation: {verify.operation} is a write; a credential is tried by reading"
    wrong = validate(operation, verify.input)
    if wrong is not None:
        yield f"{key}.input: {wrong.detail}"


def _twice(names: Iterable[str]) -> Iterator[str]:
    return (name for name, times in Counter(names).items() if times > 1)
