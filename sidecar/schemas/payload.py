"""JSON Schemas (2020-12) of payloads, from the structs that encode and decode them."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from sidecar.admin import LimitRequest
from sidecar.catalogue.answer import DescribedOperation, ListedOperation, ListedProvider
from sidecar.copy_admin import ExportRequest, RestoreRequest
from sidecar.import_admin import ImportRequest
from sidecar.key_admin import BatchRequest
from sidecar.listed import Connection
from sidecar.model import MEANINGS
from sidecar.schemas.field import FIELDS, OF_STRUCT
from sidecar.store.copies import Copies, Restored
from sidecar.store.rewrap import KeyUse
from sidecar.wire.connect import ConnectLink, ConnectStatus, StartRequest, StatusRequest
from sidecar.wire.durable import Queue, QueuedCall, QueueRequest, ResultRequest, SubmitReply
from sidecar.wire.event import Admin, Attempt, Auth, Finished, Started, Wait
from sidecar.wire.quota_view import QuotaView
from sidecar.wire.reply import CancelReply, DryRun, FailureReply

DIALECT = "https://json-schema.org/draft/2020-12/schema"
URN = "urn:connector-sidecar:schema:"

# File name -> type, and what to call it where the type is not one struct.
PAYLOADS: dict[str, tuple[Any, str]] = {
    "failure": (FailureReply, "FailureReply"),
    "dry-run": (DryRun, "DryRun"),
    "cancel": (CancelReply, "CancelReply"),
    "submit": (SubmitReply, "SubmitReply"),
    "result-get": (ResultRequest, "ResultRequest"),
    "admin-queue-request": (QueueRequest, "QueueRequest"),
    "admin-queue": (Queue, "Queue"),
    "admin-queued-call": (QueuedCall, "QueuedCall"),
    "trace-started": (Started, "Started"),
    "trace-attempt": (Attempt, "Attempt"),
    "trace-wait": (Wait, "Wait"),
    "trace-finished": (Finished, "Finished"),
    "trace-admin": (Admin, "Admin"),
    "trace-auth": (Auth, "Auth"),
    "admin-import": (ImportRequest, "ImportRequest"),
    "admin-limit": (LimitRequest, "LimitRequest"),
    "admin-connection": (Connection, "Connection"),
    "admin-connections": (list[Connection], "Connections"),
    "admin-batch": (BatchRequest, "BatchRequest"),
    "admin-key-use": (KeyUse, "KeyUse"),
    "admin-quotas": (QuotaView, "QuotaView"),
    "admin-export": (ExportRequest, "ExportRequest"),
    "admin-copies": (Copies, "Copies"),
    "admin-restore": (RestoreRequest, "RestoreRequest"),
    "admin-restored": (Restored, "Restored"),
    "connect-start": (StartRequest, "StartRequest"),
    "connect-link": (ConnectLink, "ConnectLink"),
    "connect-status-request": (StatusRequest, "StatusRequest"),
    "connect-status": (ConnectStatus, "ConnectStatus"),
    "catalog-providers": (list[ListedProvider], "ListedProviders"),
    "catalog-operations": (list[ListedOperation], "ListedOperations"),
    "catalog-describe": (DescribedOperation, "DescribedOperation"),
}


def schema(name: str) -> dict[str, Any]:
    """One file: a schema that needs no other."""
    kind, title = PAYLOADS[name]
    (root,), parts = components([kind], "#/$defs/{name}")
    whole = parts.pop(title) if "$ref" in root else {"title": title, **root}
    document = {"$schema": DIALECT, "$id": f"{URN}{name}", **whole}
    return document | {"$defs": parts} if parts else document


def components(kinds: list[Any], template: str) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The schemas of these types, and every struct and enum they are made of, each field with its meaning."""
    roots, parts = msgspec.json.schema_components(kinds, ref_template=template)
    for name, part in parts.items():
        # Before Python 3.13 a docstring keeps the indentation of its lines.
        part["description"] = inspect.cleandoc(part["description"])
        for field, described in part.get("properties", {}).items():
            described["description"] = meaning(name, field)
    if "Reason" in parts:
        parts["Reason"]["x-meanings"] = {
            reason.value: msgspec.to_builtins(stands_for) for reason, stands_for in MEANINGS.items()
        }
    return list(roots), parts


def meaning(struct: str, field: str) -> str:
    """What a field says. A KeyError names a field that nobody has described yet."""
    return OF_STRUCT.get((struct, field)) or FIELDS[field]
