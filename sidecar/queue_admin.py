"""What an operator asks of durable calls: how they stand, and to run again those that failed and changed nothing."""

from __future__ import annotations

import msgspec

from sidecar.core.rerun import DEAD_SECONDS, kept_seconds
from sidecar.durable import Place, Stage
from sidecar.kept import KeptFailure
from sidecar.model import Failure, Outcome, Reason, SideEffect, Success
from sidecar.ports import Clock
from sidecar.store.durable import Beaten, DurableStore, Held
from sidecar.submit import Submission, unknown_call
from sidecar.wire.durable import Queue, QueuedCall, QueueRequest
from sidecar.wire.event import timestamp
from sidecar.wire.subject import EVERY, AdminAddress

QUEUE_VERBS = ("queue",)
BATCH = 64  # records that are read at a time
MOST_READ = 5_000  # records for one answer: of a stage that is rare it finds those among the newest


class NoQueue:
    """Answers `queue` where a part of a tenant is served, and so no durable call is taken."""

    async def answer(self, address: AdminAddress, payload: bytes) -> Outcome:  # noqa: ARG002  # whatever is asked
        detail = f"this sidecar serves a part of tenant {address.tenant}, and takes no durable calls"
        return Failure(reason=Reason.TENANT_DENIED, detail=detail)


class QueueAdministrator:
    """Answers the verb `queue`."""

    def __init__(self, store: DurableStore, submission: Submission, clock: Clock) -> None:
        self._store = store
        self._submission = submission
        self._clock = clock

    async def answer(self, address: AdminAddress, payload: bytes) -> Outcome:
        asked = _decode(payload)
        if isinstance(asked, Failure):
            return asked
        places = await self._places(address)
        if isinstance(places, Failure):
            return places
        if asked.act == "list":
            return await self._list(places, asked)
        held = await self._found(places, asked.call_id or "", address)
        if isinstance(held, Failure):
            return held
        return _success(queued(held)) if asked.act == "show" else await self._redrive(held)

    async def _places(self, address: AdminAddress) -> list[Place] | Failure:
        found = await self._store.places(address.tenant)
        if isinstance(found, Failure) or address.connection == EVERY:
            return found
        return [place for place in found if place.connection == address.connection]

    async def _list(self, places: list[Place], asked: QueueRequest) -> Outcome:
        calls: list[QueuedCall] = []
        for start in range(0, min(len(places), MOST_READ), BATCH):
            several = await self._store.several(places[start : start + BATCH])
            known = [held for held in several if isinstance(held, Held)]
            calls += [queued(held) for held in known if asked.stage in (None, held.call.stage)]
            if len(calls) >= asked.limit:
                break
        return _success(Queue(total=len(places), calls=tuple(calls[: asked.limit])))

    async def _found(self, places: list[Place], call_id: str, address: AdminAddress) -> Held | Failure:
        named = next((place for place in places if place.call_id == call_id.lower()), None)
        missing = unknown_call(Place(address.tenant, address.connection, call_id))
        if named is None:
            return missing
        return await self._store.read(named) or missing

    async def _redrive(self, held: Held) -> Outcome:
        """Run it again, as if it were new. What may have happened is not done again.

        Of one that waits the word is said once more: it may be what is gone, and one too many does no harm.
        """
        if held.call.stage is Stage.WAITING:
            return await self._submission.put(held.place, None) or _success(queued(held))
        refusal = _not_again(held)
        if refusal is not None:
            return refusal
        call = held.call
        again = msgspec.structs.replace(
            call, stage=Stage.WAITING, ended=None, due=None, why=None, tries=0, waits=0, redriven=call.redriven + 1
        )
        written = await self._store.write(
            held.place, again, held.revision, seconds=kept_seconds(again, self._clock.wall())
        )
        if isinstance(written, Failure):
            return written
        if isinstance(written, Beaten):
            return Failure(
                reason=Reason.CAS_CONFLICT, detail="the durable call was changed meanwhile; look at it again"
            )
        failure = await self._submission.put(held.place, None)
        if failure is not None:
            await self._store.write(held.place, call, written, seconds=DEAD_SECONDS)
            return failure
        return _success(queued(Held(held.place, again, written)))


def queued(held: Held) -> QueuedCall:
    """How a durable call stands, as it is told."""
    call, ended = held.call, held.call.ended
    failed = ended if isinstance(ended, KeptFailure) else None
    return QueuedCall(
        call_id=held.place.call_id,
        connection=held.place.connection,
        provider=call.provider,
        operation=call.operation,
        stage=call.stage,
        submitted=timestamp(call.submitted),
        due=None if call.due is None else timestamp(call.due),
        tries=call.tries,
        waits=call.waits,
        why=f"{failed.reason}: {failed.detail}" if failed else call.why,
        side_effect=failed.side_effect if failed else None,
        attempts=call.attempts,
    )


def _not_again(held: Held) -> Failure | None:
    """Why a durable call is not driven again; None where it may be."""
    call = held.call
    if call.stage is not Stage.DEAD or not isinstance(call.ended, KeptFailure):
        detail = f"the durable call is {call.stage}: only one that failed for good can be driven again"
        return Failure(reason=Reason.VALIDATION, detail=detail)
    if call.ended.side_effect is SideEffect.NONE:
        return None
    return Failure(
        reason=Reason.VALIDATION,
        detail=f"the durable call may have changed something ({call.ended.reason}), so it is not done again",
        hint="look at the provider whether it happened; if it did not, submit a new call",
    )


def _success(found: Queue | QueuedCall) -> Success:
    return Success(body=msgspec.json.encode(found))


def _decode(payload: bytes) -> QueueRequest | Failure:
    try:
        return msgspec.json.decode(payload or b"{}", type=QueueRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = str(error) if isinstance(error, msgspec.ValidationError) else "the payload is not JSON"
        return Failure(reason=Reason.MALFORMED, detail=f'{detail}; send {{"act": "list"}}')
