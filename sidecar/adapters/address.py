"""An address to listen on."""

from __future__ import annotations

import socket


class AddressError(Exception):
    """The address cannot be listened on; the message names it and says why."""


def bind(address: str) -> socket.socket:
    """A listening socket for `host:port`. Raises AddressError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, int(port)), family=family, backlog=128)
    except (OSError, ValueError, OverflowError) as error:
        raise AddressError(f"cannot listen on {address!r}: {error}") from error
