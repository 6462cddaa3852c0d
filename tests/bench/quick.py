"""`make bench-quick`: what one hop through the sidecar costs, beside an agent's own HTTPX and aiohttp, in one run.

Everything is a process of its own on this machine: a TLS upstream, nats-server with the shipped durability, the sidecar
as `sidecar run`, and one load generator at a time. Contenders take turns; figures are medians over the rounds, and
ratios are taken within a round, since the speed of a shared machine drifts.
"""

from __future__ import annotations

import asyncio
import compileall
import json
import logging
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import uvloop

import sidecar
from sidecar.adapters.nats_server import embedded_server
from sidecar.app import provider_folders_of
from sidecar.settings import Settings
from tests.bench.certificate import make_certificate
from tests.processes import line, prepare, process, running_sidecar

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = float(os.environ.get("SECONDS", "1.5"))
KINDS = ("httpx", "aiohttp", "nats", "sidecar")
TICKS = os.sysconf("SC_CLK_TCK")
SUBJECT = "sidecar.write.default.default.bench.items.create"


@asynccontextmanager
async def upstream(certificate: Path, key: Path, delay_ms: int) -> AsyncIterator[str]:
    async with process(
        sys.executable, "-m", "tests.bench.upstream", str(certificate), str(key), str(delay_ms)
    ) as child:
        yield f"https://127.0.0.1:{int(await line(child))}"


async def connect_bench(nats_url: str, base_url: str) -> None:
    client = await nats.connect(nats_url)
    payload = json.dumps({"fields": {"token": "token"}, "base_url": base_url, "verify": False}).encode()
    answer = await client.request("sidecar.admin.default.default.bench.import", payload, timeout=10)
    assert not (answer.headers or {}).get("Nats-Service-Error"), answer.data
    await client.close()


async def agent(kind: str, target: str, in_flight: int, environment: dict[str, str]) -> dict[str, float]:
    async with process(
        sys.executable, "-m", "tests.bench.agent", kind, target, str(in_flight), str(SECONDS), env=environment
    ) as child:
        figures: dict[str, float] = json.loads(await line(child))
        return figures


async def held(nats_url: str, in_flight: int, pid: int) -> float:
    """Memory in MB with that many calls in flight against a slow upstream."""
    client = await nats.connect(nats_url)
    payload = json.dumps({"title": "Login fails on Safari"}).encode()
    calls = [asyncio.create_task(client.request(SUBJECT, payload, timeout=60)) for _ in range(in_flight)]
    most = 0.0
    while not all(call.done() for call in calls):
        most = max(most, rss_mb(pid))
        await asyncio.sleep(0.02)
    lost = [call for call in calls if (call.result().headers or {}).get("Nats-Service-Error")]
    assert not lost, lost[0].result().data
    await client.close()
    return most


def compiled_as_installed() -> None:
    """An installation brings its modules compiled; a working tree may not keep what a start compiles."""
    for folder in (Path(sidecar.__file__).parent, *provider_folders_of(Settings())):
        compileall.compile_dir(folder, quiet=1)


def rss_mb(pid: int) -> float:
    for row in Path(f"/proc/{pid}/status").read_text().splitlines():
        if row.startswith("VmRSS:"):
            return int(row.split()[1]) / 1024
    return 0.0


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def median(rounds: list[dict[str, dict[str, float]]], kind: str, figure: str) -> float:
    return statistics.median(one[kind][figure] for one in rounds)


def ratio(rounds: list[dict[str, dict[str, float]]], figure: str, over: str) -> float:
    return statistics.median(one["sidecar"][figure] / one[over][figure] for one in rounds)


async def measure(nats_url: str, api: str, pid: int, in_flight: int, environment: dict[str, str]) -> list[Any]:
    rounds = []
    for _ in range(ROUNDS):
        one: dict[str, dict[str, float]] = {}
        for kind in KINDS:
            before = cpu_seconds(pid)
            over_nats = kind in {"nats", "sidecar"}
            one[kind] = await agent(kind, nats_url if over_nats else api, in_flight, environment)
            one[kind]["sidecar_cpu_us"] = (cpu_seconds(pid) - before) / max(1, one[kind]["calls"]) * 1e6
        rounds.append(one)
    return rounds


