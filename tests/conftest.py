"""Shared by all tests: the event loop is uvloop under anyio, as in production."""

from __future__ import annotations

import pytest
from hypothesis import settings

# Two cores may be shared with anything: how long one example takes is no promise of ours.
settings.register_profile("shared machine", deadline=None, print_blob=True)
settings.load_profile("shared machine")

pytest_plugins = ["tests.fixtures_nats"]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}
