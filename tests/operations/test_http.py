"""The operations listener: is it alive, is it ready, what are its figures; and figures stay few."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.abc
import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.adapters.address import AddressError, bind
from sidecar.adapters.prometheus_metrics import CONTENT_TYPE, MAX_OPERATIONS, Metrics
from sidecar.adapters.uvicorn_listener import listener
from sidecar.http import operations
from sidecar.model import Reason
from sidecar.trace.publish import TracePublisher
from sidecar.wire.event import Event
from tests.execute.house import OK, House
from tests.worker.house import House as Serving
from tests.worker.house import Letter, ScriptedBus

pytestmark = pytest.mark.anyio


async def ready() -> str | None:
    return None


async def away() -> str | None:
    return "NATS does not answer: not connected"


def metrics(*, known: bool = True) -> Metrics:
    return Metrics(lambda provider, operation: known, "digest")


def client(figures: Metrics, asked: Callable[[], Awaitable[str | None]] = ready) -> httpx.AsyncClient:
    pages = operations(asked, figures.exposition, CONTENT_TYPE)
    return httpx.AsyncClient(transport=httpx.ASGITransport(pages), base_url="http://operations")


def series(figures: Metrics) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Every sample by name and labels, as Prometheus reads them."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(figures.exposition().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


@pytest.mark.parametrize(
    ("path", "asked", "status", "text"),
    [
        ("/healthz", ready, 200, "ok\n"),
        ("/healthz", away, 200, "ok\n"),  # alive; to restart it would not bring NATS back
        ("/readyz", ready, 200, "ok\n"),
        ("/readyz", away, 503, "NATS does not answer: not connected\n"),
    ],
)
async def test_alive_and_ready(path: str, asked: Callable[[], Awaitable[str | None]], status: int, text: str) -> None:
    """The loop turns; calls can be served, or why not."""
    async with client(metrics(), asked) as here:
        answer = await here.get(path)
    assert (answer.status_code, answer.text) == (status, text)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/metrics", 405)])
async def test_nothing_else_is_there(method: str, path: str, status: int) -> None:
    """No page that was not asked for."""
    async with client(metrics()) as here:
        assert (await here.request(method, path)).status_code == status


async def test_figures_are_what_prometheus_reads() -> None:
    """The text parses, with our figures and the process's own, under the content type that says so."""
    async with client(metrics()) as here:
        answer = await here.get("/metrics")
    assert answer.headers["content-type"] == CONTENT_TYPE
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"sidecar_info", "sidecar_calls", "sidecar_in_flight", "process_resident_memory_bytes"} <= names


async def told(figures: Metrics, events: list[Event]) -> None:
    publisher = TracePublisher(ScriptedBus(), "sidecar", figures)
    for event in events:
        publisher.emit(event)


async def test_a_call_is_counted() -> None:
    """By provider, operation and outcome; its exchanges by status; its waits by why."""
    here = House([httpx.Response(429, headers={"retry-after": "2"}), OK])
    await here.success("items.create")
    figures = metrics()
    await told(figures, here.trace.events)
    found = series(figures)
    call = (("operation", "items.create"), ("outcome", "ok"), ("provider", "acme"))
    assert found["sidecar_calls_total"] == {call: 1}
    assert found["sidecar_attempts_total"] == {
        (("provider", "acme"), ("result", "429")): 1,
        (("provider", "acme"), ("result", "200")): 1,
    }
    assert found["sidecar_wait_seconds_total"] == {(("provider", "acme"), ("why", "retry")): 2}
    assert found["sidecar_call_seconds_sum"][(("provider", "acme"),)] == pytest.approx(2)


