"""Who may publish and subscribe what: the one table that every NATS configuration of ours is made from. Pure.

A subject that no row names is refused by the nats-server. Three rules are behind the rows:

- `allow_responses` is given to nobody: whoever has it publishes a message to itself with a reply subject of its choice,
  and may then publish there, whatever else is denied (tried with nats-server 2.15). Replies go to inboxes, and each
  tenant has inboxes of its own.
- What JetStream is asked is confined by the subject of the question alone, never by its payload. So nobody but the
  admin gets a question whose payload names what is wanted: no `DIRECT.GET.<stream>` without the subject, no
  `STREAM.MSG.GET`, no `CONSUMER.CREATE` without the filter, and no `STREAM.INFO`, which lists the keys of all.
- A consumer's name confines nothing where anybody chooses it, so there is no `CONSUMER.MSG.NEXT`, `INFO` or `DELETE`:
  consumers push into the inbox of whoever made them, and go when nobody listens any more. The queue is the exception:
  its consumers are called as their tenants, and that is the one name that a tenant's rights hold.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from string import Formatter

import msgspec

from sidecar.micro import NAME as SERVICE
from sidecar.wire.subject import EVERY, NAME, encode_token, is_name

PREFIX = "sidecar"
INBOX = "_INBOX"
SERVICE_REPLY = "_R_"  # where replies to another account go: the nats-server puts it in the place of the caller's inbox
REPLIES = (f"{INBOX}.{{tenant}}.", f"{SERVICE_REPLY}.")  # SIDECAR_REPLY_PREFIXES where one account has several tenants
BUCKETS = ("SIDECAR_CREDENTIALS",)
FLOWS = "SIDECAR_CONNECT"  # connect flows: under each connection's key, one of an id
QUOTAS = "SIDECAR_QUOTA"  # who owns a part of the shared quotas; under the tenant, or `-` where all are served
KEYED = "SIDECAR_IDEMPOTENCY"  # calls with idempotency keys: under each connection's key, by operation and digest
CALLS = "SIDECAR_CALLS"  # durable calls: under the tenant and the connection, by the call's id
QUEUE_STREAM = "SIDECAR_QUEUE"  # a word for each durable call that may run; a consumer of each tenant, called as it
LATER_STREAM = "SIDECAR_LATER"  # the same words, which the nats-server says when their time has come
TRACE_STREAM = "SIDECAR_TRACE"
ALL = ">"
OPERATIONS = re.compile(r"([a-z0-9_]+|\*)(\.([a-z0-9_]+|\*))*(\.>)?|>")


class Role(StrEnum):
    """What somebody who connects to NATS is to us."""

    AGENT = "agent"
    READ_ONLY_AGENT = "read-only-agent"
    USER_AGENT = "user-agent"
    PROVIDER_AGENT = "provider-agent"
    OPERATOR = "operator"
    TRACE_READER = "trace-reader"
    SCOPED_SIDECAR = "scoped-sidecar"
    SHARED_SIDECAR = "shared-sidecar"
    ADMIN = "admin"


MEANING = {
    Role.AGENT: "calls everything, as every connection of its tenant",
    Role.READ_ONLY_AGENT: "calls what changes nothing, as every connection of its tenant",
    Role.USER_AGENT: "calls everything, as the connections that it names",
    Role.PROVIDER_AGENT: "calls one provider, and writes only by the operations that it names",
    Role.OPERATOR: "credentials and housekeeping of a tenant; calls nothing",
    Role.TRACE_READER: "what happened in a tenant",
    Role.SCOPED_SIDECAR: "serves one tenant, or the connections and providers that it names",
    Role.SHARED_SIDECAR: "serves every tenant",
    Role.ADMIN: "makes streams and buckets (`sidecar setup`), forgets a tenant; reads nothing that is in them",
}
WITHOUT_TENANT = frozenset({Role.SHARED_SIDECAR, Role.ADMIN})
SIDECARS = frozenset({Role.SCOPED_SIDECAR, Role.SHARED_SIDECAR})


class Kind(StrEnum):
    """What a subject is for: our own kinds by their second token, then those of NATS."""

    READ = "read"
    WRITE = "write"
    SUBMIT = "submit"
    CANCEL = "cancel"
    CATALOG = "catalog"
    CONNECT = "connect"
    ADMIN = "admin"
    RESULT = "result"
    TRACE = "trace"
    QUOTA = "quota"
    SERVICE = "$SRV"
    INBOX = "inbox"
    RECORD = "record"
    RECORD_GET = "record get"
    RECORD_WATCH = "record watch"
    FLOW = "connect flow"
    FLOW_GET = "connect flow get"
    QUOTA_RECORD = "quota record"
    QUOTA_RECORD_GET = "quota record get"
    KEYED_RECORD = "idempotency record"
    KEYED_RECORD_GET = "idempotency record get"
    KEYED_RECORD_LIST = "idempotency record list"
    CALL_RECORD = "durable call"
    CALL_RECORD_GET = "durable call get"
    CALL_RECORD_LIST = "durable call list"
    QUEUE = "queue"
    QUEUE_TAKE = "queue take"
    QUEUE_CHECK = "queue check"
    QUEUE_LOOK = "queue look"
    TRACE_WATCH = "trace watch"
    TRACE_CHECK = "trace check"
    STREAM_LOOK = "stream look"
    STREAM_MAKE = "stream make"
    STREAM_FORGET = "stream forget"


class Grant(msgspec.Struct, frozen=True):
    """What a role may do with a kind, as templates of subjects."""

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()


def _may_publish(*templates: str) -> Grant:
    return Grant(publish=templates)


def _may_subscribe(*templates: str) -> Grant:
    return Grant(subscribe=templates)


_A, _RO, _U, _P = Role.AGENT, Role.READ_ONLY_AGENT, Role.USER_AGENT, Role.PROVIDER_AGENT
_O, _T = Role.OPERATOR, Role.TRACE_READER
_SCOPED, _SHARED, _ADMIN = Role.SCOPED_SIDECAR, Role.SHARED_SIDECAR, Role.ADMIN
_GET, _WATCH = "$JS.API.DIRECT.GET", "$JS.API.CONSUMER.CREATE"
_SERVICE = ("$SRV.*", f"$SRV.*.{SERVICE}", f"$SRV.*.{SERVICE}.*")
_STREAMS = (
    "KV_{bucket}",
    f"KV_{FLOWS}",
    f"KV_{QUOTAS}",
    f"KV_{KEYED}",
    f"KV_{CALLS}",
    QUEUE_STREAM,
    LATER_STREAM,
    TRACE_STREAM,
)

# {connection} and {provider} stand for each that the holder names, or `*`; {provider_or_every} includes `-`.
# {key} stands for the keys of its records, {flow_key} for those of its flows, {tenant_key} for what they begin with.
# {whole} and {whole_key} stand for the tenant where the holder serves all of it, for nothing where it serves a part:
# a durable call that a sidecar takes from the queue is one that it has to be able to run.
TABLE: dict[Kind, dict[Role, Grant]] = {
    Kind.READ: {
        _A: _may_publish("{prefix}.read.{tenant}.>"),
        _RO: _may_publish("{prefix}.read.{tenant}.>"),
        _U: _may_publish("{prefix}.read.{tenant}.{connection}.>"),
        _P: _may_publish("{prefix}.read.{tenant}.{connection}.{provider}.>"),
        _SCOPED: _may_subscribe("{prefix}.read.{tenant}.{connection}.{provider_or_every}.>"),
        _SHARED: _may_subscribe("{prefix}.read.>"),
    },
    Kind.WRITE: {
        _A: _may_publish("{prefix}.write.{tenant}.>"),
        _U: _may_publish("{prefix}.write.{tenant}.{connection}.>"),
        _P: _may_publish("{prefix}.write.{tenant}.{connection}.{provider}.{operations}"),
        _SCOPED: _may_subscribe("{prefix}.write.{tenant}.{connection}.{provider_or_every}.>"),
        _SHARED: _may_subscribe("{prefix}.write.>"),
    },
    Kind.SUBMIT: {
        _A: _may_publish("{prefix}.submit.{tenant}.>"),
        _U: _may_publish("{prefix}.submit.{tenant}.{connection}.>"),
        _P: _may_publish("{prefix}.submit.{tenant}.{connection}.{provider}.{operations}"),
        _SCOPED: _may_subscribe("{prefix}.submit.{whole}.>"),
        _SHARED: _may_subscribe("{prefix}.submit.>"),
    },
    # The call's id is what allows to stop it: only who made the call, or reads the trace, knows it.
    Kind.CANCEL: {
        _A: _may_publish("{prefix}.cancel.{tenant}.>"),
        _RO: _may_publish("{prefix}.cancel.{tenant}.>"),
        _U: _may_publish("{prefix}.cancel.{tenant}.{connection}.*"),
        _P: _may_publish("{prefix}.cancel.{tenant}.{connection}.*"),
        _O: _may_publish("{prefix}.cancel.{tenant}.>"),
        _SCOPED: _may_subscribe("{prefix}.cancel.{tenant}.{connection}.*"),
        _SHARED: _may_subscribe("{prefix}.cancel.>"),
    },
    Kind.CATALOG: {
        **dict.fromkeys((_A, _RO, _U, _P, _O), _may_publish("{prefix}.catalog.{tenant}.>")),
        _SCOPED: _may_subscribe("{prefix}.catalog.{tenant}.>"),
        _SHARED: _may_subscribe("{prefix}.catalog.>"),
    },
    Kind.CONNECT: {
        _A: _may_publish("{prefix}.connect.{tenant}.>"),
        _U: _may_publish("{prefix}.connect.{tenant}.{connection}.>"),
        _P: _may_publish("{prefix}.connect.{tenant}.{connection}.{provider}.*"),
        _O: _may_publish("{prefix}.connect.{tenant}.>"),
        _SCOPED: _may_subscribe("{prefix}.connect.{tenant}.{connection}.{provider}.*"),
        _SHARED: _may_subscribe("{prefix}.connect.>"),
    },
    Kind.ADMIN: {
        _O: _may_publish("{prefix}.admin.{tenant}.>"),
        _SCOPED: _may_subscribe("{prefix}.admin.{tenant}.{connection}.{provider_or_every}.*"),
        _SHARED: _may_subscribe("{prefix}.admin.>"),
    },
    # A result does not name its provider, so the agent of one provider asks for it (`result.get`) and hears none.
    Kind.RESULT: {
        _A: _may_subscribe("{prefix}.result.{tenant}.>"),
        _U: _may_subscribe("{prefix}.result.{tenant}.{connection}.*"),
        _SCOPED: _may_publish("{prefix}.result.{tenant}.{connection}.*"),
        _SHARED: _may_publish("{prefix}.result.>"),
    },
    Kind.TRACE: {
        _O: _may_subscribe("{prefix}.trace.{tenant}.>"),
        _T: _may_subscribe("{prefix}.trace.{tenant}.>"),
        _SCOPED: _may_publish("{prefix}.trace.{tenant}.{connection}.{provider_or_every}.*"),
        _SHARED: _may_publish("{prefix}.trace.>"),
    },
    Kind.QUOTA: {
        _SCOPED: Grant(("{prefix}.quota.{tenant}.>",), ("{prefix}.quota.{tenant}.>",)),
        _SHARED: Grant(("{prefix}.quota.>",), ("{prefix}.quota.>",)),
    },
    Kind.SERVICE: {
        _O: _may_publish(*_SERVICE),
        **dict.fromkeys(SIDECARS, _may_subscribe(*_SERVICE)),
    },
    Kind.INBOX: {
        **{role: Grant(("{inbox}.>",), ("{inbox}.>",)) for role in Role},
        _SCOPED: Grant((f"{INBOX}.{{tenant}}.>",), ("{inbox}.>",)),
        _SHARED: Grant((f"{INBOX}.>", f"{SERVICE_REPLY}.>"), ("{inbox}.>",)),
    },
    Kind.RECORD: {
        _SCOPED: _may_publish("$KV.{bucket}.{key}"),
        _SHARED: _may_publish("$KV.{bucket}.>"),
    },
    Kind.RECORD_GET: {
        _SCOPED: _may_publish(_GET + ".KV_{bucket}.$KV.{bucket}.{key}"),
        _SHARED: _may_publish(_GET + ".KV_{bucket}.$KV.{bucket}.>"),
    },
    Kind.RECORD_WATCH: {
        _SCOPED: _may_publish(_WATCH + ".KV_{bucket}.*.$KV.{bucket}.{key}", "$JS.FC.KV_{bucket}.>"),
        _SHARED: _may_publish(_WATCH + ".KV_{bucket}.*.$KV.{bucket}.>", "$JS.FC.KV_{bucket}.>"),
    },
    # A flow is found by its link: nobody lists or watches them.
    Kind.FLOW: {
        _SCOPED: _may_publish(f"$KV.{FLOWS}.{{flow_key}}"),
        _SHARED: _may_publish(f"$KV.{FLOWS}.>"),
    },
    Kind.FLOW_GET: {
        _SCOPED: _may_publish(f"{_GET}.KV_{FLOWS}.$KV.{FLOWS}.{{flow_key}}"),
        _SHARED: _may_publish(f"{_GET}.KV_{FLOWS}.$KV.{FLOWS}.>"),
    },
    # A family of limits may span connections and providers, so every sidecar of a tenant may own any.
    Kind.QUOTA_RECORD: {
        _SCOPED: _may_publish(f"$KV.{QUOTAS}.{{tenant_key}}.*.*"),
        _SHARED: _may_publish(f"$KV.{QUOTAS}.>"),
    },
    Kind.QUOTA_RECORD_GET: {
        _SCOPED: _may_publish(f"{_GET}.KV_{QUOTAS}.$KV.{QUOTAS}.{{tenant_key}}.*.*"),
        _SHARED: _may_publish(f"{_GET}.KV_{QUOTAS}.$KV.{QUOTAS}.>"),
    },
    # Found by the call's own operation and key; listed to move them under another key, watched by nobody.
    Kind.KEYED_RECORD: {
        _SCOPED: _may_publish(f"$KV.{KEYED}.{{keyed_key}}"),
        _SHARED: _may_publish(f"$KV.{KEYED}.>"),
    },
    Kind.KEYED_RECORD_GET: {
        _SCOPED: _may_publish(f"{_GET}.KV_{KEYED}.$KV.{KEYED}.{{keyed_key}}"),
        _SHARED: _may_publish(f"{_GET}.KV_{KEYED}.$KV.{KEYED}.>"),
    },
    Kind.KEYED_RECORD_LIST: {
        _SCOPED: _may_publish(f"{_WATCH}.KV_{KEYED}.*.$KV.{KEYED}.{{keyed_key}}", f"$JS.FC.KV_{KEYED}.>"),
        _SHARED: _may_publish(f"{_WATCH}.KV_{KEYED}.*.$KV.{KEYED}.>", f"$JS.FC.KV_{KEYED}.>"),
    },
    Kind.CALL_RECORD: {
        _SCOPED: _may_publish(f"$KV.{CALLS}.{{whole_key}}.*.*"),
        _SHARED: _may_publish(f"$KV.{CALLS}.>"),
    },
    Kind.CALL_RECORD_GET: {
        _SCOPED: _may_publish(f"{_GET}.KV_{CALLS}.$KV.{CALLS}.{{whole_key}}.*.*"),
        _SHARED: _may_publish(f"{_GET}.KV_{CALLS}.$KV.{CALLS}.>"),
    },
    Kind.CALL_RECORD_LIST: {
        _SCOPED: _may_publish(f"{_WATCH}.KV_{CALLS}.*.$KV.{CALLS}.{{whole_key}}.>", f"$JS.FC.KV_{CALLS}.>"),
        _SHARED: _may_publish(f"{_WATCH}.KV_{CALLS}.*.$KV.{CALLS}.>", f"$JS.FC.KV_{CALLS}.>"),
    },
    Kind.QUEUE: {
        _SCOPED: _may_publish("{prefix}.queue.{whole}", "{prefix}.later.{whole}.*.*"),
        _SHARED: _may_publish("{prefix}.queue.*", "{prefix}.later.*.*.*"),
    },
    # Here a consumer's name does confine: it is the tenant's, and making it names the filter too, which the nats-server
    # holds against the payload (tried: another filter, name or stream in the payload is refused).
    Kind.QUEUE_TAKE: {
        _SCOPED: _may_publish(
            f"{_WATCH}.{QUEUE_STREAM}.{{whole}}.{{prefix}}.queue.{{whole}}",
            f"{_WATCH}.{LATER_STREAM}.{{whole}}.{{prefix}}.later.{{whole}}.due.*",
            f"{_GET}.{LATER_STREAM}.{{prefix}}.later.{{whole}}.at.*",
            *(f"$JS.API.CONSUMER.MSG.NEXT.{name}.{{whole}}" for name in (QUEUE_STREAM, LATER_STREAM)),
            *(f"$JS.ACK.{name}.{{whole}}.>" for name in (QUEUE_STREAM, LATER_STREAM)),
        ),
        _SHARED: _may_publish(
            f"{_WATCH}.{QUEUE_STREAM}.*.{{prefix}}.queue.*",
            f"{_WATCH}.{LATER_STREAM}.*.{{prefix}}.later.*.due.*",
            f"{_GET}.{LATER_STREAM}.{{prefix}}.later.*.at.*",
            *(f"$JS.API.CONSUMER.MSG.NEXT.{name}.*" for name in (QUEUE_STREAM, LATER_STREAM)),
            *(f"$JS.ACK.{name}.>" for name in (QUEUE_STREAM, LATER_STREAM)),
        ),
    },
    # Whether the streams are there, by asking for a word that may be.
    Kind.QUEUE_CHECK: {
        _SCOPED: _may_publish(
            f"{_GET}.{QUEUE_STREAM}.{{prefix}}.queue.{{whole}}",
            f"{_GET}.{LATER_STREAM}.{{prefix}}.later.{{whole}}.due.-",
        )
    },
    # Which tenants have a queue.
    Kind.QUEUE_LOOK: {_SHARED: _may_publish(f"$JS.API.CONSUMER.NAMES.{QUEUE_STREAM}")},
    Kind.TRACE_WATCH: dict.fromkeys(
        (_O, _T),
        _may_publish(f"{_WATCH}.{TRACE_STREAM}.*.{{prefix}}.trace.{{tenant}}.>", f"$JS.FC.{TRACE_STREAM}.>"),
    ),
    # Whether the stream is there, by asking for an event that never is.
    Kind.TRACE_CHECK: {_SCOPED: _may_publish(f"{_GET}.{TRACE_STREAM}.{{prefix}}.trace.{{tenant}}.-.-.-")},
    Kind.STREAM_LOOK: dict.fromkeys(
        (_SHARED, _ADMIN), _may_publish("$JS.API.INFO", *(f"$JS.API.STREAM.INFO.{name}" for name in _STREAMS))
    ),
    Kind.STREAM_MAKE: {
        _ADMIN: _may_publish(*(f"$JS.API.STREAM.{verb}.{name}" for verb in ("CREATE", "UPDATE") for name in _STREAMS))
    },
    # Which messages go is said by the payload alone, so who may forget one tenant may forget all.
    Kind.STREAM_FORGET: {_ADMIN: _may_publish(*(f"$JS.API.STREAM.PURGE.{name}" for name in _STREAMS))},
}


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who connects: a role with its names. Raises ValueError where a name is none.

    `name` tells holders of one tenant apart: each has its own inbox. No connections or providers: every one.
    """

    role: Role
    name: str
    tenant: str | None = None
    connections: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    operations: str = ALL
    prefix: str = PREFIX

    def __post_init__(self) -> None:
        if (self.tenant is None) != (self.role in WITHOUT_TENANT):
            which = "has no tenant of its own" if self.tenant is not None else "is of one tenant: name it"
            raise ValueError(f"{self.role} {which}")
        for name in (self.name, *self.connections, *([] if self.tenant is None else [self.tenant])):
            if not is_name(name):
                raise ValueError(f"{name[:80]!r} is not a name that a subject can hold")
        for provider in self.providers:
            if not NAME.fullmatch(provider):
                raise ValueError(f"{provider[:80]!r} is not a provider: a lower-case word of [a-z0-9_]")
        if self.role is Role.USER_AGENT and not self.connections:
            raise ValueError(f"{self.role} is of some connections: name them")
        if self.role is Role.PROVIDER_AGENT and not self.providers:
            raise ValueError(f"{self.role} is of a provider: name it")
        if not OPERATIONS.fullmatch(self.operations):
            raise ValueError(f"{self.operations[:80]!r} is not a pattern of operations, such as tickets.* or >")

    @property
    def inbox(self) -> str:
        """What SIDECAR_INBOX_PREFIX, or an agent's NATS client, is set to."""
        return f"{INBOX}.{EVERY if self.tenant is None else encode_token(self.tenant)}.{encode_token(self.name)}"


