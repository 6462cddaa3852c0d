"""Subjects: what kind of thing is asked, for whom, of which provider.

A token holds `[A-Za-z0-9_-]` and `%XX` (upper-case hex) for every other byte of its UTF-8 form. That encoding is the
only legal one: a token that does not re-encode to itself is refused, so no two subjects name one connection.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

import msgspec

from sidecar.model import Access, Failure, Reason

PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
CALL_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)  # RFC 9562 section 4
OPERATION = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
EVERY = "-"
MAX_TOKEN = 256

CALL_KINDS = {access.value: access for access in Access}


class Address(msgspec.Struct, frozen=True):
    """The decoded subject of a call: `sidecar.<read or write>.<tenant>.<connection>.<provider>.<operation...>`."""

    access: Access
    tenant: str
    connection: str
    provider: str
    operation: str


class AdminAddress(msgspec.Struct, frozen=True):
    """`sidecar.admin.<tenant>.<connection>.<provider>.<verb>`; connection and provider may be `-`, meaning every."""

    tenant: str
    connection: str
    provider: str
    verb: str


class CatalogAddress(msgspec.Struct, frozen=True):
    """`sidecar.catalog.<tenant>.<verb>[.<provider>[.<operation...>]]`."""

    tenant: str
    verb: str
    provider: str | None = None
    operation: str | None = None


class ConnectAddress(msgspec.Struct, frozen=True):
    """`sidecar.connect.<tenant>.<connection>.<provider>.<verb>`: whose account is connected, at which provider."""

    tenant: str
    connection: str
    provider: str
    verb: str


class CancelAddress(msgspec.Struct, frozen=True):
    """`sidecar.cancel.<tenant>.<connection>.<call_id>`: which call is to end. The id in lower case."""

    tenant: str
    connection: str
    call_id: str


class ResultAddress(msgspec.Struct, frozen=True):
    """`sidecar.result.<tenant>.<connection>.<call_id>`: where the result of a durable call is published."""

    tenant: str
    connection: str
    call_id: str


@lru_cache(maxsize=8_192)
def encode_token(text: str) -> str:
    """The one legal token for a name: `alice@example.com` is `alice%40example%2Ecom`."""
    return "".join(chr(byte) if byte in PLAIN else f"%{byte:02X}" for byte in text.encode())


def decode_token(token: str) -> str | None:
    """The name that a token stands for, or None when the token is not the legal encoding of any name."""
    return _decoded(token) if 0 < len(token) <= MAX_TOKEN else None  # strangers' tokens are remembered: no long ones


@lru_cache(maxsize=8_192)
def _decoded(token: str) -> str | None:
    try:
        text = unquote_to_bytes(token).decode()
    except UnicodeError:
        return None
    return text if encode_token(text) == token else None


def is_name(text: str) -> bool:
    """Whether a tenant or a connection can be called so: a token can stand for it, and `-` stands for every one."""
    try:
        return text != EVERY and decode_token(encode_token(text)) == text
    except UnicodeEncodeError:
        return False


def call_subject(prefix: str, address: Address) -> str:
    tenant, connection = encode_token(address.tenant), encode_token(address.connection)
    return f"{prefix}.{address.access}.{tenant}.{connection}.{address.provider}.{address.operation}"


def submit_subject(prefix: str, address: Address) -> str:
    tenant, connection = encode_token(address.tenant), encode_token(address.connection)
    return f"{prefix}.submit.{tenant}.{connection}.{address.provider}.{address.operation}"


def admin_subject(prefix: str, address: AdminAddress) -> str:
    tenant, connection = encode_token(address.tenant), encode_token(address.connection)
    return f"{prefix}.admin.{tenant}.{connection}.{address.provider}.{address.verb}"


def catalog_subject(prefix: str, address: CatalogAddress) -> str:
    rest = [part for part in (address.provider, address.operation) if part]
    return ".".join([prefix, "catalog", encode_token(address.tenant), address.verb, *rest])


def cancel_subject(prefix: str, address: CancelAddress) -> str:
    return f"{prefix}.cancel.{encode_token(address.tenant)}.{encode_token(address.connection)}.{address.call_id}"


def connect_subject(prefix: str, address: ConnectAddress) -> str:
    tenant, connection = encode_token(address.tenant), encode_token(address.connection)
    return f"{prefix}.connect.{tenant}.{connection}.{address.provider}.{address.verb}"


@lru_cache(maxsize=4_096)
def trace_subject(prefix: str, tenant: str, connection: str, provider: str, event: str) -> str:
    return f"{prefix}.trace.{encode_token(tenant)}.{encode_token(connection)}.{encode_token(provider)}.{event}"


def parse_call(prefix: str, subject: str) -> Address | Failure:
    """The address of a call's subject, or why it is not one."""
    # Those of one connection come again and again. Strangers' are remembered too: no long ones.
    return _known_call(prefix, subject) if len(subject) <= MAX_TOKEN else _call(prefix, subject)


def _call(prefix: str, subject: str) -> Address | Failure:
    tokens = _tokens(prefix, subject)
    if tokens is None or len(tokens) < 5 or tokens[0] not in CALL_KINDS:  # noqa: PLR2004
        return malformed(
            subject, f"a call's subject is {prefix}.<read or write>.<tenant>.<connection>.<provider>.<operation>"
        )
    return _address(subject, CALL_KINDS[tokens[0]], tokens[1:])


