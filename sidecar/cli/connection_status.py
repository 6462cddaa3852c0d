"""`sidecar connection status`: whether one connection can be used, and if not, what to do."""

from __future__ import annotations

import anyio
import click
import msgspec

from sidecar.cli.options import connection_option, json_option, provider_name, tenant_option
from sidecar.cli.session import Session, decoded, session, settings_here
from sidecar.cli.terminal import paint, put, put_json
from sidecar.settings import Settings
from sidecar.trace.line import Tone, plain
from sidecar.wire.subject import ConnectAddress, connect_subject

STATUS_SECONDS = 10.0
UNUSABLE = 1
CONNECT = "sidecar connect {provider} -c {connection}"
NEXT = {
    "none": f"connect it: {CONNECT}",
    "reauth_required": f"its owner has to allow access again: {CONNECT}",
    "revoked": f"connect it again: {CONNECT}",
    "disabled": "let calls use it again: sidecar connection enable {provider} -c {connection}",
    "unreadable": "see why: sidecar connection list {provider} -c {connection}",
}


class Status(msgspec.Struct, frozen=True):
    """A connection, and a flow where one was named, as a sidecar tells it."""

    tenant: str
    connection: str
    provider: str
    status: str
    account: str | None = None
    flow: str | None = None
    ending: str | None = None
    detail: str | None = None


@click.command("status")
@click.argument("provider", callback=provider_name)
@tenant_option
@connection_option
@json_option
def status(*, provider: str, tenant: str, connection: str, as_json: bool) -> int:
    """Whether calls can use it. Exit code 1 when they cannot. The provider is not asked: `verify` does that."""
    address = ConnectAddress(tenant, connection, provider, "status")
    body = anyio.run(_asked, settings_here(), address)
    known = decoded(body, Status)
    if as_json:
        put_json(body)
    else:
        put("\n".join(status_lines(known)))
    return 0 if known.status == "active" else UNUSABLE


async def _asked(settings: Settings, address: ConnectAddress) -> bytes:
    async with session(settings) as nats:
        return await ask_status(nats, address)


async def ask_status(nats: Session, address: ConnectAddress, flow: str | None = None) -> bytes:
    """The status of a connection, and of a flow where it is named."""
    payload = msgspec.json.encode({"flow": flow} if flow else {})
    subject = connect_subject(nats.prefix, address)
    answer = await nats.ask(subject, payload, timeout=STATUS_SECONDS, provider=address.provider, tenant=address.tenant)
    return answer.body


def status_lines(known: Status) -> list[str]:
    """One line of what it is, one of what to do."""
    good = known.status == "active"
    word = paint(known.status, Tone.GOOD if good else Tone.WARN)
    who = f"{plain(known.provider, 60)}  {plain(known.connection, 60)}  {word}"
    lines = [f"{who}  {plain(known.account, 100)}" if known.account else who]
    if known.detail:
        lines.append(f"  {plain(known.detail)}")
    todo = NEXT.get(known.status)
    if todo is not None:
        lines.append(f"  {todo.format(provider=known.provider, connection=known.connection)}")
    return lines