class Rights(msgspec.Struct, frozen=True):
    """What somebody may publish and subscribe; everything else is refused."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def rights(holder: Holder) -> Rights:
    """All rights of the holder."""
    granted = [rights_of_kind(holder, kind) for kind in TABLE]
    publish = itertools.chain.from_iterable(right.publish for right in granted)
    subscribe = itertools.chain.from_iterable(right.subscribe for right in granted)
    return Rights(tuple(dict.fromkeys(publish)), tuple(dict.fromkeys(subscribe)))


def rights_of_kind(holder: Holder, kind: Kind) -> Rights:
    """The rights of the holder to subjects of this kind."""
    grant = TABLE[kind].get(holder.role, Grant())
    values = _values(holder)
    return Rights(
        tuple(subject for template in grant.publish for subject in _subjects(template, values)),
        tuple(subject for template in grant.subscribe for subject in _subjects(template, values)),
    )


def checks(holder: Holder) -> list[tuple[str, str]]:
    """Each stream that a scoped sidecar needs, and what it may ask to learn whether the stream is there."""
    kinds = (
        Kind.RECORD_GET,
        Kind.FLOW_GET,
        Kind.QUOTA_RECORD_GET,
        Kind.KEYED_RECORD_GET,
        Kind.CALL_RECORD_GET,
        Kind.QUEUE_CHECK,
        Kind.TRACE_CHECK,
    )
    asked = [subject for kind in kinds for subject in rights_of_kind(holder, kind).publish]
    found: dict[str, str] = {}
    for subject in asked:
        stream, key = subject.removeprefix(f"{_GET}.").split(".", 1)
        # A key that never is, in the place of every wildcard: `-` is nobody's name.
        found.setdefault(stream, f"{_GET}.{stream}.{key.replace('*', EVERY).replace(ALL, EVERY)}")
    return list(found.items())


def matches(pattern: str, subject: str) -> bool:
    """Whether every subject that `subject` stands for is one that the pattern allows, as NATS compares them."""
    wanted, given = pattern.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ALL:
            return len(given) > index
        if index >= len(given) or given[index] == ALL or token not in ("*", given[index]):
            return False
    return len(wanted) == len(given)


def may_publish(holder: Holder, subject: str) -> bool:
    return any(matches(pattern, subject) for pattern in rights(holder).publish)


def may_subscribe(holder: Holder, subject: str) -> bool:
    return any(matches(pattern, subject) for pattern in rights(holder).subscribe)


def _values(holder: Holder) -> dict[str, Sequence[str]]:
    """What each field of a template stands for."""
    connections = [encode_token(name) for name in holder.connections]
    providers = list(holder.providers)
    tenant = [] if holder.tenant is None else [encode_token(holder.tenant)]
    keys = [f"{_key_token(token)}.{rest}" for token in tenant for rest in _keys(connections, providers)]
    return {
        "prefix": [holder.prefix],
        "tenant": tenant,
        "connection": connections or ["*"],
        "provider": providers or ["*"],
        "provider_or_every": [*providers, EVERY] if providers else ["*"],
        "operations": [holder.operations],
        "inbox": [holder.inbox],
        "bucket": BUCKETS,
        "key": keys,
        "tenant_key": [_key_token(token) for token in tenant],
        "whole": [] if connections or providers else tenant,
        "whole_key": [] if connections or providers else [_key_token(token) for token in tenant],
        "keyed_key": [key if key.endswith(ALL) else f"{key}.*.*" for key in keys],
        "flow_key": [key if key.endswith(ALL) else f"{key}.*" for key in keys],
    }


def _keys(connections: Sequence[str], providers: Sequence[str]) -> list[str]:
    """What follows the tenant in keys of these connections and providers; of all where neither is named."""
    if not connections and not providers:
        return [ALL]
    return [
        f"{_key_token(connection)}.{provider}" for connection in connections or ["*"] for provider in providers or ["*"]
    ]


def _key_token(token: str) -> str:
    """The token as it stands in the key of a record: `%` is not legal there."""
    return token.replace("%", "=")


def _subjects(template: str, values: dict[str, Sequence[str]]) -> Iterator[str]:
    """The template with each of its fields filled in, in every combination."""
    fields = list(dict.fromkeys(field for _, field, _, _ in Formatter().parse(template) if field))
    for chosen in itertools.product(*(values[field] for field in fields)):
        yield template.format_map(dict(zip(fields, chosen, strict=True)))
