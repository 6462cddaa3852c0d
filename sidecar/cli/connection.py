"""`sidecar connection`: accounts at providers. A secret comes from a file, the environment or a hidden prompt."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import click
import msgspec

from sidecar.cli.failure import EXIT_CODES, USAGE, CommandFailure, Stopped, stop
from sidecar.cli.options import connection_option, json_option, named, provider_name, tenant_option
from sidecar.cli.provider_text import Kind, Served
from sidecar.cli.secret import Source, ask_fields, read_fields
from sidecar.cli.session import Session, decoded, session, settings_here
from sidecar.cli.terminal import paint, put, put_json, say
from sidecar.model import Problem
from sidecar.settings import Settings
from sidecar.trace.line import Tone, columns, plain
from sidecar.wire.subject import EVERY, AdminAddress, admin_subject

ADMIN_SECONDS = 30.0  # a verification at the provider may take 20
IN_WORDS = {"/kind": "--kind", "/base_url": "--base-url"}

VERBS = {
    "verify": "Ask the provider whether it takes the stored credential.",
    "disable": "Let no call use it, until it is enabled again.",
    "enable": "Let calls use it again.",
    "revoke": "Forget its secret for good. The provider is not told: withdraw the key there too.",
}
PROVIDER = click.argument("provider", callback=provider_name)


class Connection(msgspec.Struct, frozen=True):
    """A connection as a sidecar shows it."""

    connection: str
    provider: str
    kind: str
    status: str
    tenant: str = ""
    account: str | None = None
    base_url: str | None = None
    changed: str | None = None
    verified: bool | None = None
    problem: str | None = None


@click.group("connection", epilog=EXIT_CODES)
def command() -> None:
    """Accounts at providers. Calls use the one that -c names, never another."""


IMPORT_HELP = """Store a credential: from a file, from the environment, or asked for on the terminal.

A file or variable holds the bare secret, or {"fields": {"username": "...", "password": "..."}} as JSON.

\b
  sidecar connection import github -c alice --from-env GITHUB_TOKEN
  sidecar connection import redmine --base-url https://redmine.example.com --from-file key.txt
