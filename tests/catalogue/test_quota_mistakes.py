"""A quota that allows nothing, or is about nothing, is told when the provider is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar.catalogue.load import load_provider
from sidecar.catalogue.read import ManifestError
from tests.build import FORMATS, provider, write_provider

FULL: dict[str, Any] = {
    "name": "a",
    "scope": "account",
    "by": ["title"],
    "windows": [{"units": 10, "seconds": 1}, {"units": 100, "seconds": 60}],
    "bucket": {"rate": 5, "burst": 20},
    "concurrency": 2,
    "operations": ["items.*"],
    "costs": {"items.create": 10},
    "variation_ms": 0,
    "set_by_connection": True,
}


@pytest.mark.parametrize(
    "facts",
    [
        FULL,
        {"name": "a", "scope": "app", "windows": [{"units": 1, "seconds": 0.5}]},
        {"name": "a", "scope": "app", "bucket": {"rate": 0.2, "burst": 1}},
        {"name": "a", "scope": "app", "concurrency": 1},
        {"name": "a", "scope": "app", "set_by_connection": True},
    ],
)
def test_figures_that_make_sense(facts: dict[str, Any]) -> None:
    """Any of the figures alone is a quota, and so are all of them."""
    assert provider(quotas=[facts]).manifest.quotas[0].name == "a"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"windows": [{"units": 0, "seconds": 1}]}, "a.windows.0: units are at least 1, seconds above 0"),
        ({"windows": [{"units": 1, "seconds": 0}]}, "a.windows.0: units are at least 1, seconds above 0"),
        ({"windows": [{"units": 60, "seconds": 1}, {"units": 50, "seconds": 60}]}, "a.windows: of 1 s and 60 s one"),
        ({"windows": [{"units": 50, "seconds": 60}, {"units": 60, "seconds": 60}]}, "a.windows: of 60 s and 60 s"),
        ({"bucket": {"rate": 0, "burst": 20}}, "a.bucket: rate is above 0, burst at least 1"),
        ({"bucket": {"rate": 1, "burst": 0}}, "a.bucket: rate is above 0, burst at least 1"),
        ({"concurrency": 0}, "a.concurrency: is at least 1"),
        ({"variation_ms": -1}, "a.variation_ms: is 0 to 1000"),
        ({"variation_ms": 1001}, "a.variation_ms: is 0 to 1000"),
        ({"operations": ["search.*"]}, "a.operations: 'search.*' names no operation"),
        ({"costs": {"search.*": 1}}, "a.costs: 'search.*' names no operation"),
        ({"costs": {"items.*": -1}}, "a.costs: 'items.*' costs less than nothing"),
        ({"costs": {"items.create": 11}}, "a.costs: items.create costs 11, and 10 are the most that there can be"),
        ({"by": ["titel"]}, "a.by: 'titel' is no input of its operations"),
        ({"by": ["title"], "operations": ["items.get"], "costs": {}}, "a.by: 'title' is no input of its operations"),
        ({"name": "told"}, "told: is the name of what the provider says"),
        ({"name": "A b"}, "A b: the name must be a lower-case word"),
        (
            {"windows": [], "bucket": None, "concurrency": None, "set_by_connection": False},
            "a: says no figure; give windows, a bucket or concurrency, or set_by_connection: true",
        ),
    ],
)
def test_figures_that_make_no_sense(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    """With the quota and the rule."""
    place = write_provider(tmp_path, quotas=[FULL | changed])
    with pytest.raises(ManifestError) as error:
        load_provider(place, FORMATS)
    assert f"quotas.{told}" in str(error.value)


def test_a_name_stands_once(tmp_path: Path) -> None:
    """Two quotas of one name would be one budget."""
    place = write_provider(tmp_path, quotas=[FULL, FULL])
    with pytest.raises(ManifestError, match=r"quotas\.a: stands twice"):
        load_provider(place, FORMATS)


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ({"quota": "b", "remaining": "x"}, "limits_told.0.quota: there is no quota 'b'"),
        ({"quota": "a", "policy": "p", "limit": "x"}, "limits_told.0: policy takes the place of limit, remaining"),
        ({"quota": "a", "reset": "x"}, "limits_told.0: name what tells the limit or what remains"),
        ({"quota": "a", "remaining": "x", "fixed": True}, "limits_told.0: a fixed window starts anew at a time"),
    ],
)
def test_what_tells_of_a_quota(tmp_path: Path, told: dict[str, Any], wrong: str) -> None:
    """It names a quota, and something that can be read."""
    place = write_provider(tmp_path, quotas=[FULL], limits_told=[told])
    with pytest.raises(ManifestError) as error:
        load_provider(place, FORMATS)
    assert wrong in str(error.value)


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ({"reason": "PROVIDER_RATE_LIMITED", "quota": "b"}, "errors.rules.0.quota: there is no quota 'b'"),
        ({"reason": "PROVIDER_RATE_LIMITED", "wait_seconds": 0}, "errors.rules.0.wait_seconds: is above 0"),
        ({"reason": "PROVIDER_FORBIDDEN", "wait_seconds": 5}, "belong to an answer that is limited, not to PROVIDER_F"),
        ({"reason": "PROVIDER_FORBIDDEN", "quota": "a"}, "belong to an answer that is limited, not to PROVIDER_F"),
    ],
)
def test_what_an_error_rule_says_of_waiting(tmp_path: Path, rule: dict[str, Any], wrong: str) -> None:
    """Only a limited answer is waited for, and it is about a quota that there is."""
    place = write_provider(tmp_path, quotas=[FULL], errors={"rules": [{"status": [403]} | rule]})
    with pytest.raises(ManifestError) as error:
        load_provider(place, FORMATS)
    assert wrong in str(error.value)
