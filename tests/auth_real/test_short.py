"""`make real-auth` in seconds: a few expiries, against the same strict server, in the same processes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.auth_real import expiries, rejected
from tests.auth_real.run import Story
from tests.auth_real.scene import SHORT, Scene
from tests.auth_real.strict import why_not
from tests.figure import table

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.real,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    pytest.mark.timeout(180),  # its first run installs the server
]

SECONDS_ALONE = {"expiries": 16, "connections": 8, "rounds": 2}


@pytest.mark.parametrize("story", [expiries.under_load, expiries.bursts, rejected.rejected])
async def test_each_expiry_is_one_refresh(story: Story, tmp_path: Path) -> None:
    """Sidecars in processes of their own share the connections; no refresh token is used twice and no call fails."""
    scene = Scene(tmp_path / "scene", msgspec.structs.replace(SHORT, **SECONDS_ALONE))
    scene.folder.mkdir()
    figures = await story(scene)
    assert all(figure.holds for figure in figures), table(story.__name__, figures)
