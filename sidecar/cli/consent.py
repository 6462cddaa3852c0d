"""An account's owner led through consent from this terminal: the browser alone, or an address that is brought back."""

from __future__ import annotations

import webbrowser
from urllib.parse import urlsplit

import anyio
import click
import msgspec

from sidecar.cli.connection_status import Status, ask_status
from sidecar.cli.failure import NOT_CONNECTED, Stopped, stop
from sidecar.cli.paste import LOOPBACK, Begun, begin, finish, wrong_with
from sidecar.cli.provider_text import Served
from sidecar.cli.session import Session, decoded, session
from sidecar.cli.terminal import say
from sidecar.settings import Settings
from sidecar.trace.line import plain, seconds
from sidecar.wire.subject import ConnectAddress

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


def through(settings: Settings, address: ConnectAddress, served: Served, link: Link, *, no_browser: bool) -> Status:
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


def not_connected(address: ConnectAddress, served: Served, ended: Status) -> Stopped:
    """Why nothing was connected, and what to do."""
    names = {"provider": served.title, "connection": address.connection}
    why, todo = ENDINGS.get(ended.ending or "", ("the link's time is over" if ended.flow == "gone" else "", AGAIN))
    why = why.format_map(names) or f"it ended as {plain(ended.ending or ended.flow or 'unknown', 40)}"
    detail = f"{why}: {plain(ended.detail)}" if ended.detail else why
    return stop(NOT_CONNECTED, detail, todo.format_map(names | {"provider": address.provider}))
