"""What an answer says of the limits that its exchange passed: how much is left, when it starts anew, how much it is.

What is said corrects what we count; it is never what we count by. What makes no sense is passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from sidecar.core.dig import dig
from sidecar.core.number import number
from sidecar.core.quota.event import Hinted
from sidecar.core.quota.limit import Demand
from sidecar.core.structured import items
from sidecar.core.wait import first, provider_clock, until
from sidecar.manifest import LimitTold

LONGEST_RESET = 40 * 86_400.0  # seconds; no quota of a provider is counted over more than a month


class Said(msgspec.Struct, frozen=True):
    """What one answer says of one quota. `reset` in seconds from now; `fixed`: then all of it is there again."""

    quota: str
    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None
    fixed: bool = False


def limits_said(told: tuple[LimitTold, ...], headers: httpx.Headers, content: bytes, wall: float) -> tuple[Said, ...]:
    """What the answer says, in the manifest's order. `wall` is Unix seconds."""
    if not told:
        return ()
    now = provider_clock(headers, wall)
    body = _decoded(content) if any(source.place == "body" for source in told) else None
    said = (_said(source, headers, body, now) for source in told if _matches(source, headers))
    return tuple(one for one in said if one.limit is not None or one.remaining is not None)


def hints(said: tuple[Said, ...], demand: Demand, call: str) -> list[Hinted]:
    """The same, of the limits that this exchange passed."""
    keys = {want.limit.bucket: want.limit.key for want in reversed(demand.wants)}
    return [
        Hinted(call, keys[one.quota], one.limit, one.remaining, one.reset, one.fixed)
        for one in said
        if one.quota in keys
    ]


def to_close(demand: Demand, said: tuple[Said, ...], bucket: str | None) -> tuple[str, ...]:
    """The keys that a limited answer closes: of the quota it names (`bucket`), else of what it says is used up, else of
    what it is most likely about.
    """
    used_up = {one.quota for one in said if one.remaining == 0}
    for names in ({bucket}, used_up):
        keys = tuple(want.limit.key for want in demand.wants if want.limit.bucket in names)
        if keys:
            return keys
    return demand.blamed


def until_reset(said: tuple[Said, ...]) -> float | None:
    """Seconds until what the answer says is used up starts anew."""
    return max((one.reset for one in said if one.remaining == 0 and one.reset), default=None)


def _said(source: LimitTold, headers: httpx.Headers, body: Any, now: float) -> Said:
    read: Callable[[str], Any] = headers.get if source.place == "header" else lambda path: dig(body, path)
    if source.policy is not None:
        return _of_policy(source, headers)
    reset = until(source.unit, read(source.reset), now) if source.reset else None
    return Said(
        source.quota,
        _whole(read(source.limit)) if source.limit else None,
        _whole(read(source.remaining)) if source.remaining else None,
        _bounded(reset),
        source.fixed,
    )


def _of_policy(source: LimitTold, headers: httpx.Headers) -> Said:
    """As `RateLimit` and `RateLimit-Policy` say it of the policy of this name.

    https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
    """
    found: dict[str, str] = {}
    for header in ("ratelimit-policy", "ratelimit"):
        for item in items(headers.get(header, "")):
            if item.name in {source.policy, None}:
                found |= item.parameters
    return Said(
        source.quota,
        _whole(found.get("q", found.get("limit"))),
        _whole(found.get("r", found.get("remaining"))),
        _bounded(number(found.get("t", found.get("reset")))),
        source.fixed,
    )


def _matches(source: LimitTold, headers: httpx.Headers) -> bool:
    return all(headers.get(name) == value for name, value in source.header.items())


def _single(value: Any) -> Any:
    return first(value) if isinstance(value, str) else value


def _whole(value: Any) -> int | None:
    """A count; a part of a unit is none, and less than none is none either."""
    said = number(_single(value))
    return None if said is None else max(0, int(said))


def _bounded(seconds: float | None) -> float | None:
    if seconds is None or seconds > LONGEST_RESET:
        return None
    return max(0.0, seconds)


def _decoded(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
