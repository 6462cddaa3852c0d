"""A command's connection to NATS: where the server is, how a sidecar is asked, and what stops the command."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_directory import in_use, read_url
from sidecar.adapters.nats_url import shown
from sidecar.cli.failure import (
    BAD_REPLY,
    NATS_DENIED,
    NO_NATS,
    NO_REPLY,
    NO_SIDECAR,
    NOT_READY,
    SETTINGS,
    CommandFailure,
    Stopped,
    stop,
)
from sidecar.key_places import KeyPlaces, places_in_production, places_on_a_laptop
from sidecar.model import Reason, SideEffect
from sidecar.ports import BusDenied, BusError, LoginRefused, Message, NoResponders
from sidecar.settings import Settings, SettingsError, load_settings
from sidecar.wire import header
from sidecar.wire.subject import CatalogAddress, catalog_subject

CATALOG_SECONDS = 5.0
FAR_SECONDS = 3.0  # to connect to a server that somebody named
NEAR_SECONDS = 1.5  # to connect to the server of `sidecar dev` on this machine, or to know that it is gone
DEFAULT = "default"
START = "sidecar dev"
RIGHTS = "`sidecar setup --permissions` prints what each role may do, and its inbox"
LOGIN = f"use a login that may: {RIGHTS}"
KNOWN_LOGIN = "check the login: user and password in SIDECAR_NATS_URL, or the file of SIDECAR_NATS_CREDS"
INBOX = f"set SIDECAR_INBOX_PREFIX to the inbox of this login: {RIGHTS}"
SANDBOX = "sandbox"  # the folder of the data directory in which `dev --sandbox` keeps its own

T = TypeVar("T")


class Answer(msgspec.Struct, frozen=True):
    """A reply of success; header names in lower case."""

    body: bytes
    headers: Mapping[str, str]

    @property
    def content_type(self) -> str:
        return self.headers.get(header.CONTENT_TYPE.lower(), "application/json")


def settings_here() -> Settings:
    """The settings of this environment and folder; Stopped where one is wrong."""
    try:
        return load_settings(os.environ, Path.cwd())
    except SettingsError as error:
        raise stop(SETTINGS, str(error)) from error


def nats_url(settings: Settings) -> tuple[str, bool]:
    """The URL of the NATS server, and whether it is that of `sidecar dev` on this machine."""
    if settings.nats_url:
        return settings.nats_url, False
    data_dir = Path(settings.data_dir).expanduser()
    folders = (data_dir, data_dir / SANDBOX)
    try:
        known = [(folder, url) for folder in folders if (url := read_url(folder)) is not None]
        running = [url for folder, url in known if in_use(folder)]
    except OSError as error:
        raise stop(NO_NATS, f"the data directory {data_dir} cannot be read: {error.strerror}") from error
    if len(running) > 1:
        raise _either(data_dir)
    if running:
        return running[0], True
    why = f"`{START}` is not running" if known else f"`{START}` never ran"
    raise stop(
        NO_NATS,
        f"no NATS server is known: SIDECAR_NATS_URL is not set, and {why} on {settings.data_dir}",
        f"start one with {START}, or set SIDECAR_NATS_URL=nats://user:password@host:4222",
    )


def folder_in_use(settings: Settings) -> Path:
    """Where the `sidecar dev` of this machine keeps what is its own: that which runs, else the one of the settings.
    Stopped where two run.
    """
    data_dir = Path(settings.data_dir).expanduser()
    sandbox = data_dir / SANDBOX
    if settings.nats_url is not None or not in_use(sandbox):
        return data_dir
    if in_use(data_dir):
        raise _either(data_dir)
    return sandbox


def key_places(settings: Settings) -> KeyPlaces:
    """Where the key files are that the settings name, else those of the `sidecar dev` of this machine."""
    return places_in_production(settings) or places_on_a_laptop(
        msgspec.structs.replace(settings, data_dir=str(folder_in_use(settings)))
    )


def _either(data_dir: Path) -> Stopped:
    """Real accounts and a sandbox are both there: nothing reaches the wrong one by chance."""
    sandbox = shlex.quote(str((data_dir / SANDBOX).absolute()))
    return stop(
        NOT_READY,
        f"`{START}` and `{START} --sandbox` both run on {data_dir}, and nothing says which is meant",
        f"name it: export SIDECAR_DATA_DIR={sandbox}, or SIDECAR_NATS_URL with the URL that `{START}` printed",
    )


def credentials_file(settings: Settings) -> Path | None:
    """The `.creds` file of the settings. Stopped where it cannot be read."""
    if not settings.nats_creds:
        return None
    file = Path(settings.nats_creds).expanduser()
    try:
        with file.open("rb"):
            return file
    except OSError as error:
        raise stop(SETTINGS, f"SIDECAR_NATS_CREDS: {file} cannot be read: {error.strerror}") from error


@asynccontextmanager
async def session(settings: Settings, *, quiet: bool = True) -> AsyncIterator[Session]:
    """A connection for as long as the block lasts. `quiet`: what the client logs is no part of the output."""
    if quiet and not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.NullHandler())
    url, near = nats_url(settings)
    limit = NEAR_SECONDS if near else FAR_SECONDS
    try:
        bus = await connect(
            url,
            name="sidecar command",
            credentials=credentials_file(settings),
            inbox_prefix=settings.inbox_prefix,
            timeout=limit,
        )
    except LoginRefused as error:
        raise stop(NATS_DENIED, str(error), KNOWN_LOGIN) from error
    except BusDenied as error:
        raise stop(NATS_DENIED, str(error), INBOX) from error
    except BusError as error:
        hint = f"start {START} again: it is not running" if near else "check SIDECAR_NATS_URL, and that the server runs"
        raise stop(NO_NATS, str(error), hint) from error
    try:
        yield Session(bus, settings.prefix, shown(url))
    finally:
        await bus.close()


class Session:
    """Asks sidecars over NATS. `where` is the server's URL without its login."""

    def __init__(self, bus: NatsBus, prefix: str, where: str) -> None:
        self.bus = bus
        self.prefix = prefix
        self.where = where

    async def catalog(self, tenant: str, verb: str, provider: str | None = None, operation: str | None = None) -> bytes:
        """An answer of the catalogue."""
        subject = catalog_subject(self.prefix, CatalogAddress(tenant, verb, provider, operation))
        return (await self.ask(subject, b"", timeout=CATALOG_SECONDS)).body

    async def ask(
        self,
        subject: str,
        payload: bytes,
        *,
        timeout: float,
        headers: Mapping[str, str] | None = None,
        provider: str | None = None,
        tenant: str = DEFAULT,
        call_id: str | None = None,
        changes: bool = False,
    ) -> Answer:
        """The reply of success. Everything else is Stopped; `changes`: without a reply it may have been done."""
        if len(payload) > self.bus.max_payload:
            detail = f"the input has {len(payload):,} bytes; one NATS message here holds {self.bus.max_payload:,}"
            raise stop(Reason.REQUEST_TOO_LARGE, detail)
        try:
            message = await self.bus.request(subject, payload, headers=headers, timeout=timeout)
        except NoResponders:
            raise await self._nobody(provider, tenant) from None
        except BusDenied as error:
            raise stop(NATS_DENIED, str(error), LOGIN, call_id=call_id) from error
        except BusError as error:
            keyed = header.IDEMPOTENCY_KEY in (headers or {})
            raise _no_reply(error, call_id, changes=changes, keyed=keyed) from error
        return _answer(message)

    async def _nobody(self, provider: str | None, tenant: str) -> Stopped:
        """Why nobody serves a subject: the provider is unknown, or there is no sidecar at all."""
        if provider is not None:
            try:
                await self.catalog(tenant, "operations", provider)
            except Stopped as stopped:
                return stopped
            detail = f"no sidecar serves {provider} at {self.where}, though one lists it"
            return stop(NO_SIDECAR, detail, "look for sidecars with different catalogues: sidecar doctor")
        hint = f"start one: {START} (or sidecar run beside your agent); sidecar doctor says more"
        return stop(NO_SIDECAR, f"no sidecar answers at {self.where}", hint)


SAME_KEY = "send it again, unchanged and with the same idempotency key: it is not done twice"


def _no_reply(error: BusError, call_id: str | None, *, changes: bool, keyed: bool) -> Stopped:
    if not changes:
        return stop(NO_REPLY, str(error), call_id=call_id)
    hint = SAME_KEY if keyed else "look whether it happened before sending it again"
    return stop(Reason.OUTCOME_UNKNOWN, str(error), hint, side_effect=SideEffect.UNKNOWN, call_id=call_id)


def _answer(message: Message) -> Answer:
    headers = header.by_lower_case(message.headers)
    if header.ERROR_CODE.lower() not in headers:
        return Answer(message.data, headers)
    try:
        failure = msgspec.json.decode(message.data, type=CommandFailure)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = headers.get(header.ERROR.lower(), "")
        raise stop(BAD_REPLY, f"the reply is not a sidecar's: {headers[header.ERROR_CODE.lower()]} {said}") from None
    raise Stopped(failure, message.data)


def decoded(body: bytes, form: type[T]) -> T:
    """The JSON of an answer in the form expected."""
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        detail = f"an answer makes no sense ({error}): is it a sidecar of another version, or something else?"
        raise stop(BAD_REPLY, detail) from None
