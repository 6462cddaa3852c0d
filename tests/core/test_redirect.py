"""A redirect is never followed; where an operation is answered by one, its output says where it leads."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.outcome import outcome
from sidecar.model import Failure, Outcome, Reason, Request, SideEffect, Success
from tests.build import BASE, CREATE_ITEM, GET_ITEM, provider

WALL = 1_795_255_200.0
URL = f"{BASE}/items/1/archive?token=canary"
ELSEWHERE = "https://files.example/a.zip?sig=a%2Fb+c'(~)&x={1}"
GITHUB = provider(
    operations={
        "items.archive": GET_ITEM | {"returns": "location"},
        "items.delete": CREATE_ITEM | {"method": "DELETE", "returns": "location", "input": {}, "required": []},
        "items.search": CREATE_ITEM | {"access": "read", "returns": "location"},
        "items.get": GET_ITEM,
    },
    success={"path": "ok", "equals": True},
    errors={"code": ["error"]},
)


def came(
    status: int,
    location: bytes | str | None = ELSEWHERE,
    *,
    operation: str = "items.archive",
    content: bytes = b"",
    url: str = URL,
) -> Outcome:
    told = location.encode() if isinstance(location, str) else location
    headers = [] if told is None else [(b"Location", told)]
    response = httpx.Response(status, headers=headers, content=content)
    return outcome(GITHUB, GITHUB.operations[operation], response, WALL, request=Request("GET", url))


def located(result: Outcome) -> str:
    assert isinstance(result, Success), result
    said = json.loads(result.body)
    assert said.keys() == {"location"}
    return str(said["location"])


@pytest.mark.parametrize("status", [200, 201, 202, 204, 302, 303, 307])
def test_where_it_is_can_be_the_answer(status: int) -> None:
    """Of a redirect, of what was created or accepted: the URL as it was told, byte for byte, since it may be signed."""
    result = came(status, content=b"<html>moved</html>" if status == 302 else b"")
    assert located(result) == ELSEWHERE
    assert isinstance(result, Success)
    assert (result.content_type, result.provider_status) == ("application/json", status)


@pytest.mark.parametrize("status", [302, 303])
def test_a_write_can_be_answered_so(status: int) -> None:
    """Its answer lies elsewhere: it was done, or is under way there."""
    assert located(came(status, "/tasks/7", operation="items.delete")) == "https://api.acme.example/tasks/7"


@pytest.mark.parametrize(
    ("status", "operation"),
    [
        *((status, "items.archive") for status in (300, 301, 305, 306, 308, 399)),
        *((status, "items.delete") for status in (300, 301, 307, 308)),
        (307, "items.search"),
        (302, "items.get"),
    ],
)
def test_no_other_redirect_is_a_success(status: int, operation: str) -> None:
    """What has moved is not where it was asked for, and whoever is told to send a write elsewhere has done nothing."""
    result = came(status, operation=operation)
    assert isinstance(result, Failure)
    assert (result.reason, result.side_effect) == (Reason.REDIRECT_BLOCKED, SideEffect.NONE)


@pytest.mark.parametrize("location", [None, "", "  "])
@pytest.mark.parametrize("status", [302, 303, 307])
def test_a_redirect_to_nowhere_is_no_success(status: int, location: str | None) -> None:
    """It says nothing that could be told."""
    result = came(status, location)
    assert isinstance(result, Failure)
    assert result.reason is Reason.REDIRECT_BLOCKED


def test_not_modified_is_a_precondition_here_too() -> None:
    """304 leads nowhere."""
    result = came(304)
    assert isinstance(result, Failure)
    assert result.reason is Reason.PROVIDER_PRECONDITION


@pytest.mark.parametrize(("status", "content"), [(200, b""), (200, b'{"id": 1}'), (202, b""), (204, b"")])
def test_a_success_that_says_no_place_is_null(status: int, content: bytes) -> None:
    """It was done; nothing else was promised."""
    result = came(status, None, content=content)
    assert isinstance(result, Success)
    assert result.body == b"null"


@pytest.mark.parametrize("location", [None, ELSEWHERE])
def test_an_answer_that_says_it_failed_is_no_success(location: str | None) -> None:
    """The tests of success look at what a 2xx says, where it says anything."""
    result = came(200, location, content=b'{"ok": false, "error": "gone"}')
    assert isinstance(result, Failure)
    assert (result.reason, result.provider_code) == (Reason.PROVIDER_REJECTED, "gone")


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("/x/y", "https://api.acme.example/x/y"),
        ("y?a=1", f"{BASE}/items/1/y?a=1"),
        ("?a=1", f"{BASE}/items/1/archive?a=1"),
        ("#part", f"{BASE}/items/1/archive#part"),
        ("//files.example/y", "https://files.example/y"),
        ("/a/./b/../y", "https://api.acme.example/a/y"),
        ("../../..", "https://api.acme.example/"),
        (".", f"{BASE}/items/1/"),
        ("/../../y/..", "https://api.acme.example/"),
        ("http://files.example:8080/../y", "http://files.example:8080/../y"),
        ("HTTPS://Files.example/Y", "HTTPS://Files.example/Y"),
        (" https://files.example/y\t", "https://files.example/y"),
        ("https://files.example/a b.zip", "https://files.example/a%20b.zip"),
        ("https://files.example/\u00e4.zip", "https://files.example/%C3%A4.zip"),
        (b"https://files.example/\xe4.zip", "https://files.example/%E4.zip"),
        (b"https://files.example/\xed\xa0\xbd", "https://files.example/%ED%A0%BD"),
        (b"https://files.example/\x01\x7f", "https://files.example/%01%7F"),
    ],
)
def test_a_place_is_told_as_a_whole_url(told: bytes | str, meant: str) -> None:
    """Taken from where it was asked for, without that query; what no URL holds is percent-encoded."""
    assert located(came(302, told)) == meant


@pytest.mark.parametrize(
    "told",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "ftp://files.example/y",
        "http://[broken",
        "https://files.example:99999/",
        "https://files.example:0/",
        "https://files.example:x/",
        "https:///y",
        "https:y",
        "localhost:8080/y",
    ],
)
@pytest.mark.parametrize(("operation", "side_effect"), [("items.archive", "none"), ("items.delete", "unknown")])
def test_a_place_that_is_none_of_the_web_is_no_success(told: str, operation: str, side_effect: str) -> None:
    """No agent is handed a script or a file's name; of a write nobody knows what was done."""
    for status in (201, 302):
        result = came(status, told, operation=operation)
        assert isinstance(result, Failure)
        assert (result.reason, result.side_effect) == (Reason.BAD_PROVIDER_RESPONSE, side_effect)
        assert result.detail == f"Acme answered {status}, but its Location is not one http or https URL"


def test_two_places_are_none() -> None:
    """Nobody knows which one is meant; the same one twice is one."""
    one, two = (b"location", b"https://a.example/"), (b"Location", b"https://b.example/")
    operation = GITHUB.operations["items.archive"]
    told = outcome(GITHUB, operation, httpx.Response(302, headers=[one, two]), WALL, request=Request("GET", URL))
    assert isinstance(told, Failure)
    assert told.reason is Reason.BAD_PROVIDER_RESPONSE
    assert located(
        outcome(GITHUB, operation, httpx.Response(302, headers=[one, one]), WALL, request=Request("GET", URL))
    ) == ("https://a.example/")


@given(st.binary(max_size=60), st.sampled_from([200, 201, 302]))
def test_whatever_a_place_holds_the_reply_is_json(told: bytes, status: int) -> None:
    """Nothing raises, and what is told is a URL of ASCII."""
    result = came(status, told)
    if isinstance(result, Success) and result.body != b"null":
        assert located(result).isascii()
        assert located(result).lower().startswith(("http://", "https://"))