async def test_an_answer_from_a_record_is_counted() -> None:
    """As a call that ended so, and as one for which nothing was sent."""
    here = House([OK])
    await here.success("items.create")
    first = msgspec.structs.replace(here.finished, replayed="0190a8b0-1234-7abc-8def-0123456789ab")
    figures = metrics()
    await told(figures, [here.finished, first])
    found = series(figures)
    assert found["sidecar_replayed_total"] == {(("provider", "acme"),): 1}
    assert sum(found["sidecar_calls_total"].values()) == 2


async def test_made_up_names_make_no_series() -> None:
    """10,000 operations that nobody has, asked by many tenants and connections, are one series."""
    serving = Serving()
    await serving.worker.start()
    figures = Metrics(lambda provider, name: serving.executor.catalogue.operation(provider, name) is not None, "digest")
    before = len(figures.exposition().splitlines())
    for number in range(10_000):
        figures.finished("acme", f"made.up{number}", Reason.UNKNOWN_OPERATION, 0.001)
    for number in range(50):
        serving.bus.hand_in(Letter(f"sidecar.read.t{number}.c{number}.acme.made.up{number}", b"{}"))
        serving.bus.hand_in(Letter(f"sidecar.admin.t{number}.c{number}.acme.verb{number}", b"{}"))
    await serving.settled()
    await told(figures, serving.trace.events)
    found = series(figures)
    call = (("operation", "unknown"), ("outcome", "UNKNOWN_OPERATION"), ("provider", "acme"))
    assert found["sidecar_calls_total"] == {call: 10_050}
    assert found["sidecar_admin_total"] == {(("outcome", "MALFORMED"), ("verb", "unknown")): 50}
    assert len(figures.exposition().splitlines()) < before + 60
    assert b"made" not in figures.exposition()


async def test_the_longest_catalogue_makes_so_many_series() -> None:
    """Known operations past the bound are counted as `other`."""
    figures = metrics()
    for number in range(MAX_OPERATIONS + 500):
        figures.finished("acme", f"items.get{number}", "ok", 0.001)
    found = series(figures)["sidecar_calls_total"]
    assert len(found) == MAX_OPERATIONS + 1
    assert found[(("operation", "other"), ("outcome", "ok"), ("provider", "acme"))] == 500


async def test_what_is_lost_is_counted() -> None:
    """An event that the bus does not take fails no call and shows in the figures."""
    here = House([OK])
    await here.success("items.get")
    bus, figures = ScriptedBus(), metrics()
    bus.connected = False
    publisher = TracePublisher(bus, "sidecar", figures)
    for event in here.trace.events:
        publisher.emit(event)
    assert series(figures)["sidecar_trace_dropped_total"] == {(): len(here.trace.events)}
    assert not await publisher.handed_over()


async def test_a_real_listener() -> None:
    """Served on a free port of loopback until the block ends."""
    pages = operations(ready, metrics().exposition, CONTENT_TYPE)
    async with listener(pages, bind("127.0.0.1:0")) as address, httpx.AsyncClient(trust_env=False) as here:
        assert (await here.get(f"http://{address}/healthz")).text == "ok\n"
        with pytest.raises(AddressError, match="cannot listen"):
            bind(address)


async def ended(stream: anyio.abc.ByteReceiveStream) -> None:
    """Wait until the other side has closed it."""
    async for _ in stream:
        pass


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost:",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz",
        b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nslow",
    ],
)
async def test_a_request_that_never_ends_holds_no_connection(sent: bytes) -> None:
    """Whoever is slow on purpose is hung up on; the listener goes on for others."""
    async with listener(operations(ready, bytes, CONTENT_TYPE), bind("127.0.0.1:0"), head_seconds=0.05) as place:
        host, _, port = place.rpartition(":")
        async with await anyio.connect_tcp(host, int(port)) as slow:
            if sent:
                await slow.send(sent)
            with anyio.fail_after(2):  # sooner than uvicorn's own 5 s
                await ended(slow)
        async with httpx.AsyncClient(base_url=f"http://{place}", trust_env=False) as other:
            assert (await other.get("/healthz")).status_code == 200
