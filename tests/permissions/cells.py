"""What each role may do with each kind of subject, written down a second time and by hand: the table's own test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from sidecar.micro import NAME
from sidecar.permissions import (
    BUCKETS,
    CALLS,
    FLOWS,
    KEYED,
    QUEUE_STREAM,
    QUOTAS,
    TRACE_STREAM,
    WITHOUT_TENANT,
    Holder,
    Kind,
    Role,
)

CALL_ID = "01920000-0000-7000-8000-000000000000"
BUCKET = BUCKETS[0]
NO_TENANT = frozenset({Kind.SERVICE, Kind.STREAM_LOOK, Kind.STREAM_MAKE, Kind.STREAM_FORGET, Kind.QUEUE_LOOK})

# What a sidecar that serves a part of its tenant leaves to those that serve all of it.
OF_THE_WHOLE = frozenset(
    {
        Kind.SUBMIT,
        Kind.CALL_RECORD,
        Kind.CALL_RECORD_GET,
        Kind.CALL_RECORD_LIST,
        Kind.QUEUE,
        Kind.QUEUE_TAKE,
        Kind.QUEUE_CHECK,
    }
)

_A, _RO, _U, _P = Role.AGENT, Role.READ_ONLY_AGENT, Role.USER_AGENT, Role.PROVIDER_AGENT
_O, _T, _ADMIN = Role.OPERATOR, Role.TRACE_READER, Role.ADMIN
_SIDECARS = (Role.SCOPED_SIDECAR, Role.SHARED_SIDECAR)

# Who publishes, who subscribes, within the own tenant. Whoever is not here is refused, and everybody in another tenant.
EXPECTED: dict[Kind, tuple[tuple[Role, ...], tuple[Role, ...]]] = {
    Kind.READ: ((_A, _RO, _U, _P), _SIDECARS),
    Kind.WRITE: ((_A, _U, _P), _SIDECARS),
    Kind.SUBMIT: ((_A, _U, _P), _SIDECARS),
    Kind.CANCEL: ((_A, _RO, _U, _P, _O), _SIDECARS),
    Kind.CATALOG: ((_A, _RO, _U, _P, _O), _SIDECARS),
    Kind.CONNECT: ((_A, _U, _P, _O), _SIDECARS),
    Kind.ADMIN: ((_O,), _SIDECARS),
    Kind.RESULT: (_SIDECARS, (_A, _U)),
    Kind.TRACE: (_SIDECARS, (_O, _T)),
    Kind.QUOTA: (_SIDECARS, _SIDECARS),
    Kind.SERVICE: ((_O,), _SIDECARS),
    Kind.INBOX: (_SIDECARS, ()),  # another's
    Kind.RECORD: (_SIDECARS, ()),
    Kind.RECORD_GET: (_SIDECARS, ()),
    Kind.RECORD_WATCH: (_SIDECARS, ()),
    Kind.FLOW: (_SIDECARS, ()),
    Kind.FLOW_GET: (_SIDECARS, ()),
    Kind.QUOTA_RECORD: (_SIDECARS, ()),
    Kind.QUOTA_RECORD_GET: (_SIDECARS, ()),
    Kind.KEYED_RECORD: (_SIDECARS, ()),
    Kind.KEYED_RECORD_GET: (_SIDECARS, ()),
    Kind.KEYED_RECORD_LIST: (_SIDECARS, ()),
    Kind.CALL_RECORD: (_SIDECARS, ()),
    Kind.CALL_RECORD_GET: (_SIDECARS, ()),
    Kind.CALL_RECORD_LIST: (_SIDECARS, ()),
    Kind.QUEUE: (_SIDECARS, ()),
    Kind.QUEUE_TAKE: (_SIDECARS, ()),
    Kind.QUEUE_CHECK: ((Role.SCOPED_SIDECAR,), ()),
    Kind.QUEUE_LOOK: ((Role.SHARED_SIDECAR,), ()),
    Kind.TRACE_WATCH: ((_O, _T), ()),
    Kind.TRACE_CHECK: ((Role.SCOPED_SIDECAR,), ()),
    Kind.STREAM_LOOK: ((Role.SHARED_SIDECAR, _ADMIN), ()),
    Kind.STREAM_MAKE: ((_ADMIN,), ()),
    Kind.STREAM_FORGET: ((_ADMIN,), ()),
}


@dataclass(slots=True)
class Cell:
    """One subject that one user tries to publish on or to subscribe to, and what came of it."""

    user: str
    role: Role
    account: str
    kind: Kind
    tenant: str | None
    own: bool
    verb: str
    subject: str
    payload: bytes
    allowed: bool
    reached: bool = True  # whether anybody can publish what it subscribes to
    number: int = 0  # of the publication, or of the subscription
    refused: bool = False
    answered: bool = False
    heard: bool = False


def cells(user: str, account: str, holder: Holder, tenants: dict[str, str]) -> Iterator[Cell]:
    """Every cell of a user. `tenants` maps each tenant to the token that this user's account knows it by."""
    for kind, (publishers, subscribers) in EXPECTED.items():
        for tenant, token in tenants.items():
            own = holder.role in WITHOUT_TENANT or tenant == holder.tenant
            if kind in NO_TENANT and tenant != (holder.tenant or next(iter(tenants))):
                continue
            for verb, roles in (("publish", publishers), ("subscribe", subscribers)):
                subject, payload = probe(kind, token, holder)
                allowed = own and holder.role in roles and not (kind in OF_THE_WHOLE and _serves_a_part(holder))
                yield Cell(user, holder.role, account, kind, tenant, own, verb, subject, payload, allowed)


