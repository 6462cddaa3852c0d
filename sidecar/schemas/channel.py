"""The subjects as channels, the messages on them, and who answers what."""

from __future__ import annotations

from typing import Literal

import msgspec

from sidecar.micro import NAME


class Channel(msgspec.Struct, frozen=True):
    """A subject, or (without an address) the inbox of whoever asked."""

    address: str | None
    description: str
    messages: tuple[str, ...]


class Message(msgspec.Struct, frozen=True):
    """A payload and its headers, by the names of their schemas."""

    payload: str
    summary: str
    headers: str | None = None


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What the sidecar does with the messages of a channel. `queued`: one sidecar of many answers."""

    summary: str
    channel: str
    messages: tuple[str, ...]
    replies: tuple[str, ...] = ()
    action: Literal["receive", "send"] = "receive"
    queued: bool = False


PARAMETERS = {
    "tenant": "The customer or team; `default` when there is only one. Encoded as a token.",
    "connection": "Whose account at the provider; `default` is a legal name. Encoded as a token.",
    "provider": "The third-party API: `[a-z][a-z0-9_]*`. On admin subjects `-` stands for every one.",
    "operation": "The operation, such as `issues.create`: its dots make further tokens of the subject.",
    "verb": "`verify`, `disable`, `enable` or `revoke`.",
    "call_id": "The call's id, as its `Call-Id` header said (a UUID).",
    "event": "`started`, `attempt`, `wait`, `finished` or `admin`.",
    "id": "The id of one process, as `$SRV.PING` tells it.",
}

_CALL = "{tenant}.{connection}.{provider}.{operation}"
_EVENTS = ("started", "attempt", "wait", "finished", "admin", "auth")
_SERVICE = {"PING": "servicePing", "INFO": "serviceInfo", "STATS": "serviceStats"}
_WHO = (
    ("", "", "every process"),
    ("OfName", f".{NAME}", "every process of this name"),
    ("OfProcess", f".{NAME}.{{id}}", "one process"),
)

MESSAGES = {
    "call": Message("Input", "An operation's input.", "RequestHeaders"),
    "output": Message("Output", "The call succeeded.", "ReplyHeaders"),
    "dryRun": Message("DryRun", "The request that would have been sent.", "ReplyHeaders"),
    "failure": Message("FailureReply", "It failed, or was refused; one shape for every provider.", "FailureHeaders"),
    "cancelled": Message("CancelReply", "What became of the call that was to be cancelled."),
    "nothing": Message("Nothing", "A question that the subject asks in full."),
    "search": Message("SearchRequest", "Words to search for."),
    "toolsRequest": Message("ToolsRequest", "Whose form to give tool definitions in."),
    "providers": Message("ListedProviders", "The providers served here."),
    "operations": Message("ListedOperations", "Operations, each with its access."),
    "operation": Message("DescribedOperation", "One operation with its input schema."),
    "tools": Message("Tools", "Tool definitions for a language model."),
    "import": Message("ImportRequest", "A credential to store."),
    "limit": Message("LimitRequest", "What the owner of the connection's server set."),
    "connection": Message("Connection", "The connection after it; never its secret."),
    "connections": Message("Connections", "Connections; never their secrets."),
    "start": Message("StartRequest", "What the account is wanted for."),
    "link": Message("ConnectLink", "A link for the account's owner; it works once."),
    "statusRequest": Message("StatusRequest", "Which flow, or none."),
    "connectStatus": Message("ConnectStatus", "How far it is."),
    "batch": Message("BatchRequest", "Which batch of records."),
    "keyUse": Message("KeyUse", "The batch, and the keys that its records are under."),
    "export": Message("ExportRequest", "Which batch of copies."),
    "copies": Message("Copies", "Sealed records as they are stored."),
    "restore": Message("RestoreRequest", "Copies to put back."),
    "restored": Message("Restored", "What became of them."),
    "submit": Message("Input", "An operation's input.", "SubmitHeaders"),
    "submitted": Message("SubmitReply", "The durable call was taken; it will run."),
    "resultRequest": Message("ResultRequest", "Whose result."),
    "result": Message("Output", "What a durable call ended in, as the reply to a call.", "ReplyHeaders"),
    "queueRequest": Message("QueueRequest", "What is asked of durable calls."),
    "queue": Message("Queue", "Durable calls, the newest first."),
    "queuedCall": Message("QueuedCall", "How one durable call stands."),
    "quotas": Message("QuotaView", "What is left of the quotas in use, and who waits."),
    "started": Message("Started", "A call was accepted."),
    "attempt": Message("Attempt", "One HTTP exchange."),
    "wait": Message("Wait", "The call waits."),
    "finished": Message("Finished", "The call ended."),
    "admin": Message("Admin", "An operator changed or asked something."),
    "auth": Message("Auth", "The tokens of a connection were to be renewed."),
    "servicePing": Message("ServicePing", "Who is there."),
    "serviceInfo": Message("ServiceInfo", "What is served."),
    "serviceStats": Message("ServiceStats", "What was counted."),
}

_ASKED = (
    "call",
    "nothing",
    "search",
    "toolsRequest",
    "start",
    "statusRequest",
    "import",
    "limit",
    "batch",
    "export",
    "restore",
    "submit",
    "resultRequest",
    "queueRequest",
    *_EVENTS,
)

CHANNELS = {
    "read": Channel(f"sidecar.read.{_CALL}", "Operations that change nothing at the provider.", ("call",)),
    "write": Channel(f"sidecar.write.{_CALL}", "Operations that change something at the provider.", ("call",)),
    "submit": Channel(
        f"sidecar.submit.{_CALL}",
        "Have an operation done, whatever becomes of whoever asks: the answer comes when that is certain.",
        ("submit",),
    ),
    "resultGet": Channel(
        "sidecar.read.{tenant}.{connection}.-.result.get",
        "What a durable call ended in, for a day. While it waits: IN_PROGRESS.",
        ("resultRequest",),
    ),
    "result": Channel(
        "sidecar.result.{tenant}.{connection}.{call_id}",
        "What a durable call ended in, as the reply to a call, published when it is known: at least once. Not sealed: "
        "whoever may subscribe here reads it. Only sidecars publish here.",
        ("result", "failure"),
    ),
    "cancel": Channel(
        "sidecar.cancel.{tenant}.{connection}.{call_id}",
        "End a call in flight. Every sidecar hears it and the one that holds the call replies: no reply means that "
        "nobody holds it (it has ended, or never began, or the subject is not well formed). Without a reply subject it "
        "is obeyed too.",
        ("nothing",),
    ),
    "catalogProviders": Channel("sidecar.catalog.{tenant}.providers", "Which providers are served.", ("nothing",)),
    "catalogOperations": Channel(
        "sidecar.catalog.{tenant}.operations.{provider}", "Which operations a provider has.", ("nothing",)
    ),
    "catalogDescribe": Channel(
        "sidecar.catalog.{tenant}.describe.{provider}.{operation}", "One operation with its input schema.", ("nothing",)
    ),
    "catalogSearch": Channel("sidecar.catalog.{tenant}.search", "Operations by words.", ("search",)),
    "catalogTools": Channel("sidecar.catalog.{tenant}.tools", "Tool definitions of every provider.", ("toolsRequest",)),
    "catalogProviderTools": Channel(
        "sidecar.catalog.{tenant}.tools.{provider}", "Tool definitions of one provider.", ("toolsRequest",)
    ),
    "connectStart": Channel(
        "sidecar.connect.{tenant}.{connection}.{provider}.start",
        "Begin to connect an account by its owner's consent: a link that works once.",
        ("start",),
    ),
    "connectStatus": Channel(
        "sidecar.connect.{tenant}.{connection}.{provider}.status",
        "Whether the connection can be used, and how far a flow is.",
        ("statusRequest",),
    ),
    "adminImport": Channel(
        "sidecar.admin.{tenant}.{connection}.{provider}.import", "Store a credential. For operators only.", ("import",)
    ),
    "adminLimit": Channel(
        "sidecar.admin.{tenant}.{connection}.{provider}.limit",
        "Say what the owner of the connection's server allows. For operators only.",
        ("limit",),
    ),
    "adminList": Channel(
        "sidecar.admin.{tenant}.{connection}.{provider}.list",
        "List connections; connection and provider may be `-`, every one. For operators only.",
        ("nothing",),
    ),
    "adminChange": Channel(
        "sidecar.admin.{tenant}.{connection}.{provider}.{verb}",
        "Check, stop, allow again or end a connection. For operators only.",
        ("nothing",),
    ),
    "adminKeys": Channel(
        "sidecar.admin.{tenant}.{connection}.{provider}.keys",
        "Which keys the sealed records are under; connection and provider may be `-`, every one. For operators only.",
        ("batch",),
    ),
    "adminRewrap": Channel(
        "sidecar.admin.{tenant}.{connection}.{provider}.rewrap",
        "Move sealed records under the newest key; connection and provider may be `-`. For operators only.",
        ("batch",),
    ),
    "adminQuota": Channel(
        "sidecar.admin.{tenant}.{connection}.{provider}.quota",
        "What is left of the quotas in use, who keeps them, who waits; connection and provider may be `-`. For "
        "operators only.",
        ("nothing",),
    ),
    "adminExport": Channel(
        "sidecar.admin.{tenant}.{connection}.{provider}.export",
        "Copies of sealed records, which nobody opens without the tenant's key; connection and provider may be `-`. "
        "For operators only.",
        ("export",),
    ),
    "adminRestore": Channel(
        "sidecar.admin.{tenant}.{connection}.{provider}.restore",
        "Put copies back where no record is, never over one; connection and provider may be `-`. For operators only.",
        ("restore",),
    ),
    "adminQueue": Channel(
        "sidecar.admin.{tenant}.{connection}.-.queue",
        "Durable calls: `list` them, `show` one, `redrive` one that failed for good and changed nothing; connection "
        "may be `-`. For operators only.",
        ("queueRequest",),
    ),
    "trace": Channel(
        "sidecar.trace.{tenant}.{connection}.{provider}.{event}",
        "What happened, kept in the stream SIDECAR_TRACE. Only sidecars publish here.",
        _EVENTS,
    ),
    **{
        f"{name}{suffix}": Channel(f"$SRV.{verb}{tokens}", f"NATS service protocol (ADR-32): {who}.", ("nothing",))
        for verb, name in _SERVICE.items()
        for suffix, tokens, who in _WHO
    },
    "reply": Channel(
        None,
        "The reply subject of the request: an inbox of whoever asked.",
        tuple(name for name in MESSAGES if name not in _ASKED),
    ),
}

_CALLED = ("output", "dryRun", "failure")

OPERATIONS = {
    "read": Operation(
        summary="Call an operation that changes nothing.",
        channel="read",
        messages=("call",),
        replies=_CALLED,
        queued=True,
    ),
    "write": Operation(
        summary="Call an operation that changes something.",
        channel="write",
        messages=("call",),
        replies=_CALLED,
        queued=True,
    ),
    "submit": Operation(
        summary="Have an operation done, now or later, whatever becomes of whoever asks.",
        channel="submit",
        messages=("submit",),
        replies=("submitted", "failure"),
        queued=True,
    ),
    "resultGet": Operation(
        summary="What a durable call ended in.",
        channel="resultGet",
        messages=("resultRequest",),
        replies=("result", "failure"),
        queued=True,
    ),
    "adminQueue": Operation(
        summary="Durable calls: how they stand, and driving one again.",
        channel="adminQueue",
        messages=("queueRequest",),
        replies=("queue", "queuedCall", "failure"),
        queued=True,
    ),
    "result": Operation(
        summary="Tell what a durable call ended in.", channel="result", messages=("result", "failure"), action="send"
    ),
    "cancel": Operation(
        summary="End a call in flight; only the sidecar that holds it replies.",
        channel="cancel",
        messages=("nothing",),
        replies=("cancelled", "failure"),
    ),
    **{
        channel: Operation(
            summary=CHANNELS[channel].description,
            channel=channel,
            messages=CHANNELS[channel].messages,
            replies=(reply, "failure"),
            queued=True,
        )
        for channel, reply in {
            "catalogProviders": "providers",
            "catalogOperations": "operations",
            "catalogDescribe": "operation",
            "catalogSearch": "operations",
            "catalogTools": "tools",
            "catalogProviderTools": "tools",
            "connectStart": "link",
            "connectStatus": "connectStatus",
            "adminImport": "connection",
            "adminLimit": "connection",
            "adminList": "connections",
            "adminChange": "connection",
            "adminKeys": "keyUse",
            "adminRewrap": "keyUse",
            "adminQuota": "quotas",
            "adminExport": "copies",
            "adminRestore": "restored",
        }.items()
    },
    "trace": Operation(summary="Tell what happened.", channel="trace", messages=_EVENTS, action="send"),
    **{
        f"{name}{suffix}": Operation(
            summary=f"{MESSAGES[name].summary} Asked of {who}.",
            channel=f"{name}{suffix}",
            messages=("nothing",),
            replies=(name,),
        )
        for name in _SERVICE.values()
        for suffix, _, who in _WHO
    },
}
