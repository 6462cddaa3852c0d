"""Who answers what: a message of each kind decoded, held against the scope, and given to whoever answers it.

Calls in flight are known here by their id, which is how a cancel finds them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from sidecar.admin import Administrator
from sidecar.catalogue.answer import answer as answer_catalog
from sidecar.connect import Connect
from sidecar.core.refusal import call_id_in_use
from sidecar.execute import Executor
from sidecar.links import Links
from sidecar.model import Access, Call, Failure, Outcome, Reason
from sidecar.ports import Clock, Message, Random
from sidecar.run import Ended, Observer
from sidecar.scope import Scope
from sidecar.stop import Stop
from sidecar.submit import Submission
from sidecar.wire.durable import decode_result_request, decode_submit
from sidecar.wire.interest import Interest, Kind, denied, interests
from sidecar.wire.reply import Asked
from sidecar.wire.request import Arrival, asked_of, decode_input, decode_request
from sidecar.wire.subject import (
    EVERY,
    CancelAddress,
    parse_admin,
    parse_call,
    parse_cancel,
    parse_catalog,
    parse_connect,
    parse_result_get,
    parse_submit,
)
from sidecar.withdraw import Withdrawals

replace = msgspec.structs.replace

REFUSED = {  # what is counted of a refusal that comes before a call has begun
    Reason.TENANT_DENIED: "out_of_scope",
    Reason.CALL_ID_IN_USE: "call_id_in_use",
}


class Answer(msgspec.Struct, frozen=True):
    """What goes into the reply; `refused` says in a word why nothing was begun."""

    asked: Asked
    outcome: Outcome
    refused: str | None = None


Answerer = Callable[[Message, float, Stop], Awaitable[Answer]]  # with when it was accepted


class Answers:
    """Answers messages within the scope of this sidecar."""

    def __init__(
        self,
        *,
        prefix: str,
        scope: Scope,
        executor: Executor,
        administrator: Administrator,
        connect: Connect,
        observer: Observer,
        clock: Clock,
        random: Random,
        max_timeout_ms: int,
        submission: Submission | None = None,
        withdrawals: Withdrawals | None = None,
        in_flight: dict[CancelAddress, Stop] | None = None,
    ) -> None:
        """`in_flight` is shared with others who run calls; without `submission` nothing is asked that needs one, and
        without `withdrawals` no durable call is ended that waits.
        """
        self._prefix = prefix
        self._scope = scope
        self._executor = executor
        self._administrator = administrator
        self._connect = connect
        self._links = Links(connect, clock)
        self._observer = observer
        self._clock = clock
        self._random = random
        self._max_timeout_ms = max_timeout_ms
        self._submission = submission
        self._withdrawals = withdrawals
        self._in_flight: dict[CancelAddress, Stop] = {} if in_flight is None else in_flight

    def wanted(self) -> list[tuple[Interest, Answerer | None]]:
        """What to listen to, for every provider in scope that the catalogue has, and who answers it: of a cancel, the
        call that it names.
        """
        answerers: dict[Kind, Answerer | None] = {
            Kind.CALL: self.call,
            Kind.ADMIN: self.admin,
            Kind.CATALOG: self.catalog,
            Kind.CONNECT: self.connect,
            Kind.CANCEL: None,
        }
        if self._submission is not None:
            answerers |= {Kind.SUBMIT: self.submit, Kind.RESULT: self.result}
        found = interests(self._prefix, self._scope, self._executor.catalogue.providers)
        return [(one, answerers[one.kind]) for one in found if one.kind in answerers]

    async def call(self, message: Message, accepted: float, stop: Stop) -> Answer:
        """A call of an agent."""
        arrival = Arrival(accepted, self._clock.wall(), self._random.token(34), self._max_timeout_ms)
        call = decode_request(self._prefix, message.subject, message.headers, message.data, arrival)
        if isinstance(call, Failure):
            address = parse_call(self._prefix, message.subject)
            return Answer(asked_of(address, message.headers, arrival), call, "malformed")
        # Before the first await: a cancel that comes right behind its call finds it.
        named = CancelAddress(call.tenant, call.connection, call.call_id)
        refusal = denied(self._scope, call.tenant, call.connection, call.provider)
        if refusal is None and named in self._in_flight:
            refusal = call_id_in_use(self._prefix, call)
        if refusal is not None:
            return self._answered(call, Ended(refusal, 0), REFUSED[refusal.reason])
        self._in_flight[named] = stop
        try:
            ended = await self._executor.run(call, stop=stop)
        finally:
            del self._in_flight[named]
        if isinstance(ended.outcome, Failure):  # what its end was is told by now, and holds no link
            ended = replace(ended, outcome=await self._links.mended(call, ended.outcome))
        return self._answered(call, ended)

    def named_by(self, cancel: str) -> Stop | Failure | None:
        """The call in flight that the subject of a cancel names; None when it is not held here."""
        address = parse_cancel(self._prefix, cancel)
        if isinstance(address, Failure):
            return address
        return denied(self._scope, address.tenant, address.connection) or self._in_flight.get(address)

    async def withdrawn(self, cancel: str) -> Answer | None:
        """How the durable call ends that the subject of a cancel names, if one only waits."""
        address = parse_cancel(self._prefix, cancel)
        if isinstance(address, Failure) or self._withdrawals is None:
            return None
        found = await self._withdrawals.withdraw(address)
        return None if found is None else Answer(*found)

    async def submit(self, message: Message, accepted: float, _stop: Stop) -> Answer:
        """A durable call: looked up and valid, stored, in the queue, and only then answered."""
        arrival = Arrival(accepted, self._clock.wall(), self._random.token(34), self._max_timeout_ms)
        submitted = decode_submit(self._prefix, message.subject, message.headers, message.data, arrival)
        if isinstance(submitted, Failure):
            address = parse_submit(self._prefix, message.subject)
            return Answer(asked_of(address, message.headers, arrival), submitted, "malformed")
        call = submitted.call
        refusal = denied(self._scope, call.tenant, call.connection, call.provider)
        if refusal is not None or self._submission is None:
            return self._answered(call, Ended(refusal or _no_queue(), 0), "out_of_scope")
        found = self._submission.looked_up(submitted)
        if isinstance(found, Failure):
            return self._answered(call, Ended(found, 0))
        return self._answered(found, Ended(await self._submission.take(found, submitted), 0))

    async def result(self, message: Message, _accepted: float, _stop: Stop) -> Answer:
        """What became of a durable call."""
        address = parse_result_get(self._prefix, message.subject)
        if isinstance(address, Failure):
            return Answer(Asked(access=Access.READ), address)
        refusal = denied(self._scope, *address)
        if refusal is not None or self._submission is None:
            return Answer(Asked(access=Access.READ), refusal or _no_queue(), "out_of_scope")
        call_id = decode_result_request(message.data)
        if isinstance(call_id, Failure):
            return Answer(Asked(access=Access.READ), call_id)
        return Answer(*await self._submission.result(*address, call_id))

    async def admin(self, message: Message, _accepted: float, _stop: Stop) -> Answer:
        """What an operator asks."""
        address = parse_admin(self._prefix, message.subject)
        if isinstance(address, Failure):
            return Answer(Asked(), address)
        asked = Asked(provider=address.provider)
        provider = None if address.provider == EVERY and not self._scope.providers else address.provider
        refusal = denied(self._scope, address.tenant, address.connection, provider)
        if refusal is not None:
            return Answer(asked, refusal, REFUSED[refusal.reason])
        outcome = await self._administrator.answer(address, message.data)
        self._observer.emit(self._administrator.event(address, outcome))
        return Answer(asked, outcome)

    async def connect(self, message: Message, _accepted: float, _stop: Stop) -> Answer:
        """What is asked of connecting an account."""
        address = parse_connect(self._prefix, message.subject)
        if isinstance(address, Failure):
            return Answer(Asked(), address)
        asked = Asked(provider=address.provider)
        refusal = denied(self._scope, address.tenant, address.connection, address.provider)
        if refusal is not None:
            return Answer(asked, refusal, REFUSED[refusal.reason])
        outcome = await self._connect.answer(address, message.data)
        if address.verb != "status":  # who waits asks often; it changes nothing
            self._observer.emit(self._connect.event(address, outcome))
        return Answer(asked, outcome)

    async def catalog(self, message: Message, _accepted: float, _stop: Stop) -> Answer:
        """What there is to call. The catalogue is the same for all sidecars, also where one serves a part of it."""
        address = parse_catalog(self._prefix, message.subject)
        if isinstance(address, Failure):
            return Answer(Asked(access=Access.READ), address)
        asked = Asked(access=Access.READ, provider=address.provider)
        refusal = denied(self._scope, address.tenant)
        if refusal is not None:
            return Answer(asked, refusal, REFUSED[refusal.reason])
        values = decode_input(message.data)
        if isinstance(values, Failure):
            return Answer(asked, values)
        return Answer(asked, answer_catalog(self._executor.catalogue, address, values))

    def _answered(self, call: Call, ended: Ended, refused: str | None = None) -> Answer:
        asked = Asked(
            call_id=call.call_id,
            provider=call.provider,
            operation=call.operation,
            access=call.access,
            trace=call.trace,
            catalog_hash=self._executor.catalogue.digest,
            attempts=ended.attempts,
            replayed=ended.replayed,
            again=ended.again,
        )
        return Answer(asked, ended.outcome, refused)


def _no_queue() -> Failure:
    return Failure(reason=Reason.TENANT_DENIED, detail="this sidecar takes no durable calls")
