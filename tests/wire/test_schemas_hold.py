"""What is really sent fits what the schemas say of it: replies, catalogue answers, dry runs, the service protocol."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.adapters.json_schema import compile_schema
from sidecar.catalogue.answer import TOOL_FORMATS, answer
from sidecar.micro import VERBS, Endpoint, Service
from sidecar.model import Access, Failure, Problem, Reason, SideEffect, Success, TraceContext
from sidecar.provider import Catalogue
from sidecar.schemas.asyncapi import asyncapi
from sidecar.wire.reply import Asked, encode_reply
from sidecar.wire.subject import parse_catalog
from tests.build import provider

DOCUMENT = asyncapi()
ACME = provider(auth=[{"kind": "bearer"}, {"kind": "basic"}], raw={"docs": "https://docs.acme.example/raw"})
CATALOGUE = Catalogue(providers={"acme": ACME}, digest="5f2c9c1e0b7d4a63")
ASKED = Asked(
    call_id="0190a8b0-1234-7abc-8def-0123456789ab",
    provider="acme",
    operation="items.get",
    access=Access.READ,
    trace=TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"),
    catalog_hash="5f2c9c1e0b7d4a63",
    attempts=2,
)


def problems(name: str, value: object) -> list[Any]:
    part = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return list(compile_schema(part)(value))


@pytest.mark.parametrize("asked", [ASKED, Asked()], ids=["decoded", "malformed"])
@pytest.mark.parametrize("reason", Reason)
def test_every_failure_fits(reason: Reason, asked: Asked) -> None:
    """Payload and headers of every reason, with everything told and with nothing."""
    told = Failure(
        reason=reason,
        detail="so it is",
        side_effect=SideEffect.UNKNOWN,
        retry_after=1.5,
        hint="do this",
        problems=(Problem("/a", "is wrong"), Problem("/b", "is wrong", ("c",), "c")),
        bucket="search",
        provider_status=418,
        provider_code="teapot",
        provider_request_id="1",
    )
    for failure in (told, Failure(reason=reason, detail="so it is")):
        reply = encode_reply(asked, failure, 1_000_000)
        assert problems("FailureReply", msgspec.json.decode(reply.payload)) == []
        assert problems("FailureHeaders", reply.headers) == []
        described = DOCUMENT["components"]["schemas"]["FailureHeaders"]["properties"]
        assert set(reply.headers) <= set(described)


def test_the_headers_of_a_success_fit() -> None:
    """All of them, and no other."""
    success = Success(body=b"x", content_type="text/plain", provider_status=200, next_cursor="cGFnZT0z")
    replayed = msgspec.structs.replace(ASKED, replayed=ASKED.call_id)
    headers = encode_reply(replayed, success, 1_000_000).headers
    assert problems("ReplyHeaders", headers) == []
    assert set(headers) == set(DOCUMENT["components"]["schemas"]["ReplyHeaders"]["properties"])


@pytest.mark.parametrize(
    ("subject", "asked", "name"),
    [
        ("providers", {}, "ListedProviders"),
        ("operations.acme", {}, "ListedOperations"),
        ("describe.acme.items.get", {}, "DescribedOperation"),
        ("describe.acme.http.get", {}, "DescribedOperation"),
        ("search", {"query": "item"}, "ListedOperations"),
        *(("tools.acme", {"format": style}, "Tools") for style in TOOL_FORMATS),
    ],
)
def test_catalogue_answers_fit(subject: str, asked: dict[str, Any], name: str) -> None:
    """An agent that generates its types from the document reads every answer."""
    address = parse_catalog("sidecar", f"sidecar.catalog.default.{subject}")
    assert not isinstance(address, Failure)
    outcome = answer(CATALOGUE, address, asked)
    assert isinstance(outcome, Success)
    answered = msgspec.json.decode(outcome.body)
    assert answered
    assert problems(name, answered) == []


@pytest.mark.parametrize("verb", VERBS)
def test_the_service_protocol_fits(verb: str) -> None:
    """PING, INFO and STATS as `nats micro` reads them."""
    endpoint = Endpoint("read_acme", "sidecar.read.*.*.acme.>")
    endpoint.count(0.5, "VALIDATION")
    service = Service("id1", 1_795_255_200.0, {"catalog_hash": "5f2c9c1e0b7d4a63"}, [endpoint])
    assert problems(f"Service{verb.capitalize()}", msgspec.json.decode(service.answer(verb, 1_048_576))) == []


@pytest.mark.parametrize("verb", VERBS)
def test_the_service_protocol_is_asked_where_the_document_says(verb: str) -> None:
    """The three subjects of each verb are channels."""
    addresses = {channel["address"] for channel in DOCUMENT["channels"].values()}
    assert {subject.replace("id1", "{id}") for subject in Service("id1", 0.0, {}).subjects(verb)} <= addresses
