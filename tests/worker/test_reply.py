"""One message in, exactly one reply out, sent nowhere but to an inbox."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from sidecar.adapters.prometheus_metrics import Metrics
from sidecar.gate import Admission
from sidecar.log import JsonLines, TextLines
from sidecar.model import Access, Outcome
from sidecar.sandbox.scripted import EventLog, ScriptedSender
from sidecar.trace.publish import TracePublisher
from sidecar.wire.event import Attempt, Event, Finished, Started
from sidecar.wire.subject import AdminAddress
from tests.build import provider
from tests.worker.house import House, Letter, ScriptedBus, StuckSender

pytestmark = pytest.mark.anyio

READ = "sidecar.read.default.default.acme.items.get"
WRITE = "sidecar.write.default.default.acme.items.create"
OK = httpx.Response(200, json={"id": 1})
LONG = "x" * 1_000_000


async def test_a_call_is_answered() -> None:
    """With the provider's body as it is, and the headers that say what happened."""
    house = House(ScriptedSender([OK]))
    await house.start()
    reply = await house.ask(READ, b'{"id": "7"}', headers={"TIMEOUT-MS": "1000"})
    assert (reply.subject, reply.body) == ("_INBOX.me.1", {"id": 1})
    assert {"Call-Id", "traceparent", "Attempts", "Provider-Status"} <= set(reply.headers)
    assert house.worker.in_flight == 0
    assert house.counts.levels == [1, 0]


class PublishedTrace(EventLog):
    """Takes the last events of a call when the trace that is published does."""

    def __init__(self) -> None:
        super().__init__()
        self.published = TracePublisher(ScriptedBus(), "sidecar", Metrics(lambda _provider, _name: True, "digest"))

    def later(self, tell: Callable[[], None]) -> None:
        self.published.later(tell)


async def test_a_reply_does_not_wait_for_the_story_of_its_call() -> None:
    """What the call did and how it ended is told in full, behind the reply."""
    trace = PublishedTrace()
    told: list[type[Event]] = []

    class Bus(ScriptedBus):
        def publish(self, subject: str, payload: bytes, **also: Any) -> None:
            told.extend(type(event) for event in trace.events)
            super().publish(subject, payload, **also)

    house = House(ScriptedSender([OK]), bus=Bus(), trace=trace)
    await house.start()
    await house.ask(READ, b'{"id": "7"}')
    assert told == [Started]
    assert [type(event) for event in trace.events] == [Started, Attempt, Finished]


@pytest.mark.parametrize(
    ("subject", "data", "headers", "reason"),
    [
        ("sidecar.read.default.default.acme.Items", b"", None, "MALFORMED"),
        ("sidecar.read.a%2eb.default.acme.items.get", b"", None, "MALFORMED"),
        ("sidecar.read.-.default.acme.items.get", b"", None, "MALFORMED"),
        ("sidecar.read.default..acme.items.get", b"", None, "MALFORMED"),
        (READ, b"\xff", None, "MALFORMED"),
        (READ, b"[" * 100_000, None, "MALFORMED"),
        (READ, b"{}", {"Timeout-Ms": "0"}, "MALFORMED"),
        (READ, b"{}", {"timeout-ms": "-1"}, "MALFORMED"),
        (READ, b"{}", {"Timeout-Ms": "soon"}, "MALFORMED"),
        (READ, b"{}", {"idempotency-key": "a key"}, "MALFORMED"),
        (READ, b"{}", {"Fields": "id"}, "HEADER_UNSUPPORTED"),
        (READ, b"{}", {"Call-Id": "1"}, "MALFORMED"),
        (READ, b"{}", {"": ""}, "MALFORMED"),
        (READ, b"{}", None, "VALIDATION"),
        (f"{READ}.more", b"{}", None, "UNKNOWN_OPERATION"),
        (WRITE.replace("write", "read"), b"{}", None, "ACCESS_MISMATCH"),
        ("sidecar.read.other.default.acme.items.get", b'{"id": "7"}', None, "NO_CREDENTIAL"),
        ("sidecar.admin.default.default.acme.explode", b"", None, "MALFORMED"),
        ("sidecar.admin.default.default.acme.import", b"{", None, "MALFORMED"),
        ("sidecar.catalog.default.describe.acme.nothing", b"", None, "UNKNOWN_OPERATION"),
        ("sidecar.catalog.default.providers", b"[]", None, "MALFORMED"),
        ("sidecar.catalog.default.explode", b"", None, "MALFORMED"),
        ("sidecar.catalog.-.providers", b"", None, "MALFORMED"),
    ],
)
async def test_what_is_wrong_is_answered(
    subject: str, data: bytes, headers: dict[str, str] | None, reason: str
) -> None:
    """Exactly one reply, in the one shape, in payload and headers."""
    house = House()
    await house.start()
    reply = await house.ask(subject, data, headers=headers)
    assert reply.body["reason"] == reason
    assert reply.headers["Nats-Service-Error-Code"] == str(reply.body["status"])
    assert reply.headers["Nats-Service-Error"].startswith(f"{reason}: ")


