"""`sidecar trace` against a real stream: one call is found and explained, and what happens is followed."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from sidecar.adapters.nats_bus import connect
from sidecar.cli.find_call import Wanted, find, wanted_call
from sidecar.cli.session import Session
from sidecar.cli.trace import _print, follow, pattern
from sidecar.wire.event import CallEvent, encoder
from sidecar.wire.request import call_id_at
from sidecar.wire.subject import trace_subject
from tests.cli.conftest import Command, Served, said
from tests.late_trace import call_events, late, store

MILK = '{"list": "home work", "title": "Milk"}'
DEEP = b'{"call_id":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
Publish = Callable[..., None]


@pytest.fixture
def publish(served: Served) -> Iterator[Publish]:
    """Publish events as a sidecar does; they are in the stream when it returns."""
    with start_blocking_portal() as portal:

        async def put(*told: CallEvent) -> None:
            bus = await connect(served.url)
            await store(bus, *told)
            await bus.close()

        yield lambda *told: portal.call(put, *told)


def call_id_of(beside: Command, *words: str) -> str:
    """Make a call; its id."""
    result = beside("call", *words, "--json")
    told = json.loads(result.stderr or result.stdout)
    return str(told["call_id"])


def test_a_call_is_explained(beside: Command) -> None:
    """A write that was told to wait: what was sent, what was said, what was waited for, and why."""
    call_id = call_id_of(beside, "acme.items.create", MILK, "-c", "alice")
    lines = beside("trace", "show", call_id).stdout.splitlines()
    assert lines[0].startswith("write  default / alice / acme.items.create ")
    assert lines[1].startswith(f"call {call_id} ")
    assert any(line.startswith("   0.000  accepted") for line in lines)
    assert any("attempt 1  POST http" in line for line in lines)
    assert any("finished ok · 200" in line for line in lines)
    assert lines[-1].startswith("why: ")


def test_an_ending_is_enough(beside: Command) -> None:
    """The last characters of the id find it, in either case, and with or without dashes."""
    call_id = call_id_of(beside, "acme.account.get")
    whole = beside("trace", "show", call_id).stdout
    for words in (call_id[-8:], call_id[-14:].upper(), call_id.replace("-", "")[-14:], call_id.upper()):
        assert beside("trace", "show", words).stdout == whole


def test_a_machine_gets_the_events(beside: Command) -> None:
    """With --json the events stand on stdout as they were published, in order."""
    call_id = call_id_of(beside, "acme.account.get")
    told = said(beside("trace", "show", call_id, "--json"))
    assert [event["event"] for event in told] == ["started", "attempt", "finished"]
    assert {event["call_id"] for event in told} == {call_id}


def test_a_refused_call_is_explained_too(beside: Command) -> None:
    """Nothing was sent, and the trace says why."""
    call_id = call_id_of(beside, "acme.items.create", "{}")
    assert "INVALID_ARGUMENT / VALIDATION" in beside("trace", "show", call_id).stdout


def test_an_ambiguous_ending_lists_the_calls(beside: Command, publish: Publish) -> None:
    """Two calls end alike: both are named with time and operation, so that one can be chosen."""
    ids = [f"00000000-0000-4000-8000-{number}00abcdef99" for number in ("11", "22")]
    publish(*(event for call_id in ids for event in call_events(call_id)))
    result = beside("trace", "show", "abcdef99")
    assert result.exit_code == 64
    assert "AMBIGUOUS_CALL" in result.stderr
    for call_id in ids:
        assert f"  {call_id}  " in result.stderr
    assert "alice / told.items.create" in result.stderr
    assert beside("trace", "show", "2200abcdef99").exit_code == 0


def test_an_unknown_call_is_told(beside: Command) -> None:
    """Exit code 66, and how to look further."""
    for call in (str(uuid.uuid4()), call_id_at(time.time(), bytes(10)), "ffffffff"):
        result = beside("trace", "show", call)
        assert result.exit_code == 66
        assert "--since 7d" in result.stderr


def test_since_bounds_the_search_for_an_ending(beside: Command, publish: Publish) -> None:
    """An ending is looked for in the time given; what came before is not found."""
    publish(*call_events("00000000-0000-4000-8000-0000000d00d1"))
    assert beside("trace", "show", "0d00d1", "--since", "1h").exit_code == 0
    assert beside("trace", "show", "0d00d1", "--since", "0s").exit_code == 66


def test_a_whole_id_is_found_at_its_time(beside: Command, publish: Publish) -> None:
    """A version 7 id says when it was made: it is found whatever --since says; wrong about its time, by --since."""
    now = call_id_at(time.time(), b"0123456789")
    future = call_id_at(time.time() + 86_400, b"abcdefghij")
    publish(*call_events(now), *call_events(future))
    assert beside("trace", "show", now, "--since", "0s").exit_code == 0
    assert beside("trace", "show", future).exit_code == 0


def test_a_call_whose_start_is_gone_is_found_by_its_end(beside: Command, publish: Publish) -> None:
    """The oldest events go first when the stream is full."""
    publish(call_events("00000000-0000-4000-8000-0000000e0e0e")[1])
    assert "finished ok" in beside("trace", "show", "0e0e0e").stdout


@pytest.mark.anyio
@pytest.mark.parametrize(("stored", "reads"), [(0, 4), (1, 2)], ids=["nothing yet", "its start"])
async def test_a_call_that_was_just_answered_is_shown_to_its_end(served: Served, stored: int, reads: int) -> None:
    """A reply may be there before its events are stored: they are looked for again."""
    call_id = call_id_at(time.time(), uuid.uuid4().bytes[:10])
    events, wanted = call_events(call_id), wanted_call(call_id)
    assert wanted is not None
    bus = await connect(served.url)
    await store(bus, *events[:stored])
    found = await find(late(bus, events[1], reads=reads), wanted, pattern("sidecar", None, None, None), 0)
    assert [len(call.events) for call in found] == [stored + 1]
    await bus.close()


def test_an_event_that_is_nested_too_deeply_hides_no_other(
    beside: Command, served: Served, publish: Publish, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever may publish a trace event keeps nobody from finding a call: it is passed over."""
    publish(*call_events("00000000-0000-4000-8000-0000000a11ce"))

    async def nested() -> None:
        bus = await connect(served.url)
        for event in ("started", "finished"):
            await bus.request(f"sidecar.trace.default.alice.told.{event}", DEEP, timeout=5)
        await bus.close()

    anyio.run(nested)
    assert "finished ok" in beside("trace", "show", "0a11ce").stdout
    for as_json in (False, True):
        _print(DEEP, as_json=as_json)
    assert capsys.readouterr().out == ""


