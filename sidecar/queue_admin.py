"""What an operator asks of durable calls: how they stand, and to run again those that failed and changed nothing."""

from __future__ import annotations

import msgspec

from sidecar.core.rerun import DEAD_SECONDS, kept_seconds
from sidecar.durable import Place, Stage
from sidecar.kept import KeptFailure
from sidecar.model import Failure, Outcome, Reason, SideEffect, Success
from sidecar.ports import Clock
from sidecar.store.durable import Beaten, DurableStore, Seen
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
        seen = await self._found(places, asked.call_id or "", address)
        if isinstance(seen, Failure):
            return seen
        return _success(queued(seen)) if asked.act == "show" else await self._redrive(seen)

    async def _places(self, address: AdminAddress) -> list[Place] | Failure:
        found = await self._store.places(address.tenant)
        if isinstance(found, Failure) or address.connection == EVERY:
            return found
        return [place for place in found if place.connection == address.connection]

    async def _list(self, places: list[Place], asked: QueueRequest) -> Outcome:
        calls: list[QueuedCall] = []
        for start in range(0, min(len(places), MOST_READ), BATCH):
            several = await self._store.several(places[start : start + BATCH])
            known = [seen for seen in several if isinstance(seen, Seen)]
            calls += [queued(seen) for seen in known if asked.stage in (None, seen.call.stage)]
            if len(calls) >= asked.limit:
                break
        return _success(Queue(total=len(places), calls=tuple(calls[: asked.limit])))

    async def _found(self, places: list[Place], call_id: str, address: AdminAddress) -> Seen | Failure:
        named = next((place for place in places if place.call_id == call_id.lower()), None)
        missing = unknown_call(Place(address.tenant, address.connection, call_id))
        if named is None:
            return missing
        return await self._store.read(named) or missing

    async def _redrive(self, seen: Seen) -> Outcome:
        """Run it again, as if it were new. What may have happened is not done again.

        Of one that waits the word is said once more: it may be what is gone, and one too many does no harm.
        """
        if seen.call.stage is Stage.WAITING:
            return await self._submission.put(seen.place, None) or _success(queued(seen))
        refusal = _not_again(seen)
        if refusal is not None:
            return refusal
        call = seen.call
        again = msgspec.structs.replace(
            call, stage=Stage.WAITING, ended=None, due=None, why=None, tries=0, waits=0, redriven=call.redriven + 1
        )
        written = await self._store.write(
            seen.place, again, seen.revision, seconds=kept_seconds(again, self._clock.wall())
        )
        if isinstance(written, Failure):
            return written
        if isinstance(written, Beaten):
            return Failure(
                reason=Reason.CAS_CONFLICT, detail="the durable call was changed meanwhile; look at it again"
            )
        failure = await self._submission.put(seen.place, None)
        if failure is not None:
            await self._store.write(seen.place, call, written, seconds=DEAD_SECONDS)
            return failure
        return _success(queued(Seen(seen.place, again, written)))


def queued(seen: Seen) -> QueuedCall:
    """How a durable call stands, as it is told."""
    call, ended = seen.call, seen.call.ended
    failed = ended if isinstance(ended, KeptFailure) else None
    return QueuedCall(
        call_id=seen.place.call_id,
        connection=seen.place.connection,
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


def _not_again(seen: Seen) -> Failure | None:
    """Why a durable call is not driven again; None where it may be."""
    call = seen.call
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
        asked = msgspec.json.decode(payload or b"{}", type=QueueRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = str(error) if isinstance(error, msgspec.ValidationError) else "the payload is not JSON"
        return Failure(reason=Reason.MALFORMED, detail=f'{detail}; send {{"act": "list"}}')
    if asked.act != "list" and asked.call_id is None:
        detail = f'`call_id` says which call to {asked.act}; send {{"act": "{asked.act}", "call_id": "..."}}'
        return Failure(reason=Reason.MALFORMED, detail=detail)
    return asked
