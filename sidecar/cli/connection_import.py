"""`sidecar connection import`: one credential from a file, the environment or a hidden prompt, or many from a file."""

from __future__ import annotations

from typing import Any

import anyio
import click
import msgspec

from sidecar.cli.account import Connection, admin, change, chosen_kind, provider_served, read_limits
from sidecar.cli.bulk import many
from sidecar.cli.bulk_rows import FORMATS, Reading
from sidecar.cli.connection_copies import EXPORT, put_back
from sidecar.cli.failure import USAGE, stop
from sidecar.cli.options import connection_option, json_option, provider_name, tenant_option
from sidecar.cli.provider_text import Kind, Served
from sidecar.cli.secret import Source, ask_fields, read_fields
from sidecar.cli.session import decoded, session, settings_here
from sidecar.settings import Settings
from sidecar.wire.subject import AdminAddress

HELP = """Store credentials: one of PROVIDER, or with --from many of a FILE.

One comes from a file, from the environment, or is asked for on the terminal. A file or variable holds the bare secret,
{"fields": {"username": "...", "password": "..."}} as JSON, or a key file as the provider hands it out. Where a key is
the user name, as at Stripe, its password is "".

\b
  sidecar connection import github -c alice --from-env GITHUB_TOKEN
  sidecar connection import redmine --base-url https://redmine.example.com --from-file key.txt
  sidecar connection import gmail -c bob --from-file service-account.json --subject bob@example.com

Many come from Nango (its connections as JSON, with credentials), from JSON lines, each {"connection", "provider",
"kind", "fields", "base_url", "client_id", "limits"}, or from a file of `sidecar connection export`. A refresh token
works with the OAuth app that it was issued to and no other: try it with --dry-run first.

\b
  sidecar connection import --from nango connections.json --dry-run
  sidecar connection import --from jsonl accounts.jsonl
  sidecar connection import --from export backup.jsonl --dry-run    the restore drill
"""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """The options of the command that are of one credential, or of many."""

    kind: str | None
    base_url: str | None
    from_file: str | None
    from_env: str | None
    subject: str | None
    no_verify: bool
    limits: tuple[str, ...]
    form: str | None
    dry_run: bool
    client_id: str | None
    names: tuple[str, ...]

    @property
    def of_one(self) -> bool:
        """Whether something is given that a file of many says itself."""
        return any((self.kind, self.base_url, self.from_file, self.from_env, self.subject, self.limits))


@click.command("import", help=HELP)
@click.argument("provider", metavar="PROVIDER|FILE")
@click.argument("extra", nargs=-1, metavar="")
@tenant_option
@connection_option
@click.option("--kind", help="Which kind of credential, where the provider takes several.")
@click.option("--base-url", help="The server's URL, or the subdomain, where connections have their own.")
@click.option("--from-file", metavar="FILE", help="Read the secret from this file (- is stdin).")
@click.option("--from-env", metavar="NAME", help="Read the secret from this variable.")
@click.option("--subject", help="Whom a service account acts for, such as a user's address.")
@click.option("--no-verify", is_flag=True, help="Store it without asking the provider whether it takes it.")
@click.option(
    "--limit", "limits", multiple=True, metavar="QUOTA=UNITS/SECONDS", help="What its server allows: messages=10/60."
)
@click.option("--from", "form", type=click.Choice([*FORMATS, EXPORT]), help="Many, from FILE in this form.")
@click.option("--dry-run", is_flag=True, help="With --from: store nothing, say which rows cannot work and why.")
@click.option("--client-id", help="With --from: the OAuth app that the refresh tokens were issued to.")
@click.option("--map", "names", multiple=True, metavar="THEIRS=OURS", help="With --from nango: a provider's name here.")
@json_option
def import_(
    *, provider: str, extra: tuple[str, ...], tenant: str, connection: str, as_json: bool, **options: Any
) -> int:
    given = Given(**options)
    if extra:
        why = "a secret is never an argument: others on this machine can read those, and the shell remembers them"
        raise stop(USAGE, why, "give --from-file FILE or --from-env NAME, or let yourself be asked")
    if given.form is not None:
        if given.of_one or connection != "default":
            raise stop(USAGE, "with --from the rows of FILE say which connection, kind and secret", "leave those out")
        return _of_file(provider, tenant, given, given.form, as_json=as_json)
    if given.dry_run or given.client_id or given.names:
        raise stop(USAGE, "--dry-run, --client-id and --map belong to --from", "see sidecar connection import --help")
    provider_name(click.get_current_context(), click.Argument(["provider"]), provider)
    source = Source(file=given.from_file, variable=given.from_env)
    address = AdminAddress(tenant, connection, provider, "import")
    asked = one(settings_here(), address, source, kind=given.kind, base_url=given.base_url, subject=given.subject)
    limits = {"limits": read_limits(given.limits)} if given.limits else {}
    payload = msgspec.json.encode(asked | limits | {"verify": not given.no_verify})
    anyio.run(change, settings_here(), address, as_json, payload)
    return 0


