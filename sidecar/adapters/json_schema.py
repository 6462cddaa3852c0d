"""jsonschema-rs: input schemas compiled once, findings in our own form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from sidecar.ports import FormatError, SchemaError, SchemaProblems


def compile_schema(schema: Mapping[str, object]) -> SchemaProblems:
    """The compiled schema (JSON Schema 2020-12). Formats are checked. Raises FormatError."""
    try:
        validator = jsonschema_rs.Draft202012Validator(dict(schema), validate_formats=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise FormatError(str(error).partition("\n")[0]) from error

    def problems(instance: object) -> list[SchemaError]:
        if validator.is_valid(instance):
            return []
        return [_finding(error) for error in validator.iter_errors(instance)]

    return problems


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
        allowed = tuple(str(option) for option in details.get("options", ()))
    elif keyword == "type":
        allowed = tuple(str(kind) for kind in details.get("types", ()))
    return SchemaError(tuple(error.instance_path), keyword, error.message, names, allowed)
