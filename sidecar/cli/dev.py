"""`sidecar dev`: an embedded NATS server and a sidecar on this machine, with all they need made."""

from __future__ import annotations

import os
import shlex
import time
from functools import partial
from pathlib import Path

import click
import msgspec

from sidecar.adapters.nats_directory import in_use
from sidecar.adapters.nats_url import shown
from sidecar.app import FORMATS, Sidecar, finished, provider_folders_of, until_end
from sidecar.cli import BEGAN
from sidecar.cli.failure import EXIT_CODES, Stopped, stop
from sidecar.cli.options import json_option
from sidecar.cli.serve import serving
from sidecar.cli.session import DEFAULT, SANDBOX, settings_here
from sidecar.cli.terminal import paint, put, put_json
from sidecar.laptop import development
from sidecar.model import VERSION, Access, Failure
from sidecar.provider import Catalogue
from sidecar.sandbox.read import all_cases
from sidecar.sandbox.server import CONNECTIONS, OfflineProviders, store_credentials
from sidecar.settings import Settings
from sidecar.trace.line import Tone, columns, seconds
from sidecar.wire.subject import Address, call_subject

HELP = """Start a NATS server and a sidecar on this machine, and say what to try.

Everything it keeps is in the data directory; other `sidecar` commands find the server there. Where SIDECAR_NATS_URL is
set, that server is used and none is started. With --sandbox every provider answers offline, without any account.
"""
FIRST = "github"  # the provider that most people know


class Started(msgspec.Struct, frozen=True):
    """What runs, and where."""

    url: str
    data_dir: str
    embedded: bool
    sandbox: bool
    reached: str | None  # what lets commands in another terminal find it, where they would not by themselves
    ready_seconds: float
    providers: tuple[str, ...]
    example: str | None
    subject: str | None
    tenant: str = DEFAULT
    connections: tuple[str, ...] = CONNECTIONS
    connect_address: str | None = None


@click.command("dev", help=HELP, epilog=EXIT_CODES)
@click.option("--sandbox", is_flag=True, help="Every provider answers offline; nothing leaves this machine.")
@click.option("--data-dir", metavar="DIR", help="Where everything is kept. Default: SIDECAR_DATA_DIR, or your home.")
@json_option
def command(*, sandbox: bool, data_dir: str | None, as_json: bool) -> None:
    settings = settings_here()
    if data_dir is not None:
        settings = msgspec.structs.replace(settings, data_dir=str(Path(data_dir).expanduser().absolute()))
    elif sandbox and settings.nats_url is None:
        # The sandbox's accounts are no real ones: they are kept apart, so that no real call is made with them.
        settings = msgspec.structs.replace(settings, data_dir=str(Path(settings.data_dir) / SANDBOX))
    serving(settings, partial(_dev, settings, sandbox, data_dir is not None, as_json))


async def _dev(
    settings: Settings,
    sandbox: bool,  # noqa: FBT001  # bound by position: anyio.run has no keywords
    elsewhere: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    offline = OfflineProviders(all_cases(provider_folders_of(settings), FORMATS.read_yaml)) if sandbox else None
    tenant, connections = settings.tenant or DEFAULT, settings.connections or CONNECTIONS
    async with development(settings, offline) as (running, url):
        if sandbox:
            failure = await store_credentials(running.administrator, running.catalogue, connections, tenant=tenant)
            if failure is not None:
                raise _unstored(failure)
        operation = example(running.catalogue)
        started = Started(
            url=url,
            data_dir=settings.data_dir,
            embedded=settings.nats_url is None,
            sandbox=sandbox,
            reached=_reached(settings, url, sandbox=sandbox, elsewhere=elsewhere),
            ready_seconds=time.perf_counter() - BEGAN,
            providers=tuple(sorted(running.catalogue.providers)),
            example=operation and ".".join(operation),
            subject=operation
            and call_subject(settings.prefix, Address(Access.READ, tenant, connections[0], *operation)),
            tenant=tenant,
            connections=connections,
            connect_address=running.connect_address,
        )
        tell = partial(put_json, as_facts(started, running)) if as_json else partial(put, greeting(started))
        await until_end(running, tell)
    finished(running)


def _reached(settings: Settings, url: str, *, sandbox: bool, elsewhere: bool) -> str | None:
    """The setting by which commands reach this one: of a folder that only we know, or beside another one of it."""
    if settings.nats_url is not None and not elsewhere:
        return None
    folder = Path(settings.data_dir).expanduser().absolute()
    if elsewhere or (sandbox and in_use(folder.parent)):
        return f"SIDECAR_DATA_DIR={shlex.quote(str(folder))}"
    return None if sandbox or not in_use(folder / SANDBOX) else f"SIDECAR_NATS_URL={shlex.quote(url)}"


def example(catalogue: Catalogue) -> tuple[str, str] | None:
    """A first call that takes no input: what verifies a credential, of the best known provider that has it."""
    for name in sorted(catalogue.providers, key=lambda name: (name != FIRST, name)):
        verify = catalogue.providers[name].manifest.verify
        if verify is not None and not verify.input:
            return name, verify.operation
    return None


def greeting(started: Started) -> str:
    """What is there, and what to try next, in a few lines."""
    kept = f"data in {started.data_dir}"
    rows = [["NATS", started.url if started.embedded else shown(started.url)]]
    rows.append(["", f"embedded, {kept}" if started.embedded else f"not ours (SIDECAR_NATS_URL); key {kept}"])
    rows.append(["providers", f"{len(started.providers)}: {', '.join(started.providers)}"])
    if started.sandbox:
        rows.append(["sandbox", f"they answer offline; connections {' and '.join(started.connections)} are there"])
    if started.connect_address is not None and not started.sandbox:
        rows.append(["accounts", f"are connected on http://{started.connect_address}: sidecar connect PROVIDER"])
    rows += [["try" if index == 0 else "", text] for index, text in enumerate(first_steps(started))]
    rows.append(["stop", "Ctrl-C"])
    head = paint(f"connector-sidecar {VERSION}", Tone.STRONG)
    return "\n".join([f"{head}  ready in {seconds(started.ready_seconds)}", *columns(rows, "   ")])


def first_steps(started: Started) -> list[str]:
    """What to type next, in another terminal."""
    who = _options(started)
    steps = [f"export {started.reached}"] if started.reached is not None else []
    if started.example is None or started.subject is None:
        return [*steps, "sidecar provider list"]
    if not started.sandbox:
        steps.append(f"sidecar connect {started.example.partition('.')[0]}{who}")
    steps.append(f"sidecar call {started.example}{who}")
    if started.embedded:
        steps.append(f"nats --server {started.url} req {started.subject} '{{}}'")
    return steps


def _options(started: Started) -> str:
    """What names tenant and connection, where they are not the default ones."""
    tenant = "" if started.tenant == DEFAULT else f" --tenant {shlex.quote(started.tenant)}"
    connection = started.connections[0]
    return tenant if connection == DEFAULT else f"{tenant} -c {shlex.quote(connection)}"


def as_facts(started: Started, running: Sidecar) -> dict[str, object]:
    return {
        "nats_url": started.url if started.embedded else shown(started.url),
        "data_dir": started.data_dir,
        "sandbox": started.sandbox,
        "ready_ms": round(started.ready_seconds * 1000),
        "providers": started.providers,
        "catalog_hash": running.catalogue.digest,
        "operations_address": running.operations_address,
        "connect_address": running.connect_address,
        "pid": os.getpid(),
    }


def _unstored(failure: Failure) -> Stopped:
    return stop(failure.reason, f"the sandbox's accounts could not be stored: {failure.detail}", failure.hint)
