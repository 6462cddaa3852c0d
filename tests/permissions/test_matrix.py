"""Every kind of subject x role x tenant, as a real nats-server with the shipped configurations has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.permissions.matrix import run, text, wrong
from tests.permissions.place import Form

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("form", list(Form))
async def test_every_cell(form: Form, tmp_path: Path) -> None:
    """What is allowed is answered and heard; all else is refused and reaches nobody, in the other tenant everything."""
    tried = await run(form, tmp_path)
    assert not [cell for cell in tried if wrong(cell)], text(form, tried)
    assert sum(cell.allowed for cell in tried) > 100
    assert sum(not cell.own for cell in tried) > 400
