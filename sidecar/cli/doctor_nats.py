"""What the doctor sees over NATS: the server, its streams and clock, the sidecars that answer, their connections."""

from __future__ import annotations

import itertools
import socket
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import msgspec

from sidecar.adapters.nats_jetstream import Answer, ApiRefused, ask
from sidecar.adapters.nats_streams import StreamRefused
from sidecar.cli.account import Connection
from sidecar.cli.doctor_apps import app_lines
from sidecar.cli.doctor_endpoint import endpoint_lines, token_urls
from sidecar.cli.doctor_grants import grant_lines
from sidecar.cli.doctor_here import Here, Tell
from sidecar.cli.doctor_line import Line, fail, ok, warn
from sidecar.cli.doctor_room import room_lines
from sidecar.cli.failure import Stopped
from sidecar.cli.session import RIGHTS, Session, decoded
from sidecar.core.egress import EgressAllow, blocked, is_metadata, literal
from sidecar.micro import NAME
from sidecar.model import VERSION, Reason
from sidecar.ports import BusError, Message, StoreDenied, StoreUnavailable
from sidecar.settings import Settings
from sidecar.streams import MAKE, lacking, streams_of
from sidecar.trace.line import counted, seconds
from sidecar.wire.subject import EVERY, AdminAddress, admin_subject

ROUND_TRIPS = 5
SLOW_SECONDS = 0.1
ROLL_CALL_SECONDS = 0.3
RESOLVE_SECONDS = 2.0
CLOCK_SECONDS = 1.0  # what a quota's reset, told in wall-clock time, can bear
ADMIN_SECONDS = 5.0
RESERVED = (".example", ".invalid", ".test")  # never real hosts: RFC 2606


class Sidecar(msgspec.Struct, frozen=True):
    """A sidecar that answered the roll call."""

    id: str
    version: str = ""
    metadata: dict[str, str] = {}


class _Account(Answer, frozen=True, kw_only=True):
    streams: int = 0
    storage: int = 0


class _Timed(Answer, frozen=True, kw_only=True):
    ts: str = ""


async def look_at_nats(nats: Session, settings: Settings, here: Here, tenant: str, tell: Tell) -> None:
    """Tell of everything that needs NATS, in the order in which things depend on each other."""
    tell(await server_line(nats))
    looked = [await stream_lines(nats, settings), await room_lines(nats, settings), await clock_lines(nats, settings)]
    for line in itertools.chain(*looked):
        tell(line)
    sidecars = await roll_call(nats)
    for line in sidecar_lines(sidecars, here):
        tell(line)
    if sidecars:
        listed = await connections_of(nats, tenant)
        for line in await connection_lines(tenant, listed, here.allow or EgressAllow()):
            tell(line)
        for line in await auth_lines(settings, here, tenant, sidecars, [] if isinstance(listed, Line) else listed):
            tell(line)


async def auth_lines(
    settings: Settings, here: Here, tenant: str, sidecars: Sequence[Sidecar], listed: Sequence[Connection]
) -> list[Line]:
    """OAuth apps, grants, token endpoints, by the catalogue of this environment. A sandbox has none that are real."""
    if here.catalogue is None or any("sandbox" in item.metadata for item in sidecars):
        return []
    public_url = next((item.metadata["public_url"] for item in sidecars if "public_url" in item.metadata), None)
    settings = msgspec.structs.replace(settings, public_url=settings.public_url or public_url)
    urls = token_urls(settings, here.catalogue, tenant, listed)
    return [
        *app_lines(settings, here.catalogue, tenant, listed),
        *grant_lines(here.catalogue, listed),
        *await endpoint_lines(urls, here.allow or EgressAllow()),
    ]


async def server_line(nats: Session) -> Line:
    """The server and the best of a few round trips."""
    try:
        took = min([await nats.bus.round_trip(2) for _ in range(ROUND_TRIPS)])
    except BusError as error:
        return fail("NATS", f"{nats.where}: {error}", "look at the nats-server's log")
    seen = f"{nats.bus.server_version} at {nats.where}, round trip {seconds(took)}"
    seen = f"{seen}, messages up to {nats.bus.max_payload:,} bytes"
    if took > SLOW_SECONDS:
        return warn("NATS", seen, "each call pays this at least twice: run the sidecar nearer to its nats-server")
    return ok("NATS", seen)


