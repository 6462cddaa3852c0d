"""A schema that nothing fits, or that would not be checked as it stands, is told when it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar.catalogue.schema_mistakes import FORMATS as CHECKED
from tests.build import CREATE_ITEM, FORMATS, provider
from tests.catalogue.test_load import mistake

OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "x"}, ".type: 'x' is none of string, integer, number, boolean, array, object, null"),
        ({"type": ["string", "nil"]}, ".type: 'nil' is none of string"),
        ({"format": "int64"}, ".format: 'int64' would not be checked; formats are: date, date-time, duration"),
        ({"enum": []}, ".enum: is empty, so no value would do"),
        ({"type": "string", "enum": ["a", 1]}, ".enum: 1 is not of type string"),
        ({"type": "integer", "enum": [1.0, 1.5]}, ".enum: 1.5 is not of type integer"),
        ({"type": "integer", "enum": [1, True]}, ".enum: true is not of type integer"),
        ({"type": ["number", "boolean"], "enum": [1.5, False, None]}, ".enum: null is not of type number or boolean"),
        ({"type": "array", "enum": [[], {}]}, ".enum: {} is not of type array"),
        ({"type": "object", "enum": [[], {}]}, ".enum: [] is not of type object"),
        ({"type": "null", "enum": [None, ""]}, '.enum: "" is not of type null'),
        ({"minimum": 4, "maximum": 3}, ".minimum: 4 is above maximum, 3"),
        ({"minLength": 4, "maxLength": 3}, ".minLength: 4 is above maxLength, 3"),
        ({"minItems": 4, "maxItems": 3}, ".minItems: 4 is above maxItems, 3"),
        (OBJECT | {"required": ["a", "b"]}, ".required: there is no property 'b'"),
        ({"type": "object", "additionalProperties": False, "required": ["b"]}, ".required: there is no property 'b'"),
    ],
)
def test_a_schema_that_makes_no_sense_is_told(tmp_path: Path, schema: dict[str, Any], told: str) -> None:
    """With the input and the key, also where it stands within another schema."""
    places = {
        "": schema,
        ".items": {"items": schema},
        ".properties.m": {"properties": {"m": schema}},
        ".anyOf.1": {"anyOf": [{}, schema]},
        ".additionalProperties": {"additionalProperties": schema},
    }
    for number, (below, around) in enumerate(places.items()):
        operation = CREATE_ITEM | {"input": {"title": {"in": "body"} | around}}
        lines = mistake(tmp_path / str(number), operations={"items.do": operation}).splitlines()
        assert len(lines) == 1
        assert lines[0].startswith(f"operations/all.yaml: items.do: input.title{below}{told}")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "enum": [1, 2.0]},
        {"enum": ["a", 1, None]},
        {"minimum": 3, "maximum": 3},
        {"type": "object", "required": ["b"]},
        OBJECT | {"additionalProperties": True, "required": ["b"]},
        OBJECT | {"additionalProperties": {"type": "string"}, "required": ["b"]},
    ],
)
def test_a_schema_that_something_fits_is_loaded(schema: dict[str, Any]) -> None:
    """An open object may want a member that it does not describe."""
    made = provider(operations={"items.do": CREATE_ITEM | {"input": {"title": {"in": "body"} | schema}}})
    assert "items.do" in made.operations


@pytest.mark.parametrize("name", CHECKED)
def test_every_format_is_checked(name: str) -> None:
    """What a manifest may name is not there for show."""
    assert list(FORMATS.compile_schema({"format": name})("{( \x00 %"))


@pytest.mark.parametrize("name", ["int32", "int64", "byte", "binary", "password", "decimal", "color", "unix-time"])
def test_no_other_format_is_checked(name: str) -> None:
    """What others use, and nobody checks, cannot be named: it would look as if it were."""
    assert list(FORMATS.compile_schema({"format": name})("{( \x00 %")) == []
    assert name not in CHECKED
