"""What the product needs from the outside world, as protocols. Adapters implement them; tests script them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from sidecar.model import Failure

if TYPE_CHECKING:
    import httpx  # 60 ms that a command which only asks over NATS does not pay

    from sidecar.auth.apps import App
    from sidecar.kinds import OAuth2
    from sidecar.secret import Secret


class Clock(Protocol):
    """Time. `now` is monotonic seconds (deadlines, waits), `wall` is Unix seconds (records, events)."""

    def now(self) -> float: ...

    def wall(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class Random(Protocol):
    """Dice. `jitter` is uniform in [0, 1)."""

    def jitter(self) -> float: ...

    def token(self, size: int) -> bytes: ...


class HttpSender(Protocol):
    """One HTTP exchange with a provider: no redirects, no retries, no cookies, no proxies from the environment.

    The answer's body is whole, decoded, and at most `max_body` bytes. A `Failure` says in `side_effect` what is known
    about sent bytes: `none` (not one byte of the request left), `unknown` (some did, no status came that can be
    believed), `done` (a status of success came, the body did not). `deadline` is a moment of the running loop's clock;
    nothing outlives it.
    `request.extensions["answer_by"]`, where given, is an earlier moment: what was sent and has no status then ends.
    `request.extensions["may_send"]`, where given, is asked with the connection ready, right before the first byte;
    where it says no nothing is sent, and the failure is BEFORE_SEND.
    Cancellation leaves the sender whole; `request.extensions["sent"]` (bool) then says whether any byte of the request
    may have left. `response.extensions` may hold `reused` (bool: the connection was kept alive), `first_byte`
    (seconds from start to the status line), and, of an answer that is no success and has no body here, `lost` (the
    failure that befell the body).
    """

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> httpx.Response | Failure: ...

    async def aclose(self) -> None: ...


class Message(Protocol):
    """One message received from NATS. `headers` has the names as the sender wrote them, or is None.

    Of a name that came with different values the last one stands there, and the name, in lower case, in the value of
    "". That value is empty where the headers cannot be read.
    """

    subject: str
    reply: str
    data: bytes

    @property
    def headers(self) -> Mapping[str, str] | None: ...


class Subscription(Protocol):
    async def drain(self) -> None:
        """Stop receiving; what was already received is still handed over."""


class NoResponders(Exception):
    """Nobody serves the subject (NATS 503), known at once."""


class BusError(Exception):
    """The bus did not carry a message: not connected, time-out, or the buffer is full. The text says which."""


class BusDenied(BusError):
    """The bus gives this login no right to a subject; what was published there went to nobody."""


class LoginRefused(BusDenied):
    """The bus does not take this login."""


class Bus(Protocol):
    """Core NATS. `publish` puts a message into the client's buffer: nothing in it waits. Raises BusError.

    Messages that may come `later` are gathered for some milliseconds: to be woken for one costs everybody more than the
    message. They stay in order among themselves, and of those that go out together the last one alone has its `reply`.
    """

    @property
    def max_payload(self) -> int: ...

    @property
    def connected(self) -> bool: ...

    def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        reply: str = "",
        later: bool = False,
    ) -> None: ...

    async def handed_over(self) -> None:
        """Return when everything published so far was handed to the kernel, or at once when disconnected; not what may
        come later.
        """

    async def subscribe(self, subject: str, callback: Callable[[Message], None], *, queue: str = "") -> Subscription:
        """Call `callback` for each message, in the loop; it must only hand over, never block."""

    async def request(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None, timeout: float
    ) -> Message:
        """Publish and wait for one reply. Raises NoResponders or BusError."""

    async def round_trip(self, timeout: float) -> float:
        """Seconds that a message to ourselves takes through the server. Raises BusError."""

    async def close(self) -> None:
        """Flush what is buffered and close; returns within a few seconds also when the server is gone."""


class Entry(msgspec.Struct, frozen=True):
    """The last message of a key, with the revision that a compare-and-set must name.

    `message_id` is its writer's name for that write; `follows` the revision it replaced (0: nothing was there), None
    where the writer named none; `ttl` the seconds it was given to live. `deleted`: it marks that there is no record.
    `written`: when, in Unix seconds of the store's clock, where a read tells.
    """

    key: str
    value: bytes
    revision: int
    message_id: str = ""
    follows: int | None = None
    ttl: int | None = None
    deleted: bool = False
    written: float | None = None


class StoreConflict(Exception):
    """Another write came first: the revision named is not the last one; `last` is, where the store says it."""

    def __init__(self, text: str, last: int | None = None) -> None:
        super().__init__(text)
        self.last = last


class StoreFull(Exception):
    """The store refused a write for want of room."""


class StoreUnavailable(Exception):
    """The store did not answer, or not to the question; whether a write happened is unknown."""


class StoreDenied(StoreUnavailable):
    """The store may not be asked for it by this login."""


class StoreUntouched(StoreUnavailable):
    """The store is not there, or refused the request as such: nothing was written."""


class StoreInProcess(StoreUnavailable):
    """An earlier attempt of the same write is under way."""


class Store(Protocol):
    """Buckets of records. One request each, with a time limit of its own; `store/` makes writes of them.

    Reads may be stale. Every method may raise StoreUnavailable or one of its kinds.
    """

    async def get(self, bucket: str, key: str) -> Entry | None:
        """The last message of the key, the mark of a deletion too; None where there is none."""

    async def put(
        self, bucket: str, key: str, value: bytes | None, *, message_id: str, expected: int, ttl: int | None = None
    ) -> int:
        """One attempt to write over exactly this revision (0: nothing there); a value of None marks a deletion.

        Gives the revision, the same for attempts of one `message_id`. With a `ttl` in seconds it vanishes by itself; a
        write without one is for good, whatever it replaces. Raises StoreConflict, StoreFull, StoreInProcess too.
        """

    async def keys(self, bucket: str, pattern: str) -> list[str]:
        """The keys that match a NATS pattern (`acme.*.github`), in order; empty when there are none."""

    async def watch(self, bucket: str, pattern: str, told: Callable[[Entry | None], None]) -> None:
        """Tell every change, deletions too, until cancelled. A hint only: None says that some may have been missed
        until now, also at the start. What vanishes by its ttl is not told. `told` must not wait or raise.
        """


class Word(msgspec.Struct, frozen=True):
    """One delivery of a word from a queue: which one for this word, from 1, and where it is acknowledged. `timely`: the
    server said it, at the time that it was given.
    """

    body: bytes
    number: int
    ack: str
    timely: bool = False


class QueueFull(Exception):
    """As many words of the tenant wait as may."""


class Queue(Protocol):
    """Words that wait for a sidecar, tenant by tenant; tenants as tokens of subjects.

    A word that is taken and not acknowledged is said again, by itself after `hold_seconds` unless it is held. Every
    method may raise StoreUnavailable.
    """

    hold_seconds: float

    async def put(self, tenant: str, body: bytes, *, message_id: str) -> None:
        """Put a word in; once for one id, within two minutes. Raises QueueFull, StoreFull too."""

    async def put_later(self, tenant: str, place: int, body: bytes, *, at: float) -> bool:
        """Put a word in that is to be said at this moment (Unix seconds); false where the tenant's place is taken."""

    async def say_now(self, tenant: str, place: int, body: bytes) -> bool:
        """Have this word, which waits in that place, said at once; false where another one stands there, or none."""

    async def open(self, tenant: str) -> None:
        """Make what its words are taken by, where it is not there."""

    async def tenants(self) -> list[str]:
        """Whose words can be taken."""

    async def take(self, tenant: str, *, later: bool, within: float) -> Word | None:
        """The next word, of those that may be said now or of those whose time came; None when none came in time."""

    async def ack(self, word: Word) -> None:
        """The word is over; returns when the server has that."""

    async def hold(self, word: Word) -> None:
        """It is being worked on, for another `hold_seconds`."""

    async def give_back(self, word: Word) -> None:
        """Another may have it at once."""

    async def close(self) -> list[Word]:
        """Take no more; words that came and were not taken."""