_known_call = lru_cache(maxsize=4_096)(_call)


def parse_submit(prefix: str, subject: str) -> Address | Failure:
    """The address of a durable call's subject; its access is not in it, and stands as `write` until it is looked up."""
    tokens = _tokens(prefix, subject)
    if tokens is None or len(tokens) < 5 or tokens[0] != "submit":  # noqa: PLR2004
        return malformed(
            subject, f"the subject of a durable call is {prefix}.submit.<tenant>.<connection>.<provider>.<operation>"
        )
    return _address(subject, Access.WRITE, tokens[1:])


def _address(subject: str, access: Access, tokens: list[str]) -> Address | Failure:
    tenant, connection, provider, *operation = tokens
    names = _names(subject, tenant, connection)
    if isinstance(names, Failure):
        return names
    name = ".".join(operation)
    if not NAME.fullmatch(provider) or not OPERATION.fullmatch(name):
        return malformed(subject, "provider and operation are lower-case words of [a-z0-9_], separated by dots")
    return Address(access, *names, provider, name)


def parse_result_get(prefix: str, subject: str) -> tuple[str, str] | Failure:
    """Tenant and connection of `sidecar.read.<tenant>.<connection>.-.result.get`."""
    tokens = _tokens(prefix, subject)
    if tokens is None or len(tokens) != 6 or tokens[0] != "read" or tokens[3:] != [EVERY, "result", "get"]:  # noqa: PLR2004
        return malformed(subject, f"results are asked for on {prefix}.read.<tenant>.<connection>.-.result.get")
    return _names(subject, tokens[1], tokens[2])


def parse_admin(prefix: str, subject: str) -> AdminAddress | Failure:
    tokens = _tokens(prefix, subject)
    if tokens is None or len(tokens) != 5 or tokens[0] != "admin":  # noqa: PLR2004
        return malformed(subject, f"an admin subject is {prefix}.admin.<tenant>.<connection>.<provider>.<verb>")
    _, tenant, connection, provider, verb = tokens
    names = _names(subject, tenant, None if connection == EVERY else connection)
    if isinstance(names, Failure):
        return names
    if provider != EVERY and not NAME.fullmatch(provider):
        return malformed(subject, "the provider is a lower-case word of [a-z0-9_], or `-` for every one")
    return AdminAddress(*names, provider, verb)


def parse_catalog(prefix: str, subject: str) -> CatalogAddress | Failure:
    tokens = _tokens(prefix, subject)
    if tokens is None or len(tokens) < 3 or tokens[0] != "catalog":  # noqa: PLR2004
        return malformed(subject, f"a catalogue subject is {prefix}.catalog.<tenant>.<verb>[.<provider>[.<operation>]]")
    _, tenant, verb, *rest = tokens
    names = _names(subject, tenant, None)
    if isinstance(names, Failure):
        return names
    return CatalogAddress(names[0], verb, rest[0] if rest else None, ".".join(rest[1:]) or None)


def parse_connect(prefix: str, subject: str) -> ConnectAddress | Failure:
    tokens = _tokens(prefix, subject)
    if tokens is None or len(tokens) != 5 or tokens[0] != "connect":  # noqa: PLR2004
        return malformed(subject, f"a connect subject is {prefix}.connect.<tenant>.<connection>.<provider>.<verb>")
    _, tenant, connection, provider, verb = tokens
    names = _names(subject, tenant, connection)
    if isinstance(names, Failure):
        return names
    if not NAME.fullmatch(provider):
        return malformed(subject, "the provider is a lower-case word of [a-z0-9_]")
    return ConnectAddress(*names, provider, verb)


def parse_cancel(prefix: str, subject: str) -> CancelAddress | Failure:
    tokens = _tokens(prefix, subject)
    if tokens is None or len(tokens) != 4 or tokens[0] != "cancel":  # noqa: PLR2004
        return malformed(subject, f"a cancel's subject is {prefix}.cancel.<tenant>.<connection>.<call id>")
    _, tenant, connection, call_id = tokens
    names = _names(subject, tenant, connection)
    if isinstance(names, Failure):
        return names
    if not CALL_ID.fullmatch(call_id):
        return malformed(subject, "a call id is a UUID")
    return CancelAddress(*names, call_id.lower())


def malformed(subject: str, rule: str) -> Failure:
    return Failure(reason=Reason.MALFORMED, detail=f"subject {subject[:200]!r}: {rule}")


def _tokens(prefix: str, subject: str) -> list[str] | None:
    head = f"{prefix}."
    return subject[len(head) :].split(".") if subject.startswith(head) else None


def _names(subject: str, tenant: str, connection: str | None) -> tuple[str, str] | Failure:
    """Tenant and connection decoded; no connection stands for every one. `-` alone is never a name."""
    decoded: list[str] = []
    for what, token in (("tenant", tenant), ("connection", connection)):
        if token is None:
            decoded.append(EVERY)
            continue
        name = decode_token(token)
        if name is None:
            return malformed(subject, f"{what} token {token[:80]!r} is not in canonical form ([A-Za-z0-9_-], else %XX)")
        if name == EVERY:
            return malformed(subject, f"`-` is not a {what}; name one")
        decoded.append(name)
    return decoded[0], decoded[1]
