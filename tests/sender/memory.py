"""Run by test_memory.py in a process of its own: exchanges with a hostile server, and how far the peak of RSS rose.

Arguments: the server's URL, then paths. Prints one JSON list of [path, outcome, bytes that the peak rose].
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import uvloop

from sidecar.adapters.http1_sender import Http1Sender
from sidecar.core.egress import parse_allow
from sidecar.model import Failure

MAX_BODY = 4 * 1024 * 1024
STATUS = Path("/proc/self/status")


def peak() -> int:
    """Bytes of the highest RSS. Linux hands `ru_maxrss` on to a new program, so there the kernel's own mark is read."""
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS, getrusage(2)
    return 1024 * next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))


def forget_peak() -> None:
    """Let the mark start again from the present RSS, where the kernel can (proc_pid_clear_refs(5))."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


async def main(url: str, paths: list[str]) -> None:
    sender = Http1Sender(allow=parse_allow(["127.0.0.1"]))
    loop = asyncio.get_running_loop()
    found: list[tuple[str, str, int]] = []
    for path in paths:
        forget_peak()
        before = peak()
        request = httpx.Request("GET", f"{url}{path}")
        outcome = await sender.send(request, deadline=loop.time() + 20, max_body=MAX_BODY)
        said = outcome.reason if isinstance(outcome, Failure) else str(outcome.status_code)
        found.append((path, said, peak() - before))
    await sender.aclose()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2:]))
