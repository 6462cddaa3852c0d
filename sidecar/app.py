"""The composition root: every part made once and wired here, started in order, and ended in order."""

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

from sidecar.adapters.aiohttp_sender import AiohttpSender
from sidecar.adapters.app_file import AppFolder
from sidecar.adapters.authlib_oauth import AuthlibOAuth
from sidecar.adapters.json_schema import compile_schema
from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_queue import NatsQueue
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.nats_supervision import Pace
from sidecar.adapters.prometheus_metrics import Metrics
from sidecar.adapters.state_folder import StateFolder
from sidecar.adapters.system import LoopTimer, SystemClock, SystemRandom, elapsed
from sidecar.adapters.yaml_file import read_yaml
from sidecar.admin import Administrator
from sidecar.answer import Answers
from sidecar.auth.apps import Apps
from sidecar.auth.endpoint import TokenEndpoint
from sidecar.auth.live import LiveCredentials
from sidecar.auth.refresher import Refresher
from sidecar.auth.spill import Spill
from sidecar.auth.sweep import Sweep
from sidecar.catalogue.load import load_catalogue, narrowed
from sidecar.connect import Connect, Site
from sidecar.consent import Consent
from sidecar.copy_admin import CopyAdministrator
from sidecar.core.egress import parse_allow
from sidecar.delivery import Deliveries
from sidecar.execute import Executor
from sidecar.gate import Admission
from sidecar.key_admin import KeyAdministrator
from sidecar.keys import keys_to_run
from sidecar.lifetime import Lifetime
from sidecar.micro import Service, metadata
from sidecar.model import VERSION
from sidecar.once import Once
from sidecar.ports import BusError, Formats, Keys
from sidecar.provider import Catalogue
from sidecar.queue import DurableCalls
from sidecar.queue_admin import QueueAdministrator
from sidecar.run import Limits, Name
from sidecar.settings import Settings
from sidecar.shared_quotas import SharedQuotas, shared_quotas
from sidecar.stop import Stop
from sidecar.store.copies import SealedCopies
from sidecar.store.credential import BUCKET as CREDENTIALS
from sidecar.store.credential import CredentialStore
from sidecar.store.credential_form import FORMAT
from sidecar.store.durable import BUCKET as CALLS
from sidecar.store.durable import DurableStore
from sidecar.store.flow import FlowStore
from sidecar.store.idempotency import IdempotencyStore
from sidecar.store.rewrap import SealedRecords
from sidecar.streams import MAKE, lacking
from sidecar.submit import Submission
from sidecar.trace.publish import TracePublisher
from sidecar.verify import Verification
from sidecar.wire.subject import CancelAddress
from sidecar.worker import Worker

log = logging.getLogger("sidecar.app")

FORMATS = Formats(read_yaml, compile_schema)
USER_AGENT = f"connector-sidecar/{VERSION}"
READY_SECONDS = 2.0  # a round trip through NATS that takes longer is no answer
SEALED = (CREDENTIALS, CALLS)  # the buckets whose records are sealed with tenants' keys
SETTLE_SECONDS = 5.0  # at the end, for the records of idempotency keys that do not say yet what came of their calls
QUOTA_SECONDS = 2.0  # at the end, for quotas that are owned here to be handed over
RENEWAL_SECONDS = 10.0  # at the end, for tokens that were asked for and are not stored yet
HEADER_ROOM = 2_048  # of a message's max_payload, for the headers of a reply


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


