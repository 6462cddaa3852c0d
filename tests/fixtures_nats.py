"""One real nats-server for the whole run; a test keeps to names of its own (`fresh_name`)."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from sidecar.adapters.nats_bus import NatsBus, connect
from sidecar.adapters.nats_server import embedded_server


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL, with login, of a nats-server with JetStream."""
    data_dir: Path = tmp_path_factory.mktemp("nats")
    log = logging.getLogger("tests.nats")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(embedded_server(data_dir, log)) as server:
        yield server.url


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[NatsBus]:
    """A connection of this test's own."""
    connection = await connect(nats_url)
    yield connection
    await connection.close()


@pytest.fixture
def fresh_name() -> str:
    """A name (tenant, prefix, bucket) that no other test uses."""
    return f"t{secrets.token_hex(6)}"


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Return when something outside of our loop made the condition true."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - another process decides
            await anyio.sleep(0.01)
