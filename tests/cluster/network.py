"""Nodes that a network separates: each in a network namespace of its own, on two bridges.

One bridge carries what the nodes say to each other, one what clients say to them: a partition takes a node's port off
the first bridge, so that its packets vanish without a word while its clients still reach it. That is the hard case: an
isolated leader that goes on being asked.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.node import Place

CLIENT_PORT = 4222
ROUTE_PORT = 6222


def why_not() -> str:
    """Why no network can be had here; empty when one can."""
    if sys.platform != "linux":
        return "a partition needs Linux (network namespaces)"
    if os.geteuid() != 0:
        return "a partition needs root (to make network namespaces)"
    if shutil.which("ip") is None:
        return "a partition needs ip (iproute2)"
    return ""


class Network:
    """`places` to run nodes in. Names and addresses carry a number, so that two runs do not meet."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        number = os.getpid() % 250
        self._tag = f"cs{number}"
        # RFC 2544 keeps 198.18.0.0/15 for tests of networks.
        self._clients, self._peers = f"198.18.{number}", f"198.19.{number}"
        self._names = names
        self.places = [
            Place(
                name,
                (f"{self._clients}.{11 + index}", CLIENT_PORT),
                (f"{self._peers}.{11 + index}", ROUTE_PORT),
                folder / name,
                ("ip", "netns", "exec", self._space(name)),
            )
            for index, name in enumerate(names)
        ]

    def cut(self, name: str) -> None:
        """The node and its peers hear nothing of each other."""
        _ip("link", "set", self._port("p", name), "nomaster")

    def heal(self, name: str) -> None:
        _ip("link", "set", self._port("p", name), "master", f"{self._tag}p")

    def build(self) -> None:
        for kind in "cp":
            # A port of a bridge with a forward delay carries nothing for as long after it is put on.
            _ip("link", "add", f"{self._tag}{kind}", "type", "bridge", "forward_delay", "0")
            _ip("link", "set", f"{self._tag}{kind}", "up")
        _ip("addr", "add", f"{self._clients}.1/24", "dev", f"{self._tag}c")
        for place in self.places:
            space = self._space(place.name)
            _ip("netns", "add", space)
            _ip("-n", space, "link", "set", "lo", "up")
            for kind, address in (("c", place.client[0]), ("p", place.route[0])):
                port = self._port(kind, place.name)
                _ip("link", "add", port, "type", "veth", "peer", "name", kind, "netns", space)
                _ip("-n", space, "addr", "add", f"{address}/24", "dev", kind)
                _ip("-n", space, "link", "set", kind, "up")
                _ip("link", "set", port, "master", f"{self._tag}{kind}", "up")

    def remove(self) -> None:
        """As much of it as there is."""
        for name in self._names:
            _ip("netns", "del", self._space(name), check=False)  # and its ports with it
        for kind in "cp":
            _ip("link", "del", f"{self._tag}{kind}", check=False)

    def _space(self, name: str) -> str:
        return f"{self._tag}-{name}"

    def _port(self, kind: str, name: str) -> str:
        return f"{self._tag}{kind}{name}"


@contextlib.contextmanager
def network(folder: Path, names: tuple[str, ...]) -> Iterator[Network]:
    """A network for nodes of these names, until the block ends."""
    made = Network(folder, names)
    try:
        made.build()
        yield made
    finally:
        made.remove()


def _ip(*words: str, check: bool = True) -> None:
    # In a session of its own: a Ctrl-C that ends the run must not end what tidies up after it.
    subprocess.run(("ip", *words), check=check, capture_output=True, text=True, start_new_session=True)
