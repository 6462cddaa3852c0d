"""The write protocol: how one record is written once, and what is known of it when answers fail to come.

Pure: no await, no clock, no dice. The one who drives it carries an effect out and comes back with what happened.

A write names the revision that it replaces. That fence decides; the server's memory of message ids (two minutes, lost
with its stream's leader) only saves work. A read may be stale, so what it does not show proves nothing; our own message
id in the store, or another's write that replaced the very revision we named, proves.
https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-8.md
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from sidecar.ports import Entry

FIRST_PAUSE = 0.05  # seconds; an election takes 4 to 9 of them, a leader that steps down a fraction of one
LONGEST_PAUSE = 1.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One write: `expected` is the revision it replaces, None where nothing may be; a `value` of None deletes.

    `message_id` is this write's alone. `ttl` is in whole seconds; a write is given up when its own ttl would be over.
    `deadline` is on the clock that `now` is of.
    """

    key: str
    value: bytes | None
    expected: int | None
    message_id: str
    deadline: float
    ttl: int | None = None


class Began(msgspec.Struct, frozen=True, tag=True):
    """The first event."""


class Acked(msgspec.Struct, frozen=True, tag=True):
    """Our message is stored as this revision; `duplicate`: by an earlier attempt."""

    revision: int
    duplicate: bool = False


class Conflict(msgspec.Struct, frozen=True, tag=True):
    """Another revision is the last one (10071, 10164), which one if the server said so. As an outcome: not written."""

    last: int | None = None


class Full(msgspec.Struct, frozen=True, tag=True):
    """There is no room (10077 and its like). As an outcome: not written."""

    said: str = ""


class NoAnswer(msgspec.Struct, frozen=True, tag=True):
    """Time-out, disconnected, or an error that tells nothing of the write.

    `reached` is False only where the server said that nobody received it (503, no responders): then nothing happened.
    """

    said: str = ""
    reached: bool = True


class InProcess(msgspec.Struct, frozen=True, tag=True):
    """An earlier attempt of this message id is under way (10158)."""


class Found(msgspec.Struct, frozen=True, tag=True):
    """What a look showed: the last message of the key, deletions too, or nothing."""

    entry: Entry | None


class Woke(msgspec.Struct, frozen=True, tag=True):
    """The pause is over."""


Event = Began | Acked | Conflict | Full | NoAnswer | InProcess | Found | Woke


class Doubt(StrEnum):
    """Why it is not known whether a write happened."""

    NO_ANSWER = "no answer came"
    OVERTAKEN = "another write stands there now, and ours may have come before it"


class Written(msgspec.Struct, frozen=True, tag=True):
    """It happened, once, as this revision."""

    revision: int


class Unreached(msgspec.Struct, frozen=True, tag=True):
    """It did not happen: in all the time nobody was there to receive it."""

    said: str = ""


class Unknown(msgspec.Struct, frozen=True, tag=True):
    """It may have happened, and may still."""

    doubt: Doubt
    said: str = ""


Outcome = Written | Conflict | Full | Unreached | Unknown


class Put(msgspec.Struct, frozen=True, tag=True):
    """Publish the value under this id, over exactly this revision (0: nothing there)."""

    message_id: str
    expected: int


class Look(msgspec.Struct, frozen=True, tag=True):
    """Read the last message of the key."""


class Sleep(msgspec.Struct, frozen=True, tag=True):
    seconds: float


class Done(msgspec.Struct, frozen=True, tag=True):
    outcome: Outcome


Effect = Put | Look | Sleep | Done


class Writing(msgspec.Struct, frozen=True):
    """Where a write stands. Begin with `Writing(wanted)` and the event `Began`.

    `unanswered`: an attempt may have been carried out. `fenced`: the server refused the revision after that, so putting
    again cannot help. `last`: the revision that the server named then.
    """

    wanted: Wanted
    until: float = 0.0
    pauses: int = 0
    unanswered: bool = False
    fenced: bool = False
    last: int | None = None
    said: str = ""


def step(state: Writing, event: Event, now: float, jitter: float) -> tuple[Writing, Effect]:
    """What to do next; `jitter` is uniform in [0, 1)."""
    match event:
        case Began():
            return _put(replace(state, until=_until(state.wanted, now)), now)
        case Acked(revision):
            return state, Done(Written(revision))
        case Conflict():
            return _refused(state, event, now, jitter)
        case Full() if not state.unanswered:
            return state, Done(event)
        case Full(said):  # tells nothing of the earlier attempts
            return _look(replace(state, said=said), now)
        case NoAnswer(said, reached):
            return _pause(replace(state, said=said, unanswered=state.unanswered or reached), now, jitter)
        case InProcess():
            return _pause(replace(state, unanswered=True), now, jitter)
        case Found(entry):
            proved = _proved(state, entry)
            return (state, Done(proved)) if proved else _pause(state, now, jitter)
        case Woke():
            return _look(state, now) if state.fenced else _put(state, now)


replace = msgspec.structs.replace


def _until(wanted: Wanted, now: float) -> float:
    """The end of trying. Once it could have expired, a creation repeated could be a second one."""
    return wanted.deadline if wanted.ttl is None else min(wanted.deadline, now + wanted.ttl)


def _put(state: Writing, now: float) -> tuple[Writing, Effect]:
    if now >= state.until:
        return state, Done(_given_up(state))
    return state, Put(state.wanted.message_id, state.wanted.expected or 0)


def _look(state: Writing, now: float) -> tuple[Writing, Effect]:
    if now >= state.until:
        return state, Done(_given_up(state))
    return state, Look()


def _pause(state: Writing, now: float, jitter: float) -> tuple[Writing, Effect]:
    if now >= state.until:
        return state, Done(_given_up(state))
    seconds = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(state.pauses, 10)) * (0.5 + jitter)
    return replace(state, pauses=state.pauses + 1), Sleep(min(seconds, state.until - now))


def _refused(state: Writing, conflict: Conflict, now: float, jitter: float) -> tuple[Writing, Effect]:
    """Only a revision newer than the one we named proves that ours is over.

    For a moment after a partition a leader that was deposed still hears writes and refuses them by what it holds: an
    older revision, or a write that it never finishes (10164 names no revision). The true leader hears them as well.
    """
    if conflict.last is None or conflict.last <= (state.wanted.expected or 0):
        return _pause(replace(state, unanswered=True), now, jitter)
    if not state.unanswered:
        return state, Done(conflict)
    # An earlier attempt of ours may be the write that came first.
    return _look(replace(state, fenced=True, last=conflict.last), now)


def _proved(state: Writing, entry: Entry | None) -> Outcome | None:
    """What the last message of the key proves about our write, of which an attempt had no answer; None: nothing."""
    wanted = state.wanted
    if entry is None:
        return None  # stale, or expired, or deleted long ago
    if entry.message_id == wanted.message_id:
        return Written(entry.revision)
    if wanted.expected is None:
        # Keys expire and are created anew, so another's creation may stand before ours or after it. What the server
        # named when it refused us, or something newer, hides ours for good.
        seen = state.last is not None and entry.revision >= state.last
        return Unknown(Doubt.OVERTAKEN) if seen else None
    if entry.revision <= wanted.expected:
        return None  # stale
    if entry.follows == wanted.expected:
        return Conflict(entry.revision)  # only one write can replace a revision, and this one did
    return Unknown(Doubt.OVERTAKEN)


def _given_up(state: Writing) -> Outcome:
    if not state.unanswered:
        return Unreached(state.said)
    return Unknown(Doubt.OVERTAKEN if state.fenced else Doubt.NO_ANSWER, state.said)
