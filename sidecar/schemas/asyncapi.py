"""The AsyncAPI 3.0.0 document: which subjects there are, what goes in and what comes back.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

from typing import Any

from sidecar.micro import QUEUE
from sidecar.model import VERSION
from sidecar.schemas.channel import CHANNELS, MESSAGES, OPERATIONS, PARAMETERS, Channel, Message, Operation
from sidecar.schemas.headers import HEADERS
from sidecar.schemas.payload import PAYLOADS, components
from sidecar.schemas.plain import PLAIN

DESCRIPTION = """\
A process beside an agent that takes requests from NATS, calls third-party APIs as the right user within their quotas,
and explains every call. This document describes the sidecar itself: it receives requests and sends trace events.

A subject's first token is the prefix, `sidecar` unless the setting says otherwise. A token holds `[A-Za-z0-9_-]` and
`%XX` (upper-case hex) for every other byte: `alice@example.com` is `alice%40example%2Ecom`. Header names are compared
without case. Every accepted request gets exactly one reply: what was asked for, or the one shape of failure.
"""


def asyncapi() -> dict[str, Any]:
    """The whole document; it refers to nothing outside itself."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:connector-sidecar",
        "info": {
            "title": "connector-sidecar",
            "version": VERSION,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(channel) for name, channel in CHANNELS.items()},
        "operations": {name: _operation(operation) for name, operation in OPERATIONS.items()},
        "components": {
            "messages": {name: _message(name, message) for name, message in MESSAGES.items()},
            "parameters": {name: {"description": text} for name, text in PARAMETERS.items()},
            "schemas": _schemas(),
        },
    }


def _channel(channel: Channel) -> dict[str, Any]:
    parameters = [name for name in PARAMETERS if f"{{{name}}}" in (channel.address or "")]
    described: dict[str, Any] = {
        "address": channel.address,
        "description": channel.description,
        "messages": {name: _ref("components", "messages", name) for name in channel.messages},
    }
    if parameters:
        described["parameters"] = {name: _ref("components", "parameters", name) for name in parameters}
    return described


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "action": operation.action,
        "summary": operation.summary,
        "channel": _ref("channels", operation.channel),
        "messages": [_ref("channels", operation.channel, "messages", name) for name in operation.messages],
    }
    if operation.queued:
        described["bindings"] = {"nats": {"queue": QUEUE, "bindingVersion": "0.1.0"}}
    if operation.replies:
        described["reply"] = {
            "channel": _ref("channels", "reply"),
            "messages": [_ref("channels", "reply", "messages", name) for name in operation.replies],
        }
    return described


def _message(name: str, message: Message) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": name,
        "summary": message.summary,
        "payload": _ref("components", "schemas", message.payload),
    }
    if message.headers is not None:
        described["headers"] = _ref("components", "schemas", message.headers)
    return described


def _schemas() -> dict[str, Any]:
    kinds = list(PAYLOADS.values())
    roots, parts = components([kind for kind, _ in kinds], "#/components/schemas/{name}")
    lists = {title: root for (_, title), root in zip(kinds, roots, strict=True) if "$ref" not in root}
    return {**parts, **lists, **HEADERS, **PLAIN}


def _ref(*path: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(path)}
