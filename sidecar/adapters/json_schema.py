"""jsonschema-rs: input schemas compiled once, findings in our own form, made one at a time as they are asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import jsonschema_rs
import msgspec

from sidecar.ports import FormatError, SchemaError, SchemaProblems

# What a schema says with these is found here, the rest by the library: it makes all its errors at once, 16 us each, and
# for each a copy of the value, 40 ms per MiB.
OURS = frozenset({"type", "enum", "required", "properties", "additionalProperties", "items", "anyOf"})
# A schema with one of these is not taken apart: what its parts mean stands beside them.
WHOLE = frozenset({"$ref", "$defs", "patternProperties", "prefixItems"})
NONE: frozenset[str] = frozenset()
MOST_SAID = 100  # characters of a value that is not listed
MOST_OF_A_FORM = 50  # findings of one form of `anyOf`

Path = tuple[str | int, ...]
Member = tuple[str | int, Any]


def compile_schema(schema: Mapping[str, object]) -> SchemaProblems:
    """The schema (JSON Schema 2020-12), ready to find problems. Formats are checked. Raises FormatError, which says
    where in the schema.

    It is compiled here, which finds its own mistakes, and again at its first use: compiled it takes 13 KB and 0.1 ms,
    and most operations are never called.
    """
    _compiled(schema)
    return _Problems(schema)


class _Problems:
    """The findings of a schema. Its parts are compiled when something is first wrong with a value of theirs."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._checks: dict[tuple[int, str], Callable[[Any], bool]] = {}
        self._rests: dict[int, jsonschema_rs.Draft202012Validator] = {}

    def __call__(self, instance: object) -> Iterator[SchemaError]:
        try:
            if not self._is_valid(self._schema)(instance):
                yield from self._wrong(self._schema, instance, ())
        except ValueError:  # its recursion limit; what JSON can be in an input has no other
            yield SchemaError((), "depth", "is nested too deeply")

    def _wrong(self, schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[SchemaError]:
        """What makes the value wrong: names that it has or lacks, then the value itself, then its members."""
        if WHOLE & schema.keys():
            yield from (_finding(error, path) for error in self._rest(schema, NONE).iter_errors(value))
            return
        if isinstance(value, dict):
            yield from _names(schema, value, path)
        if "type" in schema and not self._is_valid(schema, "type")(value):
            yield SchemaError(path, "type", "is of another type", kinds=_kinds(schema["type"]))
        if "enum" in schema and not self._is_valid(schema, "enum")(value):
            said = f'"{value[:MOST_SAID]}" is not listed' if isinstance(value, str) else "is not listed"
            yield SchemaError(path, "enum", said, allowed=tuple(map(_word, schema["enum"])))
        yield from (_finding(error, path) for error in self._rest(schema, OURS).iter_errors(value))
        for inner, members in _members(schema, value):
            is_valid = self._is_valid(inner)
            for place, member in members:
                if not is_valid(member):
                    yield from self._wrong(inner, member, (*path, place))
        if "anyOf" in schema and not self._is_valid(schema, "anyOf")(value):
            forms = [list(islice(self._wrong(form, value, path), MOST_OF_A_FORM)) for form in schema["anyOf"]]
            yield from _of_forms(forms, path)

    def _is_valid(self, schema: Mapping[str, Any], keyword: str = "") -> Callable[[Any], bool]:
        """The check of the schema, or of one keyword of it."""
        key = id(schema), keyword
        if key not in self._checks:
            self._checks[key] = _compiled({keyword: schema[keyword]} if keyword else schema).is_valid
        return self._checks[key]

    def _rest(self, schema: Mapping[str, Any], ours: frozenset[str]) -> jsonschema_rs.Draft202012Validator:
        """The schema without these keywords."""
        if id(schema) not in self._rests:
            self._rests[id(schema)] = _compiled({name: said for name, said in schema.items() if name not in ours})
        return self._rests[id(schema)]


def _compiled(schema: Mapping[str, object]) -> jsonschema_rs.Draft202012Validator:
    try:
        return jsonschema_rs.Draft202012Validator(dict(schema), validate_formats=True)
    except jsonschema_rs.ValidationError as error:
        where = ".".join(map(str, error.instance_path))
        raise FormatError(f"{where}: {error.message}" if where else error.message) from error
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise FormatError(str(error).partition("\n")[0]) from error


def _names(schema: Mapping[str, Any], value: Mapping[str, Any], path: Path) -> Iterator[SchemaError]:
    """The names that the object may not have, and those that it lacks."""
    known: Mapping[str, Any] = schema.get("properties", {})
    if schema.get("additionalProperties") is False:
        for name in value:
            if name not in known:
                yield SchemaError(path, "additionalProperties", "is not known", (name,), tuple(known))
    for name in schema.get("required", ()):
        if name not in value:
            yield SchemaError(path, "required", "is required", (name,))


def _members(schema: Mapping[str, Any], value: Any) -> Iterator[tuple[Mapping[str, Any], Iterable[Member]]]:
    """The schemas of the value's members, each with the members that it is for."""
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        yield schema["items"], enumerate(value)
    if isinstance(value, dict):
        listed: Mapping[str, Any] = schema.get("properties", {})
        yield from ((inner, [(name, value[name])]) for name, inner in listed.items() if name in value)
        if isinstance(schema.get("additionalProperties"), dict):
            yield schema["additionalProperties"], (item for item in value.items() if item[0] not in listed)


def _of_forms(forms: Sequence[Sequence[SchemaError]], path: Path) -> Sequence[SchemaError]:
    """The findings of a value that fits no form: those of the form that was meant, else those that every form has."""
    meant = [form for form in forms if not any(_is(finding, "type", path) for finding in form)]
    if not meant:
        return [_other_type(forms, path)]
    shared = _shared(meant)
    told_apart = [finding for finding in shared if finding.keyword == "enum"]
    if len(meant) > 1 and told_apart:
        return told_apart
    closest = min(map(_distance, meant))
    close = [form for form in meant if _distance(form) == closest]
    if len(close) == 1:
        return close[0]
    return shared or [SchemaError(path, "anyOf", "fits none of the forms that are allowed here")]


def _distance(form: Sequence[SchemaError]) -> tuple[int, int]:
    """How far a value is from a form: a value that is not listed, such as another `kind`, makes it another form."""
    return sum(finding.keyword == "enum" for finding in form), len(form)


def _other_type(forms: Iterable[Sequence[SchemaError]], path: Path) -> SchemaError:
    """The types that the forms want; of a form that lists its values, those."""
    values: list[str] = []
    kinds: list[str] = []
    for form in forms:
        listed = [word for finding in form if _is(finding, "enum", path) for word in finding.allowed]
        values += listed
        kinds += [] if listed else [kind for finding in form if _is(finding, "type", path) for kind in finding.kinds]
    return SchemaError(path, "type", "is of another type", (), _once(values), _once(kinds))


def _shared(forms: Sequence[Sequence[SchemaError]]) -> list[SchemaError]:
    """The findings that every form has, each with what any of them allows."""
    alike = [[[other for other in form if _alike(other, finding)] for form in forms] for finding in forms[0]]
    return [
        msgspec.structs.replace(
            same[0][0], allowed=_once(word for found in same for one in found for word in one.allowed)
        )
        for same in alike
        if all(same)
    ]


def _is(finding: SchemaError, keyword: str, path: Path) -> bool:
    return finding.keyword == keyword and finding.path == path


def _alike(one: SchemaError, other: SchemaError) -> bool:
    return (one.path, one.keyword, one.names) == (other.path, other.keyword, other.names)


def _once(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _finding(error: jsonschema_rs.ValidationError, path: Path) -> SchemaError:
    return SchemaError((*path, *error.instance_path), error.kind.name, error.message)


def _kinds(said: str | Sequence[str]) -> tuple[str, ...]:
    return (said,) if isinstance(said, str) else tuple(said)


def _word(option: object) -> str:
    """A value as JSON writes it, text without its quotes."""
    return option if isinstance(option, str) else json.dumps(option)
