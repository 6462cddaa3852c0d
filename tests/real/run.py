"""`make real`: real Redmine, PocketBase and Synapse, called through NATS; exit 1 when anything is not as it must be.

Needs SHARED (the folder with the servers' recipes); REAL_DIR is where they are installed and keep their data.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError

from sidecar.adapters.nats_directory import read_url
from tests.real import matrix, pocketbase, redmine
from tests.real.ledger import Ledger, Unexpected
from tests.real.paced import paced
from tests.real.servers import CannotStart, Server, Servers, free_ports, real_servers

SIDECAR = [str(Path(sys.executable).parent / "sidecar")]
READY_SECONDS = 30.0
STOP_SECONDS = 30.0
LEAST_CALLS = 40
NODE_PACKAGE = "@nats-io/transport-node@~3.3.0"


def main() -> int:
    recipes = Path(os.environ.get("SHARED", "../shared")) / "real"
    scratch = Path(os.environ.get("REAL_DIR") or Path(tempfile.gettempdir()) / "connector-sidecar-real").absolute()
    if not recipes.is_dir():
        say(f"there are no recipes in {recipes}; set SHARED to the folder that holds real/")
        return 2
    try:
        with real_servers(recipes.absolute(), scratch, say) as servers:
            dead = free_ports(1)[0]
            with _sidecar(servers, dead, scratch) as url:
                return asyncio.run(_prove(url, servers, dead, scratch))
    except CannotStart as error:
        say(str(error))
        return 2


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextmanager
def _sidecar(servers: Servers, dead: int, scratch: Path) -> Iterator[str]:
    """A sidecar in a process of its own, with its embedded NATS; gives the URL of NATS."""
    data = scratch / "sidecar"
    shutil.rmtree(data, ignore_errors=True)
    allowed = [server.url.removeprefix("http://") for server in servers]
    environment = {**os.environ, "SIDECAR_EGRESS_ALLOW": ",".join([*allowed, f"127.0.0.1:{dead}"])}
    command = [*SIDECAR, "dev", "--data-dir", str(data)]
    with (scratch / "sidecar.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield _url_when_ready(process, data, scratch)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _url_when_ready(process: subprocess.Popen[bytes], data: Path, scratch: Path) -> str:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and process.poll() is None:
        url = read_url(data)
        if url and asyncio.run(_serves(url)):
            return url
        time.sleep(0.1)
    raise CannotStart(f"the sidecar does not serve; see {scratch / 'sidecar.log'}")


async def _serves(url: str) -> bool:
    with contextlib.suppress(NatsError, OSError):
        client = await nats.connect(url, allow_reconnect=False, connect_timeout=1)
        try:
            await client.request("sidecar.catalog.default.providers", b"", timeout=2)
        except NatsError:
            return False
        else:
            return True
        finally:
            await client.close()
    return False


async def _prove(url: str, servers: Servers, dead: int, scratch: Path) -> int:
    began = time.monotonic()
    client = await nats.connect(url)
    ledger = Ledger(client)
    await ledger.start()
    proofs = await _calls(ledger, servers, dead)
    proofs += await _same_bytes(client, ledger, url, scratch)
    await client.close()
    return _report(ledger, proofs, time.monotonic() - began)


async def _calls(ledger: Ledger, servers: Servers, dead: int) -> list[str]:
    """Every story; one that cannot go on does not keep the others from being told."""
    run = f"r{int(time.time())}"
    proofs: list[str] = []

    async def told(story: Callable[[], Awaitable[object]]) -> object:
        try:
            result = await story()
        except (Unexpected, NatsError, KeyError, IndexError, TypeError, ValueError) as error:
            ledger.wrong(f"the story ends here: {type(error).__name__}: {error}")
            return None
        if isinstance(result, str) and " " in result:
            proofs.append(result)
        return result

    await told(lambda: redmine.connect(ledger, servers.redmine))
    await told(lambda: redmine.story(ledger, run))
    await told(lambda: pocketbase.connect(ledger, servers.pocketbase))
    await told(lambda: pocketbase.story(ledger, run))
    await told(lambda: pocketbase.limited(ledger))
    await told(lambda: paced(ledger, pocketbase.CREATES))
    await told(lambda: matrix.connect(ledger, servers.synapse))
    room = await told(lambda: matrix.story(ledger, run))
    if isinstance(room, str):
        await told(lambda: matrix.limited(ledger, room))
        await told(lambda: paced(ledger, matrix.messages(room)))
    await told(lambda: _unreachable(ledger, servers.redmine, dead))
    await told(lambda: _housekeeping(ledger))
    return proofs


async def _unreachable(ledger: Ledger, server: Server, dead: int) -> None:
    """A server that is not there, and addresses that may not be called."""
    given = {"kind": "api_key", "fields": server.logins["bot"], "verify": False}
    await ledger.ok("admin.dead.redmine.import", {**given, "base_url": f"http://127.0.0.1:{dead}"})
    await ledger.refused(
        "CONNECT_FAILED", "write.dead.redmine.issues.create", {"project": "demo", "subject": "x"}, attempts=3
    )
    metadata = {**given, "base_url": "http://169.254.169.254", "verify": True}
    await ledger.refused("EGRESS_BLOCKED", "admin.metadata.redmine.import", metadata)
    await ledger.refused("VALIDATION", "admin.odd.redmine.import", {**given, "base_url": "ftp://tracker.example"})


async def _housekeeping(ledger: Ledger) -> None:
    """A connection disabled, enabled and revoked; what is listed holds no secret."""
    await ledger.ok("admin.basic.redmine.disable")
    await ledger.refused("CONNECTION_DISABLED", "read.basic.redmine.users.current", attempts=0)
    await ledger.ok("admin.basic.redmine.enable")
    await ledger.ok("read.basic.redmine.users.current")
    await ledger.ok("admin.basic.redmine.revoke")
    await ledger.refused("CONNECTION_REVOKED", "read.basic.redmine.users.current", attempts=0)
    listed = await ledger.ok("admin.-.-.list")
    ledger.check("bot-password-1" not in str(listed), "a list shows a secret")


async def _same_bytes(client: Client, ledger: Ledger, url: str, scratch: Path) -> list[str]:
    """The same reads by a Node program with nothing of ours: its replies are the same bytes."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        ledger.problems.append("node and npm are needed for agent.mjs")
        return []
    folder = scratch / "node"
    folder.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).parent / "agent.mjs", folder)
    if not (folder / "node_modules").is_dir():
        await asyncio.to_thread(
            subprocess.run,
            [npm, "install", "--no-audit", "--no-fund", "--silent", NODE_PACKAGE],
            cwd=folder,
            check=True,
        )
    reads = [
        ("sidecar.read.default.bot.redmine.users.current", "{}"),
        ("sidecar.read.default.bot.redmine.projects.get", '{"project": "demo", "include": ["trackers"]}'),
        ("sidecar.read.default.bot.redmine.issues.list", '{"status": "*", "limit": 5}'),
        ("sidecar.read.default.bot.redmine.statuses.list", "{}"),
        ("sidecar.read.default.bot.pocketbase.records.list", '{"collection": "contacts", "sort": ["id"], "limit": 5}'),
        ("sidecar.read.default.admin.pocketbase.collections.get", '{"collection": "contacts"}'),
        ("sidecar.read.default.ann.matrix.account.whoami", "{}"),
        ("sidecar.read.default.ann.matrix.profiles.get", '{"user_id": "@ben:localhost"}'),
    ]
    replies = [(await client.request(subject, values.encode(), timeout=35)).data for subject, values in reads]
    command = [node, "agent.mjs", *(word for read in reads for word in read)]
    environment = {**os.environ, "NATS_URL": url}
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, env=environment, capture_output=True, check=False
    )
    lines = done.stdout.split(b"\n")[:-1]
    if done.returncode or lines != replies:
        ledger.problems.append(f"agent.mjs had other replies: {done.stderr.decode()[:500]} {lines}")
    return [f"Node: {len(reads)} reads by agent.mjs, byte for byte the replies of nats-py"]


def _report(ledger: Ledger, proofs: list[str], seconds: float) -> int:
    widest = max(len(row.call) for row in ledger.rows)
    say(f"\n{'':3}  {'call':{widest}}  {'reply':32} {'attempts':>8} {'ms':>7}")
    for number, row in enumerate(ledger.rows, 1):
        say(f"{number:3}  {row.call:{widest}}  {row.reply:32} {row.attempts:8} {row.seconds * 1000:7.0f}")
        for problem in row.problems:
            say(f"     !! {problem}")
    say("")
    for line in proofs:
        say(line)
    reached = sum(row.attempts > 0 for row in ledger.rows)
    if reached < LEAST_CALLS:
        ledger.problems.append(f"only {reached} calls reached a real server, {LEAST_CALLS} must")
    failures = sum(not row.reply.startswith("ok") for row in ledger.rows)
    say(
        f"{len(ledger.rows)} calls in {seconds:.0f} s, {reached} of them to a real server; "
        f"{failures} failures, {failures - ledger.misshapen} of them in the one shape; "
        f"{len(ledger.problems)} things not as expected"
    )
    for problem in ledger.problems:
        say(f"!! {problem}")
    return 1 if ledger.problems else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers are stopped then too
    sys.exit(main())
