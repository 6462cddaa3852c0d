"""A token that the provider refuses is renewed and the call is sent once more, whatever it does: a 401 did nothing."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from sidecar.credential import Credential, Tokens
from sidecar.model import Failure, Reason, SideEffect
from sidecar.sandbox.scripted import WALL
from sidecar.secret import Secret
from tests.build import provider
from tests.execute.house import OK, Answer, Connections, House

pytestmark = pytest.mark.anyio

OAUTH = {
    "kind": "oauth2",
    "authorize_url": "https://auth.acme.example/authorize",
    "token_url": "https://auth.acme.example/token",
}
REFUSED = httpx.Response(401, json={"message": "token expired"})
TAKEN_BACK = Failure(reason=Reason.REAUTH_REQUIRED, detail="its owner must allow access again")


def issued(number: int) -> Credential:
    tokens = Tokens(access=Secret(f"token-number-{number}"), expires=WALL + 3600)
    return Credential(kind="oauth2", fields={}, created=0.0, changed=0.0, tokens=tokens)


class Renewals:
    """What `rejected` gives; which tokens it was told of."""

    def __init__(self, *found: Credential | Failure | None) -> None:
        self.found = list(found)
        self.told: list[str] = []

    async def rejected(
        self, tenant: str, connection: str, provider: str, credential: Credential, *, within: float
    ) -> Credential | Failure | None:
        assert credential.tokens is not None
        assert 0 < within <= 30
        self.told.append(credential.tokens.access.reveal())
        return self.found.pop(0)


def house(*answers: Answer, renewals: Renewals, kind: str = "oauth2") -> House:
    auth = [OAUTH] if kind == "oauth2" else [{"kind": "bearer"}]
    connections = Connections(issued(1)) if kind == "oauth2" else Connections()
    return House(answers, {"acme": provider(auth=auth)}, connections=connections, renewal=renewals)


def carried(here: House) -> list[str]:
    return [request.headers["authorization"] for request in here.sender.sent]


@pytest.mark.parametrize("operation", ["items.get", "items.create"])
async def test_it_is_renewed_and_sent_once_more(operation: str) -> None:
    """A write too."""
    here = house(REFUSED, OK, renewals=Renewals(issued(2)))
    await here.success(operation)
    assert carried(here) == ["Bearer token-number-1", "Bearer token-number-2"]
    assert here.finished.attempts == 2


async def test_a_second_refusal_is_the_end() -> None:
    """One renewal, one further exchange, no loop."""
    here = house(REFUSED, REFUSED, renewals=Renewals(issued(2)))
    failure = await here.failure()
    assert (failure.reason, failure.side_effect) == (Reason.CREDENTIAL_REJECTED, SideEffect.NONE)
    assert len(here.sender.sent) == 2


async def test_without_a_new_token_the_refusal_stands() -> None:
    """There is none to be had."""
    here = house(REFUSED, renewals=Renewals(None))
    assert (await here.failure()).reason is Reason.CREDENTIAL_REJECTED
    assert len(here.sender.sent) == 1


async def test_why_there_is_no_new_token_is_told() -> None:
    """With what its owner can do."""
    here = house(REFUSED, renewals=Renewals(TAKEN_BACK))
    failure = await here.failure()
    assert failure.reason is Reason.REAUTH_REQUIRED
    assert failure.hint == "its owner can allow access again: sidecar connect acme -c default"


async def test_a_key_is_not_renewed() -> None:
    """A refused one is refused at once."""
    here = house(REFUSED, renewals=Renewals(), kind="bearer")
    assert (await here.failure()).reason is Reason.CREDENTIAL_REJECTED


async def test_a_credential_on_trial_is_not_renewed() -> None:
    """It is not stored, so there is nothing to renew."""
    renewals = Renewals(issued(2))
    here = house(REFUSED, renewals=renewals)
    ended = await here.executor.run(here.call("items.get"), issued(1))
    assert isinstance(ended.outcome, Failure)
    assert renewals.told == []


async def test_the_trace_says_how_long_the_token_was_valid_and_what_was_decided() -> None:
    """For whoever asks at night."""
    here = house(REFUSED, OK, renewals=Renewals(issued(2)))
    await here.success()
    first, second = here.attempts
    assert first.token_valid_s == second.token_valid_s == 3600.0
    assert first.decided == "the provider refused the token before acting: it is renewed, then sent once more"
    assert "token-number" not in str([msgspec.json.encode(event) for event in here.trace.events])
