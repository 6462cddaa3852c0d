"""What one sidecar serves: whose calls it takes, whose records it opens. Nothing outside of it is its business."""

from __future__ import annotations

import msgspec


class Scope(msgspec.Struct, frozen=True):
    """The tenant, and the connections and providers of that tenant; None and empty stand for every one."""

    tenant: str | None = None
    connections: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()

    def holds(self, tenant: str, connection: str, provider: str) -> bool:
        """Whether calls of this connection are served here."""
        return self.holds_tenant(tenant) and self.holds_connection(connection) and self.holds_provider(provider)

    def holds_tenant(self, tenant: str) -> bool:
        return self.tenant is None or tenant == self.tenant

    def holds_connection(self, connection: str) -> bool:
        return not self.connections or connection in self.connections

    def holds_provider(self, provider: str) -> bool:
        return not self.providers or provider in self.providers
