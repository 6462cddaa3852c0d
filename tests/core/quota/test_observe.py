"""What answers say of limits: corrections of the quotas that the exchange passed, and which of them to close."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sidecar.core.outcome import outcome
from sidecar.core.quota.demand import Caller, Tariff
from sidecar.core.quota.event import Hinted
from sidecar.core.quota.limit import Demand
from sidecar.core.quota.observe import Said, hints, limits_said, to_close, until_reset
from sidecar.credential import OwnLimit
from sidecar.manifest import LimitTold
from sidecar.model import Failure, Reason
from tests.build import provider

WALL = 1_790_000_000.0
DATE = "Mon, 21 Sep 2026 14:13:20 GMT"  # that moment
HOUR = {"windows": [{"units": 5000, "seconds": 3600}]}
QUOTAS: list[dict[str, Any]] = [
    {"name": "hourly", "scope": "account"} | HOUR,
    {"name": "writes", "scope": "connection", "operations": ["items.create"]} | HOUR,
]
NAMED = LimitTold(
    quota="hourly", limit="x-limit", remaining="x-left", reset="x-reset", unit="epoch_seconds", fixed=True
)


def said(headers: dict[str, str], *told: LimitTold, content: bytes = b"") -> tuple[Said, ...]:
    """What an answer says."""
    return limits_said(told, httpx.Headers(headers), content, WALL)


def demand(operation: str = "items.create", *limits: OwnLimit) -> Demand:
    """What the exchange passed."""
    made = provider(quotas=QUOTAS)
    return Tariff(made, made.operations[operation]).demand(Caller("acme", "alice", limits=limits), {})


def test_headers_of_a_fixed_window() -> None:
    """Limit, what remains, and the moment of the reset by the provider's own clock."""
    headers = {"X-Limit": "5000", "X-Left": "4999", "X-Reset": "1790000100", "Date": DATE}
    assert limits_said((NAMED,), httpx.Headers(headers), b"", WALL + 500) == (Said("hourly", 5000, 4999, 100.0, True),)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"x-limit": "100, 100;w=60", "x-left": "3;w=60"}, Said("hourly", 100, 3, None, True)),
        ({"x-left": "3.9"}, Said("hourly", None, 3, None, True)),
        ({"x-left": "-4"}, Said("hourly", None, 0, None, True)),
        ({"x-left": "3", "x-reset": "1789999990"}, Said("hourly", None, 3, 0.0, True)),
        ({"x-left": "3", "x-reset": "9790000000"}, Said("hourly", None, 3, None, True)),  # in 250 years
        ({"x-left": "unlimited", "x-reset": "1790000100"}, None),
        ({"x-limit": "1e400", "x-left": "nan"}, None),
        ({"x-reset": "1790000100"}, None),
        ({}, None),
    ],
)
def test_what_makes_no_sense_is_passed_over(headers: dict[str, str], found: Said | None) -> None:
    """A provider's slip never becomes a limit."""
    assert said(headers, NAMED) == ((found,) if found else ())


def test_where_the_same_headers_tell_of_several_quotas() -> None:
    """Another header says which one is meant."""
    core = LimitTold(quota="core", remaining="x-left", header={"x-resource": "core"})
    search = LimitTold(quota="search", remaining="x-left", header={"x-resource": "search"})
    assert said({"x-left": "7", "x-resource": "search"}, core, search) == (Said("search", None, 7),)
    assert said({"x-left": "7"}, core, search) == ()


def test_paths_of_the_body() -> None:
    """Where the answer itself says it; a body of another form says nothing."""
    told = LimitTold(
        quota="points", place="body", limit="cost.max", remaining="cost.left", reset="cost.ms", unit="milliseconds"
    )
    content = b'{"cost": {"max": 1000.0, "left": 954, "ms": 2500}}'
    assert said({}, told, content=content) == (Said("points", 1000, 954, 2.5),)
    for other in (b"", b"[]", b"\xff", b'{"cost": 7}', b"[" * 100_000):
        assert said({}, told, content=other) == ()


