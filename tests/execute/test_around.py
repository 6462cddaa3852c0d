"""What happens around a call while it runs: connections change, events are lost, stores hang, cursors lie."""

from __future__ import annotations

import base64
import time
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.credential import Credential
from sidecar.model import Failure, Reason, SideEffect
from sidecar.ports import Entry
from sidecar.run import Limits
from sidecar.sandbox.scripted import EventLog, FixedRandom, ManualClock
from sidecar.store.credential import CredentialStore
from sidecar.wire.event import Event, Started
from sidecar.wire.request import decode_cursor
from tests.build import GET_ITEM, provider
from tests.execute.house import OK, REFUSED, Connections, House, credential
from tests.store.test_credential import MemoryStore

pytestmark = pytest.mark.anyio

OWN = provider(base_url={"kind": "self_hosted"})
LISTS = provider(
    operations={
        "items.list": GET_ITEM | {"path": "/items", "input": {}, "required": [], "paging": {"kind": "link"}},
        "items.scroll": GET_ITEM
        | {"path": "/items", "input": {}, "required": [], "paging": {"kind": "cursor", "path": "next", "name": "c"}},
        "items.page": GET_ITEM
        | {
            "path": "/items",
            "input": {"n": {"in": "query", "type": "integer"}},
            "required": [],
            "paging": {"kind": "page", "name": "n", "items": "items"},
        },
    }
)


def at(url: str, token: str) -> Credential:
    return msgspec.structs.replace(credential(token=token), base_url=url)


async def test_a_credential_for_another_server_is_not_sent_to_the_old_one() -> None:
    """A connection that was given another server between two attempts: its new secret is for that server alone."""
    connections = Connections(at("https://old.example", "old-secret"), at("https://new.example", "new-secret"))
    house = House([REFUSED, OK], {"acme": OWN}, connections)
    failure = await house.failure()
    assert [str(request.url) for request in house.sender.sent] == ["https://old.example/items"]
    assert failure.reason is Reason.CAS_CONFLICT
    assert failure.side_effect is SideEffect.NONE


async def test_a_credential_for_the_same_server_is_used_at_once() -> None:
    """A secret rotated between two attempts."""
    connections = Connections(at("https://old.example", "old-secret"), at("https://old.example", "new-secret"))
    house = House([REFUSED, OK], {"acme": OWN}, connections)
    await house.success()
    assert [request.headers["authorization"] for request in house.sender.sent] == [
        "Bearer old-secret",
        "Bearer new-secret",
    ]


class LossyTrace(EventLog):
    """Loses the first events: the buffer is full, or they cannot be written."""

    def __init__(self, lost: int, *, raises: bool = False) -> None:
        super().__init__()
        self.lost = lost
        self.raises = raises

    def emit(self, event: Event) -> bool:
        self.lost -= 1
        if self.lost >= 0:
            if self.raises:
                raise TypeError("an event that cannot be written")
            return False
        return super().emit(event)


@pytest.mark.parametrize("raises", [False, True])
async def test_a_write_whose_beginning_was_lost_is_not_sent(raises: bool) -> None:
    """Connected or not: without `started` in the trace nobody could find out what happened to it."""
    house = House([OK], trace=LossyTrace(1, raises=raises))
    failure = await house.failure()
    assert failure.reason is Reason.STORE_UNAVAILABLE
    assert failure.side_effect is SideEffect.NONE
    assert house.sender.sent == []


@pytest.mark.parametrize("raises", [False, True])
async def test_a_trace_that_is_lost_costs_no_read(raises: bool) -> None:
    """A read goes on whatever becomes of its events, and no write is made undone by what is lost after it."""
    house = House([OK], trace=LossyTrace(100, raises=raises))
    await house.success("items.get")


@pytest.mark.parametrize("raises", [False, True])
async def test_a_trace_that_is_lost_later_does_not_change_how_a_write_ends(raises: bool) -> None:
    """It was done, and is told as done."""

    class LosesTheRest(LossyTrace):
        def emit(self, event: Event) -> bool:
            return EventLog.emit(self, event) if isinstance(event, Started) else super().emit(event)

    house = House([OK], trace=LosesTheRest(100, raises=raises))
    await house.success()


