"""What the image meets in a trial: a nats-server with the configuration we ship, and a provider on loopback."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from sidecar.adapters.nats_binary import find_server
from tests.deploy.manifests import ROOT
from tests.deploy.recipes import Unmet
from tests.real.servers import free_ports

CONFIG = ROOT / "deploy" / "nats"
SLOW_SECONDS = 1.0


class Server(NamedTuple):
    """A nats-server with the shipped configuration: its port, and the password of everybody."""

    port: int
    password: str

    def url(self, user: str) -> str:
        return f"nats://{user}:{self.password}@127.0.0.1:{self.port}"


@asynccontextmanager
async def shipped_server(folder: Path) -> AsyncIterator[Server]:
    """deploy/nats/single-account.conf as it is, on loopback and a free port."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    server = Server(free_ports(1)[0], f"p{secrets.token_hex(12)}")
    config = CONFIG / "single-account.conf"
    named = {word[1:] for word in config.read_text(encoding="utf-8").split() if word.startswith("$NATS_")}
    variables = dict.fromkeys(named, server.password) | {"NATS_STORE_DIR": str(folder / "jetstream")}
    program = await find_server(logging.getLogger("tests.deploy"))
    with (folder / "nats.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(program, "-c", config, "-a", "127.0.0.1", "-p", str(server.port), "--ports_file_dir", folder),
            env={**os.environ, **variables},
            stdout=log,
            stderr=log,
        )
        try:
            await _until_it_listens(process, folder)
            yield server
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _until_it_listens(process: asyncio.subprocess.Process, folder: Path) -> None:
    async with asyncio.timeout(30):
        while not list(folder.glob("*.ports")):
            if process.returncode is not None:
                raise Unmet(f"the shipped NATS configuration does not start; see {folder / 'nats.log'}")
            await asyncio.sleep(0.02)


class Upstream(ThreadingHTTPServer):
    """The provider: answers each GET with its path, and says who asked. `/items/slow` takes a second."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[str | None] = []

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def do_GET(self) -> None:
        self.server.asked.append(self.headers["Authorization"])
        if self.path.endswith("/slow"):
            threading.Event().wait(SLOW_SECONDS)
        body = json.dumps({"path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@contextmanager
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
