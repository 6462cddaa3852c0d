"""Carries out renewals as `refresh.py` decides them: one flight for each connection, which no caller's end cuts off."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

import anyio
import anyio.abc

from sidecar.auth import refresh
from sidecar.auth.flight import Flight, Place
from sidecar.auth.issue import with_tokens
from sidecar.auth.refresh import Event, Renewing
from sidecar.auth.spill import Spill, Spilled
from sidecar.auth.token_answer import Granted, Refused, TokenOutcome, Unanswered
from sidecar.credential import Credential, Status
from sidecar.model import Failure, Reason
from sidecar.ports import Clock, Random
from sidecar.provider import Provider
from sidecar.secret import Secret
from sidecar.store.credential import CredentialStore, Revised
from sidecar.store.record import record_key
from sidecar.store.writer import WRITE_SECONDS
from sidecar.wire.event import Auth, timestamp

READ_SECONDS = 5.0
STORE_SECONDS = 2.0  # then new tokens serve from memory and go to the disk, and storing them is tried on
LONGEST_ANSWER_SECONDS = refresh.ANSWER_SECONDS + 5.0  # of an endpoint that does not keep its deadline
FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 60.0
REVOKE_SECONDS = 10.0
LONGEST_TOLD = 3_600.0  # an endpoint that wants to be left alone for longer is asked once an hour
MAX_FAILED = 10_000

log = logging.getLogger("sidecar.auth")


class Endpoint(Protocol):
    """Whoever asks token endpoints (`auth/endpoint.py`)."""

    async def renew(self, tenant: str, provider: Provider, credential: Credential, deadline: float) -> TokenOutcome: ...

    async def revoke(
        self, tenant: str, provider: Provider, credential: Credential, deadline: float
    ) -> Refused | Unanswered | None: ...


class Told(Protocol):
    """Whoever wants to know what comes of renewals."""

    def emit(self, event: Auth) -> bool: ...


class Gauge(Protocol):
    def unpersisted(self, number: int) -> None: ...


class Refresher:
    """Renewals of this process. `serve` runs them; before it does, and after `stop`, none is begun."""

    def __init__(
        self,
        *,
        store: CredentialStore,
        endpoint: Endpoint,
        providers: Mapping[str, Provider],
        clock: Clock,
        random: Random,
        observer: Told,
        gauge: Gauge,
        spill: Spill | None = None,
    ) -> None:
        self._store = store
        self._endpoint = endpoint
        self._providers = providers
        self._clock = clock
        self._random = random
        self._observer = observer
        self._gauge = gauge
        self._spill = spill
        self._owner = random.token(8).hex()  # another one in each life of the process
        self._runs = 0
        self._flights: dict[str, Flight] = {}
        self._failed: dict[str, tuple[int, float, Failure]] = {}  # how often in a row, not again before, and why
        self._unpersisted: dict[str, Flight] = {}
        self._tasks: anyio.abc.TaskGroup | None = None
        store.listen(self._heard)

    async def serve(self) -> None:
        """Run renewals until cancelled; first store what an earlier life of this process could not."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            for spilled in await self._spill.found() if self._spill else ():
                self._resume(spilled)
            await anyio.sleep_forever()

    async def stop(self, within: float) -> int:
        """Begin none any more, and wait so many seconds for those that may have sent something. Gives how many new
        tokens are not stored even then; they are on the disk, where there is a place for it.
        """
        self._tasks = None
        with anyio.move_on_after(within):
            for flight in list(self._flights.values()):
                if not flight.begun:
                    flight.scope.cancel()
            while self._flights:
                await next(iter(self._flights.values())).over.wait()
        return len(self._unpersisted)

    def begin(self, tenant: str, connection: str, provider: Provider, stale: Secret | None) -> Flight:
        """The flight that replaces this access token: the one under way, or a new one. It has ended already where none
        may begin now.
        """
        key = record_key(tenant, connection, provider.name)
        flight = self._flights.get(key)
        if flight is not None:
            return flight
        self._runs += 1
        state = Renewing(owner=self._owner, name=f"{self._owner}.{self._runs}", stale=stale)
        flight = Flight(Place(tenant, connection, provider, key), state)
        refusal = self._not_now(key)
        if refusal is not None:
            flight.end(refusal)
        else:
            self._start(flight, refresh.Began())
        return flight

    @property
    def under_way(self) -> int:
        """How many renewals."""
        return len(self._flights)

    def unpersisted(self, key: str, attempt: str) -> Credential | None:
        """The credential with the new tokens of this attempt, while they are not stored."""
        flight = self._unpersisted.get(key)
        if flight is None or flight.state.attempt != attempt or not isinstance(flight.known, Credential):
            return None
        return flight.known

    def _not_now(self, key: str) -> Failure | None:
        if self._tasks is None:
            return Failure(reason=Reason.SHUTTING_DOWN, detail="the token has ended, and this sidecar renews no more")
        _, until, failure = self._failed.get(key, (0, 0.0, None))
        left = until - self._clock.now()
        if failure is None or left <= 0:
            return None
        return Failure(reason=failure.reason, detail=failure.detail, retry_after=left, hint=failure.hint)

    def _resume(self, spilled: Spilled) -> None:
        """Bring to its end what an earlier life began: its tokens are stored if the record still holds its attempt."""
        provider = self._providers.get(spilled.provider)
        tokens = spilled.credential.tokens
        if provider is None or tokens is None:
            return
        key = record_key(spilled.tenant, spilled.connection, spilled.provider)
        granted = Granted(tokens=tokens, kept=spilled.credential.kept, client_id=spilled.credential.client_id)
        state = refresh.resumed(spilled.attempt, granted)
        flight = Flight(Place(spilled.tenant, spilled.connection, provider, key), state)
        flight.tell(spilled.credential)
        self._count(flight)
        self._start(flight, refresh.Woke())

    def _start(self, flight: Flight, event: Event) -> None:
        assert self._tasks is not None  # asked before
        self._flights[flight.place.key] = flight
        self._tasks.start_soon(self._fly, flight, event)

    async def _fly(self, flight: Flight, event: Event) -> None:
        place = flight.place
        try:
            with flight.scope:
                await self._carry_out(flight, event)
        except Exception as error:  # noqa: BLE001  # of ours; the next call tries again
            log.error("renewing the tokens of %s ended in a defect: %s", place.key, _where(error))  # noqa: TRY400  # its words may hold a token
            detail = "a defect of the sidecar kept it from renewing the token; its log says more"
            flight.end(Failure(reason=Reason.BUG, detail=detail))
        finally:
            if not flight.ended:
                flight.end(Failure(reason=Reason.SHUTTING_DOWN, detail="the renewal of the token was cut off"))
            self._flights.pop(place.key, None)
            self._unpersisted.pop(place.key, None)
            self._gauge.unpersisted(len(self._unpersisted))
            flight.over.set()

    async def _carry_out(self, flight: Flight, event: Event) -> None:
        names = flight.place.names
        while True:
            flight.state, effect = refresh.step(flight.state, event, self._clock.now(), self._random.jitter())
            match effect:
                case refresh.Look():
                    event = _shown(await self._store.look(*names, within=READ_SECONDS))
                case refresh.Write(credential, revision):
                    within = STORE_SECONDS if flight.state.result is not None else WRITE_SECONDS
                    event = refresh.Wrote(await self._store.put(*names, credential, revision, within=within))
                case refresh.Ask(credential):
                    event = refresh.Answered(await self._ask(flight.place, credential))
                case refresh.Pause(seconds):
                    event = await self._pause(flight, seconds)
                case refresh.Tell(known, seconds):
                    flight.tell(known)
                    self._count(flight)
                    await self._keep(flight)
                    event = await self._pause(flight, seconds)
                case refresh.Done(failure, late):
                    await self._end(flight, failure, late=late)
                    return

    async def _ask(self, place: Place, credential: Credential) -> TokenOutcome:
        """What the endpoint makes of it; it keeps the deadline itself, so that nothing is lost that did arrive."""
        deadline = self._clock.now() + refresh.ANSWER_SECONDS
        with anyio.move_on_after(LONGEST_ANSWER_SECONDS):
            try:
                return await self._endpoint.renew(place.tenant, place.provider, credential, deadline)
            except Exception as error:  # noqa: BLE001  # of ours; the token may be spent
                log.error("asking for new tokens of %s ended in a defect: %s", place.key, _where(error))  # noqa: TRY400  # its words may hold a token
                return Unanswered(sent=True, detail="a defect of the sidecar; its log says more")
        return Unanswered(sent=True, detail="the token endpoint gave no answer in time")

    async def _pause(self, flight: Flight, seconds: float) -> Event:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_woken, flight, tasks.cancel_scope)
            await self._clock.sleep(seconds)
            tasks.cancel_scope.cancel()
        return refresh.Woke()

    async def _keep(self, flight: Flight) -> None:
        """New tokens go to the disk while the store does not take them."""
        known = flight.known
        if self._spill is None or not isinstance(known, Credential):
            return
        tenant, connection, provider = flight.place.names
        spilled = Spilled(
            tenant=tenant, connection=connection, provider=provider, attempt=flight.state.attempt, credential=known
        )
        await self._spill.keep(spilled)

    async def _end(self, flight: Flight, failure: Failure | None, *, late: bool) -> None:
        key = flight.place.key
        if self._spill is not None and isinstance(flight.known, Credential):
            await self._spill.drop(*flight.place.names)
        if failure is None:
            self._failed.pop(key, None)
        else:
            failure = self._backed_off(key, failure)
        if flight.state.result is not None:
            await self._say(flight, flight.state.result, late=late)
        flight.end(failure if not isinstance(flight.known, Credential) else flight.known)
        if late:
            await self._give_back(flight)

    async def _give_back(self, flight: Flight) -> None:
        """Tokens that came for a connection that was revoked meanwhile are ended at the provider: it was told so of
        those before them.
        """
        place, held, result = flight.place, flight.state.held, flight.state.result
        known = self._store.known(*place.names)
        if known is None or known.status is not Status.REVOKED or held is None or not isinstance(result, Granted):
            return
        deadline = self._clock.now() + REVOKE_SECONDS
        untold = await self._endpoint.revoke(place.tenant, place.provider, with_tokens(held, result), deadline)
        if untold is not None:
            log.warning("new tokens of %s, which was revoked meanwhile, live on: %s", place.key, untold.detail)

    def _backed_off(self, key: str, failure: Failure) -> Failure:
        """With the time before which it is not tried again: longer each time, or as the endpoint told."""
        times = self._failed.get(key, (0, 0.0, failure))[0] + 1
        wait = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(times - 1, 10)) * (0.5 + self._random.jitter())
        wait = max(min(failure.retry_after or 0.0, LONGEST_TOLD), wait)
        if len(self._failed) > MAX_FAILED:
            now = self._clock.now()
            self._failed = {known: failed for known, failed in self._failed.items() if failed[1] > now}
        self._failed[key] = (times, self._clock.now() + wait, failure)
        return Failure(reason=failure.reason, detail=failure.detail, retry_after=wait, hint=failure.hint)

    async def _say(self, flight: Flight, result: TokenOutcome, *, late: bool) -> None:
        """One event of what came of it, and a log line where somebody has to act."""
        tenant, connection, provider = flight.place.names
        held = flight.state.held
        lost = held is not None and held.refreshing is not None and held.refreshing.unanswered > 0
        event = Auth(
            time=timestamp(self._clock.wall()),
            tenant=tenant,
            connection=connection,
            provider=provider,
            outcome="late" if late else _word(result, lost=lost),
            valid_s=result.tokens.lifetime if isinstance(result, Granted) and not late else None,
            detail=None if isinstance(result, Granted) else result.detail,
        )
        if event.outcome not in {"renewed", "failed"}:
            log.warning("tokens of %s: %s: %s", flight.place.key, event.outcome, event.detail or "another was faster")
        self._observer.emit(event)

    def _count(self, flight: Flight) -> None:
        if isinstance(flight.known, Credential):
            self._unpersisted[flight.place.key] = flight
            self._gauge.unpersisted(len(self._unpersisted))

    def _heard(self, key: str) -> None:
        flight = self._flights.get(key)
        if flight is not None:
            flight.wake()


def _where(error: Exception) -> str:
    """What went wrong and where, in no words of its own: they may hold a token."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name}, {Path(frame.filename).name}:{frame.lineno}"


async def _until_woken(flight: Flight, scope: anyio.CancelScope) -> None:
    await flight.woken()
    scope.cancel()


def _shown(found: Revised | Failure | None) -> Event:
    if isinstance(found, Revised):
        return refresh.Shown(found.credential, found.revision)
    return refresh.Shown(found)


Word = Literal["renewed", "failed", "unanswered", "reauth_required", "lost"]


def _word(result: TokenOutcome, *, lost: bool) -> Word:
    match result:
        case Granted():
            return "renewed"
        case Refused(final=True):
            return "lost" if lost else "reauth_required"
        case Refused():
            return "failed"
        case Unanswered(sent=sent):
            return "unanswered" if sent else "failed"
