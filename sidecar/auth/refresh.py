"""The refresh protocol: how tokens are renewed once, by one of many processes, and no refresh token is spent twice.

Pure: no await, no clock, no dice. The one who drives it carries an effect out and comes back with what happened.

Before the refresh token is spent, the record says who spends it: that write is the fence. Whoever replaced the record
since finds its own attempt in it no more, and stores nothing. A second use of a refresh token is taken for theft and
ends the grant (RFC 9700 section 4.14.2), so another's attempt is left alone until it is certain to be over: its writer
may stand still, or be unable to write. Time is one process's own, from when it first saw the attempt.
"""

from __future__ import annotations

import math
from enum import Enum, auto

import msgspec

from sidecar.auth.issue import spends, with_tokens
from sidecar.auth.token_answer import Granted, Refused, TokenOutcome, Unanswered
from sidecar.credential import Credential, Refreshing, Status
from sidecar.model import Failure, Reason
from sidecar.secret import Secret
from sidecar.store.record import MAKE_ROOM
from sidecar.store.write import Conflict, Doubt, Full, Outcome, Unknown, Written

SEND_SECONDS = 5.0  # after it began to write the fence; later than that it is written anew
ANSWER_SECONDS = 24.0  # how long a token endpoint is waited for: as long as nobody else may ask it
PATIENCE_SECONDS = 25.0  # how long another's attempt is left alone
NOTICE_SECONDS = 5.0  # then the record is written as it is: now the other one could store its tokens too, if it lives
FIRST_PAUSE = 0.1
SHORTEST_PAUSE = 0.01
LONGEST_PAUSE = 2.0
LONGEST_PAUSE_OF_HOLDER = 0.5  # who has tokens to store comes several times within others' notice
LOOKS = 5  # that show nothing, or something older than what is known, and then it is so
LOOKS_OF_HOLDER = 60  # the same, for one who has tokens to store


class Began(msgspec.Struct, frozen=True, tag=True):
    """The first event."""


class Shown(msgspec.Struct, frozen=True, tag=True):
    """What a look showed, why it showed nothing, or None where there is no record. It may be stale."""

    found: Credential | Failure | None
    revision: int = 0


class Wrote(msgspec.Struct, frozen=True, tag=True):
    """What became of a write."""

    outcome: Outcome | Failure


class Answered(msgspec.Struct, frozen=True, tag=True):
    """What the token endpoint made of it."""

    outcome: TokenOutcome


class Woke(msgspec.Struct, frozen=True, tag=True):
    """The pause is over, or the record has changed."""


Event = Began | Shown | Wrote | Answered | Woke


class Look(msgspec.Struct, frozen=True, tag=True):
    """Read the record."""