@pytest.mark.parametrize(
    "headers",
    [
        {"ratelimit": '"daily";r=9, "burst";r=3;t=12', "ratelimit-policy": '"burst";q=100;w=60'},
        {"ratelimit": "burst;r=3;t=12", "ratelimit-policy": "burst;q=100"},
        {"ratelimit": "limit=100, remaining=3, reset=12"},
    ],
)
def test_the_standard_headers(headers: dict[str, str]) -> None:
    """Every draft of them, of the policy that the manifest names."""
    assert said(headers, LimitTold(quota="a", policy="burst")) == (Said("a", 100, 3, 12.0),)


def test_hints_are_of_what_the_exchange_passed() -> None:
    """Under the keys of its own limits; of a quota that it did not pass nothing is said."""
    told = (Said("hourly", 5000, 17, 9.0, True), Said("other", 1, 0))
    assert hints(told, demand(), "x1") == [Hinted("x1", "acme|acme|alice|hourly", 5000, 17, 9.0, True)]


def test_hints_of_a_shared_quota_that_a_connection_narrows() -> None:
    """What a provider says is about its own quota, not about what we keep of it for one connection."""
    (hint,) = hints((Said("hourly", 5000, 17),), demand("items.create", OwnLimit("hourly", 10, 60.0)), "x1")
    assert hint.key == "acme|acme|alice|hourly"


@pytest.mark.parametrize(
    ("found", "bucket", "keys"),
    [
        ((), "hourly", ["hourly"]),
        ((), "other", ["writes"]),
        ((Said("hourly", None, 0),), None, ["hourly"]),
        ((Said("hourly", None, 0),), "writes", ["writes"]),
        ((Said("hourly", None, 5),), None, ["writes"]),
        ((Said("other", None, 0),), None, ["writes"]),
        ((), None, ["writes"]),
    ],
)
def test_which_quota_a_limited_answer_closes(found: tuple[Said, ...], bucket: str | None, keys: list[str]) -> None:
    """The one that its rule names, else what it says is used up, else the narrowest."""
    assert list(to_close(demand(), found, bucket)) == [f"acme|acme|alice|{key}" for key in keys]


def test_when_it_starts_anew() -> None:
    """The latest reset of what is used up; others say nothing of when this answer would have been another."""
    assert until_reset((Said("a", None, 0, 3.0), Said("b", None, 0, 9.0), Said("c", None, 1, 99.0))) == 9.0
    assert until_reset((Said("a", None, 0), Said("c", None, 1, 99.0))) is None


# --- the wait of a limited answer ------------------------------------------------------------------------------------

RULES = [
    {"reason": "PROVIDER_RATE_LIMITED", "code": ["busy"], "quota": "writes", "wait_seconds": 30},
    {"reason": "PROVIDER_RATE_LIMITED", "code": ["full"]},
]
LIMITED = provider(
    quotas=QUOTAS,
    errors={"code": ["code"], "rules": RULES},
    limits_told=[{"quota": "hourly", "remaining": "x-left", "reset": "x-reset"}],
    retry_after=[{"unit": "milliseconds", "header": "x-wait-ms"}],
)


@pytest.mark.parametrize(
    ("headers", "code", "wait"),
    [
        ({"x-wait-ms": "1500", "retry-after": "9", "x-left": "0", "x-reset": "99"}, "busy", 1.5),
        ({"retry-after": "9", "x-left": "0", "x-reset": "99"}, "busy", 9.0),
        ({"retry-after": "0", "x-left": "0", "x-reset": "99"}, "busy", 99.0),
        ({"x-left": "0", "x-reset": "99"}, "busy", 99.0),
        ({"x-left": "3", "x-reset": "99"}, "busy", 30.0),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "12"}, "busy", 12.0),
        ({"retry-after": "0"}, "busy", 0.0),
        ({"retry-after": "-5"}, "busy", 0.0),
        ({"retry-after": "soon"}, "busy", 30.0),
        ({}, "busy", 30.0),
        ({}, "full", None),
    ],
)
def test_the_wait_of_a_limited_answer(headers: dict[str, str], code: str, wait: float | None) -> None:
    """What the manifest names comes first, then Retry-After, what is said to be used up, and the rule's own."""
    answer = httpx.Response(429, headers=headers, json={"code": code})
    result = outcome(LIMITED, LIMITED.operations["items.get"], answer, WALL)
    assert isinstance(result, Failure)
    assert (result.reason, result.retry_after) == (Reason.PROVIDER_RATE_LIMITED, wait)
    assert result.bucket == ("writes" if code == "busy" else None)
