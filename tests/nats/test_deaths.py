"""Whatever ends nats-py: the bus carries messages again, without a restart of the process."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.nats.deaths import DEATHS, Death, healed
from tests.nats.faults import partitioned
from tests.nats.place import QUICK

pytestmark = pytest.mark.anyio


SHORT = Death("partition of 3 s", partial(partitioned, 3.0))
CASES = [SHORT if death.name == "partition of 60 s" else death for death in DEATHS]


@pytest.mark.parametrize("death", CASES, ids=lambda death: death.name)
async def test_heals(death: Death, tmp_path: Path) -> None:
    """After each death a round trip works in both directions, and every subscription is there once."""
    await healed(death, tmp_path, QUICK)
