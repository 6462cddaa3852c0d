"""The tests of success beyond the status: the provider's, then the operation's own."""

from __future__ import annotations

from typing import Any

from sidecar.core.body import Broken
from sidecar.core.dig import ALL, dig, path_of
from sidecar.manifest import SuccessTest
from sidecar.provider import Operation, Provider

NOTHING: tuple[Any, ...] = (None, [], {}, "")  # some who answer with errors write an empty list of them


def tests_of(provider: Provider, operation: Operation) -> tuple[SuccessTest, ...]:
    """Those that a success of the operation passes, all of them."""
    test, own = provider.manifest.success, operation.fact.tests
    return own if test is None else (test, *own)


def takes_any_form(operation: Operation) -> bool:
    """Whether what it answers may be something else than JSON."""
    return operation.raw or operation.fact.returns in {"bytes", "location"}


def failed_test(provider: Provider, operation: Operation, body: Any) -> SuccessTest | None:
    """The first test that the body fails, which is decoded; None where it passes all."""
    any_form = takes_any_form(operation)
    tests = tests_of(provider, operation)
    return next((test for test in tests if not _passes(test, body, any_form=any_form)), None)


def _passes(test: SuccessTest, body: Any, *, any_form: bool) -> bool:
    """One test of success beyond the status. Where an answer may be of any form, only a wrong value fails."""
    value = None if isinstance(body, Broken) else dig(body, test.path)
    if test.equals is None:
        each = value if isinstance(value, list) and ALL in path_of(test.path) else [value]
        return all(item in NOTHING for item in each)
    same = value == test.equals and isinstance(value, bool) is isinstance(test.equals, bool)  # 1 is not true
    return bool(same) or (any_form and value is None)
