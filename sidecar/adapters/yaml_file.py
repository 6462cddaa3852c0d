"""PyYAML, strict: a key twice is an error, and only `true` and `false` are booleans (YAML 1.2), dates stay text."""

from __future__ import annotations

import re
from typing import Any

import yaml

from sidecar.ports import FormatError

try:
    from yaml import CSafeLoader as _Base
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader as _Base  # type: ignore[assignment]  # the same interface in Python

NOT_RESOLVED = frozenset(f"tag:yaml.org,2002:{name}" for name in ("timestamp", "bool", "merge", "value"))
TEXT, LIST, MAPPING = "tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"


class _Loader(_Base):
    """The safe loader without YAML 1.1's surprises. Text, lists and mappings it makes itself, at half the price."""

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        """The tag of a node that says none: a word without quotes may be a number, null, true or false."""
        if kind is not yaml.ScalarNode:
            return MAPPING if kind is yaml.MappingNode else LIST
        if implicit[0]:
            for tag, pattern in self.yaml_implicit_resolvers.get(value[:1], ()):
                if pattern.match(value):
                    return str(tag)
        return TEXT

    def construct_document(self, node: yaml.Node) -> Any:
        self._made: dict[yaml.Node, Any] = {}  # lists and mappings, which an alias may mean again
        return self._value(node)

    def _value(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.tag == TEXT else self.construct_object(node)
        if node in self._made:
            return self._made[node]
        if isinstance(node, yaml.SequenceNode) and node.tag == LIST:
            values = self._made[node] = []
            values.extend(map(self._value, node.value))
            return values
        if isinstance(node, yaml.MappingNode) and node.tag == MAPPING:
            return self._mapping(node)
        return self.construct_object(node, deep=True)

    def _mapping(self, node: yaml.MappingNode) -> dict[Any, Any]:
        found = self._made[node] = {}
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise FormatError(f"line {key.start_mark.line + 1}: a key must be a word, not a list or a mapping")
            if key.value in seen:
                raise FormatError(f"line {key.start_mark.line + 1}: key {key.value!r} stands twice")
            seen.add(key.value)
            found[self._value(key)] = self._value(value)
        return found


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in NOT_RESOLVED]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


def read_yaml(text: str) -> Any:
    """The document's value as plain Python values. Raises FormatError with the line."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  # a safe loader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise FormatError(f"{line}{error.problem or error}") from error
    except yaml.YAMLError as error:
        raise FormatError(str(error)) from error
