"""What every part stands on: the settings, the outside of this process, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.adapters.http1_sender import Http1Sender
from sidecar.adapters.nats_bus import NatsBus
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.prometheus_metrics import Metrics
from sidecar.adapters.system import SystemClock, SystemRandom
from sidecar.micro import Service, metadata
from sidecar.model import VERSION
from sidecar.ports import Keys
from sidecar.provider import Catalogue
from sidecar.settings import Settings
from sidecar.stop import Stop
from sidecar.trace.publish import TracePublisher
from sidecar.wire.subject import CancelAddress

USER_AGENT = f"connector-sidecar/{VERSION}"


class Ground:
    """What every part stands on."""

    def __init__(
        self,
        settings: Settings,
        *,
        bus: NatsBus,
        keys: Keys,
        catalogue: Catalogue,
        sender: Http1Sender,
        metrics: Metrics,
        base_urls: Mapping[str, str] | None,
    ) -> None:
        self.settings = settings
        self.bus = bus
        self.keys = keys
        self.catalogue = catalogue
        self.sender = sender
        self.metrics = metrics
        self.base_urls = base_urls
        self.clock, self.random = SystemClock(), SystemRandom()
        self.store = NatsStore(bus)
        self.trace = TracePublisher(bus, settings.prefix, metrics)
        self.sealing = (self.store, keys, self.clock, self.random)  # what every kind of sealed record needs
        self.in_flight: dict[CancelAddress, Stop] = {}  # the calls in flight, durable or not
        # Whoever takes a durable call must be able to run it, so who serves a part leaves them to those who serve all.
        self.whole = not (settings.connections or settings.providers)
        about = metadata(
            catalogue.digest,
            catalogue.providers,
            settings.scope,
            public_url=settings.public_url,
            sandbox=base_urls is not None,
        )
        self.service = Service(self.random.token(8).hex(), self.clock.wall(), about)
