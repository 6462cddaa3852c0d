"""The command line. `main` is the command `sidecar`; each command's module is imported when it is called."""

from __future__ import annotations

import gc
import time

import click

from sidecar.cli.edge import Commands
from sidecar.cli.failure import EXIT_CODES
from sidecar.model import VERSION

gc.set_threshold(200_000, 20, 20)  # what a start makes stays: to look for garbage meanwhile takes a tenth of its time
BEGAN = time.perf_counter()  # as near to the start of the process as our code can be
COMMANDS = {
    "dev": ("sidecar.cli.dev", "Start an embedded NATS server and a sidecar on this machine."),
    "run": ("sidecar.cli.run", "Start the sidecar alone, on the NATS server of SIDECAR_NATS_URL."),
    "setup": ("sidecar.cli.setup", "Make streams and buckets; print who may do what on NATS."),
    "call": ("sidecar.cli.call", "Call an operation of a provider."),
    "connect": ("sidecar.cli.connect", "Connect an account: in the browser, or with a key."),
    "connection": ("sidecar.cli.connection", "Accounts at providers: list, status, verify, import, export, revoke ..."),
    "provider": ("sidecar.cli.provider", "Providers and their operations: list, show, check."),
    "quota": ("sidecar.cli.quota", "What is left of the providers' quotas, and who waits: show."),
    "queue": ("sidecar.cli.queue", "Durable calls: list, show, result, redrive."),
    "trace": ("sidecar.cli.trace", "What happened: tail, show."),
    "keys": ("sidecar.cli.keys", "Keys that credentials are sealed with: new, use, list, rotate."),
    "tenant": ("sidecar.cli.tenant", "What is kept of one tenant: delete."),
    "doctor": ("sidecar.cli.doctor", "What is wrong here, and how to mend it."),
}


HELP = """Call third-party APIs as the right user, within their quotas, with every call explained.

\b
The first minute:
  sidecar dev --sandbox            in one terminal: every provider answers offline
  sidecar provider list            in another
  sidecar call github.users.me
"""


@click.group(
    cls=Commands,
    places=COMMANDS,
    help=HELP,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(VERSION, prog_name="sidecar", message="%(prog)s %(version)s")
def main() -> None:
    """The command `sidecar`."""
