"""The quotas of a serving process: its node, what carries it over NATS, and who tells how it stands."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sidecar.core.quota.node import Node
from sidecar.core.quota.pace import paced
from sidecar.core.quota.view import budgets
from sidecar.ports import Bus, Clock, Random, Store
from sidecar.quota import Quotas, Timer
from sidecar.quota_admin import QuotaAdministrator
from sidecar.scope import Scope
from sidecar.sharing import Sharing
from sidecar.wire.quota import quota_subjects, record_scope

log = logging.getLogger("sidecar.quota")


@dataclass(frozen=True, slots=True)
class SharedQuotas:
    """To be started before calls are taken, served meanwhile, and left when none is under way any more."""

    quotas: Quotas
    sharing: Sharing
    administrator: QuotaAdministrator

    async def start(self) -> None:
        """Hear the other sidecars. Raises BusError."""
        await self.sharing.start()
        await self.administrator.start()

    async def leave(self, seconds: float) -> None:
        """Hand over what is owned, within so many seconds: the others then need not wait until it is clear that we are
        gone.
        """
        if not await self.quotas.leave(seconds):
            log.warning("quotas could not be handed over within %g s", seconds)


def shared_quotas(
    *,
    prefix: str,
    scope: Scope,
    me: str,
    bus: Bus,
    store: Store,
    timer: Timer,
    clock: Clock,
    random: Random,
    elapsed: Callable[[], float],
) -> SharedQuotas:
    """Shared with the other sidecars of this scope's tenant, or of all tenants. `me` names this process among them."""
    subjects, node = quota_subjects(prefix, scope), Node(me, record_scope(scope), paced(bus.max_payload))
    sharing = Sharing(bus=bus, store=store, subjects=subjects, me=me, elapsed=elapsed)
    quotas = Quotas(node, sharing, timer, clock, random, elapsed)
    administrator = QuotaAdministrator(
        bus=bus,
        perform=sharing.perform,
        subjects=subjects,
        me=me,
        owned=lambda: budgets(node.parts, me, elapsed()),
        waiting=lambda: quotas.waiting,
        apart=scope.tenant is not None,
    )
    return SharedQuotas(quotas, sharing, administrator)
