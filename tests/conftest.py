"""Shared by all tests: the event loop is uvloop under anyio, as in production."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.fixtures_nats"]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}
