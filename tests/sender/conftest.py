"""Fixtures of the sender's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sidecar.adapters.http1_sender import Http1Sender
from tests.authority import Authority
from tests.sender.servers import LOOPBACK, resolve_to_loopback


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def sender(authority: Authority) -> AsyncIterator[Http1Sender]:
    """A sender that trusts the test authority, and for which every host name is this machine."""
    made = Http1Sender(allow=LOOPBACK, ssl_context=authority.client_context(), lookup=resolve_to_loopback)
    yield made
    await made.aclose()
