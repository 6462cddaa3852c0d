"""A sidecar on one machine, with all it needs: an embedded nats-server, keys, streams, pages to connect accounts on."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from sidecar.adapters.address import AddressError, bind
from sidecar.adapters.nats_server import embedded_server
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_streams import provision
from sidecar.adapters.system import SystemClock
from sidecar.app import Sidecar, Unfit, catalogue_of, connected, sidecar
from sidecar.keys import keys_gone, keys_on_a_laptop
from sidecar.provider import Catalogue
from sidecar.settings import Settings
from sidecar.streams import streams_of

log = logging.getLogger("sidecar.laptop")

CONNECT_ON_A_LAPTOP = "127.0.0.1:8077"
ANY_ADDRESS = "127.0.0.1:0"


class Sandbox(Protocol):
    """Providers that answer offline: gives the base URL of each, until the block ends."""

    def __call__(self, catalogue: Catalogue) -> AbstractAsyncContextManager[Mapping[str, str]]: ...


@asynccontextmanager
async def development(settings: Settings, sandbox: Sandbox | None) -> AsyncIterator[tuple[Sidecar, str]]:
    """A sidecar with all it needs, and the URL of its NATS."""
    folder = Path(settings.data_dir).expanduser()
    settings = msgspec.structs.replace(
        settings,
        apps_dir=settings.apps_dir or str(folder / "apps"),
        state_dir=settings.state_dir or str(folder / "state"),
    )
    catalogue = catalogue_of(settings)
    async with AsyncExitStack() as parts:
        pages = None
        if settings.public_url is None:
            pages = parts.enter_context(_pages(CONNECT_ON_A_LAPTOP if sandbox is None else ANY_ADDRESS))
            settings = _with_pages(settings, pages)
        url = settings.nats_url
        if url is None:
            url = (await parts.enter_async_context(embedded_server(folder, log))).url
        bus = await parts.enter_async_context(connected(settings, url))
        for done in await provision(bus, streams_of(settings)):
            log.info("%s", done)
        gone = await keys_gone(NatsStore(bus), settings) if settings.nats_url is None else ()
        if gone:
            raise Unfit(gone)
        base_urls = await parts.enter_async_context(sandbox(catalogue)) if sandbox else None
        running = await parts.enter_async_context(
            sidecar(
                settings,
                bus=bus,
                keys=keys_on_a_laptop(settings, SystemClock().now),
                catalogue=catalogue,
                base_urls=base_urls,
                egress_allow=("127.0.0.1",) if sandbox else (),
                pages=pages,
            )
        )
        yield running, url


def _pages(wanted: str) -> socket.socket:
    """The socket of the pages to connect accounts on: at an address that does not change where it is free, as that is
    what a provider is told. The sandbox's is any: no provider knows it, and several may run at once.

    It is ours from now on: somebody who starts beside us cannot be given the same.
    """
    try:
        return bind(wanted)
    except AddressError:
        free = bind(ANY_ADDRESS)
        log.info("%s is taken; accounts are connected on %s:%d", wanted, *free.getsockname())
        return free


def _with_pages(settings: Settings, pages: socket.socket) -> Settings:
    host, port = pages.getsockname()
    address = f"{host}:{port}"
    return msgspec.structs.replace(settings, connect_address=address, public_url=f"http://{address}")
