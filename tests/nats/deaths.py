"""Every way in which nats-py was seen to die, provoked against a real nats-server. `python -m tests.nats.deaths` prints
for each whether the bus healed and after how many seconds, at the pace of production; `test_deaths.py` holds the same
at a quick one.

`out` are the seconds from the fault to the moment from which every request through the bus is answered on another
connection, and every one from there by the bus; `away` are those of them in which there was no server or valid login.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sidecar.adapters.nats_supervision import Pace
from tests.app.fleet import fleet
from tests.nats import faults
from tests.nats.faults import ATTEMPTS, Fault
from tests.nats.operator import Operator
from tests.nats.place import LOGIN, Place, place
from tests.nats.proxy import Way
from tests.processes import AS_INSTALLED

OTHER_LOGIN = {"authorization": {"user": "u", "password": "another"}}
Setting = Callable[[Path, Pace], AbstractAsyncContextManager[Place]]


@dataclass(frozen=True)
class Death:
    """One way to die."""

    name: str
    fault: Fault
    setting: Setting = place


async def healed(death: Death, folder: Path, pace: Pace) -> tuple[float, float]:
    """Die and come back: the seconds `out` and `away`. Raises what `Place.healed` does when it does not come back."""
    async with death.setting(folder, pace) as here:
        began = time.monotonic()
        away = await death.fault(here)
        return await here.healed() - began, away


_operator = Operator()
DEATHS = (
    Death("late PONG after SIGSTOP", faults.late_pong),
    Death("server paused until it is left", faults.paused_server),
    Death(
        "error, disconnected, reconnected callbacks raise",
        faults.raising_callbacks,
        partial(faults.with_callbacks, LookupError),
    ),
    Death(
        "the same leak CancelledError", faults.raising_callbacks, partial(faults.with_callbacks, asyncio.CancelledError)
    ),
    Death("subscription callback raises", partial(faults.raising_subscription, LookupError)),
    Death("subscription callback leaks CancelledError", partial(faults.raising_subscription, asyncio.CancelledError)),
    Death("half-open, nothing comes", partial(faults.half_open, (Way.BACK,))),
    Death("half-open, nothing goes", partial(faults.half_open, (Way.OUT,))),
    Death("half-open, both ways", partial(faults.half_open, tuple(Way))),
    Death("half-open, the socket full", faults.half_open_full),
    Death("RST", faults.reset),
    Death("partition of 60 s", partial(faults.partitioned, 60.0)),
    Death("server killed and started", faults.killed_server),
    Death(f"server away for {ATTEMPTS} attempts", faults.many_attempts, faults.quick_attempts),
    Death("protocol: a line that is none", partial(faults.injected, b"NONSENSE\r\n")),
    Death("protocol: a message that never ends", partial(faults.injected, b"MSG x 1 99999999\r\n")),
    Death("protocol: broken INFO", partial(faults.injected, b"INFO {broken}\r\n")),
    Death("protocol: -ERR that is not UTF-8", partial(faults.injected, b"-ERR '\xff'\r\n")),
    Death("protocol: -ERR unknown", partial(faults.injected, b"-ERR 'Unknown Protocol Operation'\r\n")),
    Death("protocol: PONGs nobody asked for", partial(faults.injected, b"PONG\r\n" * 9)),
    Death("read task cancelled", partial(faults.cancelled_task, "_reading_task")),
    Death("flush task cancelled", partial(faults.cancelled_task, "_flusher_task")),
    Death("nats-py closed itself", faults.closed_client),
    Death("password refused, then valid", partial(faults.rotated, OTHER_LOGIN, LOGIN)),
    Death(
        "token refused, then valid",
        partial(faults.rotated, {"authorization": {"token": "t1"}}, faults.TOKEN),
        faults.with_token,
    ),
    Death(
        ".creds expired, then written anew",
        partial(faults.expired_creds, _operator),
        partial(faults.with_creds, _operator),
    ),
)


async def no_server(folder: Path) -> tuple[float, int]:
    """`sidecar run` where no server answers: seconds, and its exit code."""
    began = time.monotonic()
    child = await _sidecar({"SIDECAR_NATS_URL": "nats://127.0.0.1:9", "SIDECAR_KEK_FILE": str(folder / "kek")})
    await child.communicate()
    return time.monotonic() - began, child.returncode or 0


async def server_for_ever_away(folder: Path) -> tuple[float, int]:
    """`sidecar run` whose server never comes back, with 10 s to heal: seconds, and its exit code."""
    async with fleet(folder, delay=0) as (here, _):
        member = await here.member(SIDECAR_HEAL_SECONDS="10")
        here.server.kill()
        code, took, _ = await member.ended()
        return took, code


async def _sidecar(variables: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", AS_INSTALLED, "run"),
        env=os.environ | variables,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def main() -> int:
    """Print the table; how many did not heal."""
    logging.disable(logging.CRITICAL)
    print(f"{'death':<52} {'result':<8} {'out':>6} {'away':>6}   seconds")
    failed = 0
    for death in DEATHS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                out, away = await healed(death, Path(folder), Pace())
                print(f"{death.name:<52} {'healed':<8} {out:6.2f} {away:6.2f}", flush=True)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a line of the table
                failed += 1
                print(f"{death.name:<52} DEAD     {error}", flush=True)
    for name, ended in (("no server at the start", no_server), ("server away for ever", server_for_ever_away)):
        with tempfile.TemporaryDirectory() as folder:
            out, code = await ended(Path(folder))
        failed += code == 0
        print(f"{name:<52} exit {code:<3} {out:6.2f}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
