"""A quota as the catalogue lists it: whose budget, how much, and what counts."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from sidecar.manifest import Quota


class ListedQuota(msgspec.Struct, frozen=True, kw_only=True):
    """A budget that sidecars keep before the provider's own. `limits` hold all at once: `UNITS/SECONDS`, a number of
    requests at once, or `BURST+RATE/s` of a token bucket.
    """

    name: str
    scope: str
    limits: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    each_operation: bool = False
    operations: tuple[str, ...] = ()
    costs: dict[str, int] = {}
    set_by_connection: bool = False


def listed_quota(quota: Quota) -> ListedQuota:
    """The quota of a manifest."""
    return ListedQuota(
        name=quota.name,
        scope=quota.scope,
        limits=tuple(_limits(quota)),
        by=quota.by,
        each_operation=quota.each_operation,
        operations=quota.operations,
        costs=quota.costs,
        set_by_connection=quota.set_by_connection,
    )


def _limits(quota: Quota) -> Iterator[str]:
    for window in quota.windows:
        yield f"{window.units}/{window.seconds:g}"
    if quota.bucket is not None:
        yield f"{quota.bucket.burst}+{quota.bucket.rate:g}/s"
    if quota.concurrency is not None:
        yield f"{quota.concurrency}"