class Write(msgspec.Struct, frozen=True, tag=True):
    """Write over exactly this revision."""

    credential: Credential
    revision: int


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Have the tokens of this credential renewed, within ANSWER_SECONDS."""

    credential: Credential


class Pause(msgspec.Struct, frozen=True, tag=True):
    """Wait, at most so long: a change of the record ends it."""

    seconds: float


class Tell(msgspec.Struct, frozen=True, tag=True):
    """Nobody need wait any longer, though it is not stored yet: this is what came of it. Then wait as in `Pause`."""

    known: Credential | Failure
    seconds: float


class Done(msgspec.Struct, frozen=True, tag=True):
    """It is over: look at the record again, or this is why nothing could be done. `late`: new tokens were dropped, as
    the record was another's by then.
    """

    failure: Failure | None = None
    late: bool = False


Effect = Look | Write | Ask | Pause | Tell | Done


class Phase(Enum):
    """What the write under way is for."""

    LOOKING = auto()
    NOTICE = auto()
    FENCE = auto()
    RESULT = auto()


class Renewing(msgspec.Struct, frozen=True):
    """One run, for one connection, in one process, which makes no other one of it meanwhile. Begin with the event
    `Began`. `stale` is the access token to replace; when the record holds another one, somebody did it.

    `owner` is the process, `name` this run's alone. `at_least`: older revisions are not the truth any more. `seen` is
    another's attempt, waited for so long already. `held` is the credential as it was last written here.
    """

    owner: str
    name: str
    stale: Secret | None
    phase: Phase = Phase.LOOKING
    attempts: int = 0
    at_least: int = 0
    pauses: int = 0
    seen: str | None = None
    waited: float = 0.0
    looked: float = 0.0
    noticed: bool = False
    held: Credential | None = None
    revision: int = 0
    began: float = 0.0
    result: TokenOutcome | None = None
    told: bool = False
    overtaken: bool = False

    @property
    def attempt(self) -> str:
        return f"{self.name}.{self.attempts}"


replace = msgspec.structs.replace


def resumed(attempt: str, granted: Granted) -> Renewing:
    """A run that goes on after its process ended: these tokens are stored if the record still holds the attempt. Begin
    with the event `Woke`.
    """
    name, _, number = attempt.rpartition(".")
    return Renewing(
        owner="",
        name=name,
        stale=None,
        phase=Phase.RESULT,
        attempts=int(number),
        result=granted,
        told=True,
        overtaken=True,
    )


def step(state: Renewing, event: Event, now: float, jitter: float) -> tuple[Renewing, Effect]:
    """What to do next; `jitter` is uniform in [0, 1)."""
    match event:
        case Began():
            return state, Look()
        case Woke():
            return _write_result(state) if state.result is not None and not state.overtaken else (state, Look())
        case Shown() if state.result is not None:
            return _shown_to_holder(state, event, jitter)
        case Shown():
            return _shown(state, event, now, jitter)
        case Answered(outcome):
            return _write_result(replace(state, phase=Phase.RESULT, result=outcome, pauses=0))
        case Wrote(outcome):
            match state.phase:
                case Phase.NOTICE:
                    return _gave_notice(state, outcome, jitter)
                case Phase.FENCE:
                    return _fenced(state, outcome, now, jitter)
                case _:
                    return _stored(state, outcome, jitter)


def _shown(state: Renewing, shown: Shown, now: float, jitter: float) -> tuple[Renewing, Effect]:
    """Whether there is anything to renew, and whose turn it is."""
    credential, revision = shown.found, shown.revision
    if isinstance(credential, Failure):
        return state, Done(credential)
    if credential is None or revision < state.at_least:
        return _look_again(state, jitter)
    state = replace(state, at_least=revision)
    if credential.status is not Status.ACTIVE or access_of(credential) != state.stale:
        return state, Done()
    refreshing = credential.refreshing
    if refreshing is None or refreshing.owner is None:
        return _fence(state, credential, revision, now, refreshing.unanswered if refreshing else 0)
    if refreshing.attempt == state.attempt:  # the write of the fence had no answer; it was done
        return _ask(replace(state, held=credential, revision=revision), now)
    if refreshing.owner == state.owner:  # an earlier run's, which never sent: those that send end with a result
        return _fence(state, credential, revision, now, refreshing.unanswered)
    return _wait(state, credential, refreshing, revision, now, jitter)


def _wait(
    state: Renewing, credential: Credential, refreshing: Refreshing, revision: int, now: float, jitter: float
) -> tuple[Renewing, Effect]:
    """Another one is at it. Only time in which the store answered counts, and before its attempt is taken over a write
    must have gone through: one that waits to store its tokens gets there first.
    """
    if state.seen != refreshing.attempt:
        return _pause(replace(state, seen=refreshing.attempt, waited=0.0, noticed=False, looked=now, pauses=0), jitter)
    waited = state.waited + min(now - state.looked, 2 * LONGEST_PAUSE)
    state = replace(state, waited=waited, looked=now)
    if waited >= PATIENCE_SECONDS and not state.noticed:
        return replace(state, phase=Phase.NOTICE), Write(credential, revision)
    left = PATIENCE_SECONDS + (NOTICE_SECONDS if state.noticed else 0.0) - waited
    if left > 0:
        return _pause(state, jitter, max(left, SHORTEST_PAUSE))
    return _fence(state, credential, revision, now, refreshing.unanswered + 1)


def _gave_notice(state: Renewing, outcome: Outcome | Failure, jitter: float) -> tuple[Renewing, Effect]:
    state = replace(state, phase=Phase.LOOKING)
    if isinstance(outcome, Written):
        state = replace(state, at_least=outcome.revision)
    elif not _overtaken(outcome):  # nobody may have been able to write
        return _pause(replace(state, waited=0.0), jitter)
    return _pause(replace(state, waited=PATIENCE_SECONDS, noticed=True, pauses=0), jitter)


def _fence(
    state: Renewing, credential: Credential, revision: int, now: float, unanswered: int
) -> tuple[Renewing, Effect]:
    """Say in the record that we are about to send."""
    state = replace(state, phase=Phase.FENCE, attempts=state.attempts + 1, revision=revision, began=now, pauses=0)
    ours = Refreshing(owner=state.owner, attempt=state.attempt, unanswered=unanswered)
    held = replace(credential, refreshing=ours)
    return replace(state, held=held), Write(held, revision)


def _fenced(state: Renewing, outcome: Outcome | Failure, now: float, jitter: float) -> tuple[Renewing, Effect]:
    if isinstance(outcome, Written):
        return _ask(replace(state, revision=outcome.revision, at_least=outcome.revision), now)
    if _overtaken(outcome):
        return replace(state, phase=Phase.LOOKING, at_least=state.revision + 1), Look()
    if isinstance(outcome, Unknown):  # it may yet be written: what is there then is ours
        return _look_again(replace(state, phase=Phase.LOOKING), jitter)
    return state, Done(outcome if isinstance(outcome, Failure) else _not_begun(outcome))


def _ask(state: Renewing, now: float) -> tuple[Renewing, Effect]:
    """Send, unless we stood still for so long that others may soon believe us dead."""
    held = state.held
    assert held is not None  # written or seen before
    if now - state.began > SEND_SECONDS:
        unanswered = held.refreshing.unanswered if held.refreshing else 0
        return _fence(state, held, state.revision, now, unanswered)
    return state, Ask(held)


def _write_result(state: Renewing) -> tuple[Renewing, Effect]:
    held, result = state.held, state.result
    assert held is not None  # nobody answers what was not asked
    assert result is not None  # as above
    return state, Write(_after(held, result), state.revision)


def _stored(state: Renewing, outcome: Outcome | Failure, jitter: float) -> tuple[Renewing, Effect]:
    result, held = state.result, state.held
    assert result is not None  # this phase begins with it
    assert held is not None  # as above
    if isinstance(outcome, Written):
        return state, Done(_said(result))
    if _overtaken(outcome):
        return replace(state, overtaken=True, at_least=state.revision + 1, pauses=0), Look()
    if state.told:
        return _pause(state, jitter)
    known = _said(result) or _after(held, result)
    return replace(state, told=True, pauses=state.pauses + 1), Tell(known, _pause_seconds(state, jitter))


def _shown_to_holder(state: Renewing, shown: Shown, jitter: float) -> tuple[Renewing, Effect]:
    """The record was changed under us: while it holds our attempt, what it says besides stays, and ours is added."""
    credential, revision = shown.found, shown.revision
    if isinstance(credential, Failure):
        return _pause(state, jitter)
    if credential is None or revision < state.at_least:
        return _look_again(state, jitter)
    ours = credential.refreshing is not None and credential.refreshing.attempt == state.attempt
    if ours and not _told(credential):
        return _write_result(replace(state, held=credential, revision=revision, at_least=revision, overtaken=False))
    result = state.result
    assert result is not None  # a holder has one
    late = isinstance(result, Granted) and access_of(credential) != result.tokens.access
    return state, Done(None if late else _said(result), late=late)


def _told(credential: Credential) -> bool:
    """Whether its record says what became of the attempt that it holds: that write of ours had no answer."""
    over = credential.refreshing is None or credential.refreshing.owner is None
    return over or credential.status is Status.REAUTH_REQUIRED


def _after(credential: Credential, result: TokenOutcome) -> Credential:
    """The credential with what the token endpoint made of it."""
    ours = credential.refreshing
    unanswered = ours.unanswered if ours else 0
    match result:
        case Granted():
            return with_tokens(credential, result)
        case Refused(final=True, detail=why):
            if credential.status is not Status.ACTIVE:
                return replace(credential, refreshing=None)
            kept_refreshing = ours if unanswered else None  # says that it was lost
            return replace(credential, status=Status.REAUTH_REQUIRED, why=why, refreshing=kept_refreshing)
        case Refused(perhaps_spent=doubt) | Unanswered(sent=doubt):
            unanswered += doubt and spends(credential)
            over = Refreshing(owner=None, attempt=ours.attempt, unanswered=unanswered) if ours and unanswered else None
            return replace(credential, refreshing=over)


def _said(result: TokenOutcome) -> Failure | None:
    """What callers without a valid token are told; None where the record says everything."""
    if isinstance(result, Granted) or (isinstance(result, Refused) and result.final):
        return None
    detail = f"no new token yet: {result.detail}"
    return Failure(reason=Reason.CREDENTIAL_REFRESHING, detail=detail, retry_after=result.retry_after)


def _not_begun(outcome: Outcome) -> Failure:
    why = "no token was asked for, as it could not be written that one will be"
    if isinstance(outcome, Full):
        return Failure(reason=Reason.STORE_FULL, detail=f"{why}: the store is full: {outcome.said}", hint=MAKE_ROOM)
    return Failure(reason=Reason.STORE_UNAVAILABLE, detail=f"{why}: {type(outcome).__name__.lower()}")


def access_of(credential: Credential) -> Secret | None:
    """The access token in use."""
    return credential.tokens.access if credential.tokens else None


def _overtaken(outcome: Outcome | Failure) -> bool:
    return isinstance(outcome, Conflict) or (isinstance(outcome, Unknown) and outcome.doubt is Doubt.OVERTAKEN)


def _look_again(state: Renewing, jitter: float) -> tuple[Renewing, Effect]:
    """What was shown is not what is known to be there: that replica lags, or the record is gone."""
    if state.pauses >= (LOOKS if state.result is None else LOOKS_OF_HOLDER):
        return state, Done(late=state.result is not None)
    return _pause(state, jitter)


def _pause(state: Renewing, jitter: float, most: float = math.inf) -> tuple[Renewing, Effect]:
    return replace(state, pauses=state.pauses + 1), Pause(min(most, _pause_seconds(state, jitter)))


def _pause_seconds(state: Renewing, jitter: float) -> float:
    longest = LONGEST_PAUSE if state.result is None else LONGEST_PAUSE_OF_HOLDER
    return min(longest, FIRST_PAUSE * 2.0 ** min(state.pauses, 10)) * (0.5 + jitter)
