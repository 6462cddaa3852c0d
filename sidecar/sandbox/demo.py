"""`make demo`: an agent's first minute, on a NATS server, a sidecar and providers of its own, told while it happens.

Every figure is measured in the run; a step that does not do what it says ends it with exit code 1. `KEEP=1` leaves
everything running at the end.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable

import anyio
import click
import nats

from sidecar.adapters.nats_server import ServerError
from sidecar.app import FORMATS, provider_folders_of, until_end
from sidecar.laptop import development
from sidecar.sandbox.agent import Agent, NoReply
from sidecar.sandbox.read import all_cases
from sidecar.sandbox.server import OfflineProviders
from sidecar.sandbox.story import ISSUES, LIST, WHO, NotAsSaid, Story, paint
from sidecar.settings import Settings
from sidecar.trace.line import Tone

INTERRUPTED = 130


def main() -> None:
    keep = os.environ.get("KEEP", "") not in {"", "0"}
    colour = False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None

    def say(text: str) -> None:
        click.echo(text, color=colour)

    logging.basicConfig(level=logging.ERROR)
    say(f"{paint('connector-sidecar', Tone.STRONG)}: everything on this machine, no account needed\n")
    try:
        anyio.run(demonstrate, keep, colour, say, backend_options={"use_uvloop": True})
    except* KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except* BrokenPipeError:  # nobody reads on (`make demo | head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except* (NotAsSaid, NoReply) as errors:
        sys.exit(f"\nthis is not as it should be: {innermost(errors)}")
    except* ServerError as errors:
        sys.exit(f"\nno NATS server could be started: {innermost(errors)}")


async def demonstrate(keep: bool, colour: bool | None, say: Callable[[str], None]) -> None:  # noqa: FBT001  # anyio.run passes by position
    """The whole story; with `keep` everything stays until a signal."""
    with tempfile.TemporaryDirectory(prefix="sidecar-demo-") as folder:
        settings = Settings(data_dir=folder)
        offline = OfflineProviders(all_cases(provider_folders_of(settings), FORMATS.read_yaml))
        began = time.monotonic()
        async with development(settings, offline) as (running, url):
            took = time.monotonic() - began
            client = await nats.connect(url)
            try:
                assert offline.served is not None
                story = Story(running, offline.served, Agent(client), colour)
                version = client.connected_server_version
                server = f"nats-server {version.major}.{version.minor}.{version.patch}"
                story.started(f"{server} on {url.rpartition('@')[2]}", took)
                await story.tell()
            finally:
                await client.close()
            go_on(url, keep=keep, say=say)
            if keep:
                await until_end(running)


def go_on(url: str, *, keep: bool, say: Callable[[str], None]) -> None:
    """What to try next; the server's address only where it stays."""
    asked, any_language = json.dumps(ISSUES), paint("From your own program", Tone.STRONG)
    if keep:
        say(f"\n{any_language}, in any language that has a NATS client (all this runs until Ctrl-C):")
        say(f"  nats --server {url} req {LIST} '{asked}'")
        say(f"  SIDECAR_NATS_URL={url} sidecar call github.issues.list '{asked}' -c {WHO}")
    else:
        say(f"\n{any_language}, in any language that has a NATS client (make demo KEEP=1 leaves it running):")
        say(f"  nats req {LIST} '{asked}'")
    say(f"{paint('For real', Tone.STRONG)}: sidecar dev, then sidecar connect github")


def innermost(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first exception within the groups."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


if __name__ == "__main__":
    main()
