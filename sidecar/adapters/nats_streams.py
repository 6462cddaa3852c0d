"""The streams and buckets that the product needs, as one table: made by `setup` and `dev`, checked by `run`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from sidecar.adapters.nats_jetstream import NO_ROOM, SECOND_NS, STREAM_NOT_FOUND, Answer, ApiRefused, ask
from sidecar.ports import Bus, BusDenied, BusError, NoResponders, StoreDenied, StoreUnavailable

CREDENTIALS = "SIDECAR_CREDENTIALS"
CONNECT = "SIDECAR_CONNECT"
QUOTA = "SIDECAR_QUOTA"
IDEMPOTENCY = "SIDECAR_IDEMPOTENCY"
CALLS = "SIDECAR_CALLS"
QUEUE = "SIDECAR_QUEUE"
LATER = "SIDECAR_LATER"
TRACE = "SIDECAR_TRACE"
WEEK_SECONDS = 7 * 24 * 3600
GIB = 1024**3
CREDENTIALS_BYTES = GIB // 4
CONNECT_BYTES = GIB // 64  # flows vanish within the hour: 16 MiB are 10,000 at once
QUOTA_BYTES = GIB // 64  # two records for each of 32 parts of a tenant, whose marks of long windows may be long
IDEMPOTENCY_BYTES = GIB // 2  # a day of calls with idempotency keys, with their answers
CALLS_BYTES = GIB  # durable calls, as long as they wait, and what became of them
QUEUE_DEPTH = 10_000  # durable calls of a tenant that wait
QUEUE_BYTES = GIB // 4  # a word has some hundred bytes
DUPLICATE_SECONDS = 120  # how long a write that is repeated is known to be the same one
TIMEOUT_SECONDS = 5.0

# Numbers of https://github.com/nats-io/nats-server/blob/main/server/errors.json
NO_PEERS, UPDATE_REFUSED, OVERLAP, ALONE, OTHER_CONFIG = 10005, 10052, 10065, 10074, 10058


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A stream by JetStream's own words. `title` is how we call it."""

    title: str
    name: str
    subjects: list[str]
    discard: str
    num_replicas: int
    max_msgs_per_subject: int = -1
    max_age: int = 0
    max_bytes: int = -1
    storage: str = "file"
    retention: str = "limits"
    allow_direct: bool = True
    allow_rollup_hdrs: bool = False
    deny_delete: bool = False
    allow_msg_ttl: bool = False
    allow_msg_schedules: bool = False
    discard_new_per_subject: bool = False
    duplicate_window: int = DUPLICATE_SECONDS * SECOND_NS
    persist_mode: str = "default"


# A stream that differs in one of these does not do what we rely on.
ESSENTIAL = (
    "subjects",
    "storage",
    "retention",
    "discard",
    "allow_direct",
    "max_msgs_per_subject",
    "allow_rollup_hdrs",
    "discard_new_per_subject",
)
AT_LEAST = {
    "num_replicas": 1,
    "duplicate_window": 0,
    "allow_msg_ttl": False,
    "allow_msg_schedules": False,
}  # with what a server leaves out
_LEFT_OUT = {"discard_new_per_subject": False}
LIMITS = ("max_age", "max_bytes")  # `setup` makes them as the settings say; nobody else touches them


