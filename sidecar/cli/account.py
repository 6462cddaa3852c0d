"""What the commands about accounts share: how a sidecar is asked, and how a connection is shown."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sidecar.cli.failure import USAGE, CommandFailure, Stopped, stop
from sidecar.cli.provider_text import Kind, Served
from sidecar.cli.secret import KeyFile, Read
from sidecar.cli.session import Session, decoded, session
from sidecar.cli.terminal import paint, put, put_json
from sidecar.model import Problem
from sidecar.settings import Settings
from sidecar.trace.line import Tone, columns, plain
from sidecar.wire.subject import EVERY, AdminAddress, admin_subject

ADMIN_SECONDS = 60.0  # a token and a verification at the provider may take 20 each
CONSENTED = frozenset({"oauth2"})  # a person allows it in a browser: nobody has its refresh token at hand
IN_WORDS = {"/kind": "--kind", "/base_url": "--base-url"}


class Connection(msgspec.Struct, frozen=True):
    """A connection as a sidecar shows it."""

    connection: str
    provider: str
    kind: str
    status: str
    tenant: str = ""
    account: str | None = None
    base_url: str | None = None
    changed: str | None = None
    verified: bool | None = None
    problem: str | None = None
    client_id: str | None = None
    scopes: tuple[str, ...] = ()
    expires: str | None = None
    token: str | None = None
    why: str | None = None
    kept: dict[str, str] = {}
    limits: dict[str, list[str]] = {}


async def change(settings: Settings, address: AdminAddress, as_json: bool, payload: bytes = b"") -> None:  # noqa: FBT001  # anyio.run has no keywords
    """Ask for it and show the connection as it then is."""
    async with session(settings) as nats:
        body = await admin(nats, address, payload)
    if as_json:
        put_json(body)
    else:
        put(shown(decoded(body, Connection)))


async def admin(nats: Session, address: AdminAddress, payload: bytes = b"") -> bytes:
    """The answer to an operator's question. A refusal names the command's options, not the payload's places."""
    provider = None if address.provider == EVERY else address.provider
    try:
        answer = await nats.ask(
            admin_subject(nats.prefix, address),
            payload,
            timeout=ADMIN_SECONDS,
            provider=provider,
            tenant=address.tenant,
            changes=address.verb not in {"list", "verify"},
        )
    except Stopped as stopped:
        raise Stopped(in_options(stopped.failure), stopped.reply) from None
    return answer.body


async def provider_served(nats: Session, tenant: str, name: str) -> Served:
    """What the catalogue says of a provider. Stopped where nobody serves it."""
    listed = decoded(await nats.catalog(tenant, "providers"), list[Served])
    found = next((provider for provider in listed if provider.name == name), None)
    if found is None:
        await nats.catalog(tenant, "operations", name)  # is refused, with the nearest name
        raise stop(USAGE, f"provider {name} appeared just now; try again")
    return found


def chosen_kind(served: Served, kind: str | None, read: Read) -> Kind:
    """The kind named; else the one that what was read fits; else the first one."""
    if kind is not None:
        found = next((item for item in served.auth if item.kind == kind), None)
        if found is None:
            names = ", ".join(item.kind for item in served.auth)
            raise stop(USAGE, f"{served.name} takes no credential of kind {kind!r}; kinds are: {names}")
        return found
    return next((item for item in served.auth if _fits(item, read)), served.auth[0])


def _fits(kind: Kind, read: Read) -> bool:
    match read:
        case dict():
            return set(kind.fields) <= set(read) <= {*kind.fields, *kind.optional}
        case KeyFile(values=values):
            return bool(kind.file) and {kind.file[name] for name in kind.fields if name in kind.file} <= set(values)
        case str():
            return len(kind.fields) == 1 and kind.kind not in CONSENTED
        case None:
            return kind.kind not in CONSENTED


def in_options(failure: CommandFailure) -> CommandFailure:
    """The failure with the places of its problems named as the command's options."""
    errors = tuple(Problem(_in_words(item.pointer), item.detail, item.allowed, item.nearest) for item in failure.errors)
    return msgspec.structs.replace(failure, errors=errors)


def _in_words(pointer: str) -> str:
    if pointer.startswith("/limits/"):
        return f"--limit {pointer.removeprefix('/limits/')}"
    return IN_WORDS.get(pointer, pointer)


def table(connections: Sequence[Connection]) -> list[str]:
    """The connections as a table, with a heading."""
    rows = [["connection", "provider", "kind", "status", "token", "account", "server", "changed"]]
    rows += [
        [
            plain(item.connection, 60),
            plain(item.provider, 60),
            plain(item.kind, 40),
            plain(item.status, 40),
            plain(item.token or "-", 20),
            plain(item.account or "-", 60),
            plain(item.base_url or "-", 100),
            plain((item.changed or "-")[:16].replace("T", " "), 20),
        ]
        for item in connections
    ]
    lines = columns(rows)
    who = [f"{plain(item.connection, 60)} {plain(item.provider, 60)}" for item in connections]
    limits = [f"{name}: limits {limits_of(item)}" for name, item in zip(who, connections, strict=True) if item.limits]
    problems = [f"{name}: {plain(item.problem)}" for name, item in zip(who, connections, strict=True) if item.problem]
    return [paint(lines[0], Tone.DIM), *lines[1:], *limits, *problems]


def limits_of(item: Connection) -> str:
    """The limits that it carries, as the command takes them."""
    said = ", ".join(f"{quota}={text}" for quota, texts in item.limits.items() for text in texts)
    return plain(said, 300)


def read_limits(given: Sequence[str]) -> dict[str, list[str]]:
    """What `QUOTA=UNITS/SECONDS` says, several of one quota together. Stopped where it is of another form."""
    said: dict[str, list[str]] = {}
    for text in given:
        quota, _, figures = text.partition("=")
        if not quota.strip() or not figures.strip():
            what = "a limit says how many requests in how many seconds, or how many at once"
            raise stop(USAGE, f"{text[:80]!r} is no limit", f"{what}: messages=10/60, or messages=4")
        said.setdefault(quota.strip(), []).append(figures.strip())
    return said


def shown(item: Connection) -> str:
    """One connection and what the provider said of its credential."""
    who = f"{plain(item.provider, 60)}  {plain(item.connection, 60)}  {plain(item.kind, 40)}  {plain(item.status, 40)}"
    if item.problem is not None:
        said = "" if item.verified is None else f"{paint('not verified', Tone.WARN)}: "
        return f"{who}  {said}{plain(item.problem, 600)}"
    if item.limits:
        who = f"{who}  limits {limits_of(item)}"
    if item.verified is None:
        return who
    return f"{who}  {paint('verified', Tone.GOOD)}{f': {plain(item.account, 100)}' if item.account else ''}"
