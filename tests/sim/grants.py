"""What was asked of the token server and what became of each grant, held against what the record's history says."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from sidecar.auth.life import WINDOW_SHARE
from sidecar.auth.refresh import NOTICE_SECONDS, PATIENCE_SECONDS
from sidecar.credential import Credential, Status
from sidecar.store.credential_form import Stored, opened_form
from tests.sim.actor import Actor
from tests.sim.kv import Bucket
from tests.sim.token_server import TokenServer
from tests.sim.world import World

SLACK_SECONDS = 0.01
GRANTED, REFUSED, SILENT, UNSENT = "granted", "refused", "no answer", "unsent"


@dataclass(slots=True)
class Spent:
    """One use of a refresh token. `fenced`: when the record was to say so; `stored`: when its tokens were."""

    token: str
    actor: Actor
    life: int
    fenced: float
    asked: float
    ended: str | None = None
    stored: float | None = None


@dataclass(slots=True)
class Waiting:
    """One call that needs a token: whose, until when, and how it ended."""

    actor: Actor
    life: int
    deadline: float
    still_before: float
    refused: bool = False
    ended: str | None = None


@dataclass
class Grants:
    """Every use of a refresh token and every call of one run. `settle` looks at what can be judged in the end only."""

    world: World
    spent: dict[str, list[Spent]] = field(default_factory=dict)
    calls: list[Waiting] = field(default_factory=list)
    runs: dict[str, tuple[Actor, int]] = field(default_factory=dict)
    marked: dict[str, tuple[int, str]] = field(default_factory=dict)
    unsure: set[tuple[str, str]] = field(default_factory=set)  # whose record an operator may yet have changed

    def asks(self, user: str, use: Spent) -> None:
        for earlier in self.spent.setdefault(user, []):
            if earlier.token == use.token:
                gone = not earlier.actor.alive or earlier.life != earlier.actor.life
                waited = use.asked - earlier.fenced >= PATIENCE_SECONDS + NOTICE_SECONDS
                free = earlier.ended in {SILENT, UNSENT} or (waited and gone) or waited
                # Who died, or cannot write, could not say so to the others.
                told = not gone and (not waited or earlier.actor is use.actor)
                known = earlier.ended == REFUSED and told
                self.world.check("a refused refresh token is not used again", not known, earlier)
                self.world.check("no refresh token is used while another use of it may be under way", free, earlier)
        self.spent[user].append(use)

    def due(self, user: str, share: float) -> None:
        """In fair weather nobody asks for a token before this share of the life of the one before."""
        self.world.check("a token is renewed when it is due, not before", share >= 1 - WINDOW_SHARE, f"{user} {share}")

    def call(self, actor: Actor, seconds: float) -> Waiting:
        waiting = Waiting(actor, actor.life, actor.now + seconds, actor.stood_still)
        self.calls.append(waiting)
        return waiting

    def call_ended(self, waiting: Waiting, how: str) -> None:
        actor = waiting.actor
        late = actor.now - waiting.deadline - (actor.stood_still - waiting.still_before)
        self.world.check("every call ends by its deadline", late <= SLACK_SECONDS, f"{late:.3f} s late: {how}")
        waiting.ended = how
        self.world.outcomes[how] += 1

    def settle(self, bucket: Bucket, server: TokenServer, *, fair: bool, excused: bool) -> None:
        """`fair`: nothing was done to anybody. `excused`: a grant may have been lost, for a process was killed or stood
        still, or an answer was lost.
        """
        for waiting in self.calls:
            gone = waiting.life != waiting.actor.life
            self.world.check("every call of a living process ends", gone or waiting.ended is not None)
            if fair:
                self.world.check("in fair weather every call has a valid token", waiting.ended == "ok", waiting.ended)
        for name, (actor, life) in self.runs.items():
            self.world.check("every renewal of a living process ends", life != actor.life, name)
        for user, family in server.families.items():
            self._history(bucket, user)
            stored = credential(bucket, user)
            if fair:
                most = len({use.token for use in self.spent.get(user, [])})
                self.world.check("in fair weather one request renews a token", len(self.spent.get(user, [])) == most)
            lives = stored.tokens is not None and stored.tokens.refresh is not None and not family.revoked
            lives = lives and reveal(stored) == family.current.refresh
            if not lives:
                blameless = any(self._may_be_lost(use) for use in self.spent.get(user, []))
                self.world.check("no grant is lost but where it cannot be helped", excused and blameless, user)
                self.world.outcomes["grant lost"] += 1
                # A request that arrives after its answer was given up ends a grant of which newer tokens are stored.
                after = server.lenient or any(use.ended == SILENT for use in self.spent.get(user, []))
                told = stored.lost or (after and stored.status is Status.REAUTH_REQUIRED)
                self.world.check("a lost grant is told as lost", told, stored)
            else:
                self.world.check("a living grant is told as such", stored.status is Status.ACTIVE, stored)
            self.world.check("a living record says nobody is at it", stored.refreshing is None or not lives, stored)
            if user in self.marked and all(user != unsure for unsure, _ in self.unsure):
                mark = self.marked[user][1]
                self.world.check("what an operator changed meanwhile stays", stored.base_url == mark, stored)

    def _may_be_lost(self, use: Spent) -> bool:
        """Its process died before it stored the answer, or the answer was lost, or storing it took too long."""
        if use.ended in {SILENT, None}:
            return True
        died = use.stored is None and use.life != use.actor.life
        slow = use.stored is None or use.stored - use.fenced > PATIENCE_SECONDS
        return use.ended == GRANTED and (died or slow)

    def _history(self, bucket: Bucket, user: str) -> None:
        last = 0
        for message in bucket.log:
            if message.write.key == user:
                number = generation(opened(message.write.value))
                self.world.check("no newer token is ever overwritten by an older one", number >= last, user)
                last = number


def opened(value: bytes) -> Credential:
    return opened_form(msgspec.json.decode(value, type=Stored))


def credential(bucket: Bucket, user: str) -> Credential:
    last = bucket.last(user, 1e12)
    assert last is not None
    return opened(last.write.value)


def reveal(stored: Credential) -> str:
    assert stored.tokens is not None
    assert stored.tokens.refresh is not None
    return stored.tokens.refresh.reveal()


def generation(stored: Credential) -> int:
    return int(reveal(stored).rpartition("/")[2])
