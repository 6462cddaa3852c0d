"""A process that serves calls which need a token, and renews tokens by the refresh protocol, in the simulated world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec

from sidecar.auth import refresh
from sidecar.auth.life import Life, life_of
from sidecar.auth.refresh import Effect, Event, Phase, Renewing, access_of
from sidecar.auth.token_answer import Granted, Refused, TokenOutcome, Unanswered
from sidecar.credential import Credential, Status, Tokens
from sidecar.model import Failure, Reason
from sidecar.secret import Secret
from sidecar.store.credential_form import stored_form
from sidecar.store.write import Outcome, Unknown, Wanted, Written
from tests.sim import token_server
from tests.sim.actor import Actor, Running, Step
from tests.sim.cluster import Cluster, Nobody, Seen
from tests.sim.grants import GRANTED, REFUSED, SILENT, UNSENT, Grants, Spent, Waiting, opened, reveal
from tests.sim.token_server import Denied, TokenServer
from tests.sim.world import World
from tests.sim.writer import ATTEMPT_SECONDS, Writer, record_step

CALL_SECONDS = (0.5, 20.0)
BETWEEN_SECONDS = (0.05, 4.0)
WRITE_SECONDS = 5.0
TOLD_SECONDS = (0.001, 0.02)
AWAY = Failure(reason=Reason.STORE_UNAVAILABLE, detail="no answer")

RefreshStep = Step[Renewing, Event, Effect]


def refresh_step(state: Renewing, event: Event, now: float, jitter: float) -> tuple[Renewing, tuple[Effect, ...]]:
    state, effect = refresh.step(state, event, now, jitter)
    return state, (effect,)


@dataclass
class Known:
    """What a process holds in memory of one user."""

    credential: Credential
    revision: int
    life: Life


@dataclass
class Flight:
    """One renewal under way, and who waits for it."""

    run: Running[Renewing, Event, Effect]
    waiters: list[Callable[[Failure | None], None]] = field(default_factory=list)
    known: Credential | Failure | None = None
    pauses: int = 0
    pausing: bool = False


class Renewer:
    """Calls come by chance while it is `busy`; each takes the token in memory, or waits for a renewal."""

    def __init__(
        self, world: World, cluster: Cluster, server: TokenServer, grants: Grants, step: RefreshStep, name: str
    ) -> None:
        self.actor = Actor(world, name, clock_offset=world.random.uniform(-600, 600))
        self.busy = True
        self.refusals = 0.0  # how likely the token server answers 503, or cannot be reached
        self.peers: list[Renewer] = []
        self.ambushes: list[
            tuple[Phase, Callable[[Renewer], None]]
        ] = []  # shared by all: what happens at the worst time
        self._world = world
        self._cluster = cluster
        self._server = server
        self._grants = grants
        self._step = step
        self._runs = 0
        self._writes = 0
        self._known: dict[str, Known] = {}
        self._flights: dict[str, Flight] = {}

    def live(self) -> None:
        self.actor.after(self._world.random.uniform(*BETWEEN_SECONDS), self._serve)

    def come_back(self) -> None:
        """Start again: what it held in memory is gone."""
        self._known.clear()
        self._flights.clear()
        self.actor.restart(self._world.random.uniform(-600, 600))
        self.live()

    def call(self, user: str) -> None:
        """One call that needs this user's token."""
        seconds = self._world.random.uniform(*CALL_SECONDS)
        waiting = self._grants.call(self.actor, seconds)
        self.actor.after(seconds, lambda: self._end(waiting, "deadline"))
        self._try(user, waiting)

    def told(self, user: str, revision: int, value: bytes) -> None:
        """The store's watch says that the record changed."""
        if not self.actor.alive:
            return
        self._keep(user, opened(value), revision)
        flight = self._flights.get(user)
        if flight is not None and flight.pausing:
            self._wake(user, flight, flight.pauses)

    def mark(self, user: str, mark: str) -> None:
        """An operator changes something else of the record."""

        def change(found: Credential | Failure | None, revision: int) -> None:
            if isinstance(found, Credential):
                self._grants.unsure.add((user, mark))
                changed = msgspec.structs.replace(found, base_url=mark)
                self._write(user, changed, revision, lambda outcome: self._marked(user, mark, outcome))

        self._look(user, change)

    def _marked(self, user: str, mark: str, outcome: Outcome) -> None:
        revision = outcome.revision if isinstance(outcome, Written) else 0
        if not isinstance(outcome, Unknown):
            self._grants.unsure.discard((user, mark))
        if revision > self._grants.marked.get(user, (0, ""))[0]:
            self._grants.marked[user] = (revision, mark)

    def _serve(self) -> None:
        if self.busy:
            self.call(self._world.random.choice(list(self._server.families)))
            self.live()

    def _try(self, user: str, waiting: Waiting) -> None:
        known = self._known.get(user)
        if known is None:
            self._look(user, lambda found, _revision: self._found(user, waiting, found))
            return
        if known.credential.status is not Status.ACTIVE:
            self._end(waiting, "must be allowed again")
            return
        now = self.actor.now
        if now >= known.life.due and user not in self._flights:
            self._begin(user, access_of(known.credential))
        flight = self._flights.get(user)
        if now < known.life.over:
            self._use(user, known.credential, waiting)
        elif flight is not None and flight.known is not None:
            self._take(user, waiting, flight.known)
        elif flight is not None:
            flight.waiters.append(lambda failure: self._again(user, waiting, failure))

    def _found(self, user: str, waiting: Waiting, found: Credential | Failure | None) -> None:
        if waiting.ended is None and isinstance(found, Credential):
            self._try(user, waiting)
        else:
            self._end(waiting, "store away")

    def _again(self, user: str, waiting: Waiting, failure: Failure | None) -> None:
        if waiting.ended is not None:
            return
        if failure is not None:
            self._end(waiting, f"failed {failure.reason}")
        else:
            self._try(user, waiting)

    def _take(self, user: str, waiting: Waiting, known: Credential | Failure) -> None:
        if isinstance(known, Credential):
            self._use(user, known, waiting)
        else:
            self._end(waiting, f"failed {known.reason}")

    def _use(self, user: str, credential: Credential, waiting: Waiting) -> None:
        """Sent with this token. One that the provider refuses is renewed, whatever the clock says, and that once."""
        token = access_of(credential)
        assert token is not None
        if self._server.accepts(token.reveal()):
            self._end(waiting, "ok")
        elif waiting.refused:
            self._end(waiting, "token refused twice")
        else:
            waiting.refused = True
            if user not in self._flights:
                self._begin(user, token)
            self._flights[user].waiters.append(lambda failure: self._again(user, waiting, failure))

    def _end(self, waiting: Waiting, how: str) -> None:
        if waiting.ended is None:
            self._grants.call_ended(waiting, how)

    def _begin(self, user: str, stale: Secret | None) -> None:
        self._runs += 1
        owner = f"{self.actor.name}.{self.actor.life}"
        state = Renewing(owner=owner, name=f"{owner}.{self._runs}", stale=stale)
        flight = Flight(Running(self.actor, self._step, state, lambda effect: self._perform(user, effect)))
        self._flights[user] = flight
        self._grants.runs[state.name] = (self.actor, self.actor.life)
        self._give(user, flight, refresh.Began())

    def _give(self, user: str, flight: Flight, event: Event) -> None:
        if self._flights.get(user) is flight:
            flight.pausing = False
            self._world.tell(f"{flight.run.state.name} {type(event).__name__} {flight.run.state.phase.name}")
            flight.run.give(event)

    def _fall_into_ambush(self, phase: Phase) -> None:
        for ambush in self.ambushes:
            if ambush[0] is phase and self._world.chance(0.3):
                self.ambushes.remove(ambush)
                self._world.after(self._world.random.uniform(0, 0.004), partial(ambush[1], self))
                return

    def _perform(self, user: str, effect: Effect) -> None:
        flight = self._flights[user]
        self._world.tell(f"{flight.run.state.name} -> {type(effect).__name__}")
        match effect:
            case refresh.Look():
                self._look(user, lambda found, revision: self._give(user, flight, refresh.Shown(found, revision)))
            case refresh.Write(credential, revision):
                self._fall_into_ambush(flight.run.state.phase)
                self._write(user, credential, revision, lambda outcome: self._wrote(user, flight, credential, outcome))
            case refresh.Ask(credential):
                self._fall_into_ambush(Phase.LOOKING)
                self._ask(user, flight, credential)
            case refresh.Pause(seconds):
                self._sleep(user, flight, seconds)
            case refresh.Tell(known, seconds):
                flight.known = known
                if isinstance(known, Credential):
                    self._keep(user, known, self._known[user].revision if user in self._known else 0)
                self._answer(flight, known if isinstance(known, Failure) else None)
                self._sleep(user, flight, seconds)
            case refresh.Done(failure):
                del self._flights[user]
                del self._grants.runs[flight.run.state.name]
                self._answer(flight, failure)

    def _answer(self, flight: Flight, failure: Failure | None) -> None:
        waiters, flight.waiters = flight.waiters, []
        for waiter in waiters:
            waiter(failure)

    def _sleep(self, user: str, flight: Flight, seconds: float) -> None:
        flight.pauses += 1
        flight.pausing, pause = True, flight.pauses
        self.actor.after(seconds, lambda: self._wake(user, flight, pause))

    def _wake(self, user: str, flight: Flight, pause: int) -> None:
        if pause == flight.pauses:
            flight.pauses += 1
            self._give(user, flight, refresh.Woke())

    def _wrote(self, user: str, flight: Flight, credential: Credential, outcome: Outcome) -> None:
        if isinstance(outcome, Written):
            self._keep(user, credential, outcome.revision)
        self._give(user, flight, refresh.Wrote(outcome))

    def _ask(self, user: str, flight: Flight, credential: Credential) -> None:
        """The token request. What comes when it is not waited for any more is lost."""
        world, actor, state = self._world, self.actor, flight.run.state
        asked, wall, life = world.now, world.now, actor.life
        use = Spent(reveal(credential), actor, life, asked - (actor.now - state.began), asked)
        self._grants.asks(user, use)
        if not world.faults:
            family = self._server.families[user]
            self._grants.due(user, (asked - family.issued_at) / family.current.expires_in)
        answered = False

        def take(outcome: TokenOutcome, ended: str) -> None:
            nonlocal answered
            if not answered:
                answered = True
                use.ended = ended
                world.tell(f"{user} {use.token} {ended}")
                self._give(user, flight, refresh.Answered(outcome))

        def answer(said: token_server.Tokens | Denied) -> None:
            if isinstance(said, Denied):
                outcome: TokenOutcome = Refused(final=True, detail=said.error, code=said.error)
                actor.hear(life, lambda: take(outcome, REFUSED))
            else:
                tokens = tokens_of(said, wall)
                actor.hear(life, lambda: take(Granted(tokens=tokens), GRANTED))

        if world.chance(self.refusals):
            world.fault("token server unreachable")
            outcome: TokenOutcome = Unanswered(sent=False, detail="connection refused")
            if world.chance(0.5):
                outcome = Refused(final=False, detail="503", status=503)
            actor.after(0.01, lambda: take(outcome, UNSENT))
            return
        self._server.refresh(use.token, answer)
        late = Unanswered(sent=True, detail="no answer")
        actor.after(refresh.ANSWER_SECONDS, lambda: take(late, SILENT))

    def _look(self, user: str, then: Callable[[Credential | Failure | None, int], None]) -> None:
        answered = False

        def take(seen: Seen | Nobody | None) -> None:
            nonlocal answered
            if answered:
                return
            answered = True
            if not isinstance(seen, Seen):
                then(AWAY, 0)
            elif seen.stored is None:
                then(None, 0)
            else:
                found = opened(seen.stored.write.value)
                self._keep(user, found, seen.stored.revision)
                then(found, seen.stored.revision)

        life = self.actor.life
        self._cluster.look(user, lambda seen: self.actor.hear(life, lambda: take(seen)))
        self.actor.after(ATTEMPT_SECONDS, lambda: take(None))

    def _write(self, user: str, credential: Credential, revision: int, told: Callable[[Outcome], None]) -> None:
        self._writes += 1
        message_id = f"{self.actor.name}.{self.actor.life}.{self._writes}"
        value = msgspec.json.encode(stored_form(credential))
        deadline = self.actor.now + WRITE_SECONDS
        wanted = Wanted(key=user, value=value, expected=revision, message_id=message_id, deadline=deadline)

        def ended(outcome: Outcome) -> None:
            if isinstance(outcome, Written):
                self._note(user, credential)
                for peer in self.peers:
                    self._tell(peer, user, outcome.revision, value)
            told(outcome)

        Writer(self.actor, self._cluster, record_step, wanted, ended).begin()

    def _note(self, user: str, credential: Credential) -> None:
        """Tokens are stored: whoever asked for them may be killed from now on."""
        for use in self._grants.spent.get(user, []):
            new = use.ended == GRANTED and use.stored is None and reveal(credential) != use.token
            if new and use.actor is self.actor:
                use.stored = self._world.now

    def _tell(self, peer: Renewer, user: str, revision: int, value: bytes) -> None:
        if self._world.chance(0.7):
            peer.actor.after(self._world.random.uniform(*TOLD_SECONDS), lambda: peer.told(user, revision, value))

    def _keep(self, user: str, credential: Credential, revision: int) -> None:
        known = self._known.get(user)
        if known is not None and known.revision > revision:
            return
        if known is not None and access_of(known.credential) == access_of(credential):
            life = known.life
        else:
            assert credential.tokens is not None
            life = life_of(credential.tokens, self.actor.now, self._world.now, self._world.random.random())
        self._known[user] = Known(credential, revision, life)


def tokens_of(said: token_server.Tokens, asked_at: float) -> Tokens:
    """The pair as it is stored. Lifetimes count from when it was asked for."""
    return Tokens(
        access=Secret(said.access),
        refresh=Secret(said.refresh),
        expires=asked_at + said.expires_in,
        lifetime=said.expires_in,
    )
