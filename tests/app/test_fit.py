"""`sidecar run` makes nothing: it starts where everything is there, and says what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.adapters.key_file import create_key_file
from sidecar.app import Sidecar, Unfit, run
from sidecar.settings import Settings

pytestmark = pytest.mark.anyio


def ends_at_once(running: Sidecar) -> None:
    running.lifetime.ending.set()


@pytest.mark.parametrize(("key", "lacks"), [(True, "SIDECAR_TRACE"), (False, "SIDECAR_KEK")])
async def test_each_thing_that_is_missing_keeps_it_from_starting(
    nats_url: str, tmp_path: Path, key: bool, lacks: str
) -> None:
    """With a key and without streams as well: no call would be traced, and no credential found."""
    kek = tmp_path / "kek"
    if key:
        create_key_file(kek)
    settings = Settings(nats_url=nats_url, prefix="bare", kek_file=str(kek) if key else None)
    with pytest.raises(Unfit, match=lacks):
        await run(settings, ends_at_once)