async def stream_lines(nats: Session, settings: Settings) -> list[Line]:
    """JetStream, and the streams and buckets that a sidecar needs."""
    try:
        account = await ask(nats.bus, "INFO", None, _Account, 5)
        wrong = await lacking(nats.bus, settings)
    except StoreDenied as error:
        return [
            warn("JetStream", f"this login may not look at it: {error}", f"look as a sidecar, or as admin: {RIGHTS}")
        ]
    except StoreUnavailable as error:
        return [fail("JetStream", str(error), "switch JetStream on, for this account too")]
    except (ApiRefused, StreamRefused) as error:
        return [fail("JetStream", str(error), "give this NATS user the rights of a sidecar")]
    if wrong:
        return [fail("JetStream", what, MAKE) for what in wrong]
    kept = f"{account.storage / 1024 / 1024:,.1f} MiB kept"
    return [ok("JetStream", f"streams and buckets are as they must be; {kept} in {counted(account.streams, 'stream')}")]


async def clock_lines(nats: Session, settings: Settings) -> list[Line]:
    """Our clock against the nats-server's, which stamps its answer; nothing where no stream is there to ask about."""
    began, wall = time.perf_counter(), time.time()
    try:
        answer = await ask(nats.bus, f"STREAM.INFO.{streams_of(settings)[0].name}", None, _Timed, 5)
        theirs = datetime.fromisoformat(answer.ts).timestamp()
    except (StoreUnavailable, ApiRefused, ValueError):
        return []
    took = time.perf_counter() - began
    return [clock_line(theirs - (wall + took / 2), took / 2)]


def clock_line(offset: float, doubt: float) -> Line:
    """The verdict on a clock that is `offset` seconds behind the server's, give or take `doubt`."""
    side = "behind" if offset > 0 else "ahead of"
    seen = f"{seconds(abs(offset))} {side} NATS" if abs(offset) > doubt else f"within {seconds(doubt)} of NATS"
    if abs(offset) - doubt > CLOCK_SECONDS:
        return warn("clock", seen, "synchronise the clocks: waits that providers name by the time of day depend on it")
    return ok("clock", seen)


async def roll_call(nats: Session) -> list[Sidecar]:
    """The sidecars that answer in time (ADR-32 INFO)."""
    answers: list[Message] = []
    inbox = nats.bus.new_inbox()
    subscription = await nats.bus.subscribe(inbox, answers.append)
    nats.bus.publish(f"$SRV.INFO.{NAME}", b"", reply=inbox)
    await anyio.sleep(ROLL_CALL_SECONDS)
    await subscription.drain()
    # Without any sidecar the server itself answers, with nothing.
    return [decoded(answer.data, Sidecar) for answer in answers if answer.data]


def sidecar_lines(sidecars: list[Sidecar], here: Here) -> list[Line]:
    """Whether anybody serves, and whether all of them serve the same."""
    if not sidecars:
        return [fail("sidecars", "none answers: no call can be made", "start one: sidecar dev, or sidecar run")]
    hashes = Counter(item.metadata.get("catalog_hash", "unknown") for item in sidecars)
    versions = sorted({item.version for item in sidecars})
    told = ", ".join(f"{digest} ({count})" if len(hashes) > 1 else digest for digest, count in hashes.most_common())
    seen = f"{counted(len(sidecars), 'sidecar')} of version {', '.join(versions)}, catalogue {told}"
    rivals = [
        (one, other) for one, other in itertools.combinations(sidecars, 2) if _rivals(one.metadata, other.metadata)
    ]
    if any(one.metadata.get("providers") == other.metadata.get("providers") for one, other in rivals):
        mend = "start all with the same providers: which of them gets a call is left to chance"
        return [fail("sidecars", f"{seen}: they differ", mend)]
    if rivals:
        mend = "give the sidecars of a tenant the same SIDECAR_PROVIDERS: what the catalogue answers is left to chance"
        return [warn("sidecars", f"{seen}: they serve different providers", mend)]
    if versions != [VERSION]:
        return [warn("sidecars", seen, f"this command is version {VERSION}: upgrade what is older")]
    if here.catalogue is not None and here.catalogue.digest not in hashes:
        mend = f"restart the sidecar, or look at SIDECAR_CONNECTORS: here it would serve {here.catalogue.digest}"
        return [warn("sidecars", seen, mend)]
    return [ok("sidecars", seen)]


