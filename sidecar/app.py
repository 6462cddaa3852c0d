"""A sidecar from start to end: the parts that `wiring/` makes are started in order, serve, and are ended in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from sidecar.adapters.address import bind
from sidecar.adapters.http1_sender import Http1Sender
from sidecar.adapters.json_schema import compile_schema
from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_supervision import Pace
from sidecar.adapters.prometheus_metrics import Metrics
from sidecar.adapters.state_folder import folder_problem
from sidecar.adapters.system import SystemClock
from sidecar.adapters.yaml_file import read_yaml
from sidecar.admin import Administrator
from sidecar.catalogue.load import load_catalogue, narrowed
from sidecar.core.egress import parse_allow
from sidecar.keys import keys_to_run, unopened
from sidecar.lifetime import Lifetime
from sidecar.ports import BusError, Formats, Keys
from sidecar.provider import Catalogue
from sidecar.settings import Settings
from sidecar.streams import MAKE, lacking
from sidecar.wiring.ground import Ground
from sidecar.wiring.parts import Parts, wired
from sidecar.worker import Worker

log = logging.getLogger("sidecar.app")

FORMATS = Formats(read_yaml, compile_schema)
READY_SECONDS = 2.0  # a round trip through NATS that takes longer is no answer
SETTLE_SECONDS = 5.0  # at the end, for the records of idempotency keys that do not say yet what came of their calls
QUOTA_SECONDS = 2.0  # at the end, for quotas that are owned here to be handed over
RENEWAL_SECONDS = 10.0  # at the end, for tokens that were asked for and are not stored yet


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A sidecar that serves."""

    bus: NatsBus
    catalogue: Catalogue
    administrator: Administrator
    worker: Worker
    metrics: Metrics
    lifetime: Lifetime
    operations_address: str | None
    connect_address: str | None


def provider_folders_of(settings: Settings) -> list[Path]:
    """The folders of providers: our own, then those of the setting."""
    packaged = Path(__file__).parent / "connectors"
    own = packaged if packaged.is_dir() else Path(__file__).parent.parent / "connectors"
    return [own, *(Path(folder).expanduser() for folder in settings.connectors)]


def catalogue_of(settings: Settings) -> Catalogue:
    """The providers that are served. Raises ManifestError, and Unfit where one that should be served is not there."""
    whole = load_catalogue(provider_folders_of(settings), FORMATS)
    unknown = [name for name in settings.providers if name not in whole.providers]
    if unknown:
        known = ", ".join(sorted(whole.providers))
        raise Unfit(tuple(f"SIDECAR_PROVIDERS: there is no provider {name}; there are: {known}" for name in unknown))
    return narrowed(whole, settings.scope)


@asynccontextmanager
async def sidecar(
    settings: Settings,
    *,
    bus: NatsBus,
    keys: Keys,
    catalogue: Catalogue,
    base_urls: Mapping[str, str] | None = None,
    egress_allow: tuple[str, ...] = (),
    pages: socket.socket | None = None,
) -> AsyncIterator[Sidecar]:
    """Serve on this bus until the block ends; then take no more, finish what was taken, and close.

    `base_urls` and `egress_allow` are the sandbox's: providers that answer on loopback instead of the real ones.
    `pages` is a laptop's: the socket of the pages to connect accounts on, bound already.
    """
    async with AsyncExitStack() as closing:
        sender = Http1Sender(allow=parse_allow((*settings.egress_allow, *egress_allow)))
        closing.push_async_callback(sender.aclose)
        metrics = Metrics(lambda provider, name: catalogue.operation(provider, name) is not None, catalogue.digest)
        metrics.watch(bus)
        ground = Ground(
            settings,
            bus=bus,
            keys=keys,
            catalogue=catalogue,
            sender=sender,
            metrics=metrics,
            base_urls=base_urls,
        )
        parts = wired(ground)
        lifetime = Lifetime()
        lifetime.hurry = parts.hurry
        addresses = await _listening(closing, settings, parts, lifetime, metrics, bus, pages)
        background = await closing.enter_async_context(anyio.create_task_group())
        closing.callback(background.cancel_scope.cancel)
        await ground.trace.prove(bus.new_inbox())
        await _started(parts, background)
        await bus.round_trip(READY_SECONDS)  # the server has our subscriptions before anybody is told that we serve
        lifetime.serving = True
        try:
            yield Sidecar(bus, catalogue, parts.administrator, parts.worker, metrics, lifetime, *addresses)
        finally:
            lifetime.ending.set()
            with anyio.CancelScope(shield=True):
                await _ended(parts, settings, lifetime)


async def _listening(
    closing: AsyncExitStack,
    settings: Settings,
    parts: Parts,
    lifetime: Lifetime,
    metrics: Metrics,
    bus: NatsBus,
    pages: socket.socket | None,
) -> tuple[str | None, str | None]:
    """The addresses of the operations pages and of the pages to connect accounts on, where they are wanted."""
    operations = connecting = None
    if settings.operations_address is not None or settings.connect_address is not None:
        from sidecar.listeners import connect_pages, operations_pages  # noqa: PLC0415  # 6 MB, 60 ms of the start

        if settings.operations_address is not None:
            looked_at = operations_pages(bind(settings.operations_address), lambda: _unready(bus, lifetime), metrics)
            operations = await closing.enter_async_context(looked_at)
        if settings.connect_address is not None:
            consent, site = parts.connecting.consent, parts.connecting.site
            bound = pages or bind(settings.connect_address)
            shown = connect_pages(bound, consent, site, settings.grace_seconds)
            connecting = await closing.enter_async_context(shown)
    return operations, connecting


