"""PyYAML, strict: a key twice is an error, and only `true` and `false` are booleans (YAML 1.2), dates stay text."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

from sidecar.ports import FormatError

try:
    from yaml import CSafeLoader as _Base
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader as _Base  # type: ignore[assignment]  # the same interface in Python

NOT_RESOLVED = frozenset({"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:merge"})


class _Loader(_Base):
    """The safe loader without YAML 1.1's surprises."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  # PyYAML's signature
        seen: set[object] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise FormatError(f"line {key.start_mark.line + 1}: a key must be a word, not a list or a mapping")
            if key.value in seen:
                raise FormatError(f"line {key.start_mark.line + 1}: key {key.value!r} stands twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


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