"""


@command.command("import", help=IMPORT_HELP)
@PROVIDER
@click.argument("extra", nargs=-1, metavar="")
@tenant_option
@connection_option
@click.option("--kind", help="Which kind of credential, where the provider takes several.")
@click.option("--base-url", help="The server's URL, or the subdomain, where connections have their own.")
@click.option("--from-file", metavar="FILE", help="Read the secret from this file (- is stdin).")
@click.option("--from-env", metavar="NAME", help="Read the secret from this variable.")
@click.option("--no-verify", is_flag=True, help="Store it without asking the provider whether it takes it.")
@json_option
def import_(
    *,
    provider: str,
    extra: tuple[str, ...],
    tenant: str,
    connection: str,
    kind: str | None,
    base_url: str | None,
    from_file: str | None,
    from_env: str | None,
    no_verify: bool,
    as_json: bool,
) -> None:
    if extra:
        why = "a secret is never an argument: others on this machine can read those, and the shell remembers them"
        raise stop(USAGE, why, "give --from-file FILE or --from-env NAME, or let yourself be asked")
    if from_file is not None and from_env is not None:
        raise stop(USAGE, "--from-file and --from-env name two places for one secret; give one")
    read = read_fields(Source(file=from_file, variable=from_env))
    settings = settings_here()
    served = anyio.run(_served, settings, tenant, provider)
    chosen = chosen_kind(served, kind, tuple(read) if isinstance(read, dict) else None)
    if served.base_url == "subdomain" and base_url is None:
        raise stop(USAGE, f"a connection to {served.title} names its subdomain", "give --base-url SUBDOMAIN")
    fields = ask_fields(served.title, chosen.kind, chosen.fields, read)
    asked = {"kind": chosen.kind, "fields": fields, "verify": not no_verify}
    if base_url is not None:
        asked["base_url"] = base_url
    address = AdminAddress(tenant, connection, provider, "import")
    anyio.run(_change, settings, address, as_json, msgspec.json.encode(asked))


@command.command("list")
@click.argument("provider", callback=provider_name, required=False)
@tenant_option
@click.option("-c", "--connection", callback=named, help="Only this one.")
@json_option
def list_(*, provider: str | None, tenant: str, connection: str | None, as_json: bool) -> None:
    """The connections of a tenant, with everything but their secrets."""
    address = AdminAddress(tenant, connection or EVERY, provider or EVERY, "list")
    anyio.run(_list, settings_here(), address, as_json)


def _verb(verb: str, summary: str) -> click.Command:
    """The command of a verb that takes one connection and nothing else."""

    @click.command(verb, help=summary)
    @PROVIDER
    @tenant_option
    @connection_option
    @json_option
    def run(*, provider: str, tenant: str, connection: str, as_json: bool) -> None:
        anyio.run(_change, settings_here(), AdminAddress(tenant, connection, provider, verb), as_json)

    return run


for _name, _summary in VERBS.items():
    command.add_command(_verb(_name, _summary))


async def _served(settings: Settings, tenant: str, provider: str) -> Served:
    async with session(settings) as nats:
        return await provider_served(nats, tenant, provider)


async def _list(settings: Settings, address: AdminAddress, as_json: bool) -> None:  # noqa: FBT001
    async with session(settings) as nats:
        body = await _admin(nats, address)
    if as_json:
        put_json(body)
        return
    listed = decoded(body, list[Connection])
    if listed:
        put("\n".join(table(listed)))
    else:
        say(f"tenant {address.tenant} has no such connection; make one: sidecar connection import PROVIDER -c NAME")


async def _change(settings: Settings, address: AdminAddress, as_json: bool, payload: bytes = b"") -> None:  # noqa: FBT001
    async with session(settings) as nats:
        body = await _admin(nats, address, payload)
    if as_json:
        put_json(body)
    else:
        put(shown(decoded(body, Connection)))


async def _admin(nats: Session, address: AdminAddress, payload: bytes = b"") -> bytes:
    provider = None if address.provider == EVERY else address.provider
    try:
        answer = await nats.ask(
            admin_subject(nats.prefix, address),
            payload,
            timeout=ADMIN_SECONDS,
            provider=provider,
            tenant=address.tenant,
            changes=address.verb not in {"list", "verify"},
        )
    except Stopped as stopped:
        raise Stopped(in_options(stopped.failure), stopped.reply) from None
    return answer.body


async def provider_served(nats: Session, tenant: str, name: str) -> Served:
    """What the catalogue says of a provider. Stopped where nobody serves it."""
    listed = decoded(await nats.catalog(tenant, "providers"), list[Served])
    found = next((provider for provider in listed if provider.name == name), None)
    if found is None:
        await nats.catalog(tenant, "operations", name)  # is refused, with the nearest name
        raise stop(USAGE, f"provider {name} appeared just now; try again")
    return found


def chosen_kind(served: Served, kind: str | None, fields: Sequence[str] | None) -> Kind:
    """The kind named; else the one whose fields these are; else the first one."""
    if kind is not None:
        found = next((item for item in served.auth if item.kind == kind), None)
        if found is None:
            names = ", ".join(item.kind for item in served.auth)
            raise stop(USAGE, f"{served.name} takes no credential of kind {kind!r}; kinds are: {names}")
        return found
    fitting = (item for item in served.auth if fields is not None and set(item.fields) == set(fields))
    return next(fitting, served.auth[0])


def in_options(failure: CommandFailure) -> CommandFailure:
    """The failure with the places of its problems named as the command's options."""
    errors = tuple(
        Problem(IN_WORDS.get(item.pointer, item.pointer), item.detail, item.allowed, item.nearest)
        for item in failure.errors
    )
    return msgspec.structs.replace(failure, errors=errors)


def table(connections: Sequence[Connection]) -> list[str]:
    """The connections as a table, with a heading."""
    rows = [["connection", "provider", "kind", "status", "account", "server", "changed"]]
    rows += [
        [
            plain(item.connection, 60),
            plain(item.provider, 60),
            plain(item.kind, 40),
            plain(item.status, 40),
            plain(item.account or "-", 60),
            plain(item.base_url or "-", 100),
            plain((item.changed or "-")[:16].replace("T", " "), 20),
        ]
        for item in connections
    ]
    lines = columns(rows)
    problems = [
        f"{plain(item.connection, 60)} {plain(item.provider, 60)}: {plain(item.problem)}"
        for item in connections
        if item.problem
    ]
    return [paint(lines[0], Tone.DIM), *lines[1:], *problems]


def shown(item: Connection) -> str:
    """One connection and what the provider said of its credential."""
    who = f"{plain(item.provider, 60)}  {plain(item.connection, 60)}  {plain(item.kind, 40)}  {plain(item.status, 40)}"
    if item.problem is not None:
        return f"{who}  {paint('not verified', Tone.WARN)}: {plain(item.problem)}"
    if item.verified is None:
        return who
    return f"{who}  {paint('verified', Tone.GOOD)}{f': {plain(item.account, 100)}' if item.account else ''}"
