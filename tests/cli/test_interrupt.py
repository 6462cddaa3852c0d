"""Ctrl-C and cancels, as their users see them: a real nats-server, two sidecars, a provider that does not answer."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from sidecar.app import Sidecar, connected
from sidecar.laptop import development
from sidecar.ports import Message
from sidecar.provider import Catalogue
from sidecar.sandbox.server import store_credentials
from sidecar.settings import Settings
from tests.sandbox.acme import Acme
from tests.sender.servers import Served, serving

pytestmark = pytest.mark.anyio

MILK = '{"list": "home work", "title": "Milk"}'
WRITE = "sidecar.write.default.default.acme.items.create"
ID = "0190a8b0-1234-7abc-8def-0123456789ab"
CANCEL = f"sidecar.cancel.default.default.{ID}"
PATIENCE = 60


async def silent(served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes a request and does not answer."""
    await served.request(reader)
    await reader.read()
    writer.close()


@dataclass(frozen=True)
class Place:
    """Two sidecars on one nats-server."""

    url: str
    sidecars: tuple[Sidecar, Sidecar]
    provider: Served

    @property
    def in_flight(self) -> int:
        return sum(one.worker.in_flight for one in self.sidecars)


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[Place]:
    connectors = folder / "connectors"
    Acme().write(connectors)
    settings = Settings(data_dir=str(folder / "data"), connectors=(str(connectors),), grace_seconds=0)
    async with serving(silent) as served:

        @asynccontextmanager
        async def there(catalogue: Catalogue) -> AsyncIterator[Mapping[str, str]]:
            yield dict.fromkeys(catalogue.providers, served.url.rstrip("/"))

        async with development(settings, there) as (first, url):
            assert await store_credentials(first.administrator, first.catalogue) is None
            beside = msgspec.structs.replace(settings, nats_url=url)
            async with development(beside, there) as (second, _):
                yield Place(url, (first, second), served)


async def asked(here: Place) -> None:
    with anyio.fail_after(PATIENCE):
        await here.provider.asked.wait()


async def answered(url: str, subject: str, payload: bytes = b"", **headers: str) -> list[Message]:
    """Every reply that comes: to the first one it is waited for, and a round trip longer."""
    replies: list[Message] = []
    came = asyncio.Event()

    def take(message: Message) -> None:
        replies.append(message)
        came.set()

    async with connected(Settings(), url) as bus:
        inbox = bus.new_inbox()
        await bus.subscribe(inbox, take)
        bus.publish(subject, payload, headers=headers or None, reply=inbox)
        with anyio.fail_after(PATIENCE):
            await came.wait()
        await bus.round_trip(PATIENCE)
    return replies


def told(message: Message) -> Any:
    return msgspec.json.decode(message.data)


async def test_one_of_two_sidecars_replies(tmp_path: Path) -> None:
    """Both hear the cancel; the one that holds the call ends it, and the pool that it used is whole."""
    async with place(tmp_path) as here:
        calling = asyncio.ensure_future(answered(here.url, WRITE, MILK.encode(), **{"Call-Id": ID}))
        await asked(here)
        assert here.in_flight == 1
        [became] = await answered(here.url, CANCEL)
        assert told(became) == {
            "call_id": ID,
            "cancelled": True,
            "outcome": "CANCELLED_BY_CALLER",
            "side_effect": "unknown",
        }
        [reply] = await calling
        assert (told(reply)["reason"], told(reply)["side_effect"]) == ("CANCELLED_BY_CALLER", "unknown")
        assert here.in_flight == 0
        assert any(b'outcome="CANCELLED_BY_CALLER"' in one.metrics.exposition() for one in here.sidecars)
        assert all(b"sidecar_in_flight 0.0" in one.metrics.exposition() for one in here.sidecars)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["acme.items.create", MILK], "cancelled, but the request was sent: it may have happened; sidecar trace show "),
        (["acme.account.get"], "cancelled: nothing was changed"),
    ],
)
async def test_control_c_cancels_the_call(tmp_path: Path, words: list[str], said: str) -> None:
    """It ends in the sidecar too, and the command says what became of it."""
    async with place(tmp_path) as here:
        out, err = await interrupted(here, tmp_path, *words)
        assert out == b""
        first, *_, last = err.decode().splitlines()
        assert first.startswith(said)
        assert last == "interrupted"
        assert here.in_flight == 0


@pytest.mark.parametrize(
    ("words", "side_effect"), [(["acme.items.create", MILK], "unknown"), (["acme.account.get"], "none")]
)
async def test_control_c_is_told_to_machines(tmp_path: Path, words: list[str], side_effect: str) -> None:
    """With --json what became of the call is one JSON document."""
    async with place(tmp_path) as here:
        out, err = await interrupted(here, tmp_path, *words, "--json")
        became = msgspec.json.decode(out)
        assert (became["cancelled"], became["outcome"]) == (True, "CANCELLED_BY_CALLER")
        assert became["side_effect"] == side_effect
        assert err.decode().split() == ["interrupted"]


async def interrupted(here: Place, folder: Path, *words: str) -> tuple[bytes, bytes]:
    """What `sidecar call WORDS...` prints when Ctrl-C ends it."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sidecar",
        "call",
        *words,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "SIDECAR_NATS_URL": here.url},
        cwd=folder,
        stdout=PIPE,
        stderr=PIPE,
    )
    await asked(here)
    child.send_signal(signal.SIGINT)
    with anyio.fail_after(PATIENCE):
        out, err = await child.communicate()
    assert child.returncode == 130
    return out, err
