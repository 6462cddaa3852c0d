"""Whatever ends nats-py: the bus carries messages again, without a restart of the process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nats.deaths import DEATHS, Death, healed
from tests.nats.place import QUICK

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("death", DEATHS, ids=lambda death: death.name)
async def test_heals(death: Death, tmp_path: Path) -> None:
    """After each death a round trip works in both directions, and every subscription is there once."""
    await healed(death, tmp_path, QUICK)
