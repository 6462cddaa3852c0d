"""The streams and buckets that the product needs, as one table: made by `dev`, checked by `run`."""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.adapters.nats_jetstream import SECOND_NS, STREAM_NOT_FOUND, Answer, ApiRefused, ask
from sidecar.ports import Bus

CREDENTIALS = "SIDECAR_CREDENTIALS"
TRACE = "SIDECAR_TRACE"
WEEK_SECONDS = 7 * 24 * 3600
GIB = 1024**3
TIMEOUT_SECONDS = 5.0


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
    persist_mode: str = "default"


# A stream that differs in one of these does not do what we rely on; the others are the operator's to tune.
ESSENTIAL = ("subjects", "storage", "retention", "discard", "allow_direct", "max_msgs_per_subject")


class StreamRefused(Exception):
    """The server does not let a stream be as we need it. The text says which and why."""


class _Info(Answer, frozen=True, kw_only=True):
    config: dict[str, Any] = msgspec.field(default_factory=dict)


def bucket(name: str, *, replicas: int = 1, max_bytes: int = -1) -> StreamSpec:
    """A KV bucket that keeps the last value of each key only: a secret that was replaced does not stay readable.

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
        allow_rollup_hdrs=True,
        deny_delete=True,
    )


def required(
    prefix: str, *, replicas: int = 1, trace_seconds: int = WEEK_SECONDS, trace_bytes: int = GIB
) -> tuple[StreamSpec, ...]:
    """Every stream and bucket of the product. Traces make room for newer ones; records are never thrown away."""
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
    return bucket(CREDENTIALS, replicas=replicas), trace


async def provision(bus: Bus, streams: tuple[StreamSpec, ...]) -> list[str]:
    """Make what is missing and mend what differs; says in words what was done.

    Sizes and ages that an operator changed stay. Raises StreamRefused, StoreUnavailable.
    """
    done: list[str] = []
    for stream in streams:
        config = await _config(bus, stream)
        if config is None:
            await _set(bus, "CREATE", stream, _wanted(stream))
            done.append(f"{stream.title}: created")
        elif differences := _differences(stream, config):
            mended = {key: value for key, value in _wanted(stream).items() if key in (*ESSENTIAL, "num_replicas")}
            await _set(bus, "UPDATE", stream, {**config, **mended})
            done.append(f"{stream.title}: changed, as {', '.join(differences)}")
    return done


async def missing(bus: Bus, streams: tuple[StreamSpec, ...]) -> list[str]:
    """What is missing or different, in words; nothing when all is well. Raises StreamRefused, StoreUnavailable."""
    said: list[str] = []
    for stream in streams:
        config = await _config(bus, stream)
        if config is None:
            said.append(f"{stream.title} does not exist")
        else:
            said += [f"{stream.title}: {difference}" for difference in _differences(stream, config)]
    return said


async def _config(bus: Bus, stream: StreamSpec) -> dict[str, Any] | None:
    try:
        return (await ask(bus, f"STREAM.INFO.{stream.name}", None, _Info, TIMEOUT_SECONDS)).config
    except ApiRefused as refused:
        if refused.err_code == STREAM_NOT_FOUND:
            return None
        raise StreamRefused(f"{stream.title} cannot be looked at: {refused}") from refused


async def _set(bus: Bus, verb: str, stream: StreamSpec, config: dict[str, Any]) -> None:
    try:
        await ask(bus, f"STREAM.{verb}.{stream.name}", config, _Info, TIMEOUT_SECONDS)
    except ApiRefused as refused:
        raise StreamRefused(f"{stream.title} cannot be made: {refused}") from refused


def _wanted(stream: StreamSpec) -> dict[str, Any]:
    config: dict[str, Any] = msgspec.to_builtins(stream)
    del config["title"]
    return config


def _differences(stream: StreamSpec, config: dict[str, Any]) -> list[str]:
    wanted = _wanted(stream)
    said = [
        f"{key} is {_shown(config.get(key))}, must be {_shown(wanted[key])}"
        for key in ESSENTIAL
        if config.get(key) != wanted[key]
    ]
    replicas = config.get("num_replicas", 1)
    if replicas < stream.num_replicas:
        said.append(f"num_replicas is {replicas}, must be at least {stream.num_replicas}")
    return said


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()