class StateFiles(Protocol):
    """Files that outlive this process, not its machine. Every method may raise OSError."""

    async def write(self, name: str, content: bytes) -> None:
        """On the disk when it returns; whole or not at all."""

    async def remove(self, name: str) -> None:
        """Also where there is none."""

    async def all(self) -> list[bytes]: ...


class KeyUnavailable(Exception):
    """A key-encryption key is not at hand: the one that sealed a record (the text names its id), or any of a tenant."""


class SealBroken(Exception):
    """The sealed bytes were changed, or belong to another place."""


class Keys(Protocol):
    """Envelope encryption. `place` binds the sealed bytes to where they are kept: moved elsewhere they do not open.

    A tenant may have several keys, told apart by their ids: the newest seals, all open.
    """

    def seal(self, tenant: str, place: str, plain: bytes) -> bytes:
        """Raises KeyUnavailable where the tenant has no key."""

    def open(self, tenant: str, place: str, sealed: bytes) -> bytes:
        """Raises KeyUnavailable or SealBroken."""

    def rewrap(self, tenant: str, place: str, sealed: bytes) -> bytes | None:
        """The same content under the newest key; None when it is under it already. Raises as `open`."""

    def held(self, tenant: str) -> tuple[str, ...]:
        """The ids of the tenant's keys, the newest last. Raises KeyUnavailable."""

    def key_of(self, sealed: bytes) -> str:
        """The id of the key that sealed it, whether it is held or not. Raises SealBroken."""