async def _started(parts: Parts, background: TaskGroup) -> None:
    """Whatever calls need is there before the first of them is taken."""
    accounts, calls = parts.accounts, parts.calls
    await calls.shared.start()
    background.start_soon(calls.shared.sharing.serve)
    background.start_soon(accounts.credentials.follow)
    background.start_soon(accounts.refresher.serve)
    background.start_soon(calls.once.serve)
    background.start_soon(accounts.live.keep_fresh)
    background.start_soon(accounts.sweep.daily)
    await parts.worker.start()
    if parts.durable is not None:
        background.start_soon(parts.durable.calls.serve)
    _settle()


async def _ended(parts: Parts, settings: Settings, lifetime: Lifetime) -> None:
    """Take no more, finish what was taken, then hand over what is held."""
    lifetime.given_up = await parts.stop(settings.grace_seconds)
    if lifetime.given_up:
        log.warning("%d calls could not be finished in time", lifetime.given_up)
    unsettled = await parts.calls.once.stop(SETTLE_SECONDS)
    if unsettled:
        log.warning("of %d calls with idempotency keys the outcome could not be kept", unsettled)
    await parts.calls.shared.leave(QUOTA_SECONDS)
    unpersisted = await parts.accounts.refresher.stop(RENEWAL_SECONDS)
    if unpersisted:
        where = settings.state_dir or "nowhere: SIDECAR_STATE_DIR is not set"
        log.error("new tokens of %d connections could not be stored; kept in %s", unpersisted, where)


async def run(settings: Settings, started: Callable[[Sidecar], None]) -> None:
    """`sidecar run`: serve until SIGTERM or SIGINT. Raises Unfit with everything it needs that is not there, BusError
    when NATS stays away, GivenUp when calls were in flight at the end.
    """
    if settings.nats_url is None:
        raise Unfit(("SIDECAR_NATS_URL is not set: name the NATS server, such as nats://user:password@nats:4222",))
    _check_folders(settings)
    catalogue = catalogue_of(settings)
    async with connected(settings, settings.nats_url) as bus:
        not_there = await lacking(bus, settings)
        keys = keys_to_run(settings, SystemClock().now)
        if not_there or isinstance(keys, str):
            wrong = [f"{what}; {MAKE}" for what in not_there]
            raise Unfit((*wrong, keys) if isinstance(keys, str) else tuple(wrong))
        shut = await unopened(NatsStore(bus), keys, settings)
        if shut:
            raise Unfit(shut)
        async with sidecar(settings, bus=bus, keys=keys, catalogue=catalogue) as running:
            await until_end(running, partial(started, running))
    finished(running)


def _check_folders(settings: Settings) -> None:
    """Raises Unfit where a folder of the settings is none: what is lost by it would be noticed late."""
    wrong: list[str] = []
    if settings.apps_dir is not None and not Path(settings.apps_dir).expanduser().is_dir():
        wrong.append(f"SIDECAR_APPS_DIR: {settings.apps_dir} is not a folder; make it, or leave the setting out")
    if settings.state_dir is not None:
        problem = folder_problem(Path(settings.state_dir).expanduser())
        if problem is not None:
            wrong.append(f"SIDECAR_STATE_DIR: nothing can be written in {settings.state_dir}: {problem}")
    if wrong:
        raise Unfit(tuple(wrong))


class Unfit(Exception):
    """What `run` needs is not there. `missing` says each thing in words."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        super().__init__("; ".join(missing))
        self.missing = missing


class GivenUp(Exception):
    """Calls were still in flight at the end. Each had its reply, which says what is known of it."""


async def until_end(running: Sidecar, ready: Callable[[], None] | None = None) -> None:
    """Return at the first SIGTERM or SIGINT; one that comes later hurries the end. Raises BusError when the connection
    to NATS cannot be healed. `ready` is called as soon as a signal would be noticed.
    """
    loop, lifetime = asyncio.get_running_loop(), running.lifetime
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lifetime.signal, number)  # until the loop is closed
    if ready is not None:
        ready()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_until_lost, running)
        await lifetime.ending.wait()
        tasks.cancel_scope.cancel()
    if lifetime.lost is not None:
        raise BusError(lifetime.lost)


async def _until_lost(running: Sidecar) -> None:
    running.lifetime.lose(await running.bus.beyond_healing())


def finished(running: Sidecar) -> None:
    """Raises GivenUp when the end could not wait for every call."""
    number = running.lifetime.given_up
    if number:
        raise GivenUp(f"{number} calls were given up; their replies and the trace say what is known of each")


@asynccontextmanager
async def connected(settings: Settings, url: str) -> AsyncIterator[NatsBus]:
    """A bus for as long as the block lasts."""
    credentials = Path(settings.nats_creds).expanduser() if settings.nats_creds else None
    name = f"connector-sidecar {socket.gethostname()}"
    pace = Pace(heal=settings.heal_seconds)
    bus = await connect(url, name=name, credentials=credentials, inbox_prefix=settings.inbox_prefix, pace=pace)
    try:
        yield bus
    finally:
        with anyio.CancelScope(shield=True):
            await bus.close()


def _settle() -> None:
    """What was loaded stays: the collector need not look at it again, nor after every few calls."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


async def _unready(bus: NatsBus, lifetime: Lifetime) -> str | None:
    """Why no call can be served now, or None."""
    if lifetime.unready is not None:
        return lifetime.unready
    if not bus.connected:
        return "NATS does not answer: not connected"
    try:
        await bus.round_trip(READY_SECONDS)
    except BusError as error:
        return f"NATS does not answer: {error}"
    return None
