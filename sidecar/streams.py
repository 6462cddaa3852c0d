"""What a sidecar needs of JetStream, by its settings, and what of it is not there, as far as it may see."""

from __future__ import annotations

from sidecar.adapters.nats_streams import StreamSpec, missing, required, unreadable
from sidecar.permissions import Holder, Role, checks
from sidecar.ports import Bus
from sidecar.settings import Settings

MAKE = "run: sidecar setup"


def streams_of(settings: Settings) -> tuple[StreamSpec, ...]:
    """The streams and buckets that a sidecar with these settings needs."""
    return required(
        settings.prefix,
        replicas=settings.replicas,
        trace_seconds=round(settings.trace_max_age_hours * 3600),
        trace_bytes=settings.trace_max_bytes,
        credentials_bytes=settings.credentials_max_bytes,
        idempotency_bytes=settings.idempotency_max_bytes,
        calls_bytes=settings.calls_max_bytes,
        queue_depth=settings.queue_depth,
    )


async def lacking(bus: Bus, settings: Settings) -> list[str]:
    """What is missing or different, in words. Raises StreamRefused, StoreUnavailable.

    A sidecar of one tenant may not look at streams, as their subjects name other tenants; it asks for messages.
    """
    if settings.tenant is None:
        return await missing(bus, streams_of(settings))
    scope = settings.scope
    holder = Holder(
        role=Role.SCOPED_SIDECAR,
        name="sidecar",
        tenant=scope.tenant,
        connections=scope.connections,
        providers=scope.providers,
        prefix=settings.prefix,
    )
    return await unreadable(bus, checks(holder))
