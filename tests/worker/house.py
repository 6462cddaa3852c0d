"""One worker on a scripted bus: messages are handed in, and what was published is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import msgspec

from sidecar.adapters.authlib_oauth import AuthlibOAuth
from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.admin import Administrator
from sidecar.answer import Answers
from sidecar.auth.apps import Apps
from sidecar.auth.endpoint import TokenEndpoint
from sidecar.connect import Connect, Site
from sidecar.copy_admin import CopyAdministrator
from sidecar.credential import Credential
from sidecar.execute import Executor
from sidecar.gate import Admission
from sidecar.key_admin import KeyAdministrator
from sidecar.micro import Service
from sidecar.model import Failure
from sidecar.ports import BusError, HttpSender, Message, Subscription
from sidecar.provider import Catalogue, Provider
from sidecar.run import Limits, Name
from sidecar.sandbox.lone import lone_quotas
from sidecar.sandbox.scripted import WALL, EventLog, FixedRandom, ManualClock, ScriptedSender
from sidecar.scope import Scope
from sidecar.secret import Secret
from sidecar.store.copies import SealedCopies
from sidecar.store.credential import BUCKET, CredentialStore
from sidecar.store.credential_form import FORMAT
from sidecar.store.flow import FlowStore
from sidecar.store.rewrap import SealedRecords
from sidecar.wire.event import Admin
from sidecar.worker import Worker
from tests.build import provider
from tests.store.test_credential import MemoryStore

KEY = FileKeys({"k1": bytes(32)})


@dataclass
class Letter:
    """One message received."""

    subject: str
    data: bytes = b""
    reply: str = "_INBOX.me.1"
    headers: Mapping[str, str] | None = None


@dataclass
class Published:
    subject: str
    payload: bytes
    headers: Mapping[str, str]
    reply: str = ""

    @property
    def body(self) -> Any:
        return msgspec.json.decode(self.payload)


@dataclass
class Line(Subscription):
    subject: str
    queue: str
    callback: Callable[[Message], None]
    drained: bool = False

    async def drain(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.drained = True

    def takes(self, subject: str) -> bool:
        wanted, given = self.subject.split("."), subject.split(".")
        if wanted[-1] == ">":
            wanted, given = wanted[:-1], given[: len(wanted) - 1] if len(given) >= len(wanted) else []
        return len(wanted) == len(given) and all(one in {"*", other} for one, other in zip(wanted, given, strict=True))


class ScriptedBus:
    """Core NATS in one process."""

    def __init__(self) -> None:
        self.max_payload = 1_048_576
        self.connected = True
        self.lines: list[Line] = []
        self.published: list[Published] = []

    def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        reply: str = "",
        later: bool = False,
    ) -> None:
        if not self.connected:
            raise BusError("not connected")
        self.published.append(Published(subject, payload, headers or {}, reply))

    async def handed_over(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def subscribe(self, subject: str, callback: Callable[[Message], None], *, queue: str = "") -> Subscription:
        await anyio.lowlevel.checkpoint()
        self.lines.append(Line(subject, queue, callback))
        return self.lines[-1]

    async def request(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None, timeout: float
    ) -> Message:
        raise NotImplementedError

    async def round_trip(self, timeout: float) -> float:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing to close."""

    def hand_in(self, letter: Letter) -> int:
        """Give the message to whoever is subscribed, as NATS does; how many that are."""
        takers = [line for line in self.lines if line.takes(letter.subject) and not line.drained]
        for line in takers:
            line.callback(letter)
        return len(takers)


@dataclass
class Counts:
    """What was counted."""

    refusals: list[str] = field(default_factory=list)
    lost: int = 0
    levels: list[int] = field(default_factory=list)

    def in_flight(self, number: int) -> None:
        self.levels.append(number)

    def refused(self, why: str) -> None:
        self.refusals.append(why)

    def reply_lost(self) -> None:
        self.lost += 1


class StuckSender(ScriptedSender):
    """Answers when the test lets it."""

    def __init__(self, answers: Iterable[httpx.Response | Failure]) -> None:
        super().__init__(answers)
        self.gate = anyio.Event()
        self.waiting = 0

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> httpx.Response | Failure:
        self.waiting += 1
        await self.gate.wait()
        return await super().send(request, deadline=deadline, max_body=max_body)


