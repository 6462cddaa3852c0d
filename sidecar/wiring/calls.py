"""Calls: run, durable or not, with what they share with other sidecars."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.adapters.nats_queue import NatsQueue
from sidecar.adapters.system import LoopTimer, elapsed
from sidecar.auth.live import LiveCredentials
from sidecar.delivery import Deliveries
from sidecar.durable_ground import DurableGround
from sidecar.execute import Executor
from sidecar.once import Once
from sidecar.queue import DurableCalls
from sidecar.run import Limits, Name
from sidecar.shared_quotas import SharedQuotas, shared_quotas
from sidecar.store.durable import DurableStore
from sidecar.store.idempotency import IdempotencyStore
from sidecar.submit import Submission
from sidecar.wake import Forgotten
from sidecar.wiring.ground import USER_AGENT, Ground
from sidecar.withdraw import Withdrawals

HEADER_ROOM = 2_048  # of a message's max_payload, for the headers of a reply


@dataclass(frozen=True, slots=True)
class Calls:
    """Whatever runs calls, with what they need of other sidecars."""

    executor: Executor
    keyed: IdempotencyStore
    once: Once
    shared: SharedQuotas


@dataclass(frozen=True, slots=True)
class Durables:
    """Durable calls: their records, taking them in, and running them."""

    store: DurableStore
    submission: Submission
    withdrawals: Withdrawals
    calls: DurableCalls


def wire_calls(on: Ground, live: LiveCredentials) -> Calls:
    settings, most = on.settings, on.bus.max_payload
    keyed = IdempotencyStore(*on.sealing, settings.scope, max_payload=most)
    once = Once(keyed, on.clock, on.random)
    shared = shared_quotas(
        prefix=settings.prefix,
        scope=settings.scope,
        me=on.service.id,
        bus=on.bus,
        store=on.store,
        timer=LoopTimer(),
        clock=on.clock,
        random=on.random,
        elapsed=elapsed,
    )
    on.metrics.watch_quotas(shared.quotas, shared.sharing.traffic)
    executor = Executor(
        name=Name(settings.prefix, on.service.id, USER_AGENT),
        catalogue=on.catalogue,
        credentials=live,
        renewal=live,
        sender=on.sender,
        clock=on.clock,
        random=on.random,
        observer=on.trace,
        once=once,
        limits=Limits(max_response_bytes=settings.max_response_bytes, max_output_bytes=most - HEADER_ROOM),
        quotas=shared.quotas,
        base_urls=on.base_urls,
    )
    on.metrics.watch_breakers(executor.guard)
    return Calls(executor, keyed, once, shared)


def wire_durables(on: Ground, calls: Calls) -> Durables:
    settings = on.settings
    ground = DurableGround(
        queue=NatsQueue(on.bus, settings.prefix),
        store=DurableStore(*on.sealing, settings.scope),
        bus=on.bus,
        prefix=settings.prefix,
        observer=on.trace,
        counters=on.metrics,
        clock=on.clock,
        random=on.random,
        in_flight=on.in_flight,
    )
    submission = Submission(ground, calls.executor, depth=settings.queue_depth)
    running = DurableCalls(
        ground,
        Deliveries(ground, submission, calls.executor),
        submission,
        Forgotten(ground.store, submission, on.clock),
        scope=settings.scope,
        most=settings.queue_in_flight,
    )
    return Durables(ground.store, submission, Withdrawals(ground, submission, calls.keyed), running)
