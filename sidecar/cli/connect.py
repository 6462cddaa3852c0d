"""`sidecar connect`: an account connected from this terminal, by consent in the browser or with a key."""

from __future__ import annotations

from typing import Any

import anyio
import click
import msgspec

from sidecar.cli.account import CONSENTED, change, provider_served
from sidecar.cli.app_here import SHAPE, app_place, keep_app, keep_typed
from sidecar.cli.connection_import import one
from sidecar.cli.connection_status import Status
from sidecar.cli.consent import Link, not_connected, through
from sidecar.cli.failure import EXIT_CODES, USAGE, Stopped, stop
from sidecar.cli.options import connection_option, json_option, provider_name, tenant_option
from sidecar.cli.provider_text import Served
from sidecar.cli.secret import Source
from sidecar.cli.session import Session, decoded, session, settings_here
from sidecar.cli.stdin import at_a_terminal
from sidecar.cli.terminal import paint, put, put_json, say
from sidecar.model import Reason
from sidecar.settings import Settings
from sidecar.trace.line import Tone, plain
from sidecar.wire.subject import AdminAddress, ConnectAddress, connect_subject

START_SECONDS = 10.0
NOTICED_SECONDS = 1.1  # a sidecar looks at a file of an app once in a second
HELP = """Connect an account of PROVIDER: opens the browser where the provider asks its owner, else asks for the key.

An OAuth provider wants an app of yours. Without one this prints the steps to make it; give the file that you download
there with --app, once: it is kept in the data directory, readable by you alone.

\b
  sidecar connect github -c alice
  sidecar connect gmail --app ~/Downloads/client_secret_1234.json
  sidecar connect gmail -c bob --no-browser          on a machine without a browser: open the address anywhere
"""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The options of the command."""

    kind: str | None
    base_url: str | None
    app: str | None
    operations: tuple[str, ...]
    account: str | None
    no_browser: bool


@click.command("connect", help=HELP, epilog=EXIT_CODES)
@click.argument("provider", callback=provider_name)
@tenant_option
@connection_option
@click.option("--kind", help="Which kind of credential, where the provider takes several.")
@click.option("--base-url", help="The server's URL, or the subdomain, where connections have their own.")
@click.option("--app", metavar="FILE", help="The OAuth app: the client's JSON file that you downloaded.")
@click.option("--operations", multiple=True, metavar="GLOB", help="Ask for what these need alone; may be repeated.")
@click.option("--account", help="The account that it has to be; another one is refused.")
@click.option("--no-browser", is_flag=True, help="Open no browser: print the address, and ask where it ended.")
@json_option
def command(*, provider: str, tenant: str, connection: str, as_json: bool, **options: Any) -> None:
    asked = Asked(**options)
    settings = settings_here()
    address = ConnectAddress(tenant, connection, provider, "start")
    if asked.app is not None:
        _keep(settings, address, asked.app)
    served, answer = anyio.run(_begin, settings, address, asked)
    kind = asked.kind
    if isinstance(answer, Stopped):
        kind = _key_kind(served, asked)
        if kind is not None:
            say(f"{answer.failure.detail}, and a key does as well (how to make an app: --kind oauth2)")
        else:
            _app_made(settings, address, served, answer)
            served, answer = anyio.run(_begin, settings, address, asked)
            if isinstance(answer, Stopped):
                raise answer
    if not isinstance(answer, Link):
        whose = AdminAddress(tenant, connection, provider, "import")
        payload = one(settings, whose, Source(), kind=kind, base_url=asked.base_url)
        anyio.run(change, settings, whose, as_json, msgspec.json.encode(payload))
        return
    ended = through(settings, address, served, answer, no_browser=asked.no_browser)
    if ended.flow != "connected":
        raise not_connected(address, served, ended)
    if as_json:
        put_json(ended)
    else:
        put(_connected(ended, answer))


async def _begin(settings: Settings, address: ConnectAddress, asked: Asked) -> tuple[Served, Link | Stopped | None]:
    """The provider, and a link for its owner's consent, or why there is none; None where a key is asked for."""
    async with session(settings) as nats:
        served = await provider_served(nats, address.tenant, address.provider)
        kinds = {item.kind for item in served.auth}
        if asked.kind is not None and asked.kind not in kinds:
            raise stop(
                USAGE, f"{served.name} takes no credential of kind {asked.kind!r}; kinds are: {', '.join(kinds)}"
            )
        if (asked.kind is not None and asked.kind not in CONSENTED) or not kinds & CONSENTED:
            if asked.app is not None:
                raise stop(USAGE, f"{served.title} is connected with a key here, without an app", "leave --app out")
            return served, None
        link = await _started(nats, address, asked)
        if isinstance(link, Stopped) and app_place(settings, address.tenant, address.provider).is_file():
            await anyio.sleep(NOTICED_SECONDS)
            link = await _started(nats, address, asked)
        return served, link