def _of_file(file: str, tenant: str, given: Given, form: str, *, as_json: bool) -> int:
    if form == EXPORT:
        return put_back(settings_here(), file, tenant, dry_run=given.dry_run, as_json=as_json)
    reading = Reading(form=form, names=_names(given.names), client_id=given.client_id)
    verify = not given.no_verify
    return many(settings_here(), file, tenant, reading, verify=verify, dry_run=given.dry_run, as_json=as_json)


def one(
    settings: Settings,
    address: AdminAddress,
    source: Source,
    *,
    kind: str | None,
    base_url: str | None,
    subject: str | None = None,
) -> dict[str, object]:
    """The payload of an import of one credential, asked for on the terminal where the source names no place. A
    connection that is there keeps its server.
    """
    if source.file is not None and source.variable is not None:
        raise stop(USAGE, "--from-file and --from-env name two places for one secret; give one")
    read = read_fields(source)
    served, base_url = anyio.run(_served, settings, address, base_url)
    chosen = chosen_kind(served, kind, read)
    if served.base_url == "subdomain" and base_url is None:
        raise stop(USAGE, f"a connection to {served.title} names its subdomain", "give --base-url SUBDOMAIN")
    if served.base_url_needed and base_url is None and read is None:  # nobody types a secret for nothing
        raise stop(USAGE, f"a connection to {served.title} names its server", "give --base-url URL")
    fields = ask_fields(served.title, chosen.kind, chosen.fields, chosen.file, read)
    asked: dict[str, object] = {"kind": chosen.kind, "fields": fields | _acting_for(chosen, subject)}
    return asked if base_url is None else asked | {"base_url": base_url}


def _acting_for(chosen: Kind, subject: str | None) -> dict[str, str]:
    if subject is None:
        return {}
    if "subject" not in chosen.optional:
        raise stop(USAGE, f"a credential of kind {chosen.kind} acts for nobody else", "leave --subject out")
    return {"subject": subject}


def _names(given: tuple[str, ...]) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in given]
    for theirs, _, ours in pairs:
        if not theirs or not ours:
            raise stop(USAGE, "--map names a provider twice: THEIRS=OURS", "such as --map google-mail=gmail")
    return {theirs: ours for theirs, _, ours in pairs}


async def _served(settings: Settings, address: AdminAddress, base_url: str | None) -> tuple[Served, str | None]:
    """The provider, and the server that is named, or that the connection has."""
    async with session(settings) as nats:
        served = await provider_served(nats, address.tenant, address.provider)
        if base_url is None and served.base_url in {"self_hosted", "subdomain"}:
            there = decoded(await admin(nats, msgspec.structs.replace(address, verb="list")), list[Connection])
            base_url = next((item.base_url for item in there), None)
        return served, base_url
