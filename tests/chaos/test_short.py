"""`make chaos` in seconds: the same scenes in the same processes, with a few calls each."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.chaos import failing, kills, late, quotas
from tests.chaos.run import Story
from tests.chaos.scene import SHORT, Scene
from tests.figure import table

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

# The machine may be busy with anything: how soon is for `make chaos` to say.
TINY = msgspec.structs.replace(
    SHORT,
    seconds=2.0,
    overruns=60,
    moods=2,
    kills=1,
    opens_again=0.0,
    call_ms=1_500,
    overrun=10.0,
    overrun_most=10.0,
    full=0.2,
)


@pytest.mark.parametrize("story", [late.overrun, failing.provider_down, kills.plain_calls, quotas.bucket])
async def test_every_figure_holds(story: Story, tmp_path: Path) -> None:
    """Deadlines, a provider that fails, a sidecar that is killed, a quota that two share; by the upstream's log."""
    figures = await story(Scene(tmp_path / "scene", TINY))
    assert all(figure.holds for figure in figures), table(story.__name__, figures)