THREAD_LOOKS = 20_000  # at least a millisecond apart, for what is done in a thread, such as signing


@dataclass
class House:
    sender: HttpSender = field(default_factory=ScriptedSender)
    providers: Mapping[str, Provider] = field(default_factory=lambda: {"acme": provider()})
    admission: Admission = field(default_factory=Admission)
    scope: Scope = field(default_factory=Scope)
    store: MemoryStore = field(default_factory=MemoryStore)
    base_urls: Mapping[str, str] | None = None
    site: Site = field(default_factory=Site)
    apps: Apps = field(default_factory=Apps)
    began: float = 1_000.0  # what the clock shows
    bus: ScriptedBus = field(default_factory=ScriptedBus)
    trace: EventLog = field(default_factory=EventLog)

    def __post_init__(self) -> None:
        self.clock, self.counts = ManualClock(self.began), Counts()
        self.memory = self.store
        random = FixedRandom()
        self.credentials = CredentialStore(self.memory, KEY, self.clock, random, capacity=10)
        self.executor = Executor(
            catalogue=Catalogue(self.providers, "digest"),
            credentials=self.credentials,
            sender=self.sender,
            clock=self.clock,
            random=random,
            observer=self.trace,
            name=Name("sidecar", "test", "test"),
            limits=Limits(),
            quotas=lone_quotas(self.clock, random),
            base_urls=self.base_urls,
        )
        self.tokens = TokenEndpoint(
            sender=self.sender,
            apps=self.apps,
            oauth=AuthlibOAuth(),
            clock=self.clock,
            random=random,
            user_agent="test",
            base_urls=self.base_urls,
        )
        sealed = SealedRecords(self.memory, KEY, self.clock, random, {BUCKET: ""})
        copies = SealedCopies(self.memory, KEY, self.clock, random, BUCKET, format_number=FORMAT)
        self.administrator = Administrator(
            executor=self.executor,
            credentials=self.credentials,
            live=self.credentials,
            tokens=self.tokens,
            keys=KeyAdministrator(sealed),
            copies=CopyAdministrator(copies),
            clock=self.clock,
            random=random,
        )
        self.flows = FlowStore(self.memory, KEY, self.clock, random, self.scope)
        self.connect = Connect(
            site=self.site,
            catalogue=self.executor.catalogue,
            apps=self.apps,
            credentials=self.credentials,
            flows=self.flows,
            clock=self.clock,
            random=random,
        )
        self.service = Service("id1", WALL, {"catalog_hash": "digest"})
        answers = Answers(
            prefix="sidecar",
            scope=self.scope,
            executor=self.executor,
            administrator=self.administrator,
            connect=self.connect,
            observer=self.trace,
            clock=self.clock,
            random=random,
            max_timeout_ms=self.admission.max_timeout_ms,
        )
        self.worker = Worker(
            bus=self.bus,
            answers=answers,
            counters=self.counts,
            clock=self.clock,
            service=self.service,
            admission=self.admission,
        )

    async def start(self, *, connection: str = "default") -> None:
        """Serve, with a connection of acme."""
        known = Credential(kind="bearer", fields={"token": Secret("hunter2hunter2")}, created=0.0, changed=0.0)
        await self.credentials.save(self.scope.tenant or "default", connection, "acme", known)
        await self.worker.start()

    async def settled(self) -> None:
        """Return when everything that was handed in is answered."""
        for _ in range(1_000):
            await anyio.lowlevel.checkpoint()

    async def ask(self, subject: str, data: bytes = b"", **also: Any) -> Published:
        """The one reply."""
        before = len(self.bus.published)
        assert self.bus.hand_in(Letter(subject, data, **also)) == 1, subject
        await self.settled()
        for _ in range(THREAD_LOOKS):
            if len(self.bus.published) > before:
                break
            await anyio.sleep(0.001)
        [reply] = self.bus.published[before:]
        return reply

    @property
    def admin_events(self) -> list[Admin]:
        return [event for event in self.trace.events if isinstance(event, Admin)]
