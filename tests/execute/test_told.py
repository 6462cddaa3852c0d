"""What the trace says of an exchange, and what it keeps to itself."""

from __future__ import annotations

import httpx
import pytest

from tests.build import provider
from tests.execute.house import House

pytestmark = pytest.mark.anyio


async def test_of_a_success_no_word_of_its_body() -> None:
    """Its size and digest are told; what it says is between the provider and the agent."""
    house = House([httpx.Response(200, json={"id": 1, "diary": "met nobody"})])
    await house.success("items.get")
    [attempt] = house.attempts
    assert (attempt.status, attempt.response_bytes, attempt.said) == (200, len('{"id":1,"diary":"met nobody"}'), None)
    assert "diary" not in repr(house.trace.events)


async def test_of_a_failure_what_it_said() -> None:
    """That is what somebody looks for at night."""
    house = House([httpx.Response(404, json={"message": "no such item"})])
    await house.failure("items.get")
    [attempt] = house.attempts
    assert attempt.said == '{"message":"no such item"}'


async def test_secret_parameters_of_the_url_are_cut_out() -> None:
    """Also of a raw request, whose caller may put anybody's token there; the others stay."""
    house = House([httpx.Response(200, json={})], {"acme": provider(raw={})})
    await house.success("http.get", payload=b'{"path": "/me", "query": {"access_token": "of-somebody", "page": 2}}')
    [attempt] = house.attempts
    assert attempt.url == "https://api.acme.example/v1/me?access_token=[redacted]&page=2"
    assert "of-somebody" in str(house.sender.sent[0].url)
    assert "of-somebody" not in repr(house.trace.events)
