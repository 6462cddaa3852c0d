"""The model of JetStream KV answers as the real nats-server does: the same questions to both, one server and three."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_streams import bucket, provision
from sidecar.ports import BusError, NoResponders
from tests.fixtures_nats import Configured, configured
from tests.sim.kv import ID_IN_PROCESS, INVALID_TTL, KEY_IN_PROCESS, WRONG_LAST_SEQUENCE, Ack, Bucket, Refused, Write

pytestmark = pytest.mark.anyio

# In a bucket of its own, so that every revision is known.
SCRIPT: tuple[tuple[str, Write], ...] = (
    ("create", Write("k", b"1", 0, "A")),
    ("the same again", Write("k", b"1", 0, "A")),
    ("its id with another expected revision, which is right", Write("k", b"1", 1, "A")),
    ("its id and no expected revision", Write("k", b"1", None, "A")),
    ("create what exists", Write("k", b"x", 0, "B")),
    ("write over the last revision", Write("k", b"2", 1, "C")),
    ("the same again, now over an old one", Write("k", b"2", 1, "C")),
    ("write over an old revision", Write("k", b"3", 1, "D")),
    ("the id that was refused, over the last", Write("k", b"3", 2, "D")),
    ("an id of another key", Write("other", b"1", 0, "A")),
    ("an id that was written over", Write("k", b"1", None, "A")),
    ("a revision of what never was", Write("never", b"1", 7, "E")),
    ("the id that was refused, as a creation", Write("never", b"1", 0, "E")),
    ("delete an old revision", Write("k", b"", 2, "F", delete=True)),
    ("delete the last", Write("k", b"", 3, "G", delete=True)),
    ("create over the marker as if it were not there", Write("k", b"4", 0, "H")),
    ("create over the marker", Write("k", b"4", 5, "I")),
    ("write without an id", Write("k", b"5", 6)),
    ("write without an id again", Write("k", b"5", 6)),
    ("a time to live below a second", Write("lease", b"", 0, "J", ttl=0.5)),
    ("no time to live", Write("lease", b"", 0, "J", ttl=0)),
)
KEYS = ("k", "other", "never", "lease")


async def ask(bus: NatsBus, name: str, write: Write) -> Ack | Refused:
    headers = {
        "Nats-Msg-Id": write.message_id,
        "Nats-Expected-Last-Subject-Sequence": "" if write.expected is None else str(write.expected),
        "Nats-TTL": "" if write.ttl is None else f"{write.ttl:g}",
        "KV-Operation": "DEL" if write.delete else "",
    }
    given = {header: value for header, value in headers.items() if value}
    reply = json.loads((await bus.request(f"$KV.{name}.{write.key}", write.value, headers=given, timeout=20)).data)
    if "error" in reply:
        return Refused(reply["error"]["err_code"], "")
    return Ack(reply["seq"], reply.get("duplicate", False))


async def look(bus: NatsBus, name: str, key: str) -> tuple[int, bytes, bool] | None:
    """Revision, value, and whether it is a deletion's marker."""
    reply = await bus.request(f"$JS.API.DIRECT.GET.KV_{name}.$KV.{name}.{key}", b"", timeout=20)
    headers = reply.headers or {}
    if "Nats-Sequence" not in headers:
        assert headers["Status"] == "404"
        return None
    return int(headers["Nats-Sequence"]), reply.data, "KV-Operation" in headers


def modelled(model: Bucket, write: Write, now: float = 0.0) -> Ack | Refused:
    answer = model.publish(write, now)
    return answer._replace(text="") if isinstance(answer, Refused) else answer


def shown(model: Bucket, key: str, now: float = 0.0) -> tuple[int, bytes, bool] | None:
    stored = model.last(key, now)
    return (stored.revision, stored.write.value, stored.write.delete) if stored else None


async def make(bus: NatsBus, name: str, replicas: int) -> None:
    """The product's own bucket, on which leases may expire."""
    await provision(bus, (bucket(name, replicas=replicas),))
    stream = f"STREAM.{{}}.KV_{name}"
    config = json.loads((await bus.request(f"$JS.API.{stream.format('INFO')}", b"", timeout=20)).data)["config"]
    config["allow_msg_ttl"] = True
    changed = await bus.request(f"$JS.API.{stream.format('UPDATE')}", json.dumps(config).encode(), timeout=20)
    assert "error" not in json.loads(changed.data)


async def test_one_server(bus: NatsBus, fresh_name: str) -> None:
    """Every question of the script has the same answer, and the bucket holds the same in the end."""
    await make(bus, fresh_name, 1)
    model = Bucket()
    for what, write in SCRIPT:
        assert modelled(model, write) == await ask(bus, fresh_name, write), what
    for key in KEYS:
        assert shown(model, key) == await look(bus, fresh_name, key), key


