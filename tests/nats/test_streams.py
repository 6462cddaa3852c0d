"""The streams and buckets: made whole, mended where it matters, and told in words where they are missing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from nats.aio.msg import Msg

from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_streams import StreamRefused, StreamSpec, bucket, missing, provision, required
from sidecar.ports import Bus, StoreUnavailable
from tests.fixtures_nats import configured

pytestmark = pytest.mark.anyio


async def info(bus: NatsBus, stream: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((await bus.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=2)).data)
    config: dict[str, Any] = answer["config"]
    return config


async def change(bus: NatsBus, stream: str, **settings: object) -> None:
    config = {**await info(bus, stream), **settings}
    reply = await bus.request(f"$JS.API.STREAM.UPDATE.{stream}", json.dumps(config).encode(), timeout=2)
    assert "error" not in json.loads(reply.data)


async def test_everything_is_made_once(empty_bus: NatsBus) -> None:
    """A fresh server misses all; after `provision` nothing is missing, and a second run has nothing to do."""
    streams = required("sidecar")
    assert await missing(empty_bus, streams) == [
        "bucket SIDECAR_CREDENTIALS does not exist",
        "bucket SIDECAR_CONNECT does not exist",
        "bucket SIDECAR_QUOTA does not exist",
        "bucket SIDECAR_IDEMPOTENCY does not exist",
        "bucket SIDECAR_CALLS does not exist",
        "stream SIDECAR_QUEUE does not exist",
        "stream SIDECAR_LATER does not exist",
        "stream SIDECAR_TRACE does not exist",
    ]
    assert await provision(empty_bus, streams) == [
        "bucket SIDECAR_CREDENTIALS: created",
        "bucket SIDECAR_CONNECT: created",
        "bucket SIDECAR_QUOTA: created",
        "bucket SIDECAR_IDEMPOTENCY: created",
        "bucket SIDECAR_CALLS: created",
        "stream SIDECAR_QUEUE: created",
        "stream SIDECAR_LATER: created",
        "stream SIDECAR_TRACE: created",
    ]
    assert await missing(empty_bus, streams) == []
    assert await provision(empty_bus, streams) == []


async def test_records_are_kept_and_traces_make_room(empty_bus: NatsBus) -> None:
    """Credentials have no age and refuse what does not fit; traces go after 7 days or 1 GiB."""
    await provision(empty_bus, required("acme"))
    credentials, trace = await info(empty_bus, "KV_SIDECAR_CREDENTIALS"), await info(empty_bus, "SIDECAR_TRACE")
    assert {
        key: credentials[key] for key in ("discard", "max_age", "max_msgs_per_subject", "storage", "allow_direct")
    } == {
        "discard": "new",
        "max_age": 0,
        "max_msgs_per_subject": 1,
        "storage": "file",
        "allow_direct": True,
    }
    assert {key: trace[key] for key in ("subjects", "discard", "max_age", "max_bytes", "storage", "allow_direct")} == {
        "subjects": ["acme.trace.>"],
        "discard": "old",
        "max_age": 7 * 24 * 3600 * 10**9,
        "max_bytes": 1024**3,
        "storage": "file",
        "allow_direct": True,
    }


async def test_what_differs_is_told_and_mended(empty_bus: NatsBus) -> None:
    """A setting that we rely on is named with what it is and what it must be; `provision` sets it right."""
    streams = required("sidecar")
    await provision(empty_bus, streams)
    await change(empty_bus, "KV_SIDECAR_CREDENTIALS", allow_direct=False)
    await change(empty_bus, "SIDECAR_TRACE", subjects=["other.trace.>"])
    said = [
        "bucket SIDECAR_CREDENTIALS: allow_direct is false, must be true",
        'stream SIDECAR_TRACE: subjects is ["other.trace.>"], must be ["sidecar.trace.>"]',
    ]
    assert await missing(empty_bus, streams) == said
    assert len(await provision(empty_bus, streams)) == 2
    assert await missing(empty_bus, streams) == []


async def test_a_bucket_that_one_header_can_empty_is_mended(empty_bus: NatsBus) -> None:
    """A bucket of an older version, or of another tool, takes `Nats-Rollup: all` from whoever may write one key."""
    streams = required("sidecar")
    await provision(empty_bus, streams)
    await change(empty_bus, "KV_SIDECAR_CREDENTIALS", allow_rollup_hdrs=True)
    assert await missing(empty_bus, streams) == ["bucket SIDECAR_CREDENTIALS: allow_rollup_hdrs is true, must be false"]
    await provision(empty_bus, streams)
    assert await missing(empty_bus, streams) == []


async def test_sizes_that_an_operator_chose_stay(empty_bus: NatsBus) -> None:
    """Another age or size is no difference, and mending something else does not undo it."""
    streams = required("sidecar")
    await provision(empty_bus, streams)
    await change(empty_bus, "SIDECAR_TRACE", max_bytes=5_000_000, max_age=3600 * 10**9)
    assert await missing(empty_bus, streams) == []
    await change(empty_bus, "SIDECAR_TRACE", allow_direct=False)
    await provision(empty_bus, streams)
    trace = await info(empty_bus, "SIDECAR_TRACE")
    assert (trace["max_bytes"], trace["max_age"], trace["allow_direct"]) == (5_000_000, 3600 * 10**9, True)


async def test_too_few_replicas_are_told(empty_bus: NatsBus) -> None:
    """One replica where three are wanted is a difference; a single server cannot mend it and says why."""
    await provision(empty_bus, required("sidecar"))
    wanted = required("sidecar", replicas=3)
    assert await missing(empty_bus, wanted) == [
        "bucket SIDECAR_CREDENTIALS: num_replicas is 1, must be at least 3",
        "bucket SIDECAR_CONNECT: num_replicas is 1, must be at least 3",
        "bucket SIDECAR_QUOTA: num_replicas is 1, must be at least 3",
        "bucket SIDECAR_IDEMPOTENCY: num_replicas is 1, must be at least 3",
        "bucket SIDECAR_CALLS: num_replicas is 1, must be at least 3",
        "stream SIDECAR_QUEUE: num_replicas is 1, must be at least 3",
        "stream SIDECAR_LATER: num_replicas is 1, must be at least 3",
        "stream SIDECAR_TRACE: num_replicas is 1, must be at least 3",
    ]
    with pytest.raises(StreamRefused, match="bucket SIDECAR_CREDENTIALS cannot be changed: replicas > 1 not supported"):
        await provision(empty_bus, wanted)


async def test_a_stream_in_the_way_is_told(bus: NatsBus, fresh_name: str) -> None:
    """Another stream on our subjects is a refusal in the server's words."""
    await provision(bus, (bucket(fresh_name),))
    other = msgspec.structs.replace(bucket(fresh_name), name=f"KV_{fresh_name}2")
    with pytest.raises(StreamRefused, match="subjects overlap with an existing stream"):
        await provision(bus, (other,))


