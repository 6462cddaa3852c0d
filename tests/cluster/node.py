"""One nats-server of a cluster: a process that comes and goes, and a directory that outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar.nats_server_config import config_text
from tests.fixtures_nats import state_of, until

STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node runs: its addresses, its directory, and what its command begins with (`ip netns exec ...`)."""

    name: str
    client: tuple[str, int]
    route: tuple[str, int]
    store: Path
    inside: tuple[str, ...] = ()


class Node:
    """A nats-server. Every method but `start` is for one that runs."""

    def __init__(
        self, program: Path, place: Place, config: dict[str, object], folder: Path, passwords: Mapping[str, str]
    ) -> None:
        """`passwords` are what the configuration takes from the environment."""
        self.place = place
        self._log = folder / f"{place.name}.log"
        self._environment = {**os.environ, **passwords}
        self._process: subprocess.Popen[bytes] | None = None
        file = folder / f"{place.name}.conf"
        file.write_text(config_text(config))
        self._command = [*place.inside, str(program), "-c", str(file)]

    @property
    def name(self) -> str:
        return self.place.name

    def url(self, login: str) -> str:
        """`login` is `user:password@`."""
        host, port = self.place.client
        return f"nats://{login}{host}:{port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._environment,
            )

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def paused(self) -> bool:
        return self._process is not None and state_of(self._process.pid).startswith("T")

    async def ended(self) -> None:
        assert self._process is not None
        await until(lambda: not self.running, STOP_SECONDS)

    def kill(self) -> None:
        """By kill -9, paused or not; nothing when it does not run."""
        if self.running:
            assert self._process is not None
            self._process.kill()
            self._process.wait()


async def pause_all(nodes: Sequence[Node]) -> None:
    """Return when they stand still, as machines that are paused."""
    for node in nodes:
        node.send(signal.SIGSTOP)
    await until(lambda: all(node.paused for node in nodes))


def kill_all(nodes: Sequence[Node]) -> None:
    """By kill -9, at once: none sees another go before it."""
    for node in nodes:
        if node.running:
            node.send(signal.SIGKILL)
    for node in nodes:
        node.kill()
