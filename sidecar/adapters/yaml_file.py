"""PyYAML, strict: words, numbers, lists and mappings of YAML 1.2's core schema, and a key only once.

Only `true` and `false` are booleans, dates stay text, `010` is ten. What JSON could not say again is refused: numbers
that are not finite or have more than 64 bits, keys that are no text, values that hold themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite
from typing import Any

import yaml

from sidecar.ports import FormatError

try:
    from yaml import CSafeLoader as _Base
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader as _Base  # type: ignore[assignment]  # the same interface in Python

MOST_LEVELS = 100
MOST_VALUES = 1_000_000  # with those of an alias each time that it is meant
PREFIX = "tag:yaml.org,2002:"
TEXT, LIST, MAPPING = f"{PREFIX}str", f"{PREFIX}seq", f"{PREFIX}map"
STARTS = frozenset("nN~tf.+-0123456789")  # of such a word, where it is not empty
MOST_DIGITS, SMALLEST, LARGEST = 40, -(2**63), 2**64 - 1
KINDS = {yaml.ScalarNode: "text", yaml.SequenceNode: "a list", yaml.MappingNode: "a mapping"}


class _Loader(_Base):
    """The safe loader without YAML 1.1's surprises. The values it makes itself, at half the price."""

    levels = 0  # that are open while nodes are composed
    left = MOST_VALUES

    def descend_resolver(self, parent: yaml.Node | None, _index: object) -> None:
        """Called before each node is composed, by a recursion in C: without a limit the process would die of it."""
        self.levels += 1
        if parent is not None and self.levels > MOST_LEVELS:
            raise _wrong(parent, f"is nested more than {MOST_LEVELS} levels deep")

    def ascend_resolver(self) -> None:
        self.levels -= 1

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        """The tag of a node that says none: a word without quotes may be a number, null, true or false."""
        if kind is not yaml.ScalarNode:
            return MAPPING if kind is yaml.MappingNode else LIST
        if implicit[0] and (not value or value[0] in STARTS):
            for tag, (pattern, _) in PLAIN.items():
                if pattern.fullmatch(value):
                    return tag
        return TEXT

    def construct_document(self, node: yaml.Node) -> Any:
        return self._value(node, 1)

    def _value(self, node: yaml.Node, level: int) -> Any:
        """`level` counts what is open; an alias stands for a value of its own, wherever it is meant."""
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.tag == TEXT else _word(node)
        if level > MOST_LEVELS:
            raise _wrong(node, f"is nested more than {MOST_LEVELS} levels deep, or holds itself")
        self.left -= len(node.value)
        if self.left < 0:
            raise _wrong(node, f"makes more than {MOST_VALUES:,} values")
        if isinstance(node, yaml.SequenceNode) and node.tag == LIST:
            return [self._value(item, level + 1) for item in node.value]
        if isinstance(node, yaml.MappingNode) and node.tag == MAPPING:
            return self._mapping(node, level)
        raise _no_tag(node)

    def _mapping(self, node: yaml.MappingNode, level: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _wrong(key, "a key must be a word, not a list or a mapping")
            if key.tag != TEXT:
                raise _wrong(key, f"a key is text: put {key.value[:40]} into quotes")
            if key.value in found:
                raise _wrong(key, f"key {key.value!r} stands twice")
            found[key.value] = self._value(value, level + 1)
        return found


def _word(node: yaml.ScalarNode) -> Any:
    """Null, a boolean or a number."""
    pattern, make = PLAIN.get(node.tag, (None, None))
    if pattern is None or make is None or not pattern.fullmatch(node.value):
        raise _no_tag(node)
    try:
        return make(node.value)
    except ValueError as error:
        raise _wrong(node, f"{node.value[:40]} {error}") from None


def _whole(text: str) -> int:
    if len(text) <= MOST_DIGITS:
        number = int(text, 0 if text[1:2] in {"o", "x"} else 10)
        if SMALLEST <= number <= LARGEST:
            return number
    raise ValueError("is more than 64 bits hold")


def _real(text: str) -> float:
    number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if not isfinite(number):
        raise ValueError("is not a finite number")
    return number


# https://yaml.org/spec/1.2.2/#1032-tag-resolution
PLAIN: dict[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    f"{PREFIX}null": (re.compile(r"null|Null|NULL|~|"), lambda _: None),
    f"{PREFIX}bool": (re.compile(r"true|false"), lambda text: text == "true"),
    f"{PREFIX}int": (re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), _whole),
    f"{PREFIX}float": (
        re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
        _real,
    ),
}


def _no_tag(node: yaml.Node) -> FormatError:
    tag = str(node.tag).replace(PREFIX, "!!")
    return _wrong(node, f"{tag[:80]} is no tag for {KINDS[type(node)]}")


def _wrong(node: yaml.Node, rule: str) -> FormatError:
    return FormatError(f"line {node.start_mark.line + 1}: {rule}")


def read_yaml(text: str) -> Any:
    """The document's value as plain Python values. Raises FormatError with the line."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  # a safe loader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise FormatError(f"{line}{error.problem or error}") from error
    except yaml.YAMLError as error:
        raise FormatError(str(error)) from error
