"""A container as a restricted pod has it, without Kubernetes: what a manifest says of it, on the files of the image.

Real ids, so that a Secret's files are root's and readable by the pod's group; a root that cannot be written; no
capabilities and no way to gain any; process 1 of its own process namespace. The network is the machine's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import httpx

from tests.deploy.manifests import Ours, mounts
from tests.deploy.recipes import Unmet

READY_SECONDS = 30.0
END_SECONDS = 60.0
GROUP = 10001


@dataclass(frozen=True, slots=True)
class Node:
    """Where containers run: the image's files and configuration, Secrets as folders by name, and a folder to write."""

    root: Path
    config: Mapping[str, Any]
    secrets: Path
    empty: Path


def secret(node: Node, name: str, values: Mapping[str, bytes]) -> None:
    """A Secret as the kubelet mounts it with defaultMode 0440 and an fsGroup."""
    folder = node.secrets / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for key, value in values.items():
        file = folder / key
        file.write_bytes(value)
        file.chmod(0o440)
        os.chown(file, 0, GROUP)


def command(node: Node, one: Ours, environment: Mapping[str, str], folders: Mapping[str, Path]) -> list[str]:
    """The command that runs the container; `folders` are more folders to read, by their place in it."""
    context = one.pod["securityContext"] | one.container["securityContext"]
    places: dict[str, tuple[str, Path]] = {path: ("--ro-bind", folder) for path, folder in folders.items()}
    for mount in mounts(one.pod, one.container):
        path = mount.path.replace("/var/run/", "/run/", 1)  # a link in the image, as in most
        places[path] = ("--ro-bind", node.secrets / mount.secret) if mount.secret else ("--bind", node.empty)
    variables = dict(variable.split("=", 1) for variable in node.config["Env"]) | dict(environment)
    return [
        "bwrap",
        *("--ro-bind", str(node.root), "/", "--proc", "/proc", "--dev", "/dev"),
        *_mount_options(places),
        *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--as-pid-1"),
        *("--chdir", node.config["WorkingDir"], "--clearenv"),
        *(word for name, value in variables.items() for word in ("--setenv", name, value)),
        *("setpriv", "--reuid", str(context["runAsUser"]), "--regid", str(context["runAsGroup"])),
        *("--groups", str(one.pod["securityContext"]["fsGroup"]), "--no-new-privs"),
        *("--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"),
        *node.config["Entrypoint"],
        *one.container["args"],
    ]


def _mount_options(places: Mapping[str, tuple[str, Path]]) -> list[str]:
    """Each folder at its place; the folders above are made, and cannot be written either."""
    tops = sorted({str(PurePosixPath(*PurePosixPath(path).parts[:2])) for path in places})
    made = {str(parent) for path in places for parent in PurePosixPath(path).parents} - {"/", *tops}
    return [
        *(word for top in tops for word in ("--perms", "0755", "--tmpfs", top)),
        *(word for folder in sorted(made) for word in ("--perms", "0755", "--dir", folder)),
        *(word for path, (option, folder) in places.items() for word in (option, str(folder), path)),
        *(word for top in tops for word in ("--remount-ro", top)),
    ]


@dataclass(frozen=True, slots=True)
class Started:
    """A container that answers: the process, as this machine counts it, and how it started."""

    pid: int
    ready_seconds: float
    process: Process

    def memory_bytes(self) -> int:
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="ascii")
        return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))

    def capabilities(self) -> set[str]:
        """Every set of capabilities that the process has, in hexadecimal."""
        return {line.split()[1] for line in self.status() if line.startswith("Cap")}

    def status(self) -> list[str]:
        return Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()

    async def end(self) -> float:
        """SIGTERM to process 1, as the kubelet sends it; the seconds until it was gone. Raises Unmet where it fails."""
        began = time.perf_counter()
        os.kill(self.pid, signal.SIGTERM)
        status = await asyncio.wait_for(self.process.wait(), END_SECONDS)
        if status != 0:
            raise Unmet(f"after SIGTERM it exited with {status}")
        return time.perf_counter() - began


@asynccontextmanager
async def started(words: list[str], address: str, log: Path) -> AsyncIterator[Started]:
    """The container, once its /readyz says yes; killed with the block if it is still there."""
    with log.open("ab") as file:
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(*words, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        try:
            await _ready(process, address, log)
            yield Started(_inner(process.pid), time.perf_counter() - began, process)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()  # it dies with its parent
                await process.wait()


async def _ready(process: Process, address: str, log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    async with httpx.AsyncClient(trust_env=False) as client:
        while time.monotonic() < end and process.returncode is None:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(f"http://{address}/readyz")).status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(0.005)
    tail = log.read_text(encoding="utf-8", errors="replace")[-1500:]
    raise Unmet(f"it is not ready (status {process.returncode}):\n{tail}")


def _inner(pid: int) -> int:
    """The process in the container: the child of the one that made the container."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    if len(children) != 1:
        raise Unmet(f"{len(children)} processes where there should be one")
    return int(children[0])
