"""A credit as its holder keeps it: a small log of its own, for use without asking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sidecar.core.quota.limit import Limit, Want
from sidecar.core.quota.message import Credit, Serial, Use
from sidecar.core.quota.window import Sliding


class Held:
    """Units of one limit, until `until`. Dropped ones are kept as long as what was used of them counts."""

    __slots__ = ("limit", "serial", "until", "windows")

    def __init__(self, limit: Limit, credit: Credit, until: float, now: float) -> None:
        self.limit = limit
        self.serial = credit.serial
        self.until = until
        self.windows = [Sliding(window, now) for window in limit.windows]
        for window, units in zip(self.windows, credit.units, strict=True):
            window.units = units

    def fit(self, cost: int, now: float) -> float:
        at = now
        for window in self.windows:
            at = max(at, window.fit(cost, window.units, now))
        return at

    def take(self, cost: int, last: float) -> None:
        """Units of a call that starts at `last` at the latest."""
        for window in self.windows:
            window.take(cost, last + self.limit.variation + window.seconds)

    def give_back(self, cost: int, last: float, now: float) -> None:
        for window in self.windows:
            window.give_back(cost, last + self.limit.variation + window.seconds, now)

    def uses(self, now: float) -> Iterator[Use]:
        """What was used and still counts in its longest window."""
        longest = max(self.windows, key=lambda window: window.seconds)
        for until, units in longest.entries(now):
            yield Use(self.limit.key, units, now - (until - longest.seconds))


class Credits:
    """All credits of one partition that this sidecar holds, and what it used of those it holds no more."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}
        self._last: dict[str, Serial] = {}  # the last serial of a limit that was dropped: none up to it comes back
        self._spent: list[tuple[float, Held]] = []

    def fit(self, wants: Iterable[Want], now: float) -> float | None:
        """When credits serve all of this; None: they do not."""
        at = now
        for want in wants:
            held = self.held.get(want.limit.key)
            if held is None or held.until <= now or held.limit != want.limit:
                return None
            at = max(at, held.fit(want.cost, now))
        return at

    def take(self, wants: Iterable[Want], last: float) -> None:
        for want in wants:
            self.held[want.limit.key].take(want.cost, last)

    def give_back(self, wants: Iterable[Want], last: float, now: float) -> None:
        for want in wants:
            held = self.held.get(want.limit.key)
            if held is not None:
                held.give_back(want.cost, last, now)

    def receive(self, credit: Credit, limit: Limit, until: float, now: float) -> bool:
        """A credit, new or renewed. False: it was dropped before, and the owner may have taken it back."""
        if credit.serial <= self._last.get(credit.key, (-1, -1)) or len(credit.units) != len(limit.windows):
            return False
        held = self.held.get(credit.key)
        if held is None:
            self.held[credit.key] = Held(limit, credit, until, now)
        elif held.serial == credit.serial:
            held.until = max(held.until, until)
        else:
            return False
        return True

    def drop(self, key: str, serial: Serial, now: float) -> None:
        """It is used no more; whether it was held or not, it cannot come back."""
        self._last[key] = max(serial, self._last.get(key, (-1, -1)))
        held = self.held.get(key)
        if held is not None and held.serial <= serial:
            self._spend(self.held.pop(key), now)

    def expire(self, now: float) -> None:
        for key in [key for key, held in self.held.items() if held.until <= now]:
            self.drop(key, self.held[key].serial, now)

    def all(self) -> tuple[Credit, ...]:
        return tuple(
            Credit(key, tuple(window.units for window in held.windows), held.serial) for key, held in self.held.items()
        )

    def spent(self, now: float) -> tuple[tuple[Use, ...], tuple[Limit, ...]]:
        """What was used of credits that are not held any more, and still counts."""
        self._spent = [(until, held) for until, held in self._spent if until > now]
        uses = tuple(use for _, held in self._spent for use in held.uses(now))
        return uses, tuple({held.limit.key: held.limit for _, held in self._spent}.values())

    def _spend(self, held: Held, now: float) -> None:
        longest = max(window.seconds for window in held.windows)
        self._spent = [(until, kept) for until, kept in self._spent if until > now]
        self._spent.append((now + longest + 1.0, held))