class HangingStore(MemoryStore):
    """A store that does not answer."""

    async def get(self, bucket: str, key: str) -> Entry | None:
        await anyio.sleep_forever()
        raise AssertionError


async def test_a_store_that_hangs_does_not_outlive_the_deadline() -> None:
    """The caller is answered at its deadline: nothing was sent."""
    clock = ManualClock()
    store = CredentialStore(HangingStore(), FileKeys({"k1": bytes(32)}), clock, FixedRandom(), capacity=1)
    house = House([OK], store=store, clock=clock)
    began = time.perf_counter()
    failure = await house.failure(timeout=0.05)
    assert time.perf_counter() - began < 1
    assert failure.reason is Reason.BEFORE_SEND
    assert failure.side_effect is SideEffect.NONE
    assert house.sender.sent == []


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        (
            "items.list",
            httpx.Response(200, json=[], headers={"link": "<https://x/?page=2&access=hunter2hunter2>; rel=next"}),
        ),
        ("items.scroll", httpx.Response(200, json={"next": "https://x/?t=hunter2hunter2"})),
    ],
)
async def test_no_cursor_carries_the_credential_to_the_agent(operation: str, answer: httpx.Response) -> None:
    """A provider that writes the token into the address of its next page does not hand it to whoever asked."""
    house = House([answer], {"acme": LISTS})
    failure = await house.failure(operation, payload=b"{}")
    assert failure.reason is Reason.BAD_PROVIDER_RESPONSE
    assert "hunter2" not in str(failure)
    assert "cursor" in failure.detail


KEY = "k-0123456789abcdef"


@pytest.mark.parametrize(
    ("auth", "fields", "body", "refused"),
    [
        ({"kind": "bearer"}, {"token": KEY}, {"you": {"api_key": KEY}}, True),
        ({"kind": "bearer"}, {"token": "a-word"}, {"text": "a-word is a-word"}, False),
        ({"kind": "basic"}, {"username": "ann@example.com!", "password": KEY}, {"mail": "ann@example.com!"}, False),
        ({"kind": "basic"}, {"username": "ann@example.com!", "password": KEY}, {"password": KEY}, True),
        ({"kind": "basic"}, {"username": KEY, "password": ""}, {"key": KEY}, True),
    ],
)
async def test_no_answer_carries_the_credential_to_the_agent(
    auth: dict[str, str], fields: dict[str, str], body: dict[str, Any], refused: bool
) -> None:
    """A provider whose answer repeats the key or token hands it to nobody; who the account is, it may say."""
    connections = Connections(credential(auth["kind"], **fields))
    house = House([httpx.Response(200, json=body)], {"acme": provider(auth=[auth])}, connections)
    if not refused:
        assert msgspec.json.decode((await house.success("items.get")).body) == body
        return
    failure = await house.failure("items.get")
    assert failure.reason is Reason.BAD_PROVIDER_RESPONSE
    assert KEY not in str(failure)
    assert KEY not in str(house.trace.events)


LOCATED = {"items.get": GET_ITEM | {"returns": "location"}}
IN_QUERY = {"kind": "api_key", "place": "query", "name": "key"}


@pytest.mark.parametrize(
    ("told", "output"),
    [
        (f"https://files.example/a.zip?key={KEY}", None),
        (f"https://files.example/{KEY.replace('-', '%2D')}/a.zip", None),
        ("https://files.example/a.zip", b'{"location":"https://files.example/a.zip"}'),
        ("/a.zip", b'{"location":"https://api.acme.example/a.zip"}'),
        ("#a", b'{"location":"https://api.acme.example/v1/items/7#a"}'),
    ],
)
async def test_where_an_answer_leads_is_told_without_the_credential(told: str, output: bytes | None) -> None:
    """A key in the query of what was asked for is not in what a relative Location means; one that is written into it
    makes no success. Nothing is sent there.
    """
    made = provider(auth=[IN_QUERY], operations=LOCATED)
    answer = httpx.Response(302, headers={"location": told})
    house = House([answer] * 3, {"acme": made}, Connections(credential("api_key", key=KEY)))
    if output is not None:
        assert (await house.success("items.get")).body == output
    else:
        failure = await house.failure("items.get")
        assert (failure.reason, failure.side_effect) == (Reason.BAD_PROVIDER_RESPONSE, SideEffect.NONE)
        assert KEY not in str(failure)
    assert {request.url.host for request in house.sender.sent} == {"api.acme.example"}
    assert KEY not in str(house.trace.events)


