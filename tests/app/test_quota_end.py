"""A sidecar that ends in order leaves its quotas to the next one."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client

from tests.app.fleet import FAILED, fleet

pytestmark = pytest.mark.anyio

CONNECTORS = Path(__file__).parent.parent / "bench" / "connectors"
QUOTAS = """
quotas:
  - {name: calls, scope: app, windows: [{units: 50, seconds: 1}], docs: https://server.example/docs}
"""


def with_a_quota(folder: Path) -> str:
    """The connectors of the bench, and what its provider allows."""
    shutil.copytree(CONNECTORS, folder)
    manifest = folder / "bench" / "provider.yaml"
    manifest.write_text(manifest.read_text() + QUOTAS)
    return str(folder)


async def states(agent: Client) -> list[bool]:
    """Of each part of the quotas whether its owner has left it in order."""
    body = msgspec.json.encode({"subjects_filter": "$KV.SIDECAR_QUOTA.*.st.*"})
    answer = await agent.request("$JS.API.STREAM.INFO.KV_SIDECAR_QUOTA", body, timeout=20)
    subjects = msgspec.json.decode(answer.data)["state"].get("subjects", {})
    found = [await agent.request(f"$JS.API.DIRECT.GET.KV_SIDECAR_QUOTA.{name}", timeout=20) for name in subjects]
    return [msgspec.json.decode(message.data)["left"] for message in found]


async def test_quotas_are_handed_over_at_the_end(tmp_path: Path) -> None:
    """Owned while it serves, left after SIGTERM; the next sidecar serves with the same quota."""
    connectors = with_a_quota(tmp_path / "connectors")
    async with fleet(tmp_path, delay=0) as (here, port):
        member = await here.member(SIDECAR_CONNECTORS=connectors)
        await here.connection(port)
        assert FAILED not in ((await here.create("first")).headers or {})
        assert await states(here.agent) == [False]
        member.signal()
        code, _, said = await member.ended()
        assert (code, "could not be handed over" in said) == (0, False)
        assert await states(here.agent) == [True]
        await here.member(SIDECAR_CONNECTORS=connectors)
        assert FAILED not in ((await here.create("second")).headers or {})
        assert await states(here.agent) == [False]
