"""Bugs that somebody might well write into shared quotas, and the promise that each of them breaks."""

from __future__ import annotations

from typing import NamedTuple

from tests.sim import shape
from tests.sim.denials import JUST_TOLD
from tests.sim.judge import IN_BUCKET, IN_SLOTS, IN_WINDOW
from tests.sim.planted import Edit
from tests.sim.quota import KINDS
from tests.sim.shape import SHAPES, Draw
from tests.sim.shares import CLOSED, ONE_OWNER, SERVED

SHORT = (shape.second, shape.one, shape.costs, shape.credits_)
CREDITS = (shape.credits_, shape.credits_of_some)
STEADY = (shape.steady,)
SLOTS = (shape.slots, shape.slots_and_window)


class Bug(NamedTuple):
    """What is wrong, where, what it breaks, and in worlds of which kinds and shapes, from which seed on, that is soon
    seen.
    """

    name: str
    edits: tuple[Edit, ...]
    breaks: tuple[str, ...]
    kinds: tuple[str, ...] = KINDS
    shapes: tuple[Draw, ...] = SHAPES
    first: int = 0


BUGS = (
    Bug(
        "the way to the provider does not vary",
        (Edit("budget", "self.variation = limit.variation", "self.variation = 0.0"),),
        (IN_WINDOW,),
        ("fair",),
        SHORT,
    ),
    Bug(
        "a permit is used the moment it is due",
        (Edit("permits", "budget.take(name, cost, start + call.late,", "budget.take(name, cost, start,"),),
        (IN_WINDOW,),
        ("fair", "mesh"),
        SHORT,
        first=100,
    ),
    Bug(
        "the last moment counts from when the grant came",
        (
            Edit(
                "member",
                "latest = grant.sent + grant.hold + permit.wait + permit.late",
                "latest = turn.now + max(0.0, permit.wait) + permit.late",
            ),
        ),
        (IN_WINDOW,),
        ("mesh", "all"),
        SHORT,
    ),
    Bug(
        "the record ends with the lease",
        (
            Edit(
                "seat",
                "self._revision, then, ttl=turn.pace.ttl)\n\n    def _learn",
                "self._revision, then, ttl=3)\n\n    def _learn",
            ),
            Edit(
                "seat",
                '"own", value, self._revision, then, ttl=turn.pace.ttl',
                '"own", value, self._revision, then, ttl=3',
            ),
        ),
        (IN_WINDOW, ONE_OWNER),
        ("takeover",),
        SHORT,
    ),
    Bug(
        "a renewal has no end",
        (Edit("seat", '"own", value, self._revision, then, ttl=turn.pace.ttl', '"own", value, self._revision, then'),),
        (SERVED,),
        ("processes",),
        SHORT,
    ),
    Bug(
        "credits have no serials",
        (
            Edit("credit", "credit.serial <= self._last.get(credit.key, (-1, -1)) or len", "len"),
            Edit("credit", "elif held.serial == credit.serial:", "elif held.serial is not None:"),
            Edit("lending", " or lent.serial != serial:", ":"),
            Edit("lending", "elif not lent.recalled:", "elif lent is not None:"),
        ),
        (IN_WINDOW,),
        ("mesh", "all"),
        CREDITS,
        first=1390,
    ),
    Bug(
        "a new owner waits for half a window",
        (
            Edit(
                "budget",
                "window.take(window.units, until + self.variation + window.seconds)",
                "window.take(window.units, until + self.variation + window.seconds / 2)",
            ),
        ),
        (IN_WINDOW,),
        ("takeover",),
        SHORT,
        first=70,
    ),
    Bug(
        "a copy of a permit is given back as unused",
        (
            Edit(
                "member",
                "            self.spares.granted(permit.call, latest)  # or a copy:",
                "            self.unused.append(permit.call)  # or a copy:",
            ),
        ),
        (IN_WINDOW, IN_BUCKET, IN_SLOTS),
        ("mesh", "all"),
    ),
    Bug(
        "what comes back late frees what others have",
        (
            Edit(
                "window",
                "        if at >= len(self._ends) or self._ends[at] != end:\n            return\n",
                "        if not self._ends:\n            return\n        at = min(at, len(self._ends) - 1)\n",
            ),
        ),
        (IN_WINDOW,),
        ("pauses",),
        SHORT,
    ),
    Bug(
        "a new owner knows of nobody who holds anything",
        (Edit("lending", "self.missing = set(last.roster) - {turn.me}", "self.missing = set()"),),
        (IN_WINDOW, IN_SLOTS),
        ("takeover",),
        SLOTS,
    ),
    Bug(
        "the lease is not looked at",
        (Edit("owner", "return self.opens <= now < self.until", "return self.opens <= now"),),
        (ONE_OWNER, IN_WINDOW),
        ("takeover",),
        SHORT,
    ),
    Bug(
        "a credit that is taken back was never used",
        (Edit("lending", "window.take(units, turn.now + LATEST", "window.take(0, turn.now + LATEST"),),
        (IN_WINDOW,),
        KINDS,
        CREDITS,
    ),
    Bug(
        "a machine that was stopped and copied believes its clock",
        (Edit("node", "part.jumped(turn)", "pass"),),
        (IN_WINDOW, ONE_OWNER),
        ("takeover",),
        SHORT,
    ),
    Bug(
        "others are not told what the provider closed",
        (Edit("node", "turn.effects.append(SendAll(Closed(told.keys, told.seconds)))", "pass"),),
        (CLOSED,),
        ("fair",),
    ),
    Bug(
        "what was asked for before is given to every call",
        (
            Edit(
                "spare",
                "                return name, latest\n",
                "                kind.held.appendleft((name, latest))\n                return name, latest\n",
            ),
        ),
        (IN_WINDOW,),
        ("fair", "mesh"),
        STEADY,
    ),
    Bug(
        "what was asked for before goes back when it was used",
        (
            Edit(
                "spare",
                "                return name, latest\n",
                "                self.over.append(name)\n                return name, latest\n",
            ),
        ),
        (IN_WINDOW,),
        ("fair", "mesh"),
        STEADY,
    ),
    Bug(
        "what was asked for before holds for as long as one likes, and counts as ever",
        (
            Edit("serving", "min(item.left, LATEST))", "line.late)"),
            Edit("spare", "kind.held.append((name, latest))", "kind.held.append((name, latest + 0.22))"),
        ),
        (IN_WINDOW,),
        ("fair", "mesh"),
        STEADY,
    ),
    Bug(
        "what an owner refused is refused for seconds",
        (Edit("denied", "FRESH = 0.05", "FRESH = 5.0"),),
        (JUST_TOLD,),
    ),
    Bug(
        "what an owner refused counts from when that came",
        (Edit("member", "grant.sent + grant.hold, denial", "turn.now, denial"),),
        (JUST_TOLD,),
        ("mesh", "all"),
    ),
)
