"""What is wrong with the quotas of a provider: figures that allow nothing, names of nothing, and what tells of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise

from sidecar.core.quota.demand import TOLD
from sidecar.core.retry import THROTTLED
from sidecar.manifest import ErrorRule, LimitTold, Quota
from sidecar.provider import Operation

NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
MOST_VARIATION_MS = 1_000


def quota_mistakes(quotas: Sequence[Quota], operations: Mapping[str, Operation]) -> Iterator[str]:
    """Each mistake as `key: rule`. `operations` are those that were loaded."""
    for name, times in Counter(quota.name for quota in quotas).items():
        if times > 1:
            yield f"quotas.{name}: stands twice"
    for quota in quotas:
        wrongs = (*_names(quota, operations), *_figures(quota), *_costs(quota, operations))
        yield from (f"quotas.{quota.name}{wrong}" for wrong in wrongs)


def told_mistakes(told: Sequence[LimitTold], quotas: Collection[str]) -> Iterator[str]:
    """What is wrong with where answers say how quotas stand."""
    for index, source in enumerate(told):
        where = f"limits_told.{index}"
        if source.quota not in quotas:
            yield f"{where}.quota: there is no quota {source.quota!r}"
        named = (source.limit, source.remaining, source.reset)
        if source.policy is not None and any(named):
            yield f"{where}: policy takes the place of limit, remaining and reset"
        if source.policy is None and source.limit is None and source.remaining is None:
            yield f"{where}: name what tells the limit or what remains"
        if source.fixed and source.reset is None and source.policy is None:
            yield f"{where}: a fixed window starts anew at a time; name the reset"


def rule_mistakes(index: int, rule: ErrorRule, quotas: Collection[str]) -> Iterator[str]:
    """What is wrong with what an error rule says of waiting."""
    where = f"errors.rules.{index}"
    if rule.quota is not None and rule.quota not in quotas:
        yield f"{where}.quota: there is no quota {rule.quota!r}"
    if rule.wait_seconds is not None and rule.wait_seconds <= 0:
        yield f"{where}.wait_seconds: is above 0"
    if rule.reason not in THROTTLED and (rule.quota, rule.wait_seconds) != (None, None):
        yield f"{where}: quota and wait_seconds belong to an answer that is limited, not to {rule.reason}"


def _names(quota: Quota, operations: Mapping[str, Operation]) -> Iterator[str]:
    if quota.name == TOLD:
        yield ": is the name of what the provider says in its answers; take another one"
    if not NAME.fullmatch(quota.name):
        yield ": the name must be a lower-case word of [a-z0-9_]"
    for pattern in quota.operations:
        if not any(fnmatchcase(name, pattern) for name in operations):
            yield f".operations: {pattern!r} names no operation"
    meant = [operation for name, operation in operations.items() if quota.cost(name)]
    for name in quota.by:
        if not any(name in operation.fact.input for operation in meant):
            yield f".by: {name!r} is no input of its operations"


def _figures(quota: Quota) -> Iterator[str]:
    for index, window in enumerate(quota.windows):
        if window.units < 1 or window.seconds <= 0:
            yield f".windows.{index}: units are at least 1, seconds above 0"
    for shorter, longer in pairwise(sorted(quota.windows, key=lambda window: window.seconds)):
        if shorter.seconds == longer.seconds or shorter.units >= longer.units:
            yield f".windows: of {shorter.seconds:g} s and {longer.seconds:g} s one allows all that the other does"
    if quota.bucket and (quota.bucket.rate <= 0 or quota.bucket.burst < 1):
        yield ".bucket: rate is above 0, burst at least 1"
    if quota.concurrency is not None and quota.concurrency < 1:
        yield ".concurrency: is at least 1"
    if not 0 <= quota.variation_ms <= MOST_VARIATION_MS:
        yield f".variation_ms: is 0 to {MOST_VARIATION_MS}"
    if not (quota.windows or quota.bucket or quota.concurrency or quota.set_by_connection):
        yield ": says no figure; give windows, a bucket or concurrency, or set_by_connection: true"


def _costs(quota: Quota, operations: Mapping[str, Operation]) -> Iterator[str]:
    for pattern, units in quota.costs.items():
        if not any(fnmatchcase(name, pattern) for name in operations):
            yield f".costs: {pattern!r} names no operation"
        if units < 0:
            yield f".costs: {pattern!r} costs less than nothing"
    most = most_at_once(quota)
    for name in operations:
        if most is not None and quota.cost(name) > most:
            yield f".costs: {name} costs {quota.cost(name)}, and {most} are the most that there can be"


def most_at_once(quota: Quota) -> int | None:
    """The units that one exchange can take at most; None where only slots are counted."""
    units = [window.units for window in quota.windows]
    if quota.bucket:
        units.append(quota.bucket.burst)
    return min(units, default=None)
