"""One attempt of a call: its request sent, what came back, what that means, and what may have been done."""

from __future__ import annotations

import asyncio
import logging
import traceback

import httpx
import msgspec

from sidecar.auth.proof import authorise
from sidecar.core.outcome import outcome
from sidecar.core.redact import redact_failure
from sidecar.core.refusal import echoing
from sidecar.guard import Guard
from sidecar.log import Defect, defect
from sidecar.model import Access, Call, Failure, Outcome, Reason, SideEffect, Success
from sidecar.pacing import Pacing
from sidecar.ports import Clock, HttpSender
from sidecar.provider import HookFailed
from sidecar.run import Run, surest

# Of its time what a read leaves for a second attempt where nothing answers the first, and the most seconds of it. What
# is slower than the rest of its time cannot be told from what hangs.
SECOND_PART, SECOND_SECONDS = 1 / 4, 5.0

log = logging.getLogger("sidecar.attempt")


class Attempts:
    """Makes attempts. `most`: bytes of an answer, where the manifest says nothing."""

    def __init__(
        self, sender: HttpSender, pacing: Pacing, guard: Guard, clock: Clock, *, user_agent: str, most: int
    ) -> None:
        self._sender = sender
        self._pacing = pacing
        self._guard = guard
        self._clock = clock
        self._user_agent = user_agent
        self._most = most

    async def make(self, run: Run) -> tuple[httpx.Response | Failure, Outcome]:
        """What came back, and what it means. With `run.held_back` after it nothing was sent: it was no attempt."""
        request = authorise(run.request, run.proof, self._user_agent)
        before = run.side_effect
        run.attempts += 1
        if run.call.access is Access.WRITE:  # until its end is known
            run.side_effect = SideEffect.UNKNOWN
        request.extensions["may_send"] = run.may_send
        if run.attempts == 1 and run.operation.access is Access.READ:
            request.extensions["answer_by"] = self._answer_by(run)
        most = run.provider.manifest.max_response_bytes or self._most
        result: Outcome | None = None
        try:
            answer = await self._sender.send(request, deadline=run.call.deadline, max_body=most)
            if run.held_back and isinstance(answer, Failure):
                run.attempts, run.side_effect = run.attempts - 1, before
                return answer, answer
            result = self._outcome(run, answer)
        except BaseException as error:
            sent = not isinstance(error, asyncio.CancelledError) or request.extensions.get("sent", True)
            if not sent:
                run.side_effect = before
            self._pacing.over(run, sent=sent)
            raise
        finally:
            self._guard.leave(run, result)
        if run.call.access is Access.WRITE:
            run.side_effect = surest(before, SideEffect.DONE if isinstance(result, Success) else result.side_effect)
        return answer, result

    def _answer_by(self, run: Run) -> float:
        """When a first attempt without any answer is given up, on the clock of the deadline."""
        deadline = run.call.deadline
        return deadline - min((deadline - self._clock.now()) * SECOND_PART, SECOND_SECONDS)

    def _outcome(self, run: Run, answer: httpx.Response | Failure) -> Outcome:
        """What it means, in words that do not repeat the credential."""
        try:
            result = self._meaning(run, answer)
        except Exception as error:  # noqa: BLE001  # of a hook; the exchange is told all the same
            return bug(run.call, run, error)
        proof = run.proof
        if isinstance(result, Failure):
            if isinstance(result.cause, HookFailed) and not run.hook_failed:
                run.hook_failed = True
                _log(run.call, run, result.cause)
            return redact_failure(result, proof.secrets)
        # Where all that is told is a URL, no secret has a place, however short it is.
        unsaid = proof.secrets.long if run.operation.fact.returns == "location" else proof.proofs
        return echoing(result, proof.secrets, unsaid, run.provider.manifest.title, run.side_effect) or result

    def _meaning(self, run: Run, answer: httpx.Response | Failure) -> Outcome:
        if not isinstance(answer, Failure):
            return outcome(run.provider, run.operation, answer, self._clock.wall(), run.secrets, run.request)
        if run.operation.access is Access.READ:  # a read changes nothing, whatever was sent of it
            return msgspec.structs.replace(answer, side_effect=SideEffect.NONE)
        return answer


def bug(call: Call, run: Run | None, error: Exception) -> Failure:
    """What a call ends in that met a defect, ours or a hook's."""
    _log(call, run, error)
    side_effect = run.side_effect if run else SideEffect.NONE
    if isinstance(error, HookFailed):
        detail = f"{error}; the sidecar's log names call {call.call_id}"
        return Failure(reason=Reason.BUG, detail=detail, side_effect=side_effect, cause=error.with_traceback(None))
    _, words, trace = defect(error, run.secrets if run else ())
    places = [f" ({frame.filename}, line {frame.lineno})" for frame in traceback.extract_tb(trace)[-1:]]
    return Failure(
        reason=Reason.BUG,
        detail=f"a defect of the sidecar ended this call; its log names call {call.call_id}",
        side_effect=side_effect,
        cause=Defect("".join((str(words), *places))),
    )


def _log(call: Call, run: Run | None, error: Exception) -> None:
    """Log a defect without the secrets that its words may hold; of a hook, what it raised itself."""
    met, raised = "a defect", error
    if isinstance(error, HookFailed):
        met = f"{error} ({error.place})"
        raised = error.__cause__ if isinstance(error.__cause__, Exception) else error
    log.error("call %s met %s", call.call_id, met, exc_info=defect(raised, run.secrets if run else ()))
