"""`sidecar run`: the sidecar alone. It makes nothing: what is missing is said, and it does not start."""

from __future__ import annotations

import logging
import os
from functools import partial

import click

from sidecar import app
from sidecar.adapters.nats_url import shown
from sidecar.cli.failure import EXIT_CODES
from sidecar.cli.options import json_option
from sidecar.cli.serve import serving
from sidecar.cli.session import settings_here
from sidecar.cli.terminal import put_json
from sidecar.settings import Settings
from sidecar.trace.line import counted

log = logging.getLogger("sidecar.run")

HELP = """Serve calls on the NATS server of SIDECAR_NATS_URL until SIGTERM.

At the first SIGTERM or SIGINT it takes no more calls and finishes those in flight, for SIDECAR_GRACE_SECONDS at most;
at a second one it gives them up at once. It ends with 0 when all were finished, with 75 when some were given up, and
with 69 when NATS was away for longer than SIDECAR_HEAL_SECONDS.

It needs the streams and buckets (`sidecar setup` makes them) and the key file of SIDECAR_KEK_FILE, or those of
SIDECAR_KEK_DIR.
"""


@click.command("run", help=HELP, epilog=EXIT_CODES)
@json_option
def command(*, as_json: bool) -> None:
    settings = settings_here()
    serving(settings, partial(app.run, settings, partial(_started, settings, as_json)))


def _started(settings: Settings, as_json: bool, running: app.Sidecar) -> None:  # noqa: FBT001  # bound by position
    where = shown(settings.nats_url or "")
    providers = sorted(running.catalogue.providers)
    log.info("serving %s at %s, catalogue %s", counted(len(providers), "provider"), where, running.catalogue.digest)
    if as_json:
        put_json(
            {
                "nats": where,
                "providers": providers,
                "catalog_hash": running.catalogue.digest,
                "operations_address": running.operations_address,
                "connect_address": running.connect_address,
                "pid": os.getpid(),
            }
        )