def test_filters_narrow_the_search(beside: Command, publish: Publish) -> None:
    """The same ending in another tenant is not meant."""
    ids = {name: f"00000000-0000-4000-8000-{digit * 4}00facade" for name, digit in (("one", "1"), ("two", "2"))}
    publish(*(event for name, call_id in ids.items() for event in call_events(call_id, tenant=name)))
    assert beside("trace", "show", "00facade").exit_code == 64
    assert ids["two"] in beside("trace", "show", "00facade", "--tenant", "two").stdout
    assert beside("trace", "show", "00facade", "--tenant", "two", "--provider", "acme").exit_code == 66


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("7A2F", Wanted("7a2f", "7a2f")),
        ("-7a2f", Wanted("-7a2f", "7a2f")),
        (
            "00000000-0000-4000-8000-00000000000A",
            Wanted("00000000-0000-4000-8000-00000000000a", "0" * 12 + "4" + "0" * 3 + "8" + "0" * 14 + "a"),
        ),
        ("", None),
        ("7a2", None),
        ("----", None),
        ("7g2f", None),
        ("7a 2f", None),
    ],
)
def test_what_may_name_a_call(text: str, wanted: Wanted | None) -> None:
    """A UUID, or at least four hexadecimal digits of its end."""
    assert wanted_call(text) == wanted


def test_a_version_7_id_knows_its_time() -> None:
    """RFC 9562: its first 48 bits are the Unix millisecond."""
    wanted = wanted_call(call_id_at(1_763_690_047.120, bytes(10)))
    assert wanted is not None
    assert wanted.made == 1_763_690_047.12


def test_the_subject_of_a_filter() -> None:
    """Each filter is one token, encoded; what is not given is every one."""
    assert pattern("p", "acme", "a@b", None) == "p.trace.acme.a%40b.*"


@pytest.mark.anyio
async def test_tail_follows_what_is_asked_for(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    """One line for each event of the provider asked for, as it happens; others are left out, and nonsense too."""
    bus, other = await connect(served.url), await connect(served.url)
    following = anyio.Event()
    told: list[str] = []
    call_id = str(uuid.uuid4())
    wanted = call_events(call_id, provider="tail")

    async with anyio.create_task_group() as tasks:
        where = pattern("sidecar", None, None, "tail")
        nats = Session(bus, "sidecar", "here")
        tasks.start_soon(lambda: follow(nats, where, following.set, as_json=False))
        await following.wait()
        for event in (*call_events(str(uuid.uuid4())), *wanted):
            subject = trace_subject("sidecar", "default", "alice", event.provider, "x")
            await other.request(subject, encoder.encode(event), timeout=5)
        await other.request("sidecar.trace.default.alice.tail.x", b"\xff", timeout=5)
        with anyio.fail_after(5):
            while len(told) < 2:
                told += capfd.readouterr().out.splitlines()
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    await bus.close()
    await other.close()
    assert [line.split()[1:3] for line in told] == [[call_id[-8:], name] for name in ("started", "finished")]
