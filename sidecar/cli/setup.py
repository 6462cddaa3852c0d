"""`sidecar setup`: the streams and buckets, made and kept as the settings say; and who may do what on NATS."""

from __future__ import annotations

import anyio
import click

from sidecar.adapters.nats_streams import missing, provision
from sidecar.cli.failure import EXIT_CODES, SETTINGS, USAGE, stop
from sidecar.cli.options import json_option, named
from sidecar.cli.rights import holders, nats_text, rights_facts, rights_text
from sidecar.cli.serve import starting
from sidecar.cli.session import session, settings_here
from sidecar.cli.terminal import paint, put, put_json
from sidecar.permissions import Role
from sidecar.settings import Settings
from sidecar.streams import streams_of
from sidecar.trace.line import Tone, counted

NOT_AS_IT_MUST_BE = 1

HELP = """Make the streams and buckets on the NATS server of SIDECAR_NATS_URL, or bring them up to date.

Sizes, ages and copies become as the settings say; copies are added, never taken away. Run it as a NATS user of role
admin, before the first `sidecar run` and after an upgrade; it does nothing where nothing is to be done.

With --permissions it makes nothing and connects nowhere: it prints what each ROLE may publish and subscribe, for a
person, as JSON, or with --nats as users of a nats-server's configuration. Roles: {roles}.

\b
  sidecar setup --check                                             what is missing or differs; exit code 1 if anything
  sidecar setup --permissions                                       every role
  sidecar setup --permissions user-agent --tenant acme -c alice     one agent of one user
  sidecar setup --permissions scoped-sidecar --tenant acme --nats   as a nats-server reads it
""".format(roles=", ".join(Role))


@click.command("setup", help=HELP, epilog=EXIT_CODES)
@click.option("--check", is_flag=True, help="Change nothing: say what would be. Exit code 1 when anything would.")
@click.option("--permissions", is_flag=True, help="Print the NATS rights of each role, or of ROLE.")
@click.argument("role", type=click.Choice([str(role) for role in Role]), required=False, metavar="[ROLE]")
@click.option("--tenant", callback=named, help="With --permissions: whose. [default: default]")
@click.option("-c", "--connection", "connections", multiple=True, help="With --permissions: which; may be repeated.")
@click.option("--provider", "providers", multiple=True, help="With --permissions: which; may be repeated.")
@click.option("--operations", help="With --permissions provider-agent: what it may write, such as issues.*")
@click.option("--name", callback=named, help="With --permissions: what tells it from others of its tenant.")
@click.option("--nats", "as_nats", is_flag=True, help="With --permissions: as users of a nats-server's configuration.")
@json_option
def command(
    *,
    check: bool,
    permissions: bool,
    role: str | None,
    tenant: str | None,
    connections: tuple[str, ...],
    providers: tuple[str, ...],
    operations: str | None,
    name: str | None,
    as_nats: bool,
    as_json: bool,
) -> int:
    if permissions and check:
        raise stop(
            USAGE, "--check looks at streams, --permissions at none: give one of them", "see sidecar setup --help"
        )
    if permissions:
        made = holders(
            settings_here().prefix,
            Role(role) if role else None,
            tenant,
            connections,
            providers,
            operations or ">",
            name,
        )
        if as_json:
            put_json(rights_facts(made))
        else:
            put(nats_text(made) if as_nats else rights_text(made, paint))
        return 0
    if role or tenant or connections or providers or operations or name or as_nats:
        raise stop(USAGE, "a role and its names belong to --permissions", "see sidecar setup --help")
    return _streams(settings_here(), check=check, as_json=as_json)


def _streams(settings: Settings, *, check: bool, as_json: bool) -> int:
    _check_replicas(settings.replicas)
    with starting():
        said = anyio.run(_look if check else _make, settings)
    names = [stream.title for stream in streams_of(settings)]
    if as_json:
        put_json({"ok": not (check and said), "streams": names, "differences" if check else "done": said})
    else:
        for line in said:
            put(f"{paint('differs' if check else 'done', Tone.WARN if check else Tone.GOOD):<8} {line}")
        if not said:
            put(f"{paint('ok', Tone.GOOD):<8} {', '.join(names)}: as they must be")
        elif check:
            put(f"{counted(len(said), 'difference')}; run: sidecar setup")
    return NOT_AS_IT_MUST_BE if check and said else 0


async def _make(settings: Settings) -> list[str]:
    async with session(settings) as nats:
        return await provision(nats.bus, streams_of(settings), limits=True)


async def _look(settings: Settings) -> list[str]:
    async with session(settings) as nats:
        return await missing(nats.bus, streams_of(settings), limits=True)


def _check_replicas(replicas: int) -> None:
    if replicas % 2 == 0:
        why = f"{replicas} copies stop when {replicas // 2} of them do, which {replicas - 1} would bear as well"
        raise stop(SETTINGS, f"SIDECAR_REPLICAS is {replicas}: {why}", "set 1, 3 or 5")
