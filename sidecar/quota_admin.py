"""What an operator asks of quotas: how they stand. Each sidecar tells its part; whoever is asked puts them together."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress

import anyio
import msgspec

from sidecar.model import Outcome, Success
from sidecar.permit import Line
from sidecar.ports import Bus, Message
from sidecar.sharing import Post
from sidecar.wire.quota import QuotaSubjects
from sidecar.wire.quota_view import BudgetView, Look, QuotaView, WaitView
from sidecar.wire.subject import EVERY, AdminAddress, decode_token, encode_token

QUOTA_VERBS = ("quota",)
GATHER_SECONDS = 0.3  # for the others' parts
MOST = 1_000  # budgets that one sidecar tells of

_encoder = msgspec.json.Encoder()
_looks = msgspec.json.Decoder(Look)
_views = msgspec.json.Decoder(QuotaView)


class QuotaAdministrator:
    """Answers the verb `quota`, and the other sidecars' looks. `owned` gives the budgets that are owned here, `waiting`
    the exchanges that wait here. `apart`: those of one tenant alone share here, so that all budgets are its own.
    """

    def __init__(
        self,
        *,
        bus: Bus,
        perform: Callable[[Post], None],
        subjects: QuotaSubjects,
        me: str,
        owned: Callable[[], Iterable[BudgetView]],
        waiting: Callable[[], Iterable[Line]],
        apart: bool,
    ) -> None:
        self._bus = bus
        self._perform = perform
        self._subjects = subjects
        self._me = me
        self._owned = owned
        self._waiting = waiting
        self._apart = apart
        self._numbers = itertools.count(1)
        self._gathered: dict[str, list[QuotaView]] = {}

    async def start(self) -> None:
        """Answer looks from now on. Raises BusError."""
        await self._bus.subscribe(self._subjects.look, self._looked)
        await self._bus.subscribe(self._subjects.shown(self._me, "*"), self._shown)

    async def answer(self, address: AdminAddress, _payload: bytes = b"") -> Outcome:
        """How the quotas stand that the subject names."""
        connection, provider = (None if name == EVERY else name for name in (address.connection, address.provider))
        look, number = Look(address.tenant, connection, provider), str(next(self._numbers))
        parts = self._gathered[number] = [self._part(look)]
        self._perform(Post(self._subjects.look, _encoder.encode(look), self._subjects.shown(self._me, number)))
        try:
            await anyio.sleep(GATHER_SECONDS)
        finally:
            del self._gathered[number]
        return Success(body=_encoder.encode(_together(parts)))

    def _looked(self, message: Message) -> None:
        """Another sidecar asks, or we ourselves."""
        own = message.reply.startswith(self._subjects.shown(self._me, ""))
        if own or not self._subjects.is_shown(message.reply):
            return
        try:
            look = _looks.decode(message.data)
        except msgspec.DecodeError:
            return
        self._perform(Post(message.reply, _encoder.encode(self._part(look))))

    def _shown(self, message: Message) -> None:
        parts = self._gathered.get(message.subject.rpartition(".")[2])
        if parts is not None:
            with suppress(msgspec.DecodeError):  # of another version
                parts.append(_views.decode(message.data))

    def _part(self, look: Look) -> QuotaView:
        """What is known here of what is looked at."""
        budgets = [budget for budget in self._owned() if self._meant(look, budget)]
        budgets.sort(key=lambda budget: (-budget.waiting, budget.key))
        waits = Counter(where for line in self._waiting() if (where := _where(look, line)) is not None)
        return QuotaView(
            sidecars=(self._me,),
            budgets=tuple(budgets[:MOST]),
            waits=tuple(WaitView(*where, calls, self._me) for where, calls in sorted(waits.items())),
            more=max(0, len(budgets) - MOST),
        )

    def _meant(self, look: Look, budget: BudgetView) -> bool:
        """Whether it is the tenant's business: its own, or everybody's who uses the same app."""
        _, *whose, _ = budget.key.split("|")
        if look.provider not in (None, budget.provider):
            return False
        if not whose:
            return True
        if whose[0] != encode_token(look.tenant):
            return self._apart
        return look.connection is None or whose[1:2] in ([], [encode_token(look.connection)])


def _where(look: Look, line: Line) -> tuple[str, str, str] | None:
    """Provider, connection and bucket of a call that waits, where it is of those that are looked at."""
    provider, tenant, connection, *_ = line.demand.told.split("|")
    named = decode_token(connection) or connection
    if tenant != encode_token(look.tenant) or look.provider not in (None, provider):
        return None
    return (provider, named, line.bucket) if look.connection in (None, named) else None


def _together(parts: list[QuotaView]) -> QuotaView:
    """All that was told, by provider and key."""
    return QuotaView(
        sidecars=tuple(sorted({name for part in parts for name in part.sidecars})),
        budgets=tuple(sorted((b for part in parts for b in part.budgets), key=lambda b: (b.provider, b.key))),
        waits=tuple(wait for part in parts for wait in part.waits),
        more=sum(part.more for part in parts),
    )
