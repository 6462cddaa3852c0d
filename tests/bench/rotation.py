"""`make rotate-test`: a tenant's key changes while two sidecars serve; prints what became of records and calls.

RECORDS connections (10,000) are sealed with one key. Agents go on calling, each time as another connection, and an
operator goes on importing credentials, while `sidecar keys new` and `sidecar keys rotate` run as a user runs them; then
the old key is taken out of the file, and everything goes on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import nats
import uvloop
from nats.aio.client import Client

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.adapters.key_file import read_key_file
from sidecar.adapters.nats_server import embedded_server
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.system import SystemClock, SystemRandom
from sidecar.app import connected
from sidecar.credential import Credential
from sidecar.secret import Secret
from sidecar.settings import Settings
from sidecar.store.credential import CredentialStore
from tests.bench.certificate import make_certificate
from tests.processes import AS_INSTALLED, line, prepare, process, running_sidecar

RECORDS = int(os.environ.get("RECORDS", "10000"))
AGENTS = 8
SETTLE_SECONDS = 2.0  # of load before and after
HERE = Path(__file__).parent
CALL = json.dumps({"title": "Login fails on Safari"}).encode()


class Load:
    """Calls and imports of connections at random; what failed, by its reason."""

    def __init__(self, client: Client, base_url: str) -> None:
        self._client = client
        self._credential = json.dumps({"fields": {"token": "token"}, "base_url": base_url, "verify": False}).encode()
        self._dice = random.Random(1)
        self.over = False
        self.calls = self.imports = 0
        self.slowest = 0.0
        self.failed: Counter[str] = Counter()

    async def agent(self) -> None:
        while not self.over:
            await self._ask(f"sidecar.write.default.{self._someone()}.bench.items.create", CALL)
            self.calls += 1

    async def operator(self) -> None:
        while not self.over:
            await self._ask(f"sidecar.admin.default.{self._someone()}.bench.import", self._credential)
            self.imports += 1

    def _someone(self) -> str:
        return f"user{self._dice.randrange(RECORDS)}"

    async def _ask(self, subject: str, payload: bytes) -> None:
        began = time.perf_counter()
        try:
            answer = await self._client.request(subject, payload, timeout=30)
        except nats.errors.Error as error:
            self.failed[type(error).__name__] += 1
        else:
            failure = (answer.headers or {}).get("Nats-Service-Error")
            if failure:
                self.failed[failure.partition(":")[0]] += 1
        self.slowest = max(self.slowest, time.perf_counter() - began)


async def import_all(url: str, kek: Path, base_url: str) -> None:
    """A record for each connection, sealed with the key of the file."""
    async with connected(Settings(), url) as bus:
        keys, clock, dice = FileKeys(read_key_file(kek)), SystemClock(), SystemRandom()
        store = CredentialStore(NatsStore(bus), keys, clock, dice, capacity=1)
        credential = Credential(
            kind="bearer", fields={"token": Secret("token")}, base_url=base_url, created=0.0, changed=0.0
        )

        async def some(part: int) -> None:
            for number in range(part, RECORDS, 32):
                failure = await store.save("default", f"user{number}", "bench", credential)
                assert failure is None, failure

        async with anyio.create_task_group() as group:
            for part in range(32):
                group.start_soon(some, part)


async def command(environment: dict[str, str], *words: str) -> Any:
    async with process(sys.executable, "-c", AS_INSTALLED, *words, "--json", env=environment) as child:
        assert child.stdout is not None
        return json.loads(await child.stdout.read())


def take_out(kek: Path, key: str) -> None:
    fresh = kek.with_name("kek.fresh")
    fresh.write_text("".join(row for row in kek.read_text().splitlines(keepends=True) if not row.startswith(key)))
    fresh.chmod(0o600)
    fresh.replace(kek)


async def main() -> int:
    logging.basicConfig(level=logging.ERROR)
    async with AsyncExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="sidecar-rotate-")))
        certificate, key = make_certificate(folder)
        upstream = await parts.enter_async_context(
            process(sys.executable, "-m", "tests.bench.upstream", str(certificate), str(key), "0")
        )
        base_url = f"https://127.0.0.1:{int(await line(upstream))}"
        server = await parts.enter_async_context(embedded_server(folder / "nats", logging.getLogger("nats")))
        kek = folder / "kek"
        await prepare(server.url, kek)
        began = time.perf_counter()
        await import_all(server.url, kek, base_url)
        print(f"{RECORDS:,} records sealed and stored in {time.perf_counter() - began:.1f} s", flush=True)
        environment = dict(os.environ) | {
            "SIDECAR_NATS_URL": server.url,
            "SIDECAR_KEK_FILE": str(kek),
            "SIDECAR_CONNECTORS": str(HERE / "connectors"),
            "SIDECAR_EGRESS_ALLOW": "127.0.0.1",
            "SIDECAR_CONNECTIONS_CACHED": "100",
            "SIDECAR_LOG_LEVEL": "warning",
            "SSL_CERT_FILE": str(certificate),
        }
        for _ in range(2):
            await parts.enter_async_context(running_sidecar(environment, server.url))
        client = await nats.connect(server.url)
        parts.push_async_callback(client.close)
        await both_serve(client)
        return await rotate(environment, kek, Load(client, base_url))


async def both_serve(client: Client) -> None:
    """Return when two sidecars answer."""
    inbox = client.new_inbox()
    answers = await client.subscribe(inbox)
    names: set[str] = set()
    while len(names) < 2:
        await client.publish("$SRV.PING.connector-sidecar", b"", reply=inbox)
        names.add(json.loads((await answers.next_msg(timeout=30)).data)["id"])
    await answers.unsubscribe()


async def rotate(environment: dict[str, str], kek: Path, load: Load) -> int:
    async with anyio.create_task_group() as group:
        for _ in range(AGENTS):
            group.start_soon(load.agent)
        group.start_soon(load.operator)
        await asyncio.sleep(SETTLE_SECONDS)
        [old] = read_key_file(kek)
        made = await command(environment, "keys", "new")
        began = time.perf_counter()
        rotated = await command(environment, "keys", "rotate")
        took = time.perf_counter() - began
        take_out(kek, old)
        await asyncio.sleep(SETTLE_SECONDS)
        load.over = True
    counted = await command(environment, "keys", "list")
    left = sum(number for key, number in counted["records"].items() if key != made["key"])
    print(f"re-wrapped from {old} to {made['key']} in {took:.1f} s: {rotated['rewrapped']:,} records by the command,")
    print(f"the others by imports meanwhile; then {old} was taken out of the file")
    print(f"{'records under the new key':34} {counted['records'].get(made['key'], 0):>8,}")
    print(f"{'records left on the old key':34} {left:>8,}   bar 0")
    print(f"{'records that could not be opened':34} {len(rotated['failed']) + len(counted['failed']):>8,}   bar 0")
    print(f"{'calls meanwhile':34} {load.calls:>8,}   and {load.imports:,} imports, slowest {load.slowest:.2f} s")
    print(f"{'failed calls and imports':34} {load.failed.total():>8,}   bar 0   {dict(load.failed) or ''}")
    good = left == 0 and not load.failed and not rotated["failed"] and old in rotated["removable"]
    return 0 if good and counted["records"] == {made["key"]: RECORDS} else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
