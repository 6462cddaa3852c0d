"""The tests of success beyond the status: the provider's, then the operation's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sidecar.core.body import Broken
from sidecar.core.dig import ALL, dig, path_of, walk
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
        return isinstance(body, Broken) or _is_nothing(body, path_of(test.path))
    same = value == test.equals and isinstance(value, bool) is isinstance(test.equals, bool)  # 1 is not true
    return bool(same) or (any_form and value is None)


def _is_nothing(value: Any, names: Sequence[str]) -> bool:
    """Whether nothing stands at the path, at none of its places where it has several."""
    if value in NOTHING or not names:
        return value in NOTHING
    head, rest = names[0], names[1:]
    if head != ALL:
        return _is_nothing(next(walk(value, (head,)), None), rest)
    if not isinstance(value, list | dict):
        return False  # an error told in one word, where a list of them is due
    return all(_is_nothing(item, rest) for item in (value.values() if isinstance(value, dict) else value))
