"""`sidecar doctor`: what is wrong here, and how to mend it. Exit code 1 when something does not work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import anyio
import click
import msgspec

from sidecar.cli.doctor_here import Here, look_here
from sidecar.cli.doctor_line import Level, Line, fail, lines_text
from sidecar.cli.doctor_nats import look_at_nats
from sidecar.cli.failure import Stopped
from sidecar.cli.options import json_option, tenant_option
from sidecar.cli.session import session
from sidecar.cli.terminal import paint, put, put_json
from sidecar.settings import Settings

SICK = 1

HELP = """Check what a sidecar needs, from the settings to the accounts, and say what to do about what is wrong.

It changes nothing. Run it in the environment of the sidecar that you ask about. Exit code 1 when something FAILs.
"""


@click.command("doctor", help=HELP)
@tenant_option
@json_option
def command(*, tenant: str, as_json: bool) -> int:
    told: list[Line] = []

    def tell(line: Line) -> None:
        told.append(line)
        if not as_json:
            put(lines_text([line], paint))

    here = look_here(os.environ, Path.cwd(), tell)
    if here.settings is not None:
        anyio.run(_ask, here.settings, here, tenant, tell)
    sick = any(line.level is Level.FAIL for line in told)
    if as_json:
        put_json({"ok": not sick, "checks": msgspec.to_builtins(told)})
    return SICK if sick else 0


async def _ask(settings: Settings, here: Here, tenant: str, tell: Callable[[Line], None]) -> None:
    try:
        async with session(settings) as nats:
            await look_at_nats(nats, settings, here, tenant, tell)
    except Stopped as stopped:
        failure = stopped.failure
        tell(fail("NATS", failure.detail, failure.hint or ""))