def _rivals(one: dict[str, str], other: dict[str, str]) -> bool:
    """Whether a tenant may be answered by either, and not the same."""
    tenants = {item["tenant"] for item in (one, other) if "tenant" in item}
    return len(tenants) < 2 and one.get("catalog_hash") != other.get("catalog_hash")  # noqa: PLR2004


async def connections_of(nats: Session, tenant: str) -> list[Connection] | Line:
    """The tenant's connections, or the line that says why nobody knows."""
    address = AdminAddress(tenant, EVERY, EVERY, "list")
    try:
        answer = await nats.ask(admin_subject(nats.prefix, address), b"", timeout=ADMIN_SECONDS)
        return decoded(answer.body, list[Connection])
    except Stopped as stopped:
        return fail("connections", stopped.failure.detail, stopped.failure.hint or "")


async def connection_lines(tenant: str, listed: list[Connection] | Line, allow: EgressAllow) -> list[Line]:
    """The connections of a tenant: how many, which cannot be opened, which lead where no call may go."""
    if isinstance(listed, Line):
        return [listed]
    if not listed:
        seen = f"tenant {tenant} has none"
        return [warn("connections", seen, "make one: sidecar connect PROVIDER -c NAME")]
    counts = Counter(item.status for item in listed)
    lines = [ok("connections", f"tenant {tenant}: {', '.join(f'{count} {name}' for name, count in counts.items())}")]
    lines += [
        fail("connections", f"{item.connection} of {item.provider}: {item.problem}", _mending(item.problem))
        for item in listed
        if item.problem is not None
    ]
    for url in sorted({item.base_url for item in listed if item.base_url and item.status == "active"}):
        line = await address_line(url, allow)
        lines += [line] if line is not None else []
    return lines


def _mending(problem: str) -> str:
    if problem.startswith(f"{Reason.KEY_UNAVAILABLE}:"):
        return "put the key back into the key file of the sidecar; `sidecar keys list` says which keys are needed"
    return "import its credential again, or upgrade the sidecar where a newer version wrote it"


async def address_line(url: str, allow: EgressAllow) -> Line | None:
    """Whether calls to a connection's own server may go there, as far as this environment's egress list says."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (80 if parts.scheme == "http" else 443)
    if "://" not in url or host.endswith(RESERVED):  # a subdomain, or the sandbox's
        return None
    addresses = [host] if literal(host) else await _resolved(host, port)
    if not addresses:
        return warn("egress", f"{host}, the server of a connection, does not resolve", "check its name, and DNS")
    for address in addresses:
        name = "" if address == host else host
        why = blocked(address, port, allow, host=name, clear_text=parts.scheme == "http")
        if why is not None:
            mend = f"add {host}:{port} to SIDECAR_EGRESS_ALLOW of the sidecar, if that server is yours"
            if is_metadata(address):
                mend = "correct the server of the connection, or revoke it: nobody's API is at such an address"
            return warn("egress", f"{url} may not be called: {why}", mend)
    return None


async def _resolved(host: str, port: int) -> list[str]:
    def look_up() -> list[str]:
        return sorted({str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})

    try:
        with anyio.fail_after(RESOLVE_SECONDS):
            return await anyio.to_thread.run_sync(look_up, abandon_on_cancel=True)
    except (OSError, TimeoutError, UnicodeError):
        return []