def _serves_a_part(holder: Holder) -> bool:
    return holder.role is Role.SCOPED_SIDECAR and bool(holder.connections or holder.providers)


# One subject of each kind, of connection alice and provider github, and a payload that makes sense there.
PROBES = {
    Kind.READ: ("sidecar.read.{tenant}.alice.github.users.me", b"{}"),
    Kind.WRITE: ("sidecar.write.{tenant}.alice.github.issues.create", b"{}"),
    Kind.SUBMIT: ("sidecar.submit.{tenant}.alice.github.issues.create", b"{}"),
    Kind.CANCEL: (f"sidecar.cancel.{{tenant}}.alice.{CALL_ID}", b""),
    Kind.CATALOG: ("sidecar.catalog.{tenant}.providers", b""),
    Kind.CONNECT: ("sidecar.connect.{tenant}.alice.github.start", b"{}"),
    Kind.ADMIN: ("sidecar.admin.{tenant}.alice.github.list", b""),
    Kind.RESULT: (f"sidecar.result.{{tenant}}.alice.{CALL_ID}", b"{}"),
    Kind.TRACE: ("sidecar.trace.{tenant}.alice.github.finished", b"{}"),
    Kind.QUOTA: ("sidecar.quota.{tenant}.to.somebody", b"{}"),
    Kind.SERVICE: (f"$SRV.INFO.{NAME}", b""),
    Kind.INBOX: ("_INBOX.{tenant}.somebody.reply", b""),
    Kind.RECORD: (f"$KV.{BUCKET}.{{key}}", b"sealed"),
    Kind.RECORD_GET: (f"$JS.API.DIRECT.GET.KV_{BUCKET}.$KV.{BUCKET}.{{key}}", b""),
    Kind.FLOW: (f"$KV.{FLOWS}.{{key}}.0", b"sealed"),
    Kind.FLOW_GET: (f"$JS.API.DIRECT.GET.KV_{FLOWS}.$KV.{FLOWS}.{{key}}.0", b""),
    Kind.QUOTA_RECORD: (f"$KV.{QUOTAS}.{{tenant_key}}.own.7", b"{}"),
    Kind.QUOTA_RECORD_GET: (f"$JS.API.DIRECT.GET.KV_{QUOTAS}.$KV.{QUOTAS}.{{tenant_key}}.own.7", b""),
    Kind.KEYED_RECORD: (f"$KV.{KEYED}.{{key}}.issues=2Ecreate.0", b"sealed"),
    Kind.KEYED_RECORD_GET: (f"$JS.API.DIRECT.GET.KV_{KEYED}.$KV.{KEYED}.{{key}}.issues=2Ecreate.0", b""),
    Kind.CALL_RECORD: (f"$KV.{CALLS}.{{tenant_key}}.alice.{CALL_ID}", b"sealed"),
    Kind.CALL_RECORD_GET: (f"$JS.API.DIRECT.GET.KV_{CALLS}.$KV.{CALLS}.{{tenant_key}}.alice.{CALL_ID}", b""),
    Kind.QUEUE: ("sidecar.queue.{tenant}", b"{}"),
    Kind.QUEUE_TAKE: (f"$JS.API.CONSUMER.MSG.NEXT.{QUEUE_STREAM}.{{tenant}}", b'{"batch": 1, "no_wait": true}'),
    Kind.QUEUE_CHECK: (f"$JS.API.DIRECT.GET.{QUEUE_STREAM}.sidecar.queue.{{tenant}}", b""),
    Kind.QUEUE_LOOK: (f"$JS.API.CONSUMER.NAMES.{QUEUE_STREAM}", b""),
    Kind.TRACE_CHECK: (f"$JS.API.DIRECT.GET.{TRACE_STREAM}.sidecar.trace.{{tenant}}.-.-.-", b""),
    Kind.STREAM_LOOK: (f"$JS.API.STREAM.INFO.KV_{BUCKET}", b""),
    Kind.STREAM_MAKE: (f"$JS.API.STREAM.CREATE.KV_{BUCKET}", b"{}"),
    Kind.STREAM_FORGET: (f"$JS.API.STREAM.PURGE.KV_{BUCKET}", b'{"filter": "$KV.nobody"}'),
}
WATCHES = {
    Kind.RECORD_WATCH: (f"KV_{BUCKET}", f"$KV.{BUCKET}.{{key}}"),
    Kind.KEYED_RECORD_LIST: (f"KV_{KEYED}", f"$KV.{KEYED}.{{key}}.*.*"),
    Kind.CALL_RECORD_LIST: (f"KV_{CALLS}", f"$KV.{CALLS}.{{tenant_key}}.>"),
    Kind.TRACE_WATCH: (TRACE_STREAM, "sidecar.trace.{tenant}.>"),
}


def probe(kind: Kind, tenant: str, holder: Holder) -> tuple[str, bytes]:
    """What to try of a kind with a tenant's token."""
    tenant_key = tenant.replace("%", "=")
    values = {"tenant": tenant, "tenant_key": tenant_key, "key": f"{tenant_key}.alice.github"}
    if kind in WATCHES:
        stream, pattern = WATCHES[kind]
        return consumer(stream, pattern.format_map(values), holder)
    subject, payload = PROBES[kind]
    return subject.format_map(values), payload


def consumer(stream: str, pattern: str, holder: Holder) -> tuple[str, bytes]:
    name = f"c{abs(hash((stream, pattern, holder))):x}"
    config = {"name": name, "filter_subject": pattern, "deliver_subject": f"{holder.inbox}.watch", "ack_policy": "none"}
    body = json.dumps({"stream_name": stream, "config": config}).encode()
    return f"$JS.API.CONSUMER.CREATE.{stream}.{name}.{pattern}", body