def report(starts: list[float], memory: dict[str, float], one: list[Any], many: list[Any]) -> bool:
    """Print the figures beside their bars; whether all bars hold."""
    print(f"\n{ROUNDS} rounds of {SECONDS} s each, contenders in turn; POST of a small JSON body over TLS\n")
    print(f"{'':10} {'p50 at 1':>10} {'p99 at 1':>10} {'calls/s at 64':>14} {'agent CPU/call':>15}")
    for kind in KINDS:
        print(
            f"{kind:10} {median(one, kind, 'p50_ms'):>7.2f} ms {median(one, kind, 'p99_ms'):>7.2f} ms"
            f" {median(many, kind, 'per_second'):>14,.0f} {median(many, kind, 'cpu_us'):>12.0f} us"
        )
    added = statistics.median(part["sidecar"]["p50_ms"] - part["aiohttp"]["p50_ms"] for part in one)
    hop = median(one, "nats", "p50_ms")
    # The warm-up's calls are in the process's CPU but not in the count: subtract their share.
    counted = SECONDS / (SECONDS + 0.5)
    cpu = median(many, "sidecar", "sidecar_cpu_us") * counted
    of_aiohttp = counted * statistics.median(
        part["sidecar"]["sidecar_cpu_us"] / part["aiohttp"]["cpu_us"] for part in many
    )
    bars = [
        ("p50 at 1, sidecar / direct HTTPX", ratio(one, "p50_ms", "httpx"), "<=", 0.90, ""),
        ("p50 at 1, added over direct aiohttp", added, "<=", 0.5, " ms"),
        ("calls/s at 64, sidecar / direct HTTPX", ratio(many, "per_second", "httpx"), ">=", 8.0, ""),
        ("CPU of the sidecar per call at 64", cpu, "<=", 200.0, " us"),
        ("start to ready", statistics.median(starts), "<=", 0.7, " s"),
        ("memory at start", memory["start"], "<=", 80.0, " MB"),
        ("memory at 512 in flight", memory["512"], "<=", 100.0, " MB"),
        ("memory at 5,000 in flight", memory["5000"], "<=", 190.0, " MB"),
    ]
    print()
    good = True
    for name, figure, sign, bar, unit in bars:
        holds = figure <= bar if sign == "<=" else figure >= bar
        good = good and holds
        print(f"{name:40} {figure:>8.2f}{unit:<3}  bar {sign} {bar:g}{unit:<3} {'holds' if holds else 'DOES NOT HOLD'}")
    aiohttp = median(many, "aiohttp", "cpu_us")
    print("\nHow fast this machine is just now, of which absolute figures tell as much as of the sidecar:")
    print(f"{'a bare answer over NATS, p50 at 1':40} {hop:>8.2f} ms   beyond it the sidecar adds {added - hop:.2f} ms")
    print(f"{'CPU of an aiohttp agent per call at 64':40} {aiohttp:>8.2f} us   the sidecar's is {of_aiohttp:.2f} of it")
    return good


async def main() -> int:
    logging.basicConfig(level=logging.ERROR)
    compiled_as_installed()
    folder = Path(tempfile.mkdtemp(prefix="sidecar-bench-"))
    async with AsyncExitStack() as parts:
        parts.callback(shutil.rmtree, folder, ignore_errors=True)
        certificate, key = make_certificate(folder)
        fast = await parts.enter_async_context(upstream(certificate, key, 0))
        slow = await parts.enter_async_context(upstream(certificate, key, 2000))
        server = await parts.enter_async_context(embedded_server(folder / "nats", logging.getLogger("nats")))
        environment = dict(os.environ) | {
            "SIDECAR_NATS_URL": server.url,
            "SIDECAR_KEK_FILE": str(folder / "kek"),
            "SIDECAR_CONNECTORS": str(Path(__file__).parent / "connectors"),
            "SIDECAR_EGRESS_ALLOW": "127.0.0.1",
            "SIDECAR_MAX_IN_FLIGHT": "6000",
            "SIDECAR_MAX_PER_TENANT": "6000",
            "SIDECAR_MAX_PER_PROVIDER": "6000",
            "SSL_CERT_FILE": str(certificate),
        }
        await prepare(server.url, folder / "kek")
        starts, memory = [], {}
        for _ in range(3):
            async with running_sidecar(environment, server.url) as running:
                starts.append(running.ready_seconds)
                memory["start"] = rss_mb(running.pid)
                if len(starts) == 1:
                    await connect_bench(server.url, slow)
                    memory["512"] = await held(server.url, 512, running.pid)
                    memory["5000"] = await held(server.url, 5000, running.pid)
        async with running_sidecar(environment, server.url) as running:
            await connect_bench(server.url, fast)
            echo = await parts.enter_async_context(process(sys.executable, "-m", "tests.bench.echo", server.url))
            await line(echo)
            one = await measure(server.url, fast, running.pid, 1, environment)
            many = await measure(server.url, fast, running.pid, 64, environment)
    return 0 if report(starts, memory, one, many) else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
