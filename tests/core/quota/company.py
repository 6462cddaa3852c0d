"""Sidecars that share quotas at one table: messages and the store answer at once, time is moved by hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sidecar.core.quota.event import (
    Asked,
    Away,
    Effect,
    Event,
    Get,
    Go,
    Gone,
    Heard,
    Put,
    Refuse,
    Refused,
    Send,
    SendAll,
    Stored,
    Undelivered,
    Wait,
    Wake,
    Woke,
)
from sidecar.core.quota.limit import Demand, Limit, Want, Window
from sidecar.core.quota.message import Message
from sidecar.core.quota.node import Node

LATER = 30.0  # seconds; a deadline that is far away


def limit(units: int = 100, seconds: float = 1.0, key: str = "p|acme|calls", slots: int | None = None) -> Limit:
    windows = (Window(units, seconds),) if units else ()
    return Limit(key, key.rpartition("|")[2], windows, slots=slots)


def demand(*limits: Limit, cost: int = 1) -> Demand:
    return Demand("p|acme", "p|acme|told", tuple(Want(one, cost) for one in limits))


@dataclass
class Company:
    """`start` is the clock of all; `lost` tells which messages are; no record of more than `largest` bytes is taken.
    Answers to writes of keys that hold `slow` wait for `catch_up`.
    """

    start: float = 1_000.0
    records: dict[str, tuple[int, bytes, float, int | None]] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    storeless: set[str] = field(default_factory=set)
    said: list[tuple[float, str, Effect]] = field(default_factory=list)
    lost: Callable[[str, Message], bool] = lambda _to, _message: False
    largest: int = 1 << 20
    slow: str = " "
    revision: int = 0
    writes: int = 0

    def __post_init__(self) -> None:
        self.now = self.start
        self._wakes: dict[str, float | None] = {}
        self._calls = 0
        self._events: deque[tuple[str, Event]] = deque()
        self._answers: list[tuple[str, Event]] = []

    def hire(self, name: str) -> str:
        self.nodes[name] = Node(name, "-")
        return name

    def kill(self, name: str) -> None:
        del self.nodes[name]
        self._wakes.pop(name, None)

    def do(self, name: str, event: Event) -> None:
        """One event, and all that it brings about at once."""
        self._events.append((name, event))
        while self._events:
            to, heard = self._events.popleft()
            if to in self.nodes:
                for effect in self.nodes[to].on(heard, self.now, 0.5):
                    self._perform(to, effect)

    def catch_up(self) -> None:
        """The store answers what it was slow to answer until now."""
        answers, self._answers = self._answers, []
        for name, answer in answers:
            self.do(name, answer)

    def ask(self, name: str, wanted: Demand, seconds: float = LATER) -> str:
        self._calls += 1
        call = f"c{self._calls}"
        self.do(name, Asked(call, wanted, self.now + seconds))
        return call

    def move(self, seconds: float) -> None:
        """Let time go by; everybody wakes when they wanted to."""
        until = self.now + seconds
        while True:
            due = min(((at, name) for name, at in self._wakes.items() if at is not None), default=None)
            if due is None or due[0] > until:
                break
            self.now = max(self.now, due[0])
            self._wakes[due[1]] = None
            self.do(due[1], Woke())
        self.now = until

    def go(self, call: str) -> Go | None:
        return next((effect for _, _, effect in self.said if isinstance(effect, Go) and effect.call == call), None)

    def refusal(self, call: str) -> Refuse | None:
        return next((effect for _, _, effect in self.said if isinstance(effect, Refuse) and effect.call == call), None)

    def wait(self, call: str) -> Wait | None:
        return next((effect for _, _, effect in self.said if isinstance(effect, Wait) and effect.call == call), None)

    def went(self) -> list[float]:
        """When the exchanges may start, in order."""
        return sorted(effect.earliest for _, _, effect in self.said if isinstance(effect, Go))

    def gone(self, name: str) -> bool:
        return any(who == name and isinstance(effect, Gone) for _, who, effect in self.said)

    def sent(self, kind: type[Message]) -> int:
        return sum(isinstance(one, Send | SendAll) and isinstance(one.message, kind) for _, _, one in self.said)

    def wakes(self) -> bool:
        return any(at is not None for at in self._wakes.values())

    def _perform(self, name: str, effect: Effect) -> None:
        self.said.append((self.now, name, effect))
        match effect:
            case Wake(at=at):
                self._wakes[name] = at
            case Put():
                self._put(name, effect)
            case Get():
                self._get(name, effect)
            case Send(to=to, message=message, certain=certain):
                if to not in self.nodes and certain:
                    self._events.append((name, Undelivered(to, message)))
                elif not self.lost(to, message):
                    self._events.append((to, Heard(name, message)))
            case SendAll(message=message):
                self._events.extend((to, Heard(name, message)) for to in self.nodes if to != name)
            case _:
                pass

    def _held(self, key: str) -> tuple[int, bytes, float]:
        revision, value, at, ttl = self.records.get(key, (0, b"", 0.0, None))
        return (0, b"", 0.0) if ttl is not None and at + ttl <= self.now else (revision, value, at)

    def _put(self, name: str, put: Put) -> None:
        if name in self.storeless or len(put.value or b"") > self.largest:
            self._events.append((name, Away(put.ticket)))
            return
        held = self._held(put.key)[0]
        if held != put.expected:
            self._events.append((name, Refused(put.ticket, held)))
            return
        self.revision += 1
        self.writes += 1
        self.records[put.key] = (self.revision, put.value or b"", self.now, put.ttl)
        stored = Stored(put.ticket, self.revision)
        (self._answers if self.slow in put.key else self._events).append((name, stored))

    def _get(self, name: str, get: Get) -> None:
        if name in self.storeless:
            self._events.append((name, Away(get.ticket)))
            return
        revision, value, at = self._held(get.key)
        self._events.append((name, Stored(get.ticket, revision, value or None, self.now - at if revision else None)))
