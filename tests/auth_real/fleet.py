"""Sidecars as processes beside one NATS server whose JetStream can go away, an agent that calls, and the stored records
read with the same keys.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError

from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.system import SystemClock, SystemRandom
from sidecar.app import connected
from sidecar.credential import Credential, Tokens
from sidecar.keys import keys_to_run
from sidecar.model import Failure
from sidecar.secret import Secret
from sidecar.settings import Settings
from sidecar.store.credential import BUCKET, CredentialStore
from tests.app.fleet import FAILED, Member
from tests.auth_real.strict import CLIENT_ID, CLIENT_SECRET, Grant, StrictServer
from tests.nats.place import OwnServer, own_server
from tests.processes import AS_INSTALLED, prepare

TENANT = "default"
PROVIDER = "strict"
CONNECTORS = Path(__file__).parent / "connectors"
PATIENCE = 60.0
CALL_MS = 30_000
BELIEVED_LIFE = 3600.0
NOTHING: Mapping[str, Any] = MappingProxyType({})
KEEP = 1_000_000  # connections; the tests' own look at records forgets none


class Reply(NamedTuple):
    """One reply. `reason` is None for a success, and the name of the exception where no reply came."""

    reason: str | None
    body: Any
    attempts: int
    seconds: float


class Call(NamedTuple):
    """What is asked of the API on every connection."""

    access: str = "read"
    operation: str = "account.get"
    provider: str = PROVIDER


GET = Call()
TOUCH = Call("write", "account.touch")


@dataclass
class Fleet:
    """What is there."""

    folder: Path
    server: OwnServer
    url: str
    agent: Client
    store: CredentialStore
    environment: dict[str, str]
    members: list[Member] = field(default_factory=list)
    states: dict[int, str] = field(default_factory=dict)
    parts: AsyncExitStack = field(default_factory=AsyncExitStack)
    calls: set[asyncio.Task[Reply]] = field(default_factory=set)

    async def member(self, **variables: str) -> Member:
        """One more sidecar; it serves. What it logs is in a file of the folder, what it must keep in another."""
        name = secrets.token_hex(3)
        state = self.folder / f"state-{name}"
        environment = self.environment | {"SIDECAR_STATE_DIR": str(state)} | variables
        Path(environment["SIDECAR_STATE_DIR"]).mkdir(exist_ok=True)
        with (self.folder / f"member-{name}.log").open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", AS_INSTALLED, "run", "--json"),
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        self.parts.push_async_callback(_killed, child)
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), PATIENCE)
        assert line, (self.folder / f"member-{name}.log").read_text()
        member = Member(child, json.loads(line))
        self.members.append(member)
        self.states[child.pid] = environment["SIDECAR_STATE_DIR"]
        return member

    async def grow(self, number: int) -> list[Member]:
        return [await self.member() for _ in range(number)]

    @property
    def pids(self) -> list[int]:
        """Of the members that live."""
        return [member.child.pid for member in self.members if member.child.returncode is None]

    async def kill(self, pid: int) -> None:
        """SIGKILL, and nothing of it is left."""
        member = next(member for member in self.members if member.child.pid == pid)
        member.child.kill()
        await member.child.wait()

    async def admin(self, connection: str, verb: str, payload: Mapping[str, Any], provider: str = PROVIDER) -> Reply:
        return await self._ask(f"sidecar.admin.{TENANT}.{connection}.{provider}.{verb}", payload, {}, PATIENCE)

    async def connect(self, connection: str, grant: Grant, base_url: str) -> None:
        """Import what a person allowed, as an operator does."""
        body = {"kind": "oauth2", "fields": {"refresh_token": grant.refresh_token}, "base_url": base_url}
        reply = await self.admin(connection, "import", body)
        assert reply.reason is None, reply.body

    async def call(
        self,
        connection: str,
        what: Call = GET,
        *,
        payload: Mapping[str, Any] = NOTHING,
        ms: int = CALL_MS,
        call_id: str | None = None,
    ) -> Reply:
        """One call and its reply."""
        headers = {"Timeout-Ms": str(ms)} | ({"Call-Id": call_id} if call_id else {})
        subject = f"sidecar.{what.access}.{TENANT}.{connection}.{what.provider}.{what.operation}"
        return await self._ask(subject, payload, headers, ms / 1000 + 5)

    def begin(self, connection: str, what: Call = GET) -> None:
        """A call whose end nobody waits for."""
        task = asyncio.create_task(self.call(connection, what))
        self.calls.add(task)
        task.add_done_callback(self.calls.discard)

    async def cancel(self, connection: str, call_id: str) -> None:
        """As an agent cancels, without waiting for a reply."""
        await self.agent.publish(f"sidecar.cancel.{TENANT}.{connection}.{call_id}", b"")

    async def record(self, connection: str, provider: str = PROVIDER) -> tuple[Credential, int]:
        """What is stored of it now, and its revision."""
        found = await self.store.look(TENANT, connection, provider)
        assert found is not None
        assert not isinstance(found, Failure), found
        return found.credential, found.revision

    async def believe(self, connection: str, server: StrictServer, seconds: float) -> None:
        """Renew the connection's tokens from outside, and store them as ones that live so long from now, whatever their
        server knows. A sidecar looks at the end of a token once, so a token must be new to it.
        """
        credential, _ = await self.record(connection)
        assert credential.tokens is not None
        assert credential.tokens.refresh is not None
        access, refresh = await server.renew(credential.tokens.refresh.reveal())
        tokens = msgspec.structs.replace(
            credential.tokens,
            access=Secret(access),
            refresh=Secret(refresh),
            expires=time.time() + seconds,
            lifetime=BELIEVED_LIFE,
        )
        failed = await self.store.save(TENANT, connection, PROVIDER, msgspec.structs.replace(credential, tokens=tokens))
        assert failed is None, failed

    async def put(self, connection: str, base_url: str, access: str, refresh: str, seconds: float) -> None:
        """Store a connection with tokens that another program had, as a restored backup does."""
        now = time.time()
        tokens = Tokens(access=Secret(access), refresh=Secret(refresh), expires=now + seconds, lifetime=seconds)
        credential = Credential(
            kind="oauth2", fields={}, base_url=base_url, created=now, changed=now, tokens=tokens, client_id=CLIENT_ID
        )
        failed = await self.store.save(TENANT, connection, PROVIDER, credential)
        assert failed is None, failed

    def jetstream(self, on: bool) -> None:
        """Switch it off or on again. Core NATS goes on: with the whole server's JetStream, connections would go too."""
        self.server.reload(_config(self.folder, jetstream=on))

    async def jetstream_is(self, on: bool) -> None:
        """Return when the server has taken it in."""
        async with asyncio.timeout(PATIENCE):
            while await self._has_jetstream() is not on:  # noqa: ASYNC110 - another process decides
                await asyncio.sleep(0.05)

    async def store_writes(self) -> int:
        """How many messages were ever written to the bucket of credentials."""
        answer = await self.agent.request(f"$JS.API.STREAM.INFO.KV_{BUCKET}", b"", timeout=PATIENCE)
        return int(json.loads(answer.data)["state"]["last_seq"])

    async def _has_jetstream(self) -> bool:
        try:
            answer = await self.agent.request(f"$JS.API.STREAM.INFO.KV_{BUCKET}", b"", timeout=1)
        except NatsError:
            return False
        return "state" in json.loads(answer.data)

    async def _ask(self, subject: str, payload: Mapping[str, Any], headers: dict[str, str], seconds: float) -> Reply:
        began = time.monotonic()
        try:
            answer = await self.agent.request(
                subject, json.dumps(dict(payload)).encode(), timeout=seconds, headers=headers
            )
        except NatsError as error:
            return Reply(type(error).__name__, str(error), 0, time.monotonic() - began)
        told, body = answer.headers or {}, json.loads(answer.data or b"null")
        reason = str(body["reason"]) if FAILED in told else None
        return Reply(reason, body, int(told.get("Attempts", "0")), time.monotonic() - began)


