"""What makes two calls the same: the input's fingerprint, the id that a provider is given, the key of a run's step."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

import msgspec

from sidecar.model import Access, Call, Request
from sidecar.provider import Operation, Provider

ID_VERSION = 8  # a UUID of the maker's own making (RFC 9562 section 5.8)


def fingerprint(call: Call) -> str:
    """Of what is asked for, whatever the order of its fields: two inputs with the same one are the same."""
    values: Any = msgspec.json.decode(call.payload) if call.payload else {}
    return _digest(call.operation, _sorted(values), call.cursor or "").hex()


def identity(call: Call) -> str:
    """What the provider may know the call by, where a client chooses an id: its own id, or with an idempotency key one
    that every call with this key and input has, so that it is one thing at the provider, whoever sends it again.
    """
    if call.idempotency_key is None:
        return call.call_id
    whose = (call.tenant, call.connection, call.provider, call.idempotency_key, fingerprint(call))
    value = int.from_bytes(_digest(*whose)[:16], "big")
    value = value & ~(0xF << 76) | ID_VERSION << 76
    return str(UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


def key_of_step(run: str, step: str, operation: str, payload: bytes) -> str:
    """The idempotency key of one step of a run: the same however often the step is tried, another for another input.

    `SHA-256` in hex over run, step, operation (`github.issues.create`) and the input as JSON without spaces whose keys
    are sorted, each followed by a line feed: any language can make it.
    """
    values: Any = msgspec.json.decode(payload) if payload else {}
    lines = "".join(f"{part}\n" for part in (run, step, operation, _sorted(values)))
    return hashlib.sha256(lines.encode()).hexdigest()


def handed_on(provider: Provider, operation: Operation, request: Request, called: str) -> Request:
    """The request with the call's identity where this provider takes idempotency keys; as it is where it takes none,
    and where the caller of a raw request set the header itself.
    """
    fact = provider.manifest.idempotency
    if fact is None or not takes_key(provider, operation):
        return request
    if fact.header is not None:
        name = fact.header.lower()
        if any(given == name for given, _ in request.headers):
            return request
        return msgspec.structs.replace(request, headers=(*request.headers, (name, called)))
    joint = "&" if "?" in request.url else "?"
    return msgspec.structs.replace(request, url=f"{request.url}{joint}{fact.query}={called}")


def takes_key(provider: Provider, operation: Operation) -> bool:
    """Whether the provider itself does this operation once for one key."""
    fact = provider.manifest.idempotency
    if fact is None or operation.access is Access.READ:
        return False
    return any(fnmatchcase(operation.name, pattern) for pattern in fact.operations)


def _sorted(values: Any) -> str:
    return msgspec.json.encode(values, order="sorted").decode()


def _digest(*parts: str) -> bytes:
    """Over the parts, none of which can be taken for a piece of its neighbour."""
    return hashlib.sha256(msgspec.json.encode(parts)).digest()
