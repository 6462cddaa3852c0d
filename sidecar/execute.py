"""One call, top to bottom: prepare it (`prepare.py`), then attempts until it is answered or must stop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sidecar.attempt import Attempts, bug
from sidecar.auth.kind import shown
from sidecar.core.dry_run import dry_run
from sidecar.core.hint import with_hint
from sidecar.core.refusal import out_of_time, stopped, untold
from sidecar.core.retry import Decision, retry
from sidecar.credential import Credential
from sidecar.guard import Guard
from sidecar.kept import Done
from sidecar.keyed import Keyed
from sidecar.model import Access, Call, Failure, Outcome, Reason, SideEffect, Success
from sidecar.once import Once
from sidecar.overdue import Overdue
from sidecar.pacing import Pacing, give_back
from sidecar.ports import Clock, HttpSender, Random
from sidecar.prepare import Preparation
from sidecar.provider import Catalogue
from sidecar.quota import Quotas
from sidecar.run import Credentials, Ended, Limits, Name, Observer, Renewal, Run
from sidecar.stop import Stop
from sidecar.telling import Telling
from sidecar.wire.reply import too_large

TURN_SECONDS = 0.01  # a shorter wait for its turn is not told
DONE = Decision(None, "done")
UNTRIED = frozenset({Reason.BEFORE_SEND, Reason.CIRCUIT_OPEN})  # then what the attempt before showed stands


class Executor:
    """Runs calls. Holds nothing of a call after it ended; between calls what `guard` saw."""

    def __init__(
        self,
        *,
        name: Name,
        catalogue: Catalogue,
        credentials: Credentials,
        sender: HttpSender,
        clock: Clock,
        random: Random,
        observer: Observer,
        limits: Limits,
        quotas: Quotas,
        renewal: Renewal | None = None,
        base_urls: Mapping[str, str] | None = None,
        once: Once | None = None,
    ) -> None:
        """`renewal` and `base_urls` are for `prepare.py`, `once` is for `keyed.py`, and they say what is without."""
        self.catalogue = catalogue
        self.guard = Guard(clock)
        self.preparation = Preparation(
            catalogue=catalogue,
            credentials=credentials,
            clock=clock,
            prefix=name.prefix,
            base_urls=base_urls,
            renewal=renewal,
        )
        self._id = name.sidecar
        self._clock = clock
        self._random = random
        self._limits = limits
        self._telling = Telling(observer, clock)
        self._keyed = Keyed(once)
        self._pacing = Pacing(quotas, self._telling, clock, limits.retry.first_throttle_delay)
        self._attempts = Attempts(
            sender, self._pacing, self.guard, clock, user_agent=name.user_agent, most=limits.max_response_bytes
        )
        self._overdue = Overdue()

    async def run(self, call: Call, credential: Credential | None = None, stop: Stop | None = None) -> Ended:
        """The call's end. A defect becomes `INTERNAL/BUG`, logged; a cancellation by `stop` becomes its reason, any
        other one is raised again when the end was told.

        `credential` is used in place of the connection's stored one: it is tried before it is stored.
        """
        stop, now = stop or Stop.here(), self._clock.now()
        due = self._overdue.expect(stop, call.deadline - now)
        run: Run | None = None
        try:
            told = self._telling.started(call, catalog_hash=self.catalogue.digest, sidecar=self._id)
            if stop.turn is not None:
                await stop.turn
                now = self._clock.now()
            prepared = self._late(call, now) or await self.preparation.prepare(call, credential, stop, told=told)
            if isinstance(prepared, Run):
                run = prepared
                result = await self._outcome(run)
            else:
                result = prepared
        except asyncio.CancelledError:
            ours = stop.arrived()
            result = await self._stopped(run, stop.reason or Reason.SHUTTING_DOWN)
            if not ours:
                await self._end(call, run, result)
                raise
        except Exception as error:  # noqa: BLE001  # logged without the secrets that its words may hold
            result = bug(call, run, error)
        finally:
            due.discard(stop)
        stop.settle()
        return await self._end(call, run, result)

    def _late(self, call: Call, now: float) -> Failure | None:
        """Others had their turn before: tell of it where that took a while."""
        waited = now - call.accepted
        if waited < TURN_SECONDS:
            return None
        if now >= call.deadline:
            return out_of_time(waited)
        self._telling.waits(call, waited, "other calls were under way: its turn came then")
        return None

    async def _outcome(self, run: Run) -> Outcome:
        """What it would send, what its key's first call ended in, or what its attempts do."""
        if run.call.dry_run:
            return dry_run(run.request, shown(run.auth))
        key = run.call.idempotency_key
        first = None if key is None else await self._keyed.first(run, key)
        return first or await self._attempt_until_done(run)

    async def _attempt_until_done(self, run: Run) -> Outcome:
        """The attempt loop: reserve, credential, send, observe limits, outcome, retry?"""
        call = run.call
        while True:
            # Before its leave, which ends within milliseconds: what is left to do then is to write.
            if call.access is Access.WRITE and run.attempts == 0 and not await self._telling.is_told(run):
                return untold()
            refused = await self._refusal(run)
            if refused is not None:
                return _instead(run, refused)
            # Time went by: its leave may be over, and the deadline may have passed.
            if not run.may_go_on() or self._clock.now() >= call.deadline or not self.guard.enter(run):
                continue
            began = run.began = self._clock.now()
            answer, result = await self._attempts.make(run)
            run.began = None
            if run.held_back:  # its leave ended while the connection was made: this was no attempt
                continue
            jitter = self._random.jitter()
            decision = self._decide(run, result, jitter)
            self._pacing.observe(run, answer, result, decision)
            if decision.delay is None:
                run.stop.settle()
            self._telling.attempt(run, answer, result, decision, began)
            if isinstance(result, Success):
                self.guard.succeeded(run)
                return result
            run.why.append(f"attempt {run.attempts}: {decision.why}")
            if decision.delay is None:
                return result
            run.last = result
            if decision.delay == 0.0:
                continue
            self._telling.waits(call, decision.delay, decision.why, jitter=jitter)
            await self._clock.sleep(decision.delay)

    async def _refusal(self, run: Run) -> Failure | None:
        """Why no exchange may begin; else there is leave for it, and the credential is as it is now."""
        refused = self.guard.refusal(run)
        if refused is None:
            reserved = self._pacing.reserve(run)
            refused = reserved if reserved is None or isinstance(reserved, Failure) else await reserved
        refused = refused or await self.preparation.again(run)
        if refused is None and run.held is not None:
            return await self._keyed.fence(run)
        return refused

    def _decide(self, run: Run, result: Outcome, jitter: float) -> Decision:
        if isinstance(result, Success):
            return DONE
        if result.reason is Reason.CREDENTIAL_REJECTED and self.preparation.may_renew(run):
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

    async def _stopped(self, run: Run | None, reason: Reason) -> Failure:
        """What a call ends in that was told to stop; of the exchange that this cut off the trace is told too."""
        if run is None:
            return stopped(reason, 0, under_way=False, side_effect=SideEffect.NONE)
        began, run.began = run.began, None
        if began is None and run.last is not None and reason is Reason.BEFORE_SEND:
            return run.last
        result = stopped(reason, run.attempts, under_way=began is not None, side_effect=run.side_effect)
        if began is not None:
            self._telling.attempt(run, result, result, Decision(None, "the call was told to stop"), began)
        return result

    async def _end(self, call: Call, run: Run | None, result: Outcome) -> Ended:
        """Tell how it ended, and let its key's record say so."""
        if run is None:
            result = self._final(call, None, result)
            self._telling.finished(call, attempts=0, result=result, why=())
            return Ended(result, 0)
        give_back(run)
        if run.replayed:
            return await self._replayed(run, run.replayed, result)
        result = self._final(call, run, result)
        self._telling.finished(call, attempts=run.attempts, result=result, why=run.why)
        if run.held is not None:
            await self._keyed.settle(run, result)
        return Ended(result, run.attempts, again=run.again)

    async def _replayed(self, run: Run, first: Done, result: Outcome) -> Ended:
        self._telling.finished(run.call, attempts=0, result=result, why=run.why, replayed=first.call_id)
        return Ended(result, first.attempts, replayed=first.call_id)

    def _final(self, call: Call, run: Run | None, result: Outcome) -> Outcome:
        """The outcome as it is told: no larger than a reply may be, and with a hint where it failed."""
        most = self._limits.max_output_bytes
        if isinstance(result, Success) and len(result.body) + len(result.next_cursor or "") > most:
            result = too_large(call.access, result, run.attempts if run else 0, most)
        if isinstance(result, Success):
            return result
        known = self._keyed.told(run, result) if run else result
        return with_hint(known, call, self.catalogue.operation(call.provider, call.operation))


def _instead(run: Run, refused: Failure) -> Failure:
    """What is told in place of a further attempt that is not to be made."""
    return run.last if run.last and refused.reason in UNTRIED else refused