class AppFileError(Exception):
    """The file of an OAuth app cannot be used; the message says which, why and what to do, never what is in it."""


class AppFiles(Protocol):
    """The files that describe OAuth apps, by name."""

    def content(self, name: str) -> bytes | None:
        """The file as it is now, None where there is none; the same object while it does not change.

        Raises AppFileError.
        """


class KeyRejected(Exception):
    """A private key cannot sign; the message says why, and nothing of the key."""


class OAuth(Protocol):
    """The protocol pieces of OAuth that need a library. Nothing here sends anything."""

    def new_verifier(self) -> str:
        """A fresh PKCE code verifier (RFC 7636 section 4.1)."""

    def authorize_url(
        self, auth: OAuth2, app: App, *, redirect_uri: str, state: str, scopes: Sequence[str], verifier: str | None
    ) -> str:
        """Where a person allows access. With a `verifier` the URL holds its S256 challenge."""

    async def signed(
        self, claims: Mapping[str, object], *, key: Secret, key_id: str | None = None, algorithm: str | None = None
    ) -> str:
        """A JWT of these claims, signed with a private key (PEM); by itself the algorithm is the key's.

        Raises KeyRejected.
        """


class SchemaProblems(Protocol):
    """A compiled JSON Schema: every problem of an instance, none when it is valid. One is looked for when it is asked
    for: a message of 1 MiB may have 400,000.
    """

    def __call__(self, instance: object) -> Iterator[SchemaError]: ...


class SchemaError(msgspec.Struct, frozen=True):
    """One finding of a schema validator, not yet in our words.

    `path` leads to the instance (`("labels", 0)`), `keyword` is the schema keyword that failed (`required`, `enum`,
    `additionalProperties`, `type` ...), `names` the property names it is about, `allowed` the values or names it would
    accept, `kinds` the types.
    """

    path: tuple[str | int, ...]
    keyword: str
    message: str
    names: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()


CompileSchema = Callable[[Mapping[str, object]], SchemaProblems]


class FormatError(Exception):
    """A text or a schema is not of its format; the message says where."""


class Formats(msgspec.Struct, frozen=True):
    """The readers of what manifests are written in. Both raise FormatError."""

    read_yaml: Callable[[str], object]
    compile_schema: CompileSchema
