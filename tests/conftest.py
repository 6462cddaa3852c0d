"""Shared by all tests: the event loop is uvloop under anyio, as in production."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# Two cores may be shared with anything: how long one example takes is no promise of ours. The same code gets the same
# examples, so that a commit passes here and there alike; `make properties` throws the dice, and often.
settings.register_profile("steady", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("random", deadline=None, print_blob=True)
settings.register_profile("long", deadline=None, print_blob=True, max_examples=3_000)
settings.load_profile(os.environ.get("PROPERTIES", "steady"))

pytest_plugins = ["tests.fixtures_nats"]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}
