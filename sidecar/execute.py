"""One call, top to bottom: prepare it (`prepare.py`), then attempts until it is answered or must stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import msgspec

from sidecar.auth.kind import auth_of, authorise, is_issued, shown
from sidecar.core import story
from sidecar.core.base_url import connection_url
from sidecar.core.dry_run import dry_run
from sidecar.core.hint import with_hint, with_same_key
from sidecar.core.once import owner_lost
from sidecar.core.outcome import outcome
from sidecar.core.redact import redact_failure
from sidecar.core.refusal import (
    echoing,
    keyless,
    moved,
    out_of_time,
    stopped,
    untold,
    unusable,
)
from sidecar.core.retry import Decision, retry
from sidecar.core.settle import sent_again
from sidecar.credential import Credential
from sidecar.guard import Guard
from sidecar.kept import Done, told_outcome
from sidecar.log import defect
from sidecar.model import Access, Call, Failure, Outcome, Reason, SideEffect, Success
from sidecar.once import Once
from sidecar.overdue import Overdue
from sidecar.pacing import Pacing, give_back
from sidecar.ports import Clock, HttpSender, Random
from sidecar.prepare import Preparation
from sidecar.provider import Catalogue
from sidecar.quota import Quotas
from sidecar.run import Credentials, Ended, Limits, Observer, Renewal, Run
from sidecar.stop import Stop
from sidecar.wire.event import CallEvent
from sidecar.wire.reply import too_large

log = logging.getLogger("sidecar.execute")

TURN_SECONDS = 0.01  # a shorter wait for its turn is not told
UNTRIED = frozenset({Reason.BEFORE_SEND, Reason.CIRCUIT_OPEN})  # then what the attempt before showed stands
SURE = (SideEffect.NONE, SideEffect.UNKNOWN, SideEffect.DONE)  # of several attempts the last of these is known


class Executor:
    """Runs calls. Holds nothing of a call after it ended; between calls what `guard` saw."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        credentials: Credentials,
        sender: HttpSender,
        clock: Clock,
        random: Random,
        observer: Observer,
        prefix: str,
        sidecar_id: str,
        user_agent: str,
        limits: Limits,
        quotas: Quotas,
        renewal: Renewal | None = None,
        base_urls: Mapping[str, str] | None = None,
        once: Once | None = None,
    ) -> None:
        """Without `renewal` a refused token stays so, without `once` a call with an idempotency key is refused.
        `base_urls` replaces what a provider's manifest and connections say (the sandbox does).
        """
        self.catalogue = catalogue
        self.preparation = Preparation(
            catalogue=catalogue, credentials=credentials, clock=clock, prefix=prefix, base_urls=base_urls
        )
        self._sender = sender
        self._clock = clock
        self._random = random
        self._observer = observer
        self._id = sidecar_id
        self._user_agent = user_agent
        self._limits = limits
        self._renewal = renewal
        self._once = once
        self._pacing = Pacing(quotas, clock, limits.retry.first_throttle_delay)
        self.guard = Guard(clock)
        self._overdue = Overdue()

    async def run(self, call: Call, credential: Credential | None = None, stop: Stop | None = None) -> Ended:
        """The call's end. A defect becomes `INTERNAL/BUG`, logged; a cancellation by `stop` becomes its reason, any
        other one is raised again when the end was told.

        `credential` is used in place of the connection's stored one: it is tried before it is stored.
        """
        stop = stop or Stop.here()
        due = self._overdue.expect(stop, call.deadline - self._clock.now())
        run: Run | None = None
        try:
            told = await self._emit(story.started, call, catalog_hash=self.catalogue.digest, sidecar=self._id)
            prepared = await self._turn(call, stop) or await self.preparation.prepare(call, credential, stop, told=told)
            if isinstance(prepared, Run):
                run = prepared
                result = dry_run(run.request, shown(run.auth)) if call.dry_run else await self._done_once(run)
            else:
                result = prepared
        except asyncio.CancelledError:
            ours = stop.arrived()
            result = await self._stopped(run, stop.reason or Reason.SHUTTING_DOWN)
            if not ours:
                await self._end(call, run, result)
                raise
        except Exception as error:  # noqa: BLE001  # logged without the secrets that its words may hold
            result = _defect(call, run, error)
        finally:
            due.discard(stop)
        stop.settle()
        return await self._end(call, run, result)

    async def _turn(self, call: Call, stop: Stop) -> Failure | None:
        """Wait until others have had their turn, and tell of it where that took a while."""
        if stop.turn is not None:
            await stop.turn
        waited = self._clock.now() - call.accepted
        if waited < TURN_SECONDS:
            return None
        if self._clock.now() >= call.deadline:
            return out_of_time(waited)
        await self._emit(story.wait, call, waited, "other calls were under way: its turn came then")
        return None

    async def _done_once(self, run: Run) -> Outcome:
        """With an idempotency key: what the first call with it ended in, or this one's outcome as the first."""
        call, key = run.call, run.call.idempotency_key
        if key is None:
            return await self._attempt_until_done(run)
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
        return await self._attempt_until_done(run)

    async def _attempt_until_done(self, run: Run) -> Outcome:
        """The attempt loop: reserve, credential, send, observe limits, outcome, retry?"""
        call = run.call
        while True:
            # Before its leave, which ends within milliseconds: what is left to do then is to write.
            if call.access is Access.WRITE and run.attempts == 0 and not await self._is_told(run):
                return untold()
            refused = await self._refusal(run)
            if refused is not None:
                return _instead(run, refused)
            # Time went by: its leave may be over, and the deadline may have passed.
            if not run.may_send() or self._clock.now() >= call.deadline or not self.guard.enter(run):
                continue
            began = run.began = self._clock.now()
            answer, result = await self._exchange(run)
            run.began = None
            if run.held_back:  # its leave ended while the connection was made: this was no attempt
                continue
            jitter = self._random.jitter()
            decision = self._decide(run, result, jitter)
            self._pacing.observe(run, answer, result, decision)
            if decision.delay is None:
                run.stop.settle()
            await self._tell_attempt(run, answer, result, decision, began)
            if isinstance(result, Success):
                self.guard.succeeded(run)
                return result
            run.why.append(f"attempt {run.attempts}: {decision.why}")
            if decision.delay is None:
                return result
            run.last = result
            if decision.delay == 0.0:
                continue
            await self._emit(story.wait, call, decision.delay, decision.why, jitter=jitter)
            await self._clock.sleep(decision.delay)

    async def _refusal(self, run: Run) -> Failure | None:
        """Why no exchange may begin; else there is leave for it, and the credential is as it is now."""
        refused = self.guard.refusal(run) or await self._reserve(run) or await self._renew_credential(run)
        if refused is None and run.held and self._once:
            refused = await self._once.fence(run.held, run.call.deadline)
        return refused

    async def _reserve(self, run: Run) -> Failure | None:
        """Leave for the next exchange, and each wait for it told."""

        async def emit(seconds: float, why: str, bucket: str) -> None:
            await self._emit(story.wait, run.call, seconds, why, bucket=bucket)

        return await self._pacing.reserve(run, emit)

    async def _is_told(self, run: Run) -> bool:
        """Whether `started` has left this process."""
        return run.told and await self._observer.handed_over()

    async def _renew_credential(self, run: Run) -> Failure | None:
        """Before a further attempt: the connection may have been disabled or given another credential meanwhile."""
        if run.attempts == 0 or run.trial:
            return None
        credential = await (self._renewed(run, run.refused) if run.refused else self.preparation.load(run.call))
        if isinstance(credential, Failure):
            return credential
        auth = auth_of(run.provider.manifest.auth, credential.kind)
        if auth is None:
            return unusable(run.call, credential.kind)
        fact = run.provider.manifest.base_url  # the request is for the server before: not its secret
        if connection_url(fact, credential) != connection_url(fact, run.credential):
            return moved(run.call)
        run.credential, run.auth = credential, auth
        return None

    async def _renewed(self, run: Run, refused: Failure) -> Credential | Failure:
        """The credential with a new token, in place of the one that was refused just now; later as any other."""
        call, left = run.call, max(0.0, run.call.deadline - self._clock.now())
        if self._renewal is None or run.renewed:
            return await self.preparation.load(call)
        run.renewed = True
        found = await self._renewal.rejected(call.tenant, call.connection, call.provider, run.credential, within=left)
        return refused if found is None else found

    async def _exchange(self, run: Run) -> tuple[httpx.Response | Failure, Outcome]:
        """One attempt: what came back, and what it means."""
        before = run.side_effect
        run.attempts += 1
        if run.call.access is Access.WRITE:  # until its end is known
            run.side_effect = SideEffect.UNKNOWN
        request = authorise(run.request, run.auth, run.credential.revealed(), self._user_agent)
        request.extensions["may_send"] = run.may_send
        most = run.provider.manifest.max_response_bytes or self._limits.max_response_bytes
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
            self.guard.leave(run, result)
        if run.call.access is Access.WRITE:
            done = SideEffect.DONE if isinstance(result, Success) else result.side_effect
            run.side_effect = max(before, done, key=SURE.index)
        return answer, result

    def _outcome(self, run: Run, answer: httpx.Response | Failure) -> Outcome:
        """What it means, in words that do not repeat the credential."""
        try:
            result = self._meaning(run, answer)
        except Exception as error:  # noqa: BLE001  # of a hook; the exchange is told all the same
            return _defect(run.call, run, error)
        if isinstance(result, Failure):
            return redact_failure(result, run.secrets)
        return echoing(result, run.secrets, run.proofs, run.provider.manifest.title, run.side_effect) or result

    def _meaning(self, run: Run, answer: httpx.Response | Failure) -> Outcome:
        if not isinstance(answer, Failure):
            return outcome(run.provider, run.operation, answer, self._clock.wall())
        if run.operation.access is Access.READ:  # a read changes nothing, whatever was sent of it
            return msgspec.structs.replace(answer, side_effect=SideEffect.NONE)
        return answer

    def _decide(self, run: Run, result: Outcome, jitter: float) -> Decision:
        if isinstance(result, Success):
            return Decision(None, "done")
        if result.reason is Reason.CREDENTIAL_REJECTED and self._may_renew(run):
            run.refused = result
            return Decision(0.0, "the provider refused the token before acting: it is renewed, then sent once more")
        decision = retry(
            self._limits.retry,
            run.attempts,
            result,
            access=run.operation.access,
            repeatable=run.repeatable,
            jitter=jitter,
            left=run.call.deadline - self._clock.now(),
        )
        return decision if decision.delay is None else self.guard.afford(run, result, decision)

    def _may_renew(self, run: Run) -> bool:
        return self._renewal is not None and run.refused is None and not run.trial and is_issued(run.auth)

    async def _stopped(self, run: Run | None, reason: Reason) -> Failure:
        """What a call ends in that was told to stop; of the exchange that this cut off the trace is told too."""
        if run is None:
            return stopped(reason, 0, under_way=False, side_effect=SideEffect.NONE)
        began, run.began = run.began, None
        if began is None and run.last is not None and reason is Reason.BEFORE_SEND:
            return run.last
        result = stopped(reason, run.attempts, under_way=began is not None, side_effect=run.side_effect)
        if began is not None:
            await self._tell_attempt(run, result, result, Decision(None, "the call was told to stop"), began)
        return result

    async def _end(self, call: Call, run: Run | None, result: Outcome) -> Ended:
        attempts = run.attempts if run else 0
        if run:
            give_back(run)
        if run and run.replayed:
            first = run.replayed
            await self._emit(story.finished, call, attempts=0, result=result, why=run.why, replayed=first.call_id)
            return Ended(result, first.attempts, replayed=first.call_id)
        operation = self.catalogue.operation(call.provider, call.operation)
        most = self._limits.max_output_bytes
        if isinstance(result, Success) and len(result.body) + len(result.next_cursor or "") > most:
            result = too_large(call.access, result, attempts, most)
        if isinstance(result, Failure):
            if run and call.access is Access.WRITE and run.held and self._once and self._once.taken_over(run.held):
                run.side_effect = max(run.side_effect, SideEffect.UNKNOWN, key=SURE.index)
            if run and result.side_effect is SideEffect.NONE:  # of the last attempt; an earlier one may have done it
                result = msgspec.structs.replace(result, side_effect=run.side_effect)
            if run and run.held and sent_again(result, again=run.held.again):
                run.again, result = True, with_same_key(result)
            result = with_hint(result, call, operation)
        await self._emit(story.finished, call, attempts=attempts, result=result, why=run.why if run else ())
        if run and run.held and self._once:
            await self._once.settle(run.held, result, call=call, attempts=attempts)
        return Ended(result, attempts, again=run.again if run else False)

    async def _tell_attempt(
        self, run: Run, answer: httpx.Response | Failure, result: Outcome, decision: Decision, began: float
    ) -> None:
        await self._emit(
            story.attempt,
            run.call,
            number=run.attempts,
            began=began,
            provider=run.provider,
            request=run.request,
            answer=answer,
            result=result,
            decision=decision,
            secrets=run.secrets,
            credential=run.credential,
        )

    async def _emit(self, tell: Callable[..., CallEvent], call: Call, *known: Any, **also: Any) -> bool:
        """Tell what happened; false when it is lost. No call ends in anything else because it cannot be told."""
        try:
            return await self._observer.emit(tell(call, self._clock.now(), self._clock.wall(), *known, **also))
        except Exception as error:  # logged without the secrets that its words may hold
            log.exception("an event of call %s could not be told", call.call_id, exc_info=defect(error))
            return False


def _instead(run: Run, refused: Failure) -> Failure:
    """What is told in place of a further attempt that is not to be made."""
    return run.last if run.last and refused.reason in UNTRIED else refused


def _defect(call: Call, run: Run | None, error: Exception) -> Failure:
    log.error("call %s ended in a defect", call.call_id, exc_info=defect(error, run.secrets if run else ()))
    return Failure(
        reason=Reason.BUG,
        detail=f"a defect of the sidecar ended this call; its log names call {call.call_id}",
        side_effect=run.side_effect if run else SideEffect.NONE,
    )
