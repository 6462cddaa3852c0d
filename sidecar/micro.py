"""The NATS service protocol (ADR-32): `nats micro ls` sees us, with our own counters.

https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-32.md
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from sidecar.model import VERSION
from sidecar.scope import Scope
from sidecar.wire.event import timestamp
from sidecar.wire.subject import encode_token

NAME = "connector-sidecar"
QUEUE = "sidecar"  # the queue group never varies: two names would do every call twice
DESCRIPTION = "Calls third-party APIs as the right end user, within their quotas, and explains every call."
VERBS = ("PING", "INFO", "STATS")
LONG = 4  # one entry of the metadata has at most such a part of an answer that would not fit


def metadata(
    catalog_hash: str, providers: Iterable[str], scope: Scope, *, public_url: str | None = None, sandbox: bool = False
) -> dict[str, str]:
    """What the process says of itself: which catalogue, which providers, and whose calls, where not everybody's; where
    accounts are connected; whether its providers are the sandbox's. Lists are of tokens, so that no name can hold the
    comma.
    """
    served = {"catalog_hash": catalog_hash, "providers": ",".join(sorted(filter(scope.holds_provider, providers)))}
    if scope.tenant is not None:
        served["tenant"] = encode_token(scope.tenant)
    if scope.connections:
        served["connections"] = ",".join(map(encode_token, scope.connections))
    if public_url is not None:
        served["public_url"] = public_url
    if sandbox:
        served["sandbox"] = "true"
    return served


@dataclass(slots=True)
class Endpoint:
    """One subscription and what went through it; times in nanoseconds, as the protocol counts."""

    name: str
    subject: str
    queue: str = QUEUE
    num_requests: int = 0
    num_errors: int = 0
    last_error: str = ""
    processing_time: int = 0

    def count(self, seconds: float, error: str | None) -> None:
        self.num_requests += 1
        self.processing_time += round(seconds * 1e9)
        if error is not None:
            self.num_errors += 1
            self.last_error = error


@dataclass(slots=True)
class Service:
    """The process as a service: its identity, its metadata, its endpoints."""

    id: str
    started_wall: float
    metadata: Mapping[str, str]
    endpoints: list[Endpoint] = field(default_factory=list)

    def subjects(self, verb: str) -> tuple[str, ...]:
        """The three subjects of a verb: everybody, everybody of our name, this process."""
        return f"$SRV.{verb}", f"$SRV.{verb}.{NAME}", f"$SRV.{verb}.{NAME}.{self.id}"

    def answer(self, verb: str, most: int) -> bytes:
        """The answer, of at most so many bytes. What does not fit is left out, and told in the metadata: what is long
        there, and the endpoints that are asked least.
        """
        busiest = [] if verb == "PING" else sorted(self.endpoints, key=lambda item: -item.num_requests)
        whole = self._encoded(verb, self.metadata, self.endpoints)
        if len(whole) <= most:
            return whole
        known = {name: value for name, value in self.metadata.items() if len(value) <= most // LONG}
        longest = [name for name in self.metadata if name not in known]
        shown = busiest
        while True:
            endpoints = [f"{len(busiest) - len(shown)} endpoints"] if shown != busiest else []
            left_out = {"left_out": ", ".join(longest + endpoints)}
            part = self._encoded(verb, {**known, **left_out}, shown)
            if len(part) <= most or not shown:
                return part
            shown = shown[: len(shown) // 2]

    def _encoded(self, verb: str, metadata: Mapping[str, str], endpoints: Iterable[Endpoint]) -> bytes:
        about = {"name": NAME, "id": self.id, "version": VERSION, "metadata": metadata}
        match verb:
            case "PING":
                body: dict[str, object] = {"type": "io.nats.micro.v1.ping_response", **about}
            case "INFO":
                described = {"description": DESCRIPTION, "endpoints": [self._described(item) for item in endpoints]}
                body = {"type": "io.nats.micro.v1.info_response", **about, **described}
            case _:
                counted = {
                    "started": timestamp(self.started_wall),
                    "endpoints": [self._counted(item) for item in endpoints],
                }
                body = {"type": "io.nats.micro.v1.stats_response", **about, **counted}
        return msgspec.json.encode(body)

    def _described(self, endpoint: Endpoint) -> dict[str, object]:
        return {"name": endpoint.name, "subject": endpoint.subject, "queue_group": endpoint.queue, "metadata": {}}

    def _counted(self, endpoint: Endpoint) -> dict[str, object]:
        average = endpoint.processing_time // endpoint.num_requests if endpoint.num_requests else 0
        return {
            "name": endpoint.name,
            "subject": endpoint.subject,
            "queue_group": endpoint.queue,
            "num_requests": endpoint.num_requests,
            "num_errors": endpoint.num_errors,
            "last_error": endpoint.last_error,
            "processing_time": endpoint.processing_time,
            "average_processing_time": average,
        }
