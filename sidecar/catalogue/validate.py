"""Check an input against its operation: every problem by JSON pointer, what is allowed, and the nearest field name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any

from sidecar.model import Failure, Problem, Reason
from sidecar.ports import SchemaError
from sidecar.provider import Operation

MAX_PROBLEMS = 50
MAX_WORDS = 300
MAX_NAME = 100  # characters of a name that somebody made up
MAX_COMPARED = 64  # characters of a name that is compared with others: that takes time by the square of them
NO_FIELD = "is not a field"


def validate(operation: Operation, values: Mapping[str, Any]) -> Failure | None:
    """The failure that lists everything wrong with the input, or None when it is right."""
    found = (_in_words(operation, error) for error in operation.problems(values))
    problems = tuple(islice(found, MAX_PROBLEMS))
    if not problems:
        return None
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
    if len(name) > MAX_COMPARED:
        return None
    names = {each.lower(): each for each in known}
    wanted = name.lower()
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


def _in_words(operation: Operation, error: SchemaError) -> Problem:
    here = "".join(f"/{_escape(str(part)[:MAX_NAME])}" for part in error.path)
    match error.keyword:
        case "additionalProperties":
            return _unknown(operation, here, error)
        case "required":
            return Problem(f"{here}/{_escape(error.names[0])}", "is required")
        case "enum":
            listed = ", ".join(map(_value, error.allowed[:20]))
            return Problem(here, f"must be one of: {listed}", error.allowed, _nearest_value(error))
        case "type":
            kinds = (*(f"`{_value(value)}`" for value in error.allowed[:20]), *map(_article, error.kinds))
            return Problem(here, f"must be {' or '.join(kinds)}", (*error.allowed, *error.kinds))
        case _:
            return Problem(here, error.message[:MAX_WORDS])


def _unknown(operation: Operation, here: str, error: SchemaError) -> Problem:
    (name,), known = error.names, error.allowed
    close = nearest(name, known)
    if close is not None:
        detail = f"{NO_FIELD}; did you mean `{close}`?"
    elif known:
        detail = f"{NO_FIELD}; fields are: {', '.join(known)}"
    else:
        detail = f"{NO_FIELD}: {operation.provider}.{operation.name} takes none here"
    return Problem(f"{here}/{_escape(name[:MAX_NAME])}", detail, known, close)


def _nearest_value(error: SchemaError) -> str | None:
    said = error.message.partition('"')[2].partition('"')[0]
    return nearest(said, error.allowed) if said else None


def _value(word: str) -> str:
    return word or '""'


def _article(kind: str) -> str:
    if kind == "null":
        return kind
    return f"an {kind}" if kind[:1] in "aeiou" else f"a {kind}"


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")
