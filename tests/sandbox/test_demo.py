"""`make demo` does what it says, leaves everything running when asked to, and fails when a step does not hold."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest

from sidecar.sandbox.story import ISSUES, LIST

ROOT = Path(__file__).parents[2]
STEPS = ["start", "connect", "connect", "read", "write", "mistake", "quota", "twice", "limit", "why"]
BROKEN = "from sidecar.sandbox import demo, story; story.ISSUES['state'] = 'lost'; demo.main()"


@pytest.fixture
def kept() -> Iterator[subprocess.Popen[str]]:
    """The demonstration with KEEP=1."""
    environment = {**os.environ, "KEEP": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "sidecar.sandbox.demo"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.anyio
async def test_the_demonstration_tells_every_step_and_stays_when_it_is_kept(kept: subprocess.Popen[str]) -> None:
    """Every step in order; then a program of one's own gets an answer at the address printed; SIGTERM ends it well."""
    assert kept.stdout is not None
    told: list[str] = []
    for line in kept.stdout:
        told.append(line.rstrip())
        if line.startswith("For real"):
            break
    steps = [match[1] for line in told if (match := re.match(r" ?\d+ (\w+)", line))]
    assert steps == STEPS
    assert not [line for line in told if "\x1b" in line], "no colours where there is no terminal"
    url = next(re.findall(r"nats://\S+", line)[0] for line in told if "nats --server" in line)
    client = await nats.connect(url)
    reply = await client.request(LIST, json.dumps(ISSUES).encode(), timeout=10)
    await client.close()
    assert [issue["number"] for issue in json.loads(reply.data)] == [812, 809]
    kept.send_signal(signal.SIGTERM)
    assert kept.wait(timeout=20) == 0


def test_a_step_that_does_not_hold_ends_it_with_an_error() -> None:
    """No demonstration pretends: exit code 1, and which promise it was."""
    done = subprocess.run(
        [sys.executable, "-c", BROKEN], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 1
    assert "this is not as it should be: the issues are listed" in done.stderr
    assert "Traceback" not in done.stderr