class StreamRefused(Exception):
    """The server does not let a stream be as we need it. The text says which and why, `hint` what to do."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


class _Info(Answer, frozen=True, kw_only=True):
    config: dict[str, Any] = msgspec.field(default_factory=dict)


def bucket(name: str, *, replicas: int = 1, max_bytes: int = -1) -> StreamSpec:
    """A KV bucket that keeps the last value of each key only: a secret that was replaced does not stay readable.

    Unlike those that other tools make, it takes no `Nats-Rollup`: with the header `Nats-Rollup: all` whoever may write
    one key empties the bucket of every tenant's (tried with nats-server 2.15).
    https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-8.md
    """
    return StreamSpec(
        title=f"bucket {name}",
        name=f"KV_{name}",
        subjects=[f"$KV.{name}.>"],
        discard="new",
        num_replicas=replicas,
        max_msgs_per_subject=1,
        max_bytes=max_bytes,
        deny_delete=True,
        allow_msg_ttl=True,
    )


def required(
    prefix: str,
    *,
    replicas: int = 1,
    trace_seconds: int = WEEK_SECONDS,
    trace_bytes: int = GIB,
    credentials_bytes: int = CREDENTIALS_BYTES,
    idempotency_bytes: int = IDEMPOTENCY_BYTES,
    calls_bytes: int = CALLS_BYTES,
    queue_depth: int = QUEUE_DEPTH,
) -> tuple[StreamSpec, ...]:
    """Every stream and bucket of the product. Traces make room for newer ones; records are never thrown away."""
    queue = StreamSpec(
        title=f"stream {QUEUE}",
        name=QUEUE,
        subjects=[f"{prefix}.queue.*"],
        discard="new",
        num_replicas=replicas,
        retention="workqueue",
        max_msgs_per_subject=queue_depth,  # one subject of each tenant: how many of its calls may wait
        discard_new_per_subject=True,
        max_bytes=QUEUE_BYTES,
    )
    # With schedules the nats-server lets no stream discard what is new, and none that waits may be discarded: so there
    # is no limit here. Whoever puts a word in takes a free place of its tenant's for it.
    # https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-51.md
    later = StreamSpec(
        title=f"stream {LATER}",
        name=LATER,
        subjects=[f"{prefix}.later.*.*.*"],
        discard="old",
        num_replicas=replicas,
        retention="workqueue",
        allow_msg_ttl=True,
        allow_msg_schedules=True,
        allow_rollup_hdrs=True,  # schedules are not to be had without (tried): whoever may write one word may empty it
    )
    trace = StreamSpec(
        title=f"stream {TRACE}",
        name=TRACE,
        subjects=[f"{prefix}.trace.>"],
        discard="old",
        num_replicas=replicas,
        max_age=trace_seconds * SECOND_NS,
        max_bytes=trace_bytes,
        # With a disk sync for each, 100,000 events take 17 s to get in, without 0.3 s; kill -9 of the server then costs
        # the last milliseconds of trace. JetStream allows it on one replica only.
        # https://nats-io.github.io/nats.net/api/NATS.Client.JetStream.Models.StreamConfig.PersistMode.html
        persist_mode="async" if replicas == 1 else "default",
    )
    return (
        bucket(CREDENTIALS, replicas=replicas, max_bytes=credentials_bytes),
        bucket(CONNECT, replicas=replicas, max_bytes=CONNECT_BYTES),
        bucket(QUOTA, replicas=replicas, max_bytes=QUOTA_BYTES),
        bucket(IDEMPOTENCY, replicas=replicas, max_bytes=idempotency_bytes),
        bucket(CALLS, replicas=replicas, max_bytes=calls_bytes),
        queue,
        later,
        trace,
    )


async def provision(bus: Bus, streams: Iterable[StreamSpec], *, limits: bool = False) -> list[str]:
    """Make what is missing and mend what differs; says in words what was done.

    Sizes and ages become as they are given with `limits`; without, those that are there stay. Copies are added, never
    taken away. Raises StreamRefused, StoreUnavailable.
    """
    done: list[str] = []
    for stream in streams:
        config = await _config(bus, stream)
        if config is None:
            await _set(bus, "CREATE", stream, _wanted(stream))
            done.append(f"{stream.title}: created")
        elif differing := _differing(stream, config, limits=limits):
            _refuse_single_for_ever(stream, config)
            wanted = _wanted(stream)
            await _set(bus, "UPDATE", stream, {**config, **{key: wanted[key] for key in differing}})
            done.append(f"{stream.title}: changed, as {', '.join(_said(stream, config, differing))}")
    return done


async def missing(bus: Bus, streams: Iterable[StreamSpec], *, limits: bool = False) -> list[str]:
    """What is missing or different, in words; nothing when all is well. Raises StreamRefused, StoreUnavailable."""
    said: list[str] = []
    for stream in streams:
        config = await _config(bus, stream)
        if config is None:
            said.append(f"{stream.title} does not exist")
        else:
            differing = _differing(stream, config, limits=limits)
            said += [f"{stream.title}: {difference}" for difference in _said(stream, config, differing)]
    return said


async def unreadable(bus: Bus, questions: Iterable[tuple[str, str]]) -> list[str]:
    """Which streams cannot be read, in words, for those who may not look at the streams themselves.

    `questions` are names of streams, each with an API subject that asks for one message. Raises StoreUnavailable.
    """
    said: list[str] = []
    for stream, subject in questions:
        what = f"bucket {stream.removeprefix('KV_')}" if stream.startswith("KV_") else f"stream {stream}"
        try:
            await bus.request(subject, b"", timeout=TIMEOUT_SECONDS)  # that there is no such message is an answer too
        except NoResponders:
            said.append(f"{what} does not exist, or does not allow direct gets")
        except BusDenied as error:
            raise StoreDenied(f"{what} cannot be read: {error}") from error
        except BusError as error:
            raise StoreUnavailable(f"{what} cannot be read: {error}") from error
    return said


async def _config(bus: Bus, stream: StreamSpec) -> dict[str, Any] | None:
    try:
        return (await ask(bus, f"STREAM.INFO.{stream.name}", None, _Info, TIMEOUT_SECONDS)).config
    except ApiRefused as refused:
        if refused.err_code == STREAM_NOT_FOUND:
            return None
        raise _refusal(f"{stream.title} cannot be looked at", stream, refused) from refused


async def _set(bus: Bus, verb: str, stream: StreamSpec, config: dict[str, Any]) -> None:
    try:
        await ask(bus, f"STREAM.{verb}.{stream.name}", config, _Info, TIMEOUT_SECONDS)
    except ApiRefused as refused:
        raise _refusal(
            f"{stream.title} cannot be {'made' if verb == 'CREATE' else 'changed'}", stream, refused
        ) from refused


def _wanted(stream: StreamSpec) -> dict[str, Any]:
    config: dict[str, Any] = msgspec.to_builtins(stream)
    del config["title"]
    return config


def _differing(stream: StreamSpec, config: dict[str, Any], *, limits: bool) -> list[str]:
    """The settings of the stream that have to change."""
    wanted = _wanted(stream)
    exact = [*ESSENTIAL, *(LIMITS if limits else ())]
    if stream.discard_new_per_subject and not limits:
        exact.remove("max_msgs_per_subject")  # how much may wait is a limit like the others
    differing = [key for key in exact if config.get(key, _LEFT_OUT.get(key)) != wanted[key]]
    return differing + [key for key, none in AT_LEAST.items() if config.get(key, none) < wanted[key]]


def _said(stream: StreamSpec, config: dict[str, Any], differing: list[str]) -> list[str]:
    wanted = _wanted(stream)
    said: list[str] = []
    for key in differing:
        least = "at least " if key in AT_LEAST and not isinstance(wanted[key], bool) else ""
        said.append(f"{key} is {_shown(config.get(key, AT_LEAST.get(key)))}, must be {least}{_shown(wanted[key])}")
    return said


def _refuse_single_for_ever(stream: StreamSpec, config: dict[str, Any]) -> None:
    """A stream made for one server has a way of writing that no copies allow, and that cannot be changed."""
    if stream.num_replicas > 1 and config.get("persist_mode") == "async":
        raise StreamRefused(
            f"{stream.title} was made for one server (persist_mode async) and cannot have {stream.num_replicas} copies",
            f"delete it, with the events it holds: nats stream rm {stream.name}; then run sidecar setup again",
        )


def _refusal(what: str, stream: StreamSpec, refused: ApiRefused) -> StreamRefused:
    """The server's refusal, with what to do about it."""
    return StreamRefused(f"{what}: {refused}", _hint(stream, refused))


def _hint(stream: StreamSpec, refused: ApiRefused) -> str:
    room = "give the nats-server more room (max_file_store), or ask for less (SIDECAR_TRACE_MAX_BYTES)"
    match refused.err_code:
        case code if code in NO_ROOM:
            return room
        case code if code == NO_PEERS and "storage" in str(refused):
            return room
        case code if code == NO_PEERS:
            return f"start {stream.num_replicas} nats-servers of one cluster, or set SIDECAR_REPLICAS to how many run"
        case code if code == ALONE:
            return "set SIDECAR_REPLICAS=1, or make the nats-server one of a cluster of 3"
        case code if code == OVERLAP:
            return f"remove the other stream of this account that takes {', '.join(stream.subjects)}"
        case code if code in (OTHER_CONFIG, UPDATE_REFUSED):
            return f"it cannot be changed in place: nats stream backup {stream.name} FOLDER, then nats stream rm"
        case _:
            return "look at the nats-server's log"


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()
