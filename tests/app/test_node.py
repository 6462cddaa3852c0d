"""The README's Node program, with no code of ours, is an agent like any other."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

import nats
import pytest

from sidecar.app import FORMATS, provider_folders_of
from sidecar.laptop import development
from sidecar.sandbox.read import all_cases
from sidecar.sandbox.server import OfflineProviders, store_credentials
from sidecar.settings import Settings

PROGRAM = Path(__file__).parent.parent / "real" / "agent.mjs"
PACKAGE = "@nats-io/transport-node@~3.3.0"
READS = [
    ("sidecar.read.default.alice.github.users.me", {}),
    ("sidecar.read.default.alice.github.issues.list", {"owner": "acme", "repo": "web", "state": "open"}),
    ("sidecar.read.default.alice.slack.auth.test", {}),
]

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        not (shutil.which("node") and shutil.which("npm")), reason="node and npm are not on this machine"
    ),
]


async def test_a_node_program_reads_the_same_bytes(tmp_path: Path) -> None:
    """A NATS client in another language, without any code of ours, gets the very bytes that nats-py gets."""
    shutil.copy(PROGRAM, tmp_path / PROGRAM.name)
    await _run(tmp_path, "npm", "install", "--no-audit", "--no-fund", "--loglevel=error", PACKAGE)
    settings = Settings(data_dir=str(tmp_path / "data"))
    offline = OfflineProviders(all_cases(provider_folders_of(settings), FORMATS.read_yaml))
    async with development(settings, offline) as (running, url):
        assert await store_credentials(running.administrator, running.catalogue) is None
        client = await nats.connect(url)
        expected = [
            (await client.request(subject, json.dumps(asked).encode(), timeout=5)).data for subject, asked in READS
        ]
        await client.close()
        arguments = [part for subject, asked in READS for part in (subject, json.dumps(asked))]
        printed = await _run(tmp_path, "node", PROGRAM.name, *arguments, env=os.environ | {"NATS_URL": url})
    assert all(b'"type":"urn:' not in reply for reply in expected)
    assert printed == b"".join(reply + b"\n" for reply in expected)


async def _run(folder: Path, *command: str, env: dict[str, str] | None = None) -> bytes:
    child = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await child.communicate()
    assert child.returncode == 0, errors.decode()
    return output
