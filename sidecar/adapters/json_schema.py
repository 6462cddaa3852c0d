"""jsonschema-rs: input schemas compiled once, findings in our own form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from sidecar.ports import FormatError, SchemaError, SchemaProblems


def compile_schema(schema: Mapping[str, object]) -> SchemaProblems:
    """The schema (JSON Schema 2020-12), ready to find problems. Formats are checked. Raises FormatError, which says
    where in the schema.

    It is compiled here, which finds its own mistakes, and again at its first use: compiled it takes 13 KB and 0.1 ms,
    and most operations are never called.
    """
    _compiled(schema)
    compiled: jsonschema_rs.Draft202012Validator | None = None

    def problems(instance: object) -> list[SchemaError]:
        nonlocal compiled
        if compiled is None:
            compiled = _compiled(schema)
        try:
            if compiled.is_valid(instance):
                return []
            return [finding for error in compiled.iter_errors(instance) for finding in _findings(error)]
        except ValueError:  # its recursion limit; what JSON can be in an input has no other
            return [SchemaError((), "depth", "is nested too deeply")]

    return problems


def _compiled(schema: Mapping[str, object]) -> jsonschema_rs.Draft202012Validator:
    try:
        return jsonschema_rs.Draft202012Validator(dict(schema), validate_formats=True)
    except jsonschema_rs.ValidationError as error:
        where = ".".join(map(str, error.instance_path))
        raise FormatError(f"{where}: {error.message}" if where else error.message) from error
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise FormatError(str(error).partition("\n")[0]) from error


def _findings(error: jsonschema_rs.ValidationError) -> list[SchemaError]:
    """The findings of one error. Of `anyOf`: those of the one form that was meant, or the types that all forms want."""
    if error.kind.name != "anyOf":
        return [_finding(error)]
    forms = [[_finding(inner) for inner in form] for form in error.kind.as_dict().get("context", ())]
    path = tuple(error.instance_path)
    meant = [form for form in forms if not any(_is_other_type(finding, path) for finding in form)]
    if len(meant) == 1:
        return meant[0]
    types = tuple(dict.fromkeys(name for form in forms for finding in form for name in finding.allowed))
    if not meant and types:
        return [SchemaError(path, "type", error.message, allowed=types)]
    return [SchemaError(path, "anyOf", "fits none of the forms that are allowed here")]


def _is_other_type(finding: SchemaError, path: tuple[str | int, ...]) -> bool:
    return finding.keyword == "type" and finding.path == path


def _finding(error: jsonschema_rs.ValidationError) -> SchemaError:
    kind = error.kind
    keyword = kind.name
    details: dict[str, Any] = kind.as_dict()
    names: tuple[str, ...] = ()
    if keyword == "additionalProperties":
        names = tuple(str(name) for name in details.get("unexpected", ()))
    elif keyword == "required":
        names = (str(details.get("property", "")).strip('"'),)
    allowed: tuple[str, ...] = ()
    if keyword == "enum":
        allowed = tuple(_word(option) for option in details.get("options", ()))
    elif keyword == "type":
        allowed = tuple(str(kind) for kind in details.get("types", ()))
    return SchemaError(tuple(error.instance_path), keyword, error.message, names, allowed)


def _word(option: object) -> str:
    """A value as JSON writes it, text without its quotes."""
    return option if isinstance(option, str) else json.dumps(option)
