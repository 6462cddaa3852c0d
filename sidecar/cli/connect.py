"""`sidecar connect`: an account connected from this terminal, by consent in the browser or with a key."""

from __future__ import annotations

import sys
import webbrowser
from typing import Any
from urllib.parse import urlsplit

import anyio
import click
import msgspec

from sidecar.cli.account import CONSENTED, change, provider_served
from sidecar.cli.app_here import app_place, keep_app
from sidecar.cli.connection_import import one
from sidecar.cli.connection_status import Status, ask_status
from sidecar.cli.failure import EXIT_CODES, NOT_CONNECTED, USAGE, Stopped, stop
from sidecar.cli.options import connection_option, json_option, provider_name, tenant_option
from sidecar.cli.paste import LOOPBACK, Begun, begin, finish, wrong_with
from sidecar.cli.provider_text import Served
from sidecar.cli.secret import Source
from sidecar.cli.session import Session, decoded, session, settings_here
from sidecar.cli.terminal import paint, put, put_json, say
from sidecar.model import Reason
from sidecar.settings import Settings
from sidecar.trace.line import Tone, plain, seconds
from sidecar.wire.subject import AdminAddress, ConnectAddress, connect_subject

START_SECONDS = 10.0
LOOK_SECONDS = 1.0  # between two questions how far the browser is
TRIES = 3  # of a paste
AGAIN = "try again: sidecar connect {provider} -c {connection}"
ENDINGS = {  # how a flow ends badly, in words, and what to do
    "access_denied": ("access was not allowed at {provider}", AGAIN),
    "other_account": ("another account was signed in than the one expected", f"{AGAIN}, and choose the right account"),
    "code_refused": ("{provider} refused the code", "check the app's client id, secret and redirect URI"),
    "provider_error": ("{provider} reported a problem", "check the app's redirect URI and scopes at the provider"),
    "not_verified": (
        "{provider} gave a token and then refused it",
        "check the app's scopes, and which APIs it may use",
    ),
    "no_answer": ("{provider} did not answer", AGAIN),
    "disabled": ("the connection is disabled", "sidecar connection enable {provider} -c {connection}"),
    "wrong_issuer": ("the answer came from somebody else than {provider}", AGAIN),
}

HELP = """Connect an account of PROVIDER: opens the browser where the provider asks its owner, else asks for the key.

An OAuth provider wants an app of yours. Without one this prints the steps to make it; give the file that you download
there with --app, once: it is kept in the data directory, readable by you alone.

\b
  sidecar connect github -c alice
  sidecar connect gmail --app ~/Downloads/client_secret_1234.json
  sidecar connect gmail -c bob --no-browser          on a machine without a browser: open the address anywhere
"""


class Link(msgspec.Struct, frozen=True):
    """What `start` answers."""

    link: str
    flow: str
    valid_seconds: int
    kind: str
    redirect_uri: str
    scopes: tuple[str, ...] = ()

    @property
    def comes_back(self) -> bool:
        """Whether the browser ends at the pages that the link is of."""
        return urlsplit(self.link).netloc == urlsplit(self.redirect_uri).netloc

    @property
    def near(self) -> bool:
        """Whether it can be opened on this machine alone."""
        return urlsplit(self.link).hostname in LOOPBACK


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
        if kind is None:
            raise _steps(settings, address, served, answer)
        say(f"{answer.failure.detail}; a key does as well")
    if not isinstance(answer, Link):
        payload = one(settings, tenant, provider, Source(), kind=kind, base_url=asked.base_url)
        whose = AdminAddress(tenant, connection, provider, "import")
        anyio.run(change, settings, whose, as_json, msgspec.json.encode(payload))
        return
    ended = _through(settings, address, served, answer, no_browser=asked.no_browser)
    if ended.flow != "connected":
        raise _not_connected(address, served, ended)
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
        try:
            return served, await _start(nats, address, asked)
        except Stopped as stopped:
            if stopped.failure.reason != Reason.NOT_SET_UP:
                raise
            return served, stopped


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
    if asked.kind is not None or asked.app is not None or not sys.stdin.isatty():
        return None
    return next((item.kind for item in served.auth if len(item.fields) == 1 and item.kind not in CONSENTED), None)