async def test_a_refusal_names_what_was_asked() -> None:
    """By the id and the trace that its caller gave it: the reply is found again among thousands."""
    house = House()
    await house.start()
    trace_id, call_id = "4bf92f3577b34da6a3ce929d0e0e4736", "0190a8b0-1234-7abc-8def-0123456789ab"
    said = {"Timeout-Ms": "0", "Call-Id": call_id.upper(), "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    reply = await house.ask(READ, b"{}", headers=said)
    assert (reply.body["provider"], reply.body["operation"], reply.body["call_id"]) == ("acme", "items.get", call_id)
    assert reply.headers["Call-Id"] == call_id
    assert reply.headers["traceparent"].startswith(f"00-{trace_id}-")
    assert house.trace.events == []


async def test_a_defect_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    """A bug below the worker: one reply, one record in the log, counted as an error, and the worker goes on."""
    house = House()
    await house.start()

    async def broken(address: AdminAddress, payload: bytes) -> Outcome:
        raise RuntimeError("token=" + "hunter2" * 2)

    house.administrator.answer = broken  # type: ignore[method-assign]  # a defect that no input provokes
    reply = await house.ask("sidecar.admin.default.default.acme.verify")
    assert (reply.body["reason"], reply.body["side_effect"], reply.body["retryable"]) == ("BUG", "unknown", False)
    [record] = [record for record in caplog.records if record.name == "sidecar.worker"]
    assert "hunter2hunter2" not in JsonLines().format(record) + TextLines().format(record)
    assert "RuntimeError" in JsonLines().format(record)
    assert [item.last_error for item in house.service.endpoints if item.num_errors] == ["BUG"]
    assert (await house.ask("sidecar.catalog.default.providers")).body
    assert house.worker.in_flight == 0


@pytest.mark.parametrize(
    "reply",
    [
        "sidecar.write.default.default.acme.items.create",
        "sidecar.trace.default.default.acme.finished",
        "$JS.API.STREAM.DELETE.SIDECAR_TRACE",
        "$JS.API.>",
        "$SYS.REQ.SERVER.PING",
        "$SRV.PING",
        "_INBOX",
        "_INBOXES.a",
        "_inbox.a",
        "_INBOX.>",
        "_INBOX.*",
        "_INBOX.a b",
        "_INBOX.a\r\nPUB x 0",
        "_INBOX.a\tb",
        "_INBOX.",
        "_INBOX..a",
        "_INBOX.a.",
        "_R_.",
    ],
)
@pytest.mark.parametrize("subject", [READ, "$SRV.PING", "sidecar.catalog.default.providers"])
async def test_a_reply_subject_that_is_no_inbox(subject: str, reply: str) -> None:
    """Nothing is published and nothing is done: the sidecar may publish where the caller may not."""
    house = House()
    await house.start()
    house.bus.hand_in(Letter(subject, b'{"id": "7"}', reply=reply))
    await house.settled()
    assert house.bus.published == []
    assert house.trace.events == []
    assert house.counts.refusals == ["reply_subject"]


async def test_a_message_without_a_reply_subject() -> None:
    """Nobody would learn how it ended, so it is not begun; counted apart."""
    house = House()
    await house.start()
    house.bus.hand_in(Letter(WRITE, b'{"title": "x"}', reply=""))
    await house.settled()
    assert (house.bus.published, house.trace.events) == ([], [])
    assert house.counts.refusals == ["no_reply_subject"]


@pytest.mark.parametrize("inbox", ["_INBOX.a.b", "_R_.x1", "_R_.ABC.12.34"])
async def test_an_inbox_is_answered(inbox: str) -> None:
    """Clients' inboxes, and the reply subjects of imports from another account."""
    house = House()
    await house.start()
    assert (await house.ask("sidecar.catalog.default.providers", reply=inbox)).subject == inbox


BY_TENANT = Admission(reply_prefixes=("_INBOX.{tenant}.", "_R_."))


@pytest.mark.parametrize("subject", [READ, "sidecar.catalog.default.providers", "sidecar.admin.default.-.-.list"])
@pytest.mark.parametrize("reply", ["_INBOX.globex.agent.x", "_INBOX.default2.x", "_INBOX.-.sidecar.x", "_INBOX.x"])
async def test_an_inbox_of_another_tenant(subject: str, reply: str) -> None:
    """Where inboxes name their tenant, nobody has an answer put into another tenant's; nothing is begun."""
    house = House(admission=BY_TENANT)
    await house.start()
    house.bus.hand_in(Letter(subject, b'{"id": "7"}', reply=reply))
    await house.settled()
    assert (house.bus.published, house.trace.events) == ([], [])
    assert house.counts.refusals == ["reply_subject"]


@pytest.mark.parametrize(
    ("subject", "reply"),
    [
        ("sidecar.catalog.default.providers", "_INBOX.default.agent.x"),
        ("sidecar.catalog.a%20b.providers", "_INBOX.a%20b.agent.x"),
        ("sidecar.catalog.default.providers", "_R_.x1"),
        ("$SRV.PING", "_INBOX.acme.operator.x"),
    ],
)
async def test_an_inbox_of_the_own_tenant(subject: str, reply: str) -> None:
    """It is answered; whoever asks for no tenant is of any."""
    house = House(admission=BY_TENANT)
    await house.start()
    assert (await house.ask(subject, reply=reply)).subject == reply


async def test_no_more_than_so_many_in_flight() -> None:
    """The excess is refused at once and counted; those in flight are answered; then there is room again."""
    sender = StuckSender([httpx.Response(200, json={"id": 1}) for _ in range(4)])
    house = House(sender, admission=Admission(max_in_flight=2, max_waiting=0))
    await house.start()
    for number in range(5):
        house.bus.hand_in(Letter(READ, b'{"id": "7"}', reply=f"_INBOX.{number}"))
    await house.settled()
    refused = house.bus.published
    assert [reply.subject for reply in refused] == ["_INBOX.2", "_INBOX.3", "_INBOX.4"]
    for reply in refused:
        assert (reply.body["reason"], reply.body["side_effect"]) == ("QUEUE_FULL", "none")
        assert (reply.body["retryable"], reply.body["retry_after_ms"]) == (True, 1000)
    assert house.counts.refusals == ["queue_full"] * 3
    assert (sender.waiting, house.worker.in_flight) == (2, 2)
    sender.gate.set()
    await house.settled()
    assert sorted(reply.subject for reply in house.bus.published[3:]) == ["_INBOX.0", "_INBOX.1"]
    assert (await house.ask(READ, b'{"id": "7"}')).body == {"id": 1}
    assert house.counts.levels[-1] == 0


async def test_a_reply_that_cannot_be_published() -> None:
    """Counted, and the worker goes on."""
    house = House()
    await house.start()
    house.bus.connected = False
    house.bus.hand_in(Letter("sidecar.catalog.default.providers"))
    await house.settled()
    assert house.counts.lost == 1
    house.bus.connected = True
    assert (await house.ask("sidecar.catalog.default.providers")).body


async def test_a_reply_fits_one_message() -> None:
    """Also where the bus takes little."""
    house = House(ScriptedSender([httpx.Response(200, json={"text": "x" * 5_000})]))
    house.bus.max_payload = 2_000
    await house.start()
    reply = await house.ask(READ, b'{"id": "7"}')
    assert reply.body["reason"] == "RESPONSE_TOO_LARGE"
    assert len(reply.payload) < 2_000


@pytest.mark.parametrize("noise", ["a\nb", "\x1b[31mred", LONG, "a\r\nb: c", "\u2028", "\x85"])
@pytest.mark.parametrize("place", ["subject", "header", "call id", "payload"])
async def test_noise_stays_in_its_place(noise: str, place: str, caplog: pytest.LogCaptureFixture) -> None:
    """Line breaks, colours and megabytes from a caller end in one short reply whose headers are single lines."""
    caplog.set_level(logging.DEBUG)
    house = House()
    await house.start()
    subject = f"sidecar.read.default.{noise.replace(' ', '_')}.acme.items.get" if place == "subject" else READ
    name = {"header": "Timeout-Ms", "call id": "Call-Id"}.get(place)
    data = msgspec.json.encode({noise: noise, "id": noise}) if place == "payload" else b"{}"
    reply = await house.ask(subject, data, headers={name: noise} if name else None)
    assert reply.body["reason"] in {"MALFORMED", "VALIDATION"}
    assert len(reply.payload) < 1_048_576
    for value in reply.headers.values():
        assert value.isprintable()
        assert len(value) <= 600
    assert not [record for record in caplog.records if record.name.startswith("sidecar")]


async def test_subscribed_provider_by_provider() -> None:
    """So that NATS itself says at once that nobody serves a provider; one queue group, whatever is asked."""
    both = {"acme": provider(), "globex": provider(name="globex", title="Globex")}
    house = House(providers=both)
    await house.start()
    wanted = {f"sidecar.{access}.*.*.{name}.>" for access in Access for name in both}
    wanted |= {f"sidecar.admin.*.*.{name}.*" for name in (*both, "-")} | {"sidecar.catalog.*.>"}
    wanted |= {f"sidecar.connect.*.*.{name}.*" for name in both}
    everybody = {"sidecar.cancel.*.*.*"}
    served = [line for line in house.bus.lines if not line.subject.startswith("$SRV")]
    assert {line.subject for line in served if line.queue == "sidecar"} == wanted
    assert {line.subject for line in served if line.queue == ""} == everybody
    assert {line.queue for line in house.bus.lines if line.subject.startswith("$SRV")} == {""}


async def test_a_failure_names_its_call() -> None:
    """So that its trace can be found, with what was asked of whom."""
    house = House()
    await house.start()
    refused = await house.ask(READ, b"{}")
    assert refused.body["call_id"] == refused.headers["Call-Id"]
    assert (refused.body["provider"], refused.body["operation"]) == ("acme", "items.get")
    assert refused.body["type"] == "urn:connector-sidecar:failure:VALIDATION"
