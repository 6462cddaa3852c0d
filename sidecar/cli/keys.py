"""`sidecar keys`: the keys that credentials are sealed with. Made and ordered in files, put to use over NATS."""

from __future__ import annotations

import time
from pathlib import Path

import anyio
import click

from sidecar.adapters.key_file import KeyFileError, add_key, new_key_line, read_key_file, use_key
from sidecar.cli.failure import EXIT_CODES, NOT_READY, USAGE, stop
from sidecar.cli.key_batches import Total, in_rounds, listed
from sidecar.cli.key_text import listed_text, made_text, rotated_text
from sidecar.cli.options import json_option, named, provider_name, tenant_option
from sidecar.cli.session import key_places, session, settings_here
from sidecar.cli.terminal import paint, put, put_json
from sidecar.ports import KeyUnavailable
from sidecar.settings import Settings
from sidecar.wire.subject import EVERY, AdminAddress

STDOUT = "-"
INCOMPLETE = 1  # exit code: it ran, and records are left

HELP = """The keys that a tenant's credentials are sealed with (key-encryption keys).

\b
A new key, without a failed call:
  sidecar keys new --standby       all sidecars can open with it; wait until each has the file
  sidecar keys use KEY             now it seals what is written
  sidecar keys rotate              moves every record under it
With one sidecar, or one file that all of them read, `sidecar keys new` and `rotate` are enough.
"""
FILE = click.argument("file", required=False, metavar="[FILE]")


@click.group("keys", help=HELP, epilog=EXIT_CODES)
def command() -> None:
    pass


@command.command("new")
@FILE
@tenant_option
@click.option("--standby", is_flag=True, help="Let it open only; `sidecar keys use` lets it seal.")
@json_option
def new(*, file: str | None, tenant: str, standby: bool, as_json: bool) -> None:
    """Make a key: in FILE, else in the key file of the settings. With - the line is printed and nothing is written.

    A file that is not there is made, readable by its owner alone. A running sidecar notices by itself.
    """
    if file == STDOUT:
        key_id, line = new_key_line()
        if as_json:
            put_json({"key": key_id, "line": line.rstrip()})
        else:
            put(line.rstrip())
        return
    path = _file(settings_here(), file, tenant)
    try:
        key_id = add_key(path, standby=standby)
        keys = list(read_key_file(path))
    except KeyFileError as error:
        raise stop(NOT_READY, str(error)) from error
    if as_json:
        put_json({"file": str(path), "key": key_id, "keys": keys})
    else:
        put(made_text(path, keys, key_id, paint))


@command.command("use")
@click.argument("key")
@FILE
@tenant_option
@json_option
def use(*, key: str, file: str | None, tenant: str, as_json: bool) -> None:
    """Let a key of the file seal what is written from now on: make it the last line."""
    path = _file(settings_here(), file, tenant)
    try:
        use_key(path, key)
        keys = list(read_key_file(path))
    except KeyFileError as error:
        raise stop(NOT_READY, str(error)) from error
    if as_json:
        put_json({"file": str(path), "key": key, "keys": keys})
    else:
        put(made_text(path, keys, key, paint))


def _part(function: click.decorators.FC) -> click.decorators.FC:
    """The options that name a part of a tenant's records."""
    for option in (
        click.option("--provider", callback=provider_name, help="Only the records of this provider."),
        click.option("-c", "--connection", callback=named, help="Only the records of this connection."),
        tenant_option,
    ):
        function = option(function)
    return function


@command.command("list")
@_part
@json_option
def list_(*, tenant: str, connection: str | None, provider: str | None, as_json: bool) -> None:
    """Which keys the sidecars hold, and how many records are under each."""
    address = AdminAddress(tenant, connection or EVERY, provider or EVERY, "keys")
    total = anyio.run(_list, settings_here(), address)
    if as_json:
        put_json(total)
    else:
        put(listed_text(tenant, total, paint))


@command.command("rotate")
@_part
@json_option
def rotate(*, tenant: str, connection: str | None, provider: str | None, as_json: bool) -> int:
    """Move every record under the newest key, while calls go on. Asked for again it goes on where it was.

    Exit code 1 when records are left under an older key, or could not be opened.
    """
    address = AdminAddress(tenant, connection or EVERY, provider or EVERY, "rewrap")
    began = time.monotonic()
    total = anyio.run(_rotate, settings_here(), address)
    if as_json:
        put_json(total)
    else:
        put(rotated_text(tenant, total, time.monotonic() - began, paint))
    return 0 if total.complete else INCOMPLETE


async def _list(settings: Settings, address: AdminAddress) -> Total:
    async with session(settings) as nats:
        return await listed(nats, address)


async def _rotate(settings: Settings, address: AdminAddress) -> Total:
    async with session(settings) as nats:
        return await in_rounds(nats, address)


def _file(settings: Settings, file: str | None, tenant: str) -> Path:
    """The key file that is meant: named, or the tenant's of the settings, or of the data directory."""
    if file is not None:
        return Path(file).expanduser()
    places = key_places(settings)
    try:
        return places.file_of(tenant)
    except KeyUnavailable as error:
        raise stop(USAGE, str(error), "give the file: sidecar keys new FILE") from error
