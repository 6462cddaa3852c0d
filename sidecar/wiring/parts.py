"""All parts of one sidecar, each made of those before it."""

from __future__ import annotations

from dataclasses import dataclass

import anyio

from sidecar.admin import Administrator
from sidecar.answer import Answers
from sidecar.copy_admin import CopyAdministrator
from sidecar.gate import Admission
from sidecar.key_admin import KeyAdministrator
from sidecar.queue import DurableCalls
from sidecar.queue_admin import QueueAdministrator
from sidecar.settings import Settings
from sidecar.store.copies import SealedCopies
from sidecar.store.credential import BUCKET as CREDENTIALS
from sidecar.store.credential_form import FORMAT
from sidecar.store.durable import BUCKET as CALLS
from sidecar.store.idempotency import BELOW
from sidecar.store.idempotency import BUCKET as KEYED
from sidecar.store.rewrap import SealedRecords
from sidecar.wiring.accounts import Accounts, Connecting, wire_accounts, wire_connecting
from sidecar.wiring.calls import Calls, Durables, wire_calls, wire_durables
from sidecar.wiring.ground import Ground
from sidecar.worker import Worker


@dataclass(frozen=True, slots=True)
class Parts:
    """What answers messages. Without `durable` this sidecar takes no durable calls."""

    accounts: Accounts
    calls: Calls
    durable: Durables | None
    connecting: Connecting
    administrator: Administrator
    worker: Worker

    async def stop(self, grace: float) -> int:
        """Take no more, finish what was taken; returns how many calls had to be given up."""
        given_up: list[int] = []

        async def end(part: Worker | DurableCalls) -> None:
            given_up.append(await part.stop(grace))

        async with anyio.create_task_group() as parts:
            parts.start_soon(end, self.worker)
            if self.durable is not None:
                parts.start_soon(end, self.durable.calls)
        return sum(given_up)

    def hurry(self) -> None:
        """Give up now what is in flight, whatever is left of the grace."""
        self.worker.hurry()
        if self.durable is not None:
            self.durable.calls.hurry()


def wired(on: Ground) -> Parts:
    """Every part, each made of those before it."""
    accounts = wire_accounts(on)
    calls = wire_calls(on, accounts.live)
    durable = wire_durables(on, calls) if on.whole else None
    connecting = wire_connecting(on, accounts, calls.executor)
    administrator = _administrator(on, accounts, calls, durable)
    worker = _worker(on, calls, durable, connecting, administrator)
    return Parts(accounts, calls, durable, connecting, administrator, worker)


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


def _administrator(on: Ground, accounts: Accounts, calls: Calls, durable: Durables | None) -> Administrator:
    buckets = {CREDENTIALS: "", KEYED: BELOW, **({CALLS: ""} if durable else {})}
    sealed = SealedRecords(*on.sealing, buckets)
    copies = SealedCopies(*on.sealing, CREDENTIALS, format_number=FORMAT)
    return Administrator(
        executor=calls.executor,
        credentials=accounts.credentials,
        live=accounts.live,
        tokens=accounts.tokens,
        keys=KeyAdministrator(sealed),
        copies=CopyAdministrator(copies),
        quota=calls.shared.administrator,
        queue=QueueAdministrator(durable.store, durable.submission, on.clock) if durable else None,
        clock=on.clock,
        random=on.random,
    )


def _worker(
    on: Ground, calls: Calls, durable: Durables | None, connecting: Connecting, administrator: Administrator
) -> Worker:
    admission = admission_of(on.settings)
    answers = Answers(
        prefix=on.settings.prefix,
        scope=on.settings.scope,
        executor=calls.executor,
        administrator=administrator,
        connect=connecting.connect,
        observer=on.trace,
        clock=on.clock,
        random=on.random,
        max_timeout_ms=admission.max_timeout_ms,
        submission=durable.submission if durable else None,
        withdrawals=durable.withdrawals if durable else None,
        in_flight=on.in_flight,
    )
    return Worker(
        bus=on.bus,
        answers=answers,
        counters=on.metrics,
        clock=on.clock,
        service=on.service,
        admission=admission,
    )
