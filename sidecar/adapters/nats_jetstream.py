"""JetStream by plain requests: its answers and its errors in our words.

Not nats-py's JetStream classes: their KV reads a deleted key's marker as an entry, leaves direct reads off, and has no
answer to an unknown outcome. https://docs.nats.io/reference/reference-protocols/nats_api_reference
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

import msgspec

from sidecar.ports import Bus, BusDenied, BusError, Message, NoResponders, StoreDenied, StoreUnavailable

API = "$JS.API"
STATUS = "Status"
SECOND_NS = 1_000_000_000

# Numbers of https://github.com/nats-io/nats-server/blob/main/server/errors.json
STREAM_NOT_FOUND = 10059
WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
# Account, server or stream is out of room: 10054 is a message larger than the stream takes.
NO_ROOM = frozenset({10002, 10023, 10028, 10047, 10054, 10077, 10122})

T = TypeVar("T", bound="Answer")


class JetStreamBus(Bus, Protocol):
    """A bus that also gives subjects of our own to receive on."""

    def new_inbox(self) -> str: ...


class ApiError(msgspec.Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What every answer of the API may hold."""

    error: ApiError | None = None


class ApiRefused(Exception):
    """JetStream answered with an error; `err_code` is its number, the text its description."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(f"{error.description} ({error.err_code})")
        self.err_code = error.err_code


async def ask(bus: Bus, verb: str, body: object, answer: type[T], timeout: float) -> T:
    """One API call: `verb` is what follows `$JS.API.`. Raises ApiRefused or StoreUnavailable."""
    try:
        reply = await bus.request(f"{API}.{verb}", msgspec.json.encode(body) if body else b"", timeout=timeout)
    except NoResponders:
        raise StoreUnavailable("JetStream does not run on this nats-server, or not for this account") from None
    except BusDenied as error:
        raise StoreDenied(str(error)) from error
    except BusError as error:
        raise StoreUnavailable(str(error)) from error
    decoded = decode(reply.data, answer)
    if decoded.error is not None:
        raise ApiRefused(decoded.error)
    return decoded


def decode(data: bytes, answer: type[T]) -> T:
    """Raises StoreUnavailable when it makes no sense."""
    try:
        return msgspec.json.decode(data, type=answer)
    except msgspec.DecodeError as error:
        raise StoreUnavailable(f"JetStream's answer makes no sense: {error}") from error


def description(headers: Mapping[str, str]) -> str:
    """What a status message says. By value: nats-py files it under an enum member that does not hash like its text."""
    return next((value for name, value in headers.items() if name == "Description"), "")


class Delivery(msgspec.Struct, frozen=True):
    """Which message of the stream a consumer delivered, as the how manieth, how many come after it, and how many times
    this one came.
    """

    sequence: int
    number: int
    pending: int
    times: int


def delivery(message: Message) -> Delivery:
    """What the reply subject of a consumer's message says.

    `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`, or with
    `<domain>.<account>` after `ACK` and a last random token (ADR-15 of NATS).
    """
    tokens = message.reply.split(".")
    short = 9
    numbers = tokens[4:] if len(tokens) == short else tokens[6:]
    return Delivery(int(numbers[1]), int(numbers[2]), int(numbers[4]), int(numbers[0]))