def _steps(settings: Settings, address: ConnectAddress, served: Served, stopped: Stopped) -> Stopped:
    """What stopped it, with the steps to an app told one by one."""
    steps = next((item.app for item in served.auth if item.kind in CONSENTED), ())
    file = app_place(settings, address.tenant, address.provider)
    if not steps or file.is_file():
        return stopped
    _, _, uri = (stopped.failure.hint or "").rpartition("redirect URI ")
    tell = [*steps, f"Its redirect URI is {uri.split(';')[0]}" if uri else ""]
    for number, step in enumerate(filter(None, tell), 1):
        say(f"  {number}. {plain(step, 600)}")
    others = [item.kind for item in served.auth if item.kind not in CONSENTED]
    more = f"; or without an app: --kind {' or '.join(others)}" if others else ""
    again = f"sidecar connect {address.provider} --app FILE"
    hint = f"then {again}, which puts it into {file} (a sidecar elsewhere reads its SIDECAR_APPS_DIR){more}"
    return stop(Reason.NOT_SET_UP, stopped.failure.detail, hint)


def _through(settings: Settings, address: ConnectAddress, served: Served, link: Link, *, no_browser: bool) -> Status:
    """How the flow ended, by the browser alone where it finds back, else with the address that a person brings."""
    if link.comes_back and not no_browser and webbrowser.open(link.link):
        say(f"{served.title} asks in your browser; if nothing opened: {link.link}")
        return anyio.run(_awaited, settings, address, link)
    if link.comes_back and not link.near:
        say(f"open this, in any browser: {link.link}")
        return anyio.run(_awaited, settings, address, link)
    begun = begin(link.link)
    if no_browser or not webbrowser.open(begun.url):
        say(f"open this, in any browser: {begun.url}")
    else:
        say(f"{served.title} asks in your browser; if nothing opened: {begun.url}")
    said = finish(link.link, begun, _pasted(link, begun))
    say(said)
    return anyio.run(_looked, settings, address, link)


def _pasted(link: Link, begun: Begun) -> str:
    """The address at which the browser ended, from the terminal."""
    say(f"It ends at an address that begins with {link.redirect_uri}, at a page that may not load: copy that address.")
    for _ in range(TRIES):
        pasted: str = click.prompt("Address", err=True, type=str).strip()
        wrong = wrong_with(pasted, link.redirect_uri, begun)
        if wrong is None:
            return pasted
        say(f"that is not it: {wrong}")
    raise stop(NOT_CONNECTED, "no address came back from the provider", "begin again: a link works once")


async def _awaited(settings: Settings, address: ConnectAddress, link: Link) -> Status:
    """The status once the flow has ended, or its time is over."""
    say(f"waiting, at most {seconds(float(link.valid_seconds))} (Ctrl-C ends the wait, not the link)")
    async with session(settings) as nats:
        with anyio.move_on_after(link.valid_seconds + LOOK_SECONDS):
            while True:
                known = await _status(nats, address, link)
                if known.flow not in {"offered", "begun"}:
                    return known
                await anyio.sleep(LOOK_SECONDS)
        return await _status(nats, address, link)


async def _looked(settings: Settings, address: ConnectAddress, link: Link) -> Status:
    async with session(settings) as nats:
        return await _status(nats, address, link)


async def _status(nats: Session, address: ConnectAddress, link: Link) -> Status:
    asked = msgspec.structs.replace(address, verb="status")
    return decoded(await ask_status(nats, asked, link.flow), Status)


def _not_connected(address: ConnectAddress, served: Served, ended: Status) -> Stopped:
    """Why nothing was connected, and what to do."""
    names = {"provider": served.title, "connection": address.connection}
    why, todo = ENDINGS.get(ended.ending or "", ("the link's time is over" if ended.flow == "gone" else "", AGAIN))
    why = why.format_map(names) or f"it ended as {plain(ended.ending or ended.flow or 'unknown', 40)}"
    detail = f"{why}: {plain(ended.detail)}" if ended.detail else why
    return stop(NOT_CONNECTED, detail, todo.format_map(names | {"provider": address.provider}))


def _connected(ended: Status, link: Link) -> str:
    account = f": {plain(ended.account, 100)}" if ended.account else ""
    who = f"{plain(ended.provider, 60)}  {plain(ended.connection, 60)}  {plain(link.kind, 40)}"
    return f"{who}  {plain(ended.status, 40)}  {paint('connected', Tone.GOOD)}{account}"
