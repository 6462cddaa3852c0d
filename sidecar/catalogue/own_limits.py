"""What an operator says of a connection's limits: `10/60` is ten in any 60 seconds, `4` is four at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from sidecar.catalogue.validate import nearest
from sidecar.credential import OwnLimit
from sidecar.manifest import Quota
from sidecar.model import Failure, Problem, Reason
from sidecar.provider import Provider

Figures = Mapping[str, Sequence[str]]  # quota: each of its limits

FORM = re.compile(r"([1-9][0-9]{0,9})(?:/([0-9]{1,7}(?:\.[0-9]{1,3})?))?", re.ASCII)
MOST = 8  # limits of one quota
LONGEST_SECONDS = 31 * 86_400.0
RULE = "is written UNITS/SECONDS, such as 10/60, or as a number of requests at once"


def own_limits(provider: Provider, said: Figures) -> tuple[OwnLimit, ...] | Failure:
    """The limits, or everything that is wrong with them."""
    problems = tuple(problem for name, texts in said.items() for problem in _problems(provider, name, texts))
    if problems:
        detail = "; ".join(f"{problem.pointer} {problem.detail}" for problem in problems)
        return Failure(reason=Reason.VALIDATION, detail=detail, problems=problems)
    read = (_read(name, text) for name, texts in said.items() for text in texts)
    return tuple(limit for limit in read if limit is not None)


def figures(limits: Sequence[OwnLimit]) -> dict[str, list[str]]:
    """The same as an operator says it."""
    said: dict[str, list[str]] = {}
    for limit in limits:
        said.setdefault(limit.quota, []).append(limit.figures)
    return said


def _read(name: str, text: str) -> OwnLimit | None:
    match = FORM.fullmatch(text.strip())
    if match is None:
        return None
    units, seconds = int(match[1]), float(match[2]) if match[2] else None
    return None if seconds is not None and not 0 < seconds <= LONGEST_SECONDS else OwnLimit(name, units, seconds)


def _problems(provider: Provider, name: str, texts: Sequence[str]) -> Iterator[Problem]:
    quotas = {quota.name: quota for quota in provider.manifest.quotas}
    quota, where = quotas.get(name), f"/limits/{name[:80]}"
    if quota is None:
        allowed = tuple(sorted(quotas))
        what = "is not a quota of this provider" if quotas else "is not a quota: this provider has none"
        yield Problem(where, what, allowed, nearest(name, quotas))
        return
    if len(texts) > MOST:
        yield Problem(where, f"has more than {MOST} limits")
    for text in texts:
        limit = _read(name, text)
        if limit is None:
            yield Problem(where, f"{text[:40]!r} is no limit: it {RULE}")
        elif limit.seconds is not None:
            yield from _dear(provider, quota, where, limit)


def _dear(provider: Provider, quota: Quota, where: str, limit: OwnLimit) -> Iterator[Problem]:
    """An operation that could never be called again."""
    most = max(provider.operations, key=quota.cost)
    if quota.cost(most) > limit.units:
        yield Problem(where, f"{limit.figures} is less than one {most} costs, which is {quota.cost(most)}")
