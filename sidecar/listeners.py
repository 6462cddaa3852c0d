"""The two HTTP listeners. A sidecar that has neither does not load what serves HTTP."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.adapters.prometheus_metrics import CONTENT_TYPE, Metrics
from sidecar.adapters.uvicorn_listener import listener
from sidecar.connect import Site
from sidecar.consent import Consent
from sidecar.http import Ready, operations
from sidecar.pages.listener import pages, unhurried


@asynccontextmanager
async def operations_pages(bound: socket.socket, ready: Ready, metrics: Metrics) -> AsyncIterator[str]:
    """Probes and figures on this socket; gives its `host:port`."""
    async with listener(operations(ready, metrics.exposition, CONTENT_TYPE), bound) as taken:
        yield taken


@asynccontextmanager
async def connect_pages(bound: socket.socket, consent: Consent, site: Site, grace_seconds: float) -> AsyncIterator[str]:
    """The pages on which accounts are connected, likewise."""
    # Entered first, it ends after the listener: what a browser set going is brought to its end.
    async with unhurried(grace_seconds) as answering, listener(pages(consent, site, answering), bound) as taken:
        yield taken
