"""One call and its idempotency key: claimed before it is sent, fenced before each attempt, settled at its end."""

from __future__ import annotations

import msgspec

from sidecar.core.hint import with_hint, with_same_key
from sidecar.core.once import owner_lost
from sidecar.core.refusal import keyless
from sidecar.core.settle import sent_again
from sidecar.kept import Done, told_outcome
from sidecar.model import Access, Failure, Outcome, SideEffect
from sidecar.once import Once
from sidecar.run import Run, surest


class Keyed:
    """What an executor asks of idempotency keys. Without `once` a call that has one is refused."""

    def __init__(self, once: Once | None) -> None:
        self._once = once

    async def first(self, run: Run, key: str) -> Outcome | None:
        """What the first call with this key ended in, or why this one is not sent; None where it is the first."""
        call = run.call
        if self._once is None:
            return keyless()
        unknown = with_hint(owner_lost(), call, run.operation)
        claimed = await self._once.claim(call, key, again=run.repeatable, unknown=unknown)
        if isinstance(claimed, Failure):
            run.again = True
            return claimed
        if isinstance(claimed, Done):
            run.replayed = claimed
            run.why.append(f"answered from the record of call {claimed.call_id}; nothing was sent")
            return told_outcome(claimed.outcome)
        run.held = claimed
        if claimed.pending.doubt and call.access is Access.WRITE:
            run.side_effect = SideEffect.UNKNOWN
            run.why.append("an earlier call with this key may have been sent; sending it again is safe")
        return None

    async def fence(self, run: Run) -> Failure | None:
        """Why nothing may be sent now."""
        if run.held is None or self._once is None:
            return None
        return await self._once.fence(run.held, run.call.deadline)

    def told(self, run: Run, failure: Failure) -> Failure:
        """The failure with all that may have been done, of the last attempt, one before, or another sidecar's; and
        whether with this key the call may be sent again.
        """
        held = run.held
        if held and self._once and run.call.access is Access.WRITE and self._once.taken_over(held):
            run.side_effect = surest(run.side_effect, SideEffect.UNKNOWN)
        if failure.done_before and run.side_effect is not SideEffect.NONE:
            failure = msgspec.structs.replace(failure, side_effect=SideEffect.DONE)
        if failure.side_effect is SideEffect.NONE:
            failure = msgspec.structs.replace(failure, side_effect=run.side_effect)
        if held and sent_again(failure, again=held.again):
            run.again = True
            return with_same_key(failure)
        return failure

    async def settle(self, run: Run, result: Outcome) -> None:
        """Let the record say what came of the call."""
        if run.held and self._once:
            await self._once.settle(run.held, result, call=run.call, attempts=run.attempts)
