"""`sidecar connection`: accounts at providers."""

from __future__ import annotations

import anyio
import click
import msgspec

from sidecar.cli.account import Connection, admin, change, read_limits, table
from sidecar.cli.connection_copies import export
from sidecar.cli.connection_import import import_
from sidecar.cli.connection_status import status
from sidecar.cli.failure import EXIT_CODES
from sidecar.cli.options import connection_option, json_option, named, provider_name, tenant_option
from sidecar.cli.session import decoded, session, settings_here
from sidecar.cli.terminal import put, put_json, say
from sidecar.settings import Settings
from sidecar.wire.subject import EVERY, AdminAddress

VERBS = {
    "verify": "Ask the provider whether it takes the stored credential.",
    "disable": "Let no call use it, until it is enabled again.",
    "enable": "Let calls use it again.",
    "revoke": "Forget its secret for good, and tell the provider where it can be told. Withdraw keys there by hand.",
}
PROVIDER = click.argument("provider", callback=provider_name)


@click.group("connection", epilog=EXIT_CODES)
def command() -> None:
    """Accounts at providers. Calls use the one that -c names, never another."""


@command.command("list")
@click.argument("provider", callback=provider_name, required=False)
@tenant_option
@click.option("-c", "--connection", callback=named, help="Only this one.")
@json_option
def list_(*, provider: str | None, tenant: str, connection: str | None, as_json: bool) -> None:
    """The connections of a tenant, with everything but their secrets."""
    address = AdminAddress(tenant, connection or EVERY, provider or EVERY, "list")
    anyio.run(_list, settings_here(), address, as_json)


@command.command("limit")
@PROVIDER
@click.argument("limits", nargs=-1, metavar="[QUOTA=UNITS/SECONDS]...")
@tenant_option
@connection_option
@json_option
def limit(*, provider: str, limits: tuple[str, ...], tenant: str, connection: str, as_json: bool) -> None:
    """Say what the owner of its server allows: messages=10/60, or uploads=4 at once.

    It takes the place of what was said before; without any, the provider's usual limits hold.
    `sidecar provider show PROVIDER` lists the quotas.
    """
    payload = msgspec.json.encode({"limits": read_limits(limits)})
    anyio.run(change, settings_here(), AdminAddress(tenant, connection, provider, "limit"), as_json, payload)


def _verb(verb: str, summary: str) -> click.Command:
    """The command of a verb that takes one connection and nothing else."""

    @click.command(verb, help=summary)
    @PROVIDER
    @tenant_option
    @connection_option
    @json_option
    def run(*, provider: str, tenant: str, connection: str, as_json: bool) -> None:
        anyio.run(change, settings_here(), AdminAddress(tenant, connection, provider, verb), as_json)

    return run


for _command in (import_, export, status):
    command.add_command(_command)
for _name, _summary in VERBS.items():
    command.add_command(_verb(_name, _summary))


async def _list(settings: Settings, address: AdminAddress, as_json: bool) -> None:  # noqa: FBT001
    async with session(settings) as nats:
        body = await admin(nats, address)
    if as_json:
        put_json(body)
        return
    listed = decoded(body, list[Connection])
    if listed:
        put("\n".join(table(listed)))
    else:
        say(f"tenant {address.tenant} has no such connection; make one: sidecar connect PROVIDER -c NAME")