ODD_KEY = "ab/cd+ef==GHIJ0123456789xy"


@pytest.mark.parametrize(
    "body",
    [
        rb'{"me":"ab\/cd+ef==GHIJ0123456789xy"}',
        rb'{"me":"ab/cd\u002Bef\u003d\u003dGHIJ0123456789xy"}',
        b'{"next":"https://a/?k=ab%2Fcd%2Bef%3D%3DGHIJ0123456789xy"}',
        b'{"next":"https://a/?k=ab/cd%2bef%3d%3dGHIJ0123456789xy"}',
        b'{"page":"<a href=&quot;ab/cd&#43;ef==GHIJ0123456789xy&quot;>"}',
        rb'{"log":"{\"me\":\"ab\\\/cd+ef==GHIJ0123456789xy\"}"}',
        b'{"sent":"' + base64.b64encode(b"Bearer " + ODD_KEY.encode()) + b'"}',
        b'{"sent":"' + ODD_KEY.encode().hex().encode() + b'"}',
    ],
)
async def test_no_answer_carries_the_credential_in_another_spelling(body: bytes) -> None:
    r"""Where PHP writes `\/` for a slash, or a link has the token encoded, whoever asked gets no answer either."""
    house = House([httpx.Response(200, content=body)], connections=Connections(credential(token=ODD_KEY)))
    failure = await house.failure("items.get")
    assert failure.reason is Reason.BAD_PROVIDER_RESPONSE
    assert "wrote the credential into its answer" in failure.detail


@pytest.mark.parametrize(
    "body",
    [
        rb'{"me":"ab\/cd+ef==GHIJ0123456789x"}',
        rb'{"me":"ab\u002Fcd-","k":"GHIJ0123456789xy"}',
        b'{"k":"a%2Fb%2Bc","me":"GHIJ0123456789xy"}',
    ],
)
async def test_an_answer_with_a_part_of_the_credential_is_a_success(body: bytes) -> None:
    """What looks like it, or names its last characters, proves nothing."""
    house = House([httpx.Response(200, content=body)], connections=Connections(credential(token=ODD_KEY)))
    assert (await house.success("items.get")).body == body


@pytest.mark.parametrize(
    ("cursor", "payload", "n"),
    [(None, b"{}", "2"), ("2", b"{}", "3"), (None, b'{"n":7}', "8"), ("9", b'{"n":7}', "10")],
)
async def test_the_next_page_follows_the_one_that_was_asked_for(cursor: str | None, payload: bytes, n: str) -> None:
    """Where no answer says its number: by the cursor, else by an input of that name, else the first."""
    house = House([httpx.Response(200, json={"items": [1]})], {"acme": LISTS})
    success = await house.success("items.page", payload=payload, cursor=cursor)
    assert decode_cursor(success.next_cursor or "") == n
    house = House([httpx.Response(200, json={"items": []})], {"acme": LISTS})
    assert (await house.success("items.page", payload=payload, cursor=cursor)).next_cursor is None


async def test_a_cursor_counts_against_the_size_of_a_reply() -> None:
    """What the trace says and what the caller gets are the same, also for a long cursor."""
    answer = httpx.Response(200, json={"next": "x" * 900})
    house = House([answer], {"acme": LISTS}, limits=Limits(max_output_bytes=1_500))
    failure = await house.failure("items.scroll", payload=b"{}")
    assert failure.reason is Reason.RESPONSE_TOO_LARGE
    assert house.finished.outcome == Reason.RESPONSE_TOO_LARGE
    house = House([answer], {"acme": LISTS}, limits=Limits(max_output_bytes=3_000))
    success = await house.success("items.scroll", payload=b"{}")
    assert decode_cursor(success.next_cursor or "") == "x" * 900


async def test_what_the_sender_says_is_redacted_too() -> None:
    """Whoever words a failure, the credential is not in it."""
    house = House([Failure(reason=Reason.CONNECT_FAILED, detail="no route for hunter2hunter2")] * 3)
    failure = await house.failure("items.get")
    assert "hunter2" not in str(failure)
    assert "hunter2" not in str(house.trace.events)
