"""What makes two calls the same, and what a provider is told of it."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import pytest
from msgspec.structs import replace

from sidecar.core.idempotency import fingerprint, handed_on, identity, key_of_step, takes_key
from sidecar.model import Request
from sidecar.provider import Provider
from tests.build import OPERATIONS, provider
from tests.execute.house import CALL_ID, House

CALL = replace(House().call(), idempotency_key="k")
REQUEST = Request("POST", "https://api.acme.example/v1/items", (("accept", "application/json"),))
BY_HEADER = provider(idempotency={"header": "Idempotency-Key"}, raw={"headers": ["idempotency-key"]})
BY_QUERY = provider(idempotency={"query": "request_id", "operations": ["items.create"]})
NONE = provider()


def test_the_form_of_an_input_makes_no_other_one() -> None:
    """Spaces and the order of fields are not what is asked for; an empty payload is the empty object."""
    same = replace(CALL, payload=b'{"b": [1, {"d": 1, "c": 2}], "a": 1}')
    assert fingerprint(same) == fingerprint(replace(CALL, payload=b'{"a":1,"b":[1,{"c":2,"d":1}]}'))
    assert fingerprint(replace(CALL, payload=b"")) == fingerprint(replace(CALL, payload=b"{}"))


@pytest.mark.parametrize(
    "other",
    [{"payload": b'{"title": "y"}'}, {"payload": b'{"title": "x", "a": null}'}, {"cursor": "2"}, {"operation": "o"}],
)
def test_another_input_has_another_fingerprint(other: dict[str, Any]) -> None:
    """A value, a field, a page or an operation more or less is another call."""
    assert fingerprint(replace(CALL, **other)) != fingerprint(CALL)


def test_a_call_without_key_is_known_by_its_id() -> None:
    """So that its own attempts are one thing at the provider."""
    assert identity(replace(CALL, idempotency_key=None)) == CALL_ID


def test_calls_with_one_key_are_known_by_one_id() -> None:
    """Whatever their own ids: a retry after a crash is the same thing at the provider. It gives no key away."""
    known = identity(CALL)
    assert identity(replace(CALL, call_id="018f0000-0000-7000-8000-0000000000ff")) == known
    assert uuid.UUID(known).version == 8
    assert uuid.UUID(known).variant == uuid.RFC_4122


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "t"},
        {"connection": "c"},
        {"provider": "p"},
        {"operation": "o"},
        {"idempotency_key": "k2"},
        {"payload": b'{"title": "y"}'},
    ],
)
def test_every_key_is_its_own_at_the_provider(other: dict[str, Any]) -> None:
    """Two tenants of one app, or two operations, never meet there."""
    assert identity(replace(CALL, **other)) != identity(CALL)


def test_the_key_of_a_step_can_be_made_in_any_language() -> None:
    """It is the digest that the documentation says."""
    text = '4711\nnotify\nslack.messages.post\n{"channel":"#ops","text":"hi"}\n'
    made = key_of_step("4711", "notify", "slack.messages.post", b'{"text": "hi", "channel": "#ops"}')
    assert made == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("place", range(4))
def test_the_key_of_a_step_is_of_all_its_parts(place: int) -> None:
    """Another run, step, operation or input is another key."""
    parts: list[Any] = ["4711", "notify", "slack.messages.post", b'{"text": "hi"}']
    other = [*parts]
    other[place] = b'{"text": "ho"}' if place == 3 else "x"
    assert key_of_step(*other) != key_of_step(*parts)


@pytest.mark.parametrize(
    ("acme", "operation", "takes"),
    [
        (BY_HEADER, "items.create", True),
        (BY_HEADER, "http.request", True),
        (BY_HEADER, "items.get", False),
        (BY_QUERY, "items.create", True),
        (NONE, "items.create", False),
    ],
)
def test_which_operations_a_provider_does_once(acme: Provider, operation: str, takes: bool) -> None:
    """Writes that its manifest names."""
    assert takes_key(acme, acme.operations[operation]) is takes


def test_a_key_is_handed_on_where_it_belongs() -> None:
    """A header, or a parameter beside those that are there; otherwise the request stays as it is."""
    create, get = OPERATIONS_OF["items.create"], OPERATIONS_OF["items.get"]
    assert handed_on(BY_HEADER, create, REQUEST, "id").headers[-1] == ("idempotency-key", "id")
    assert handed_on(BY_QUERY, create, REQUEST, "id").url == f"{REQUEST.url}?request_id=id"
    paged = replace(REQUEST, url=f"{REQUEST.url}?page=2")
    assert handed_on(BY_QUERY, create, paged, "id").url == f"{REQUEST.url}?page=2&request_id=id"
    assert handed_on(BY_HEADER, get, REQUEST, "id") is REQUEST
    assert handed_on(NONE, create, REQUEST, "id") is REQUEST


def test_what_the_caller_of_a_raw_request_set_stays() -> None:
    """Its own key for the provider is not written over."""
    own = replace(REQUEST, headers=(("idempotency-key", "mine"),))
    assert handed_on(BY_HEADER, BY_HEADER.operations["http.request"], own, "id") is own


OPERATIONS_OF = {name: BY_HEADER.operations[name] for name in OPERATIONS}
