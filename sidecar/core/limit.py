"""The quota kept before the provider's own: token buckets, reserved against the deadline before anything is sent.

A bucket is a GCRA level (ITU-T I.371): the moment at which it would be full again. An exchange starts when every budget
has a unit at that moment, and takes them then. Where one has none, the call stands in its line: those who come later
wait behind it, and whoever would wait past its deadline is refused at once. A call in the line of one budget takes
nothing from the others, which serve other calls meanwhile. What a provider says about its limit closes a bucket.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from sidecar.manifest import Quota
from sidecar.model import Failure, Reason

SOON = 0.0005  # seconds; a wait shorter than this is none
TOLD = Quota(name="told", scope="connection", rate=0, per=1)  # no rate of its own; closed by what the provider says


class Key(msgspec.Struct, frozen=True):
    """Which budget: (provider, whose, bucket name)."""

    provider: str
    whose: tuple[str, ...]
    name: str


class Bucket(msgspec.Struct, frozen=True):
    """`full_at`: when every unit is back, if nothing more is taken. `closed_until`: the provider said so. `waiting`:
    how many calls stand in its line.
    """

    full_at: float = 0.0
    closed_until: float = 0.0
    waiting: int = 0


class Reservation(msgspec.Struct, frozen=True):
    """When to go on, and the buckets after it. `at` is the `now` given when the exchange may start. Else wait until
    `at`, for `bucket` (`closed`: the provider said so), and reserve again, standing in `lines` meanwhile.
    """

    at: float
    buckets: Mapping[Key, Bucket]
    bucket: str | None = None
    closed: bool = False
    lines: frozenset[Key] = frozenset()


Budgets = Sequence[tuple[Key, Quota]]


def budgets(quotas: Sequence[Quota], provider: str, tenant: str, connection: str, operation: str) -> Budgets:
    """The budgets that one exchange of this operation takes from; always ends with the one the provider may close."""
    whose = {
        "app": (),
        "tenant": (tenant,),
        "connection": (tenant, connection),
        "account": (tenant, connection),
    }
    taken = [quota for quota in quotas if any(fnmatchcase(operation, pattern) for pattern in quota.operations)]
    return [(Key(provider, whose[quota.scope], quota.name), quota) for quota in (*map(_paced, taken), TOLD)]


def _paced(quota: Quota) -> Quota:
    """The quota as a token bucket, also where it says windows: a tenth at once, nine tenths over time."""
    if quota.rate or not (quota.windows or quota.bucket):
        return quota
    if quota.bucket:
        return msgspec.structs.replace(quota, rate=quota.bucket.rate, per=1, burst=quota.bucket.burst)
    window = min(quota.windows, key=lambda window: window.units / window.seconds)
    burst = max(1, window.units // 10)
    return msgspec.structs.replace(quota, rate=max(1, window.units - burst), per=window.seconds, burst=burst)


def reserve(
    wanted: Budgets, buckets: Mapping[Key, Bucket], now: float, deadline: float, lines: frozenset[Key] = frozenset()
) -> Reservation | Failure:
    """One unit of every budget now; or the wait for the slowest one, or the failure when that is past the deadline.

    `lines` are those that this call stands in; if it does not come back, they are to be left (`leave`).
    """
    at, slowest, closed = now, None, False
    for key, quota in wanted:
        bucket = buckets.get(key, Bucket())
        ready = _ready(quota, bucket, now, ahead=0 if key in lines else bucket.waiting)
        if max(ready, bucket.closed_until) > at:
            at, slowest, closed = max(ready, bucket.closed_until), key, bucket.closed_until > ready
    if slowest is None or at - now < SOON:
        rated = ((key, quota) for key, quota in wanted if quota.rate)
        left = dict(buckets) | leave(lines, buckets) if lines else buckets
        return Reservation(now, {key: _taken(quota, left.get(key, Bucket()), now) for key, quota in rated})
    if at >= deadline:
        return _refused(slowest, at - now, closed=closed)
    # A place in a line is kept over a wait for another budget only if it costs those behind less than one unit.
    stays = frozenset(key for key, quota in wanted if key in lines and at - now <= _interval(quota))
    joins = stays if closed else stays | {slowest}
    return Reservation(at, leave(lines - joins, buckets) | _join(joins - lines, buckets), slowest.name, closed, joins)


def leave(lines: Collection[Key], buckets: Mapping[Key, Bucket]) -> dict[Key, Bucket]:
    """The buckets after a call left these lines."""
    return {key: _joined(buckets[key], -1) for key in lines}


def close(wanted: Budgets, buckets: Mapping[Key, Bucket], until: float) -> dict[Key, Bucket]:
    """The buckets after the provider said "not before": the most specific budget is closed, others go on."""
    narrow = [item for item in wanted if item[1].operations != ("*",)] or wanted[-1:]
    closed: dict[Key, Bucket] = {}
    for key, _ in narrow:
        bucket = buckets.get(key, Bucket())
        closed[key] = Bucket(max(bucket.full_at, until), max(bucket.closed_until, until), bucket.waiting)
    return closed


def idle(bucket: Bucket, now: float) -> bool:
    """Whether the bucket says no more than a new one would."""
    return bucket.full_at <= now and bucket.closed_until <= now and not bucket.waiting


def _ready(quota: Quota, bucket: Bucket, now: float, *, ahead: int) -> float:
    """When there is a unit behind those `ahead` in the line."""
    return max(bucket.full_at, now) - (quota.burst - 1 - ahead) * _interval(quota) if quota.rate else 0.0


def _join(lines: Collection[Key], buckets: Mapping[Key, Bucket]) -> dict[Key, Bucket]:
    return {key: _joined(buckets.get(key, Bucket()), 1) for key in lines}


def _taken(quota: Quota, bucket: Bucket, at: float) -> Bucket:
    return Bucket(max(bucket.full_at, at) + _interval(quota), bucket.closed_until, bucket.waiting)


def _joined(bucket: Bucket, calls: int) -> Bucket:
    return Bucket(bucket.full_at, bucket.closed_until, bucket.waiting + calls)


def _interval(quota: Quota) -> float:
    return quota.per / quota.rate


def _refused(key: Key, wait: float, *, closed: bool) -> Failure:
    who = f"bucket {key.name} of {key.provider}"
    if closed:
        detail = f"the provider said to wait; {who} opens in {wait:.1f} s, after the deadline"
        return Failure(reason=Reason.PROVIDER_RATE_LIMITED, detail=detail, retry_after=wait, bucket=key.name)
    detail = f"{who} is used up; the next unit comes in {wait:.1f} s, after the deadline"
    return Failure(reason=Reason.LOCAL_RATE_LIMITED, detail=detail, retry_after=wait, bucket=key.name)