@asynccontextmanager
async def fleet(
    folder: Path,
    *,
    connectors: Sequence[Path] = (CONNECTORS,),
    egress: Sequence[str] = ("127.0.0.1",),
    **variables: str,
) -> AsyncIterator[Fleet]:
    """A NATS server with a sidecar's buckets, the app of the strict server, an agent; no member yet."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nats").mkdir()
    (folder / "apps").mkdir()
    app = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    (folder / "apps" / f"{PROVIDER}.json").write_text(json.dumps(app))
    (folder / "apps" / f"{PROVIDER}.json").chmod(0o600)
    async with own_server(folder / "nats", _config(folder, jetstream=True)) as server:
        url = f"nats://u:p@127.0.0.1:{server.port}"
        await prepare(url, folder / "kek")
        mine = {name: value for name, value in os.environ.items() if not name.startswith("SIDECAR_")}
        environment = mine | {
            "SIDECAR_NATS_URL": url,
            "SIDECAR_KEK_FILE": str(folder / "kek"),
            "SIDECAR_CONNECTORS": os.pathsep.join(map(str, connectors)),
            "SIDECAR_EGRESS_ALLOW": ",".join(egress),
            "SIDECAR_APPS_DIR": str(folder / "apps"),
            "SIDECAR_OPERATIONS_ADDRESS": "127.0.0.1:0",
            "SIDECAR_LOG_FORMAT": "text",
            "PYTHONPATH": os.pathsep.join(sys.path),
            **variables,
        }
        agent = await nats.connect(url, error_cb=_quiet, max_reconnect_attempts=-1)
        settings = Settings(kek_file=str(folder / "kek"))
        keys = keys_to_run(settings, SystemClock().now)
        assert not isinstance(keys, str), keys
        async with connected(settings, url) as bus:
            store = CredentialStore(NatsStore(bus), keys, SystemClock(), SystemRandom(), capacity=KEEP)
            here = Fleet(folder, server, url, agent, store, environment)
            try:
                async with here.parts:
                    yield here
            finally:
                for call in here.calls:
                    call.cancel()
                await agent.close()


def _config(folder: Path, *, jetstream: bool) -> dict[str, Any]:
    account = {"jetstream": "enabled" if jetstream else "disabled", "users": [{"user": "u", "password": "p"}]}
    return {"jetstream": {"store_dir": str(folder / "nats")}, "accounts": {"A": account}}


async def _killed(child: Process) -> None:
    if child.returncode is None:
        child.kill()
    await child.wait()


async def _quiet(_error: Exception) -> None:
    pass
