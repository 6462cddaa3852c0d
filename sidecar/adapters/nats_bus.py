"""`ports.Bus` on nats-py. What is buffered is bounded, callbacks cannot raise into the client, waits have limits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from sidecar.adapters.nats_client import SturdyClient, next_server
from sidecar.adapters.nats_events import BusCounts, BusEvent, ConnectionLog, harmless, plain
from sidecar.adapters.nats_message import Received
from sidecar.adapters.nats_supervision import Pace, Supervision
from sidecar.adapters.nats_url import NatsUrl, parse_url, shown
from sidecar.ports import BusDenied, BusError, LoginRefused, Message, NoResponders, Subscription

CONNECT_SECONDS = 5.0
PROOF_SECONDS = 2.0
PING_SECONDS = 5
BUFFER_BYTES = 32 * 1024 * 1024
HANDOVER_SECONDS = 1.0
CLOSE_SECONDS = 2.0
DRAIN_SECONDS = 5.0
TOLD_SECONDS = 0.01
INBOX = "_"  # with which clients' reply subjects begin
BUSY_TURNS = 16  # loop turns before `handed_over` sleeps, where the socket is full

_log = logging.getLogger(__name__)
_PACE = Pace()


async def connect(
    url: str,
    *,
    name: str = "sidecar",
    credentials: Path | None = None,
    inbox_prefix: str = "_INBOX",
    timeout: float = CONNECT_SECONDS,
    on_event: Callable[[BusEvent], None] | None = None,
    pace: Pace = _PACE,
) -> NatsBus:
    """A bus on the nats-server at `url` (several URLs are separated by commas), supervised until it is closed.

    `credentials` is a `.creds` file. Raises BusError within `timeout` seconds when there is no server, or when replies
    do not reach us on `inbox_prefix`, LoginRefused when the server does not take our login, BusDenied when we may not
    hear replies; the text says which, and never holds the password.
    """
    try:
        target = parse_url(url)
    except ValueError as error:
        raise BusError(f"could not connect to NATS: {error}") from None
    what = f"could not connect to NATS at {shown(url)}"
    bus = NatsBus(inbox_prefix, ConnectionLog(on_event), pace)
    try:
        login: dict[str, Any] = {"user_credentials": _readable(credentials)} if credentials else dict(target.login)
        with anyio.move_on_after(timeout) as scope:
            await bus.open(target, name, login, refused=scope.cancel)
            return bus
    except ImportError as error:
        await bus.close()
        raise BusError(f"{what}: a credentials file needs the package nkeys: pip install 'nats-py[nkeys]'") from error
    except BusDenied as error:
        await bus.close()
        raise BusDenied(f"{what}: {error}") from error
    except (BusError, nats.errors.Error, OSError, ValueError) as error:
        await bus.close()
        raise BusError(f"{what}: {plain(error)}") from error
    except BaseException:
        await bus.close()
        raise
    await bus.close()
    said = f"{what}: {plain(bus.last_error) or 'no answer in time'}"
    raise LoginRefused(said) if bus.login_refused else BusError(said)


class NatsBus:
    """`ports.Bus`. `connect` makes one."""

    def __init__(self, inbox_prefix: str, connection: ConnectionLog, pace: Pace = _PACE) -> None:
        self._client = SturdyClient(connection.counts)
        self._connection = connection
        self._inbox_prefix = inbox_prefix
        self._pace = pace
        self._open = 0  # messages of queue groups without a reply yet, as far as can be seen: it only decides on pace
        self._proved = False
        self._echo = self.new_inbox()
        self._echoes: dict[bytes, asyncio.Future[None]] = {}
        self._waiting: set[_Waiting] = set()
        self._supervision = Supervision(self._client, self._echo, pace)
        connection.moved = self._supervision.moved
        connection.denied = self._on_denied

    async def open(self, url: NatsUrl, name: str, login: dict[str, Any], *, refused: Callable[[], None]) -> None:
        """Connect, trying until cancelled, and prove that replies reach us; `refused`: trying again cannot help."""
        self._connection.refused = refused
        await self._client.connect(
            url.servers,
            name=name,
            error_cb=harmless(self._connection.error),
            disconnected_cb=harmless(self._connection.disconnected),
            reconnected_cb=harmless(self._connection.reconnected),
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            reconnect_to_server_handler=partial(next_server, longest=self._pace.retry),
            ping_interval=PING_SECONDS,
            pending_size=2 * BUFFER_BYTES,  # `publish` refuses earlier: at its own bound nats-py waits for the network
            inbox_prefix=self._inbox_prefix,
            **login,
        )
        self._connection.refused = None
        self._connection.up.set()
        await self.subscribe(self._echo, self._on_echo)
        await self.round_trip(PROOF_SECONDS)
        self._proved = True
        self._supervision.start()

    @property
    def counts(self) -> BusCounts:
        return self._connection.counts

    @property
    def login_refused(self) -> bool:
        return self._connection.login_refused

    @property
    def last_error(self) -> Exception | None:
        return self._connection.last_error

    @property
    def max_payload(self) -> int:
        return self._client.max_payload

    @property
    def connected(self) -> bool:
        """Whether messages can be given to NATS: false too while the link looks well and does not answer."""
        return self._client.is_connected and not self._supervision.doubtful

    @property
    def check_seconds(self) -> float:
        """What the last self-check took."""
        return self._supervision.check_seconds

    async def beyond_healing(self) -> str:
        """Return when the connection could not be healed within `pace.heal`; the text says why."""
        await self._supervision.lost.wait()
        said = plain(self.last_error)
        return self._supervision.why + (f" (last: {said})" if said else "")

    @property
    def server_version(self) -> str:
        return repr(self._client.connected_server_version).removeprefix("<nats server v").removesuffix(">")

    def new_inbox(self) -> str:
        """A subject under the inbox prefix that nobody else uses."""
        return f"{self._inbox_prefix}.{secrets.token_hex(11)}"

    def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        reply: str = "",
        later: bool = False,
    ) -> None:
        client = self._client
        before = client.pending_data_size
        if before > BUFFER_BYTES:
            self.counts.refused += 1
            raise BusError(f"not published on {subject}: the buffer is full ({before} bytes wait for the nats-server)")
        try:
            client.put(subject, payload, reply, headers, later=later)
        except nats.errors.Error as error:
            self.counts.refused += 1
            raise BusError(f"not published on {subject}: {plain(error)}") from error
        if self._open and subject.startswith(INBOX):
            self._open -= 1
            if not self._open:  # nobody else is under way who would share the write
                client.write_now()

    async def handed_over(self) -> None:
        """As the port says. Raises BusError when the server takes nothing for a second. A kernel takes what is written
        to a half-open link, too; that link is found `doubtful` in seconds, and is then as disconnected.
        """
        client = self._client
        if self._open > 1:  # those that came together publish in the same turn of the loop: one write serves them
            await asyncio.sleep(0)
        if not client.write_now():
            await self._taken(client.queued)

    async def _taken(self, mark: int) -> None:
        """Return when the kernel has everything that was queued before the mark: others publish meanwhile."""
        client, turns = self._client, 0
        give_up = asyncio.get_running_loop().time() + HANDOVER_SECONDS
        while self.connected and client.queued - client.unwritten < mark:
            if asyncio.get_running_loop().time() > give_up:
                raise BusError(
                    f"the nats-server took nothing for {HANDOVER_SECONDS:g} s ({client.unwritten} bytes wait)"
                )
            turns += 1
            await asyncio.sleep(0 if turns < BUSY_TURNS else 0.001)

    async def subscribe(self, subject: str, callback: Callable[[Message], None], *, queue: str = "") -> Subscription:
        def deliver(message: Received) -> None:
            # Of a group one member answers. What all hear is answered by who it concerns: by nobody here, mostly.
            if queue and message.reply.startswith(INBOX):
                self._open += 1
            try:
                callback(message)
            except (Exception, asyncio.CancelledError):  # noqa: BLE001 - what leaks into nats-py ends the subscription
                self.counts.callback_errors += 1
                _log.exception("the callback of %s failed", subject)

        try:
            subscription = await self._client.subscribe(subject, queue, _nowhere)
            self._client.hand_over(subscription, deliver)
            return NatsInterest(self, self._client, subscription)
        except nats.errors.Error as error:
            raise BusError(f"not subscribed to {subject}: {plain(error)}") from error

    async def request(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None, timeout: float
    ) -> Message:
        """As the port says. While disconnected it waits for the connection, then sends; both within `timeout`."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + timeout
        if not self.connected:
            await self._wait_up(subject, timeout)
        left = max(0.001, give_up - loop.time())
        try:
            self._client.fit(payload, headers)
            with self._hears_denial(subject):
                return await self._client.request(subject, payload, left, headers=dict(headers) if headers else None)
        except nats.errors.NoRespondersError:
            raise NoResponders(f"nobody serves {subject}") from None
        except nats.errors.TimeoutError:
            raise BusError(f"no reply on {subject} within {timeout:g} s") from None
        except (nats.errors.Error, OSError, RuntimeError) as error:
            raise BusError(f"no reply on {subject}: {plain(error)}") from error

    async def round_trip(self, timeout: float) -> float:
        """As the port says; by our own inbox, as nats-py's flush and rtt hurt its read loop when they time out."""
        if not self._client.is_connected:
            raise BusError("not connected to NATS")
        loop = asyncio.get_running_loop()
        token, started = secrets.token_bytes(8), loop.time()
        arrived = self._echoes[token] = loop.create_future()
        try:
            self.publish(self._echo, token)
            before = self._client.published
            with anyio.fail_after(timeout):
                await arrived
        except TimeoutError:
            text = f"no message to ourselves came back within {timeout:g} s"
            if denial := self._denial(self._echo):
                raise BusDenied(f"{text}{denial}") from None
            raise BusError(text) from None
        finally:
            del self._echoes[token]
        self._client.prove(before)
        return loop.time() - started

    async def close(self) -> None:
        self._connection.closing = self._client.ending = True
        self._supervision.stop()
        with anyio.CancelScope(shield=True):
            try:
                self._client.take_aside()
                if self.connected and self._proved:
                    await self.round_trip(CLOSE_SECONDS)  # the server has then read all that was published before
            except BusError as error:
                _log.warning("closing the connection to NATS: %s", error)
            if self._proved and self._client.unproved:
                self.counts.lost += self._client.unproved
                _log.warning("up to %d of the messages published last are lost", self._client.unproved)
            try:
                with anyio.move_on_after(CLOSE_SECONDS):
                    await self._client.close()
            except Exception as error:  # noqa: BLE001 - closing a broken connection may fail in any way
                _log.debug("closing the connection to NATS: %s", error)
            finally:
                self._client.abandon()

    async def _wait_up(self, subject: str, timeout: float) -> None:
        try:
            with anyio.fail_after(timeout):
                await self._connection.up.wait()
                while not self._client.is_connected:  # the client tells of it some turns of the loop later
                    await asyncio.sleep(TOLD_SECONDS)
                    await self._connection.up.wait()
        except TimeoutError:
            raise BusError(f"no request on {subject}: not connected to NATS for {timeout:g} s") from None

    @contextmanager
    def _hears_denial(self, subject: str) -> Iterator[None]:
        """Ends the block as soon as the server refuses the subject, which no reply will tell; then raises BusDenied.

        nats-py hands on what the server said in lower case: of subjects that differ in nothing else, a refusal of one
        is heard by both. Of a write it proves nothing, as with every BusError.
        """
        with anyio.CancelScope() as scope:
            waiting = _Waiting(subject, scope)
            self._waiting.add(waiting)
            try:
                yield
            finally:
                self._waiting.discard(waiting)
        if scope.cancelled_caught:
            raise BusDenied(f"{subject} is not allowed to this login{self._denial(subject)}")

    def _on_denied(self, said: str) -> None:
        for waiting in self._waiting:
            if _names(said, waiting.subject):
                waiting.scope.cancel()

    def _denial(self, subject: str) -> str:
        """The server's refusal of this subject, where it was the last thing said."""
        said = plain(self.last_error)
        return f" (the nats-server said: {said})" if _names(said, subject) else ""

    def _on_echo(self, message: Message) -> None:
        arrived = self._echoes.get(message.data)
        if arrived is None:
            self._supervision.heard(message.data)
        elif not arrived.done():
            arrived.set_result(None)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A request without its reply yet."""

    subject: str
    scope: anyio.CancelScope


def _names(said: str, subject: str) -> bool:
    return f'"{subject.lower()}"' in said.lower()


async def _nowhere(_: Msg) -> None:
    """nats-py wants a callback of its own kind; messages are handed over before they would reach it."""


class NatsInterest:
    """`ports.Subscription`."""

    def __init__(self, bus: NatsBus, client: SturdyClient, subscription: NatsSubscription) -> None:
        self._bus = bus
        self._client = client
        self._subscription = subscription

    async def drain(self) -> None:
        """As the port says, within a few seconds. nats-py's own drain flushes by a PING that overtakes messages.

        When it has ended, or was given up, nothing is handed over any more: a link that stood still may go on.
        """
        subscription = self._subscription
        try:
            with contextlib.suppress(BusError):  # without a connection nothing more comes anyway
                await self._client.lose_interest(subscription)
                await self._bus.round_trip(DRAIN_SECONDS)
            await subscription.unsubscribe()
        except (nats.errors.Error, OSError, RuntimeError) as error:
            _log.debug("draining %s: %s", subscription.subject, error)
        finally:
            self._client.forget(subscription)


def _readable(credentials: Path) -> str:
    with credentials.open("rb") as file:  # nats-py reads it again at every reconnect; a wrong path is told now
        file.read(1)
    return str(credentials)