async def test_time_to_live(bus: NatsBus, fresh_name: str) -> None:
    """A lease goes by itself and can be taken again, not under its old id; changed without a time to live it stays."""
    await make(bus, fresh_name, 1)
    model = Bucket()
    first = Write("lease", b"a", 0, "A", ttl=1)
    kept = Write("kept", b"a", 0, "B", ttl=1)
    over = Write("kept", b"b", 2, "C")
    for write in (first, kept, over):
        assert modelled(model, write) == await ask(bus, fresh_name, write)
    with anyio.fail_after(30):
        while await look(bus, fresh_name, "lease") is not None:  # noqa: ASYNC110 - the server decides
            await anyio.sleep(0.05)
    assert shown(model, "lease", 1.0) is None
    for write in (Write("lease", b"b", 1, "D"), first, Write("lease", b"b", 0, "E", ttl=2)):
        assert modelled(model, write, 1.5) == await ask(bus, fresh_name, write), write
    assert shown(model, "kept", 1.5) == await look(bus, fresh_name, "kept") == (3, b"b", False)


@asynccontextmanager
async def three_servers(folder: Path) -> AsyncIterator[NatsBus]:
    """A connection to one of three servers that know each other."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(3)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in sockets]
    routes = [f"nats://127.0.0.1:{port}" for port in ports]
    servers: list[Configured] = []
    async with AsyncExitStack() as running:
        for number, port in enumerate(ports):
            own = folder / f"n{number}"
            own.mkdir()
            config: dict[str, object] = {
                "server_name": own.name,
                "jetstream": {"store_dir": str(own)},
                "cluster": {"name": "c", "host": "127.0.0.1", "port": port, "routes": routes},
            }
            servers.append(await running.enter_async_context(configured(own, config)))
        bus = await connect(f"nats://127.0.0.1:{servers[0].port}")
        running.push_async_callback(bus.close)
        yield bus


async def elected(bus: NatsBus) -> None:
    """Return when JetStream has a leader."""
    with anyio.fail_after(50):
        while True:
            try:
                reply = json.loads((await bus.request("$JS.API.STREAM.NAMES", b"", timeout=2)).data)
            except (NoResponders, BusError):
                reply = {"error": "nobody"}
            if "error" not in reply:
                return
            await anyio.sleep(0.1)


async def test_three_servers(tmp_path: Path) -> None:
    """A cluster answers as its model does; of writes at once one is taken and the others are in process."""
    async with three_servers(tmp_path) as bus:
        await elected(bus)
        await make(bus, "b", 3)
        model = Bucket(clustered=True)
        for what, write in SCRIPT:
            assert modelled(model, write) == await ask(bus, "b", write), what
        seen: set[int] = set()
        for number in range(50):  # whether they meet is the cluster's affair: until each kind was seen
            same = [Write(f"same{number}", b"", 0, f"S{number}")] * 3
            rivals = [Write(f"rival{number}", b"", 0, f"R{number}.{rival}") for rival in range(3)]
            answers = await at_once(bus, [*same, *rivals])
            assert sum(isinstance(answer, Ack) and not answer.duplicate for answer in answers) == 2
            seen |= {answer.err_code for answer in answers if isinstance(answer, Refused)}
            if seen >= {ID_IN_PROCESS, KEY_IN_PROCESS}:
                break
        assert {ID_IN_PROCESS, KEY_IN_PROCESS} <= seen <= {ID_IN_PROCESS, KEY_IN_PROCESS, WRONG_LAST_SEQUENCE}


async def at_once(bus: NatsBus, writes: list[Write]) -> list[Ack | Refused]:
    answers: list[Ack | Refused] = []

    async def one(write: Write) -> None:
        answers.append(await ask(bus, "b", write))

    async with anyio.create_task_group() as tasks:
        for write in writes:
            tasks.start_soon(one, write)
    return answers


def test_the_script_asks_for_every_answer() -> None:
    """Both orders of checks, and each refusal, occur in the script."""
    for clustered in (False, True):
        model = Bucket(clustered=clustered)
        answers = [model.publish(write, 0.0) for _, write in SCRIPT]
        codes = {answer.err_code for answer in answers if isinstance(answer, Refused)}
        assert codes == {WRONG_LAST_SEQUENCE, INVALID_TTL}
        assert {answer.duplicate for answer in answers if isinstance(answer, Ack)} == {True, False}
    one, three = Bucket(), Bucket(clustered=True)
    assert [one.publish(write, 0.0) for _, write in SCRIPT] != [three.publish(write, 0.0) for _, write in SCRIPT]
