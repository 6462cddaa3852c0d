"""The quota kept before the provider's own: token buckets, reserved against the deadline before anything is sent.

A bucket is a GCRA level (ITU-T I.371): the moment at which it would be full again. A reservation is made at once and
may lie in the future; the caller sleeps until then. What a provider says about its limit closes a bucket for a while.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from sidecar.manifest import Quota
from sidecar.model import Failure, Reason

TOLD = Quota(name="told", scope="connection", rate=0, per=1)  # no rate of its own; closed by what the provider says


class Key(msgspec.Struct, frozen=True):
    """Which budget: (provider, whose, bucket name)."""

    provider: str
    whose: tuple[str, ...]
    name: str


class Bucket(msgspec.Struct, frozen=True):
    """`full_at`: when every unit is back, if nothing more is taken. `closed_until`: the provider said so."""

    full_at: float = 0.0
    closed_until: float = 0.0


class Reservation(msgspec.Struct, frozen=True):
    """When the exchange may start, which bucket made it wait (None: none did), and the buckets after it."""

    at: float
    bucket: str | None
    closed: bool
    buckets: Mapping[Key, Bucket]


Budgets = Sequence[tuple[Key, Quota]]


def budgets(quotas: Sequence[Quota], provider: str, tenant: str, connection: str, operation: str) -> Budgets:
    """The budgets that one exchange of this operation takes from; always ends with the one the provider may close."""
    whose = {"app": (), "tenant": (tenant,), "connection": (tenant, connection)}
    taken = [quota for quota in quotas if any(fnmatchcase(operation, pattern) for pattern in quota.operations)]
    return [(Key(provider, whose[quota.scope], quota.name), quota) for quota in (*taken, TOLD)]


def reserve(wanted: Budgets, buckets: Mapping[Key, Bucket], now: float, deadline: float) -> Reservation | Failure:
    """One unit of every budget at the earliest moment they all allow, or the failure when that is past the deadline."""
    at, slowest, closed = now, None, False
    for key, quota in wanted:
        bucket = buckets.get(key, Bucket())
        ready = _ready(quota, bucket)
        if max(ready, bucket.closed_until) > at:
            at, slowest, closed = max(ready, bucket.closed_until), key, bucket.closed_until > ready
    if at >= deadline and slowest is not None:
        return _refused(slowest, at - now, closed=closed)
    taken = {key: _taken(quota, buckets.get(key, Bucket()), at) for key, quota in wanted if quota.rate}
    return Reservation(at, slowest.name if slowest else None, closed, taken)


def close(wanted: Budgets, buckets: Mapping[Key, Bucket], until: float) -> dict[Key, Bucket]:
    """The buckets after the provider said "not before": the most specific budget is closed, others go on."""
    narrow = [item for item in wanted if item[1].operations != ("*",)] or wanted[-1:]
    closed: dict[Key, Bucket] = {}
    for key, _ in narrow:
        bucket = buckets.get(key, Bucket())
        closed[key] = Bucket(max(bucket.full_at, until), max(bucket.closed_until, until))
    return closed


def idle(bucket: Bucket, now: float) -> bool:
    """Whether the bucket says no more than a new one would."""
    return bucket.full_at <= now and bucket.closed_until <= now


def _ready(quota: Quota, bucket: Bucket) -> float:
    return bucket.full_at - (quota.burst - 1) * _interval(quota) if quota.rate else 0.0


def _taken(quota: Quota, bucket: Bucket, at: float) -> Bucket:
    return Bucket(max(bucket.full_at, at) + _interval(quota), bucket.closed_until)


def _interval(quota: Quota) -> float:
    return quota.per / quota.rate


def _refused(key: Key, wait: float, *, closed: bool) -> Failure:
    who = f"bucket {key.name} of {key.provider}"
    if closed:
        detail = f"the provider said to wait; {who} opens in {wait:.1f} s, after the deadline"
        return Failure(reason=Reason.PROVIDER_RATE_LIMITED, detail=detail, retry_after=wait, bucket=key.name)
    detail = f"{who} is used up; the next unit comes in {wait:.1f} s, after the deadline"
    return Failure(reason=Reason.LOCAL_RATE_LIMITED, detail=detail, retry_after=wait, bucket=key.name)
