"""Where a credential stands, nothing else is written: not by a manifest, and not by whoever calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.build import CREATE_ITEM, GET_ITEM, provider
from tests.catalogue.test_load import mistake

KEY: dict[str, Any] = {"kind": "api_key", "place": "header", "name": "X-Api-Key"}
MORE = {"field": "pin", "place": "query", "name": "pin"}
IN_HEADER = MORE | {"place": "header", "name": "x-api-key"}
IN_QUERY = KEY | {"place": "query", "name": "key", "more": [MORE]}
TOKEN = {"kind": "client_credentials", "token_url": "/token", "carry": {"place": "query", "name": "access_token"}}
KEY_IN_PATH = {"kind": "api_key", "place": "path", "prefix": "bot"}
IN_PATH = {"in": "path", "type": "string"}
PAGE: dict[str, Any] = {"kind": "page", "page": "page", "pages": "pages"}


@pytest.mark.parametrize("auth", [[KEY], [{"kind": "bearer"}, KEY], [IN_QUERY | {"more": [IN_HEADER]}]])
@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"raw": {"headers": ["x-api-key"]}}, "raw.headers: the header x-api-key holds the credential"),
        ({"headers": {"x-api-key": "a"}}, "headers: the header x-api-key holds the credential"),
        ({"idempotency": {"header": "X-API-KEY"}}, "idempotency.header: the header x-api-key holds the credential"),
    ],
)
def test_a_manifest_does_not_write_the_header_of_the_credential(
    tmp_path: Path, auth: list[dict[str, Any]], facts: dict[str, Any], told: str
) -> None:
    """Whichever kind of credential it is of, and however it is spelt."""
    assert f"provider.yaml: {told}" in mistake(tmp_path, auth=auth, **facts)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fixed": {"header": {"X-API-KEY": "a"}}}, "fixed.header: the header x-api-key holds the credential"),
        (
            {"input": {"id": IN_PATH, "a": {"in": "header", "name": "x-api-key"}}},
            "input.a: the header x-api-key holds the credential",
        ),
    ],
)
def test_an_operation_does_not_write_the_header_of_the_credential(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    """Neither by a fixed value nor by an input."""
    text = mistake(tmp_path, auth=[KEY], operations={"items.do": GET_ITEM | change})
    assert text == f"operations/all.yaml: items.do: {told}"


@pytest.mark.parametrize(("auth", "name"), [(IN_QUERY, "key"), (IN_QUERY, "pin"), (TOKEN, "access_token")])
def test_nobody_else_writes_the_parameter_of_the_credential(tmp_path: Path, auth: dict[str, Any], name: str) -> None:
    """An input, a fixed value, the cursor, the id of a write: whatever goes into the query."""
    changes: dict[str, dict[str, Any]] = {
        "input.a": {"input": {"id": IN_PATH, "a": {"in": "query", "name": name}}},
        "fixed.query": {"fixed": {"query": {name: "a"}}},
        "paging.name": {"paging": PAGE | {"name": name}},
    }
    for key, change in changes.items():
        text = mistake(tmp_path / key, auth=[auth], operations={"items.do": GET_ITEM | change})
        assert text == f"operations/all.yaml: items.do: {key}: the parameter {name} holds the credential"
    text = mistake(tmp_path, auth=[auth], idempotency={"query": name})
    assert text == f"provider.yaml: idempotency.query: the parameter {name} holds the credential"


@pytest.mark.parametrize("more", [[], [MORE, IN_HEADER]])
def test_a_key_in_the_path_takes_no_other_place(tmp_path: Path, more: list[dict[str, Any]]) -> None:
    """Headers and parameters of any name are free beside it, but for those of its further parts."""
    auth = [KEY_IN_PATH | {"more": more}]
    assert provider(auth=auth, headers={"key": "a"}, idempotency={"query": "key"}).name == "acme"
    if more:
        told = mistake(tmp_path, auth=auth, headers={"x-api-key": "a"})
        assert told == "provider.yaml: headers: the header x-api-key holds the credential"


def test_a_cursor_in_the_body_is_no_parameter() -> None:
    """The same word there is another thing."""
    paging = {"kind": "cursor", "path": "next", "name": "key", "place": "body"}
    made = provider(auth=[IN_QUERY], operations={"items.do": CREATE_ITEM | {"paging": paging}})
    assert made.operations["items.do"].fact.paging is not None


def key_in(name: str) -> dict[str, Any]:
    return KEY | {"name": name}


def part_in(name: str) -> dict[str, Any]:
    return KEY | {"more": [MORE, IN_HEADER | {"name": name}]}


def token_in(name: str) -> dict[str, Any]:
    return TOKEN | {"carry": {"name": name}}


@pytest.mark.parametrize("name", ["Host", "X Y\r\nZ", ""])
@pytest.mark.parametrize(
    ("made", "key"),
    [(key_in, "api_key"), (part_in, "api_key.more.1"), (token_in, "client_credentials.carry")],
)
def test_a_credential_stands_in_a_header_that_is_one(
    tmp_path: Path, made: Callable[[str], dict[str, Any]], key: str, name: str
) -> None:
    """Each of its parts, and a token too."""
    rule = "the header host is ours" if name == "Host" else f"{name!r} is not a header's name"
    assert mistake(tmp_path, auth=[made(name)]) == f"provider.yaml: auth.{key}: {rule}"


@pytest.mark.parametrize(
    ("auth", "told"),
    [
        (IN_QUERY | {"name": "a b"}, "auth.api_key: 'a b' is not a parameter's name"),
        (IN_QUERY | {"more": [MORE | {"name": "a&b"}]}, "auth.api_key.more.0: 'a&b' is not a parameter's name"),
        (TOKEN | {"carry": {"place": "query", "name": ""}}, "auth.client_credentials.carry: '' is not a parameter's"),
        (IN_QUERY | {"more": [MORE, MORE]}, "auth.api_key.more.1: another part stands in query 'pin' already"),
        (KEY | {"more": [IN_HEADER]}, "auth.api_key.more.0: another part stands in header 'x-api-key' already"),
        ({"kind": "api_key", "place": "header"}, "auth.api_key.name: required: the header that holds the key"),
        ({"kind": "api_key", "place": "query"}, "auth.api_key.name: required: the parameter that holds the key"),
        (KEY_IN_PATH | {"name": "key"}, "auth.api_key.name: a key in the path has none"),
        (KEY_IN_PATH | {"prefix": "file/bot"}, "auth.api_key.prefix: 'file/bot' and the key are one segment of the"),
        (KEY_IN_PATH | {"prefix": "bot "}, "auth.api_key.prefix: 'bot ' and the key are one segment of the path"),
        (KEY_IN_PATH | {"prefix": "b%6ft"}, "auth.api_key.prefix: 'b%6ft' and the key are one segment of the path"),
        (KEY_IN_PATH | {"more": [MORE | {"name": "a&b"}]}, "auth.api_key.more.0: 'a&b' is not a parameter's name"),
        (KEY_IN_PATH | {"more": [MORE | {"place": "path"}]}, "auth[0].more[0].place: Invalid enum value 'path'"),
        (TOKEN | {"carry": {"place": "path"}}, "auth[0].carry.place: Invalid enum value 'path'"),
    ],
)
def test_each_part_of_a_credential_has_a_place_of_its_own(tmp_path: Path, auth: dict[str, Any], told: str) -> None:
    """A parameter has a plain name, and no part takes the place of another."""
    assert told in mistake(tmp_path, auth=[auth])
