"""Check an input against its operation: every problem by JSON pointer, what is allowed, and the nearest field name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from sidecar.model import Failure, Problem, Reason
from sidecar.ports import SchemaError
from sidecar.provider import Operation

MAX_PROBLEMS = 50
MAX_WORDS = 300
MAX_NAME = 100  # characters of a name that somebody made up
NO_FIELD = "is not a field"


def validate(operation: Operation, values: Mapping[str, Any]) -> Failure | None:
    """The failure that lists everything wrong with the input, or None when it is right."""
    found = operation.problems(values)
    if not found:
        return None
    problems = tuple(problem for error in found for problem in _in_words(operation, error))[:MAX_PROBLEMS]
    spread = _spread(problems)
    return Failure(
        reason=Reason.VALIDATION,
        detail="; ".join(f"{problem.pointer or '/'} {problem.detail}" for problem in spread)[:2_000],
        hint=f"see the input of {operation.provider}.{operation.name}: "
        f"sidecar provider show {operation.provider}.{operation.name}",
        problems=spread,
    )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like this one, or None when none is."""
    names = {each.lower(): each for each in known}
    wanted = name.lower()[:MAX_NAME]
    close = get_close_matches(wanted, names, n=1, cutoff=0.6)
    if close:
        return names[close[0]]
    return next((each for low, each in names.items() if len(wanted) > 2 and low.startswith(wanted)), None)  # noqa: PLR2004


def _spread(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Misspelt fields first (they explain the missing ones), the same finding once."""
    unique = list(dict.fromkeys(problems))
    return tuple(
        sorted(unique, key=lambda problem: (not problem.detail.startswith(NO_FIELD), problem.detail == "is required"))
    )


def _in_words(operation: Operation, error: SchemaError) -> list[Problem]:
    here = "".join(f"/{_escape(str(part)[:MAX_NAME])}" for part in error.path)
    match error.keyword:
        case "additionalProperties" | "unevaluatedProperties":
            known = list(_properties(operation.input_schema, error.path))
            return [_unknown(operation, here, name, known) for name in error.names]
        case "required":
            return [Problem(f"{here}/{_escape(name)}", "is required") for name in error.names]
        case "enum":
            listed = ", ".join(error.allowed[:20])
            return [Problem(here, f"must be one of: {listed}", error.allowed, _nearest_value(error))]
        case "type":
            return [Problem(here, f"must be {' or '.join(_article(kind) for kind in error.allowed)}", error.allowed)]
        case _:
            return [Problem(here, error.message[:MAX_WORDS])]


def _unknown(operation: Operation, here: str, name: str, known: list[str]) -> Problem:
    close = nearest(name, known)
    if close is not None:
        detail = f"{NO_FIELD}; did you mean `{close}`?"
    elif known:
        detail = f"{NO_FIELD}; fields are: {', '.join(known)}"
    else:
        detail = f"{NO_FIELD}: {operation.provider}.{operation.name} takes none here"
    return Problem(f"{here}/{_escape(name[:MAX_NAME])}", detail, tuple(known), close)


def _properties(schema: Mapping[str, Any], path: Iterable[str | int]) -> Iterable[str]:
    """The property names that the schema allows at the path of an instance."""
    for part in path:
        schema = schema.get("items", {}) if isinstance(part, int) else schema.get("properties", {}).get(part, {})
    properties: Mapping[str, Any] = schema.get("properties", {})
    return properties


def _nearest_value(error: SchemaError) -> str | None:
    said = error.message.partition('"')[2].partition('"')[0]
    return nearest(said, error.allowed) if said else None


def _article(kind: str) -> str:
    return f"an {kind}" if kind[:1] in "aeiou" else f"a {kind}"


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")