def admission_of(settings: Settings) -> Admission:
    """What is let in; one tenant may fill half of a sidecar that serves all of them."""
    total = settings.max_in_flight
    return Admission(
        max_in_flight=total,
        max_timeout_ms=settings.max_timeout_ms,
        reply_prefixes=settings.reply_prefixes,
        max_per_tenant=settings.max_per_tenant or (total if settings.tenant else max(1, total // 2)),
        max_per_provider=settings.max_per_provider or max(1, total * 3 // 4),
        max_waiting=settings.max_waiting,
        weights=settings.weights,
    )


@asynccontextmanager
async def sidecar(
    settings: Settings,
    *,
    bus: NatsBus,
    keys: Keys,
    catalogue: Catalogue,
    base_urls: Mapping[str, str] | None = None,
    egress_allow: tuple[str, ...] = (),
) -> AsyncIterator[Sidecar]:
    """Serve on this bus until the block ends; then take no more, finish what was taken, and close.

    `base_urls` and `egress_allow` are the sandbox's: providers that answer on loopback instead of the real ones.
    """
    async with AsyncExitStack() as closing:
        sender = AiohttpSender(allow=parse_allow((*settings.egress_allow, *egress_allow)))
        closing.push_async_callback(sender.aclose)
        metrics = Metrics(lambda provider, name: catalogue.operation(provider, name) is not None, catalogue.digest)
        metrics.watch(bus)
        parts = _wired(settings, bus, keys, catalogue, sender, metrics, base_urls)
        lifetime = Lifetime()
        lifetime.hurry = parts.hurry
        address = connect_address = None
        if settings.operations_address is not None or settings.connect_address is not None:
            from sidecar.listeners import connect_pages, operations_pages  # noqa: PLC0415  # 6 MB, 60 ms of the start

            if settings.operations_address is not None:
                looked_at = operations_pages(settings.operations_address, lambda: _unready(bus, lifetime), metrics)
                address = await closing.enter_async_context(looked_at)
            if settings.connect_address is not None:
                shown = connect_pages(settings.connect_address, parts.consent, parts.site, settings.grace_seconds)
                connect_address = await closing.enter_async_context(shown)
        background = await closing.enter_async_context(anyio.create_task_group())
        closing.callback(background.cancel_scope.cancel)
        await parts.shared.start()
        background.start_soon(parts.shared.sharing.serve)
        background.start_soon(parts.credentials.follow)
        background.start_soon(parts.refresher.serve)
        background.start_soon(parts.once.serve)
        background.start_soon(parts.live.keep_fresh)
        background.start_soon(parts.sweep.daily)
        await parts.worker.start()
        if parts.durable is not None:
            background.start_soon(parts.durable.serve)
        _settle()
        await bus.round_trip(READY_SECONDS)  # the server has our subscriptions before anybody is told that we serve
        lifetime.serving = True
        try:
            yield Sidecar(
                bus, catalogue, parts.administrator, parts.worker, metrics, lifetime, address, connect_address
            )
        finally:
            lifetime.ending.set()
            with anyio.CancelScope(shield=True):
                lifetime.given_up = await parts.stop(settings.grace_seconds)
                if lifetime.given_up:
                    log.warning("%d calls could not be finished in time", lifetime.given_up)
                unsettled = await parts.once.stop(SETTLE_SECONDS)
                if unsettled:
                    log.warning("of %d calls with idempotency keys the outcome could not be kept", unsettled)
                await parts.shared.leave(QUOTA_SECONDS)
                unpersisted = await parts.refresher.stop(RENEWAL_SECONDS)
                if unpersisted:
                    where = settings.state_dir or "nowhere: SIDECAR_STATE_DIR is not set"
                    log.error("new tokens of %d connections could not be stored; kept in %s", unpersisted, where)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What answers messages, not yet started."""

    credentials: CredentialStore
    shared: SharedQuotas
    once: Once
    refresher: Refresher
    live: LiveCredentials
    sweep: Sweep
    administrator: Administrator
    site: Site
    consent: Consent
    worker: Worker
    durable: DurableCalls | None

    async def stop(self, grace: float) -> int:
        """Take no more, finish what was taken; returns how many calls had to be given up."""
        given_up: list[int] = []

        async def end(part: Worker | DurableCalls) -> None:
            given_up.append(await part.stop(grace))

        async with anyio.create_task_group() as parts:
            for part in (self.worker, self.durable):
                if part is not None:
                    parts.start_soon(end, part)
        return sum(given_up)

    def hurry(self) -> None:
        self.worker.hurry()
        if self.durable is not None:
            self.durable.hurry()


def _wired(
    settings: Settings,
    bus: NatsBus,
    keys: Keys,
    catalogue: Catalogue,
    sender: AiohttpSender,
    metrics: Metrics,
    base_urls: Mapping[str, str] | None,
) -> _Parts:
    """Every part that a message passes, from the bus to the sender."""
    clock, random = SystemClock(), SystemRandom()
    trace = TracePublisher(bus, settings.prefix, metrics)
    store = NatsStore(bus)
    credentials = CredentialStore(
        store, keys, clock, random, capacity=settings.connections_cached, scope=settings.scope
    )
    apps = Apps(AppFolder(Path(settings.apps_dir).expanduser(), clock.now) if settings.apps_dir else None)
    oauth = AuthlibOAuth()
    tokens = TokenEndpoint(
        sender=sender,
        apps=apps,
        oauth=oauth,
        clock=clock,
        random=random,
        user_agent=USER_AGENT,
        base_urls=base_urls,
    )
    spill = Spill(StateFolder(Path(settings.state_dir).expanduser()), keys) if settings.state_dir else None
    refresher = Refresher(
        store=credentials,
        endpoint=tokens,
        providers=catalogue.providers,
        clock=clock,
        random=random,
        observer=trace,
        gauge=metrics,
        spill=spill,
    )
    live = LiveCredentials(
        store=credentials,
        refresher=refresher,
        providers=catalogue.providers,
        clock=clock,
        random=random,
        capacity=settings.connections_cached,
    )
    sweep = Sweep(store=credentials, refresher=refresher, providers=catalogue.providers, clock=clock, random=random)
    about = metadata(
        catalogue.digest,
        catalogue.providers,
        settings.scope,
        public_url=settings.public_url,
        sandbox=base_urls is not None,
    )
    service = Service(random.token(8).hex(), clock.wall(), about)
    keyed = IdempotencyStore(store, keys, clock, random, settings.scope, max_payload=bus.max_payload)
    once = Once(keyed, clock, random)
    shared = shared_quotas(
        prefix=settings.prefix,
        scope=settings.scope,
        me=service.id,
        bus=bus,
        store=store,
        timer=LoopTimer(),
        clock=clock,
        random=random,
        elapsed=elapsed,
    )
    metrics.watch_quotas(shared.quotas, shared.sharing.traffic)
    executor = Executor(
        catalogue=catalogue,
        credentials=live,
        renewal=live,
        sender=sender,
        clock=clock,
        random=random,
        observer=trace,
        name=Name(settings.prefix, service.id, USER_AGENT),
        once=once,
        limits=Limits(max_response_bytes=settings.max_response_bytes, max_output_bytes=bus.max_payload - HEADER_ROOM),
        quotas=shared.quotas,
        base_urls=base_urls,
    )
    metrics.watch_breakers(executor.guard)
    held: dict[CancelAddress, Stop] = {}
    calls = DurableStore(store, keys, clock, random, settings.scope)
    queue = NatsQueue(bus, settings.prefix)
    submission = Submission(
        queue=queue,
        store=calls,
        executor=executor,
        prefix=settings.prefix,
        clock=clock,
        random=random,
        depth=settings.queue_depth,
        max_payload=bus.max_payload,
    )
    deliveries = Deliveries(
        queue=queue,
        store=calls,
        submission=submission,
        executor=executor,
        bus=bus,
        prefix=settings.prefix,
        held=held,
        observer=trace,
        counters=metrics,
        clock=clock,
        random=random,
    )
    durable = DurableCalls(
        queue=queue,
        deliveries=deliveries,
        submission=submission,
        counters=metrics,
        random=random,
        scope=settings.scope,
        most=settings.queue_in_flight,
    )
    # Whoever takes a durable call must be able to run it, so who serves a part leaves them to those who serve all.
    whole = not (settings.connections or settings.providers)
    sealed = SealedRecords(store, keys, clock, random, SEALED if whole else (CREDENTIALS,))
    copies = SealedCopies(store, keys, clock, random, CREDENTIALS, format_number=FORMAT)
    administrator = Administrator(
        executor=executor,
        credentials=credentials,
        live=live,
        tokens=tokens,
        keys=KeyAdministrator(sealed),
        copies=CopyAdministrator(copies),
        quota=shared.administrator,
        queue=QueueAdministrator(calls, submission, clock) if whole else None,
        clock=clock,
        random=random,
    )
    site = Site(settings.public_url.rstrip("/") if settings.public_url else None, settings.return_urls)
    flows = FlowStore(store, keys, clock, random, settings.scope)
    connect = Connect(
        site=site,
        catalogue=catalogue,
        apps=apps,
        credentials=credentials,
        flows=flows,
        clock=clock,
        random=random,
    )
    consent = Consent(
        site=site,
        catalogue=catalogue,
        apps=apps,
        oauth=oauth,
        codes=tokens,
        verification=Verification(executor, clock, random),
        credentials=credentials,
        flows=flows,
        observer=trace,
        clock=clock,
        random=random,
    )
    answers = Answers(
        prefix=settings.prefix,
        scope=settings.scope,
        executor=executor,
        administrator=administrator,
        connect=connect,
        observer=trace,
        clock=clock,
        random=random,
        max_timeout_ms=settings.max_timeout_ms,
        submission=submission if whole else None,
        in_flight=held,
    )
    worker = Worker(
        bus=bus,
        answers=answers,
        counters=metrics,
        clock=clock,
        service=service,
        admission=admission_of(settings),
    )
    return _Parts(
        credentials,
        shared,
        once,
        refresher,
        live,
        sweep,
        administrator,
        site,
        consent,
        worker,
        durable if whole else None,
    )


async def run(settings: Settings, started: Callable[[Sidecar], None]) -> None:
    """`sidecar run`: serve until SIGTERM or SIGINT. Raises Unfit with everything it needs that is not there, BusError
    when NATS stays away, GivenUp when calls were in flight at the end.
    """
    if settings.nats_url is None:
        raise Unfit(("SIDECAR_NATS_URL is not set: name the NATS server, such as nats://user:password@nats:4222",))
    catalogue = catalogue_of(settings)
    async with connected(settings, settings.nats_url) as bus:
        not_there = await lacking(bus, settings)
        keys = keys_to_run(settings, SystemClock().now)
        if not_there or isinstance(keys, str):
            wrong = [f"{what}; {MAKE}" for what in not_there]
            raise Unfit((*wrong, keys) if isinstance(keys, str) else tuple(wrong))
        async with sidecar(settings, bus=bus, keys=keys, catalogue=catalogue) as running:
            await until_end(running, partial(started, running))
    finished(running)


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