async def _started(nats: Session, address: ConnectAddress, asked: Asked) -> Link | Stopped:
    """A link, or what keeps this installation from offering one."""
    try:
        return await _start(nats, address, asked)
    except Stopped as stopped:
        if stopped.failure.reason != Reason.NOT_SET_UP:
            raise
        return stopped


async def _start(nats: Session, address: ConnectAddress, asked: Asked) -> Link:
    also: dict[str, object] = {"base_url": asked.base_url, "expected_account": asked.account}
    also |= {"operations": asked.operations or None, "kind": asked.kind}
    payload = msgspec.json.encode({name: value for name, value in also.items() if value is not None})
    subject = connect_subject(nats.prefix, address)
    answer = await nats.ask(
        subject, payload, timeout=START_SECONDS, provider=address.provider, tenant=address.tenant, changes=True
    )
    return decoded(answer.body, Link)


def _keep(settings: Settings, address: ConnectAddress, file: str) -> None:
    place, app, before = keep_app(settings, address.tenant, address.provider, file)
    say(f"the app {plain(app.client_id, 100)} is in {place}")
    if before is not None and before.client_id != app.client_id:
        former = plain(before.client_id, 100)
        say(f"accounts that were connected with the app before, {former}, have to be connected again")


def _key_kind(served: Served, asked: Asked) -> str | None:
    """The kind of a key that somebody at this terminal can give instead of an app."""
    if asked.kind is not None or asked.app is not None or not at_a_terminal():
        return None
    return next((item.kind for item in served.auth if len(item.fields) == 1 and item.kind not in CONSENTED), None)


def _app_made(settings: Settings, address: ConnectAddress, served: Served, stopped: Stopped) -> None:
    """Tell how an app is made, step by step, and take down what the provider shows of it. Stopped where nobody is at
    the terminal, or the steps are not what is missing.
    """
    steps = next((item.app for item in served.auth if item.kind in CONSENTED), ())
    file = app_place(settings, address.tenant, address.provider)
    if not steps or file.is_file():
        raise stopped
    _, _, uri = (stopped.failure.hint or "").rpartition("redirect URI ")
    say(f"{served.title} wants an OAuth app of yours:")
    tell = [*steps, f"Its redirect URI is {uri.split(';')[0]}" if uri else ""]
    for number, step in enumerate(filter(None, tell), 1):
        say(f"  {number}. {plain(step, 600)}")
    if not at_a_terminal():
        others = [item.kind for item in served.auth if item.kind not in CONSENTED]
        more = f"; or without an app: --kind {' or '.join(others)}" if others else ""
        made = f"give it: sidecar connect {address.provider} --app FILE, as it was downloaded or with {SHAPE}"
        hint = f"{made}; it is kept as {file} (a sidecar elsewhere reads its SIDECAR_APPS_DIR){more}"
        raise stop(Reason.NOT_SET_UP, stopped.failure.detail, hint)
    say("Give its file with --app (Ctrl-C), or type what the page of the app says:")
    client_id: str = click.prompt("Client ID", err=True, type=str).strip()
    secret: str = click.prompt("Client secret", err=True, type=str, hide_input=True, default="", show_default=False)
    say(f"kept in {keep_typed(settings, address.tenant, address.provider, client_id, secret.strip())}")


def _connected(ended: Status, link: Link) -> str:
    account = f": {plain(ended.account, 100)}" if ended.account else ""
    who = f"{plain(ended.provider, 60)}  {plain(ended.connection, 60)}  {plain(link.kind, 40)}"
    return f"{who}  {plain(ended.status, 40)}  {paint('connected', Tone.GOOD)}{account}"