async def test_a_server_without_jetstream_is_told(tmp_path: Path) -> None:
    """Where JetStream does not run, neither making nor checking pretends anything."""
    async with configured(tmp_path, {}) as server:
        bus = await connect(server.url(""))
        with pytest.raises(StoreUnavailable, match="JetStream does not run"):
            await missing(bus, required("sidecar"))
        with pytest.raises(StoreUnavailable, match="JetStream does not run"):
            await provision(bus, required("sidecar"))
        await bus.close()


async def test_records_can_expire_and_repeated_writes_are_known(empty_bus: NatsBus) -> None:
    """A bucket allows a time to live of each record and knows a repeated write for two minutes."""
    streams = required("sidecar", credentials_bytes=5_000_000)
    old = msgspec.structs.replace(streams[0], allow_msg_ttl=False, duplicate_window=10**9)
    await provision(empty_bus, (old,))
    assert await missing(empty_bus, streams[:1]) == [
        f"bucket SIDECAR_CREDENTIALS: duplicate_window is {10**9}, must be at least {120 * 10**9}",
        "bucket SIDECAR_CREDENTIALS: allow_msg_ttl is false, must be true",
    ]
    await provision(empty_bus, streams)
    config = await info(empty_bus, "KV_SIDECAR_CREDENTIALS")
    assert (config["allow_msg_ttl"], config["duplicate_window"]) == (True, 120 * 10**9)
    assert config["max_bytes"] == 5_000_000
    assert await missing(empty_bus, streams) == []


async def test_limits_become_as_given_where_that_is_asked(empty_bus: NatsBus) -> None:
    """With `limits` another size or age is a difference that is told and mended; without it stays."""
    await provision(empty_bus, required("sidecar"))
    wanted = required("sidecar", trace_bytes=5_000_000, trace_seconds=3600, credentials_bytes=2_000_000)
    assert await missing(empty_bus, wanted) == []
    said = await missing(empty_bus, wanted, limits=True)
    assert [text.partition(" is ")[0] for text in said] == [
        "bucket SIDECAR_CREDENTIALS: max_bytes",
        "stream SIDECAR_TRACE: max_age",
        "stream SIDECAR_TRACE: max_bytes",
    ]
    assert len(await provision(empty_bus, wanted, limits=True)) == 2
    assert await missing(empty_bus, wanted, limits=True) == []


async def test_a_stream_that_cannot_have_copies_is_told(empty_bus: NatsBus) -> None:
    """The trace of one server is written in a way that copies do not allow and that cannot be changed."""
    await provision(empty_bus, required("sidecar"))
    with pytest.raises(StreamRefused, match="was made for one server") as refused:
        await provision(empty_bus, [spec for spec in required("sidecar", replicas=3) if spec.name == "SIDECAR_TRACE"])
    assert "nats stream rm SIDECAR_TRACE" in refused.value.hint


async def test_a_refusal_says_what_to_do(empty_bus: NatsBus) -> None:
    """Copies on one server, a stream in the way, no room: each with what mends it."""
    await provision(empty_bus, required("sidecar"))
    credentials = required("sidecar", replicas=3)[0]
    other = msgspec.structs.replace(credentials, name="KV_OTHER", num_replicas=1)
    huge = msgspec.structs.replace(bucket("HUGE"), max_bytes=1 << 60)
    for stream, hint in ((credentials, "SIDECAR_REPLICAS=1"), (other, "remove the other stream"), (huge, "more room")):
        with pytest.raises(StreamRefused) as refused:
            await provision(empty_bus, (stream,))
        assert hint in refused.value.hint


class Cluster:
    """Three nodes that have every stream, with a copy on each; nothing is changed there."""

    def __init__(self, streams: Iterable[StreamSpec]) -> None:
        self._configs = {stream.name: {**msgspec.to_builtins(stream), "num_replicas": 3} for stream in streams}

    async def request(self, subject: str, _payload: bytes, *, timeout: float) -> Msg:
        verb, name = subject.split(".")[3:]
        assert verb == "INFO"
        return Msg(None, data=msgspec.json.encode({"config": self._configs[name]}))  # type: ignore[arg-type]  # no client


async def test_copies_are_never_taken_away() -> None:
    """A sidecar whose settings say one finds three: no difference, and nothing to do."""
    streams = required("sidecar")
    bus = cast("Bus", Cluster(streams))
    assert await missing(bus, streams, limits=True) == []
    assert await provision(bus, streams, limits=True) == []
