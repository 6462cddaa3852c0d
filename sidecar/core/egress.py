"""Which addresses a call may reach: public ones, and what the operator's egress list names. No look-up happens here.

The list of refused networks is written out, because `ipaddress.is_global` is true for addresses that lead back inside:
NAT64 and 6to4 forms of private addresses, multicast, and 192.0.0.192, a cloud's metadata service.
https://www.iana.org/assignments/iana-ipv4-special-registry/
https://www.iana.org/assignments/iana-ipv6-special-registry/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), why)
    for network, why in (
        ("0.0.0.0/8", "this host (RFC 791)"),
        ("10.0.0.0/8", "private (RFC 1918)"),
        ("100.64.0.0/10", "shared address space (RFC 6598)"),
        ("127.0.0.0/8", "loopback (RFC 1122)"),
        ("168.63.129.16/32", "the Azure platform's own service"),
        ("169.254.0.0/16", "link-local, where metadata services live (RFC 3927)"),
        ("172.16.0.0/12", "private (RFC 1918)"),
        ("192.0.0.0/24", "protocol assignments, and a metadata service (RFC 6890)"),
        ("192.0.2.0/24", "documentation (RFC 5737)"),
        ("192.88.99.0/24", "6to4 relay (RFC 7526)"),
        ("192.168.0.0/16", "private (RFC 1918)"),
        ("198.18.0.0/15", "benchmarking (RFC 2544)"),
        ("198.51.100.0/24", "documentation (RFC 5737)"),
        ("203.0.113.0/24", "documentation (RFC 5737)"),
        ("224.0.0.0/4", "multicast (RFC 1112)"),
        ("240.0.0.0/4", "reserved or broadcast (RFC 1112)"),
        ("::/128", "unspecified (RFC 4291)"),
        ("::1/128", "loopback (RFC 4291)"),
        ("::ffff:0:0/96", "an IPv4-mapped address (RFC 4291)"),
        ("::/96", "an IPv4-compatible address (RFC 4291)"),
        ("64:ff9b::/96", "NAT64, which leads to any IPv4 address (RFC 6052)"),
        ("64:ff9b:1::/48", "local NAT64 (RFC 8215)"),
        ("100::/64", "discard-only (RFC 6666)"),
        ("2001::/32", "Teredo, which leads to any IPv4 address (RFC 4380)"),
        ("2001::/23", "protocol assignments (RFC 2928)"),
        ("2001:db8::/32", "documentation (RFC 3849)"),
        ("2002::/16", "6to4, which leads to any IPv4 address (RFC 3056)"),
        ("3ffe::/16", "the retired 6bone (RFC 3701)"),
        ("3fff::/20", "documentation (RFC 9637)"),
        ("fc00::/7", "unique local, where metadata services live too (RFC 4193)"),
        ("fe80::/10", "link-local (RFC 4291)"),
        ("fec0::/10", "site-local (RFC 3879)"),
        ("ff00::/8", "multicast (RFC 4291)"),
    )
)
# Where clouds answer whoever asks from a machine of theirs, with its credentials: no server of anybody's is there.
METADATA: tuple[Network, ...] = tuple(
    ip_network(network)
    for network in (
        "169.254.0.0/16",
        "fe80::/10",
        "100.100.100.200/32",  # https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
        "168.63.129.16/32",
        "192.0.0.192/32",
        "fd00:ec2::254/128",  # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
    )
)
GLOBAL_IPV6 = ip_network("2000::/3")  # all global unicast that IANA has handed out (RFC 4291 section 2.4)

HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
# What a resolver may read as an IPv4 address although it is none in four decimal parts: `127.1`, `0x7f000001`,
# `2130706433`. https://url.spec.whatwg.org/#ends-in-a-number-checker
NUMERIC_END = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
PORT = re.compile(r"[1-9][0-9]{0,4}")
IPV4, IPV6 = 4, 6


class EgressAllow(msgspec.Struct, frozen=True):
    """What the operator named: host names and networks, each for one port, or for every port (None)."""

    hosts: frozenset[tuple[str, int | None]] = frozenset()
    networks: tuple[tuple[Network, int | None], ...] = ()

    def names_host(self, host: str, port: int) -> bool:
        """Whether whatever this host name resolves to may be called."""
        return (host, None) in self.hosts or (host, port) in self.hosts

    def names_address(self, address: Address, port: int) -> bool:
        return any(address in network and only in {None, port} for network, only in self.networks)


def blocked(address: str, port: int, allow: EgressAllow, *, host: str = "", clear_text: bool = False) -> str | None:
    """Why this address may not be called, or None when it may.

    `host` is the name that resolved to it, if any. With `clear_text` (plain http) only what the operator named is
    allowed, so that no token crosses the internet unencrypted.
    """
    ip = _address(address)
    if ip is None:
        return f"{address[:80]!r} is not an address"
    if (host and allow.names_host(host, port)) or allow.names_address(ip, port):
        return None
    if clear_text:
        return "plain http goes only to hosts and addresses that the egress list names"
    for network, why in REFUSED:
        if ip in network:
            return f"{ip} is {why}, in {network}"
    if ip.version == IPV6 and ip not in GLOBAL_IPV6:
        return f"{ip} is outside the global unicast addresses {GLOBAL_IPV6}"
    return None


def is_metadata(address: str) -> bool:
    """Whether it is link-local, or a cloud's metadata service: never to be named in the egress list."""
    ip = _address(address)
    if ip is None:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return any((mapped or ip) in network for network in METADATA)


def literal(host: str) -> str | None:
    """The address when the host of a URL (without brackets) is one in its one usual form, else None."""
    ip = _address(host)
    if ip is None or (ip.version == IPV4 and str(ip) != host):
        return None
    return str(ip)


def host_problem(host: str) -> str | None:
    """Why a URL's host is neither a usual address nor a host name, or None when it is one of them."""
    if literal(host) is not None:
        return None
    if NUMERIC_END.fullmatch(host):
        return f"{host[:80]!r} is a number that a resolver may take for an address; write four decimal parts"
    if not HOST_NAME.fullmatch(host):
        return f"{host[:80]!r} is not a host name: labels of a-z, 0-9, - and _, joined by single dots"
    return None


def parse_allow(entries: Iterable[str]) -> EgressAllow:
    """The egress list out of entries such as `redmine.internal:3000`, `127.0.0.1:9103`, `[::1]:8080`, `10.0.0.0/8`.

    A host name allows whatever it resolves to; an address or network allows these addresses under any host name.
    Raises ValueError that names the entry and what is wrong with it.
    """
    hosts: set[tuple[str, int | None]] = set()
    networks: list[tuple[Network, int | None]] = []
    for entry in entries:
        match _parse(entry):
            case (str() as host, port):
                hosts.add((host, port))
            case (network, port):
                networks.append((network, port))
    return EgressAllow(frozenset(hosts), tuple(networks))


def _parse(entry: str) -> tuple[str | Network, int | None]:
    if "://" in entry or "@" in entry:
        raise ValueError(f"egress entry {entry!r}: only a host, an address or a network, without scheme and user")
    if "/" in entry:
        return _parse_network(entry), None
    host, colon, port = (entry, "", "") if entry.endswith("]") else entry.rpartition(":")
    if not colon:
        host, port = entry, ""
    elif ":" in host and not host.endswith("]"):  # `::1:8080` is an address by itself, and not the one that was meant
        raise ValueError(f"egress entry {entry!r}: an IPv6 address stands in brackets, as in [::1]:8080")
    elif not PORT.fullmatch(port) or int(port) > 65535:  # noqa: PLR2004 - RFC 9293: a port is 16 bits
        raise ValueError(f"egress entry {entry!r}: the port must be a number from 1 to 65535")
    return _parse_host(entry, host), int(port) if port else None


def _parse_network(entry: str) -> Network:
    try:
        network = ip_network(entry)
    except ValueError as error:
        raise ValueError(f"egress entry {entry!r}: not a network such as 10.0.0.0/8 or fd00::/8 ({error})") from None
    if network.prefixlen == 0:
        raise ValueError(f"egress entry {entry!r}: this is every address; name the networks that you mean")
    return network


def _parse_host(entry: str, host: str) -> str | Network:
    if host.startswith("[") and host.endswith("]"):
        ip = _address(host[1:-1])
        if ip is None or ip.version != IPV6:
            raise ValueError(f"egress entry {entry!r}: between brackets stands an IPv6 address")
        return ip_network(ip)
    host = host.lower()
    problem = host_problem(host)
    if problem is not None:
        raise ValueError(f"egress entry {entry!r}: {problem}")
    address = literal(host)
    return host if address is None else ip_network(address)


def _address(text: str) -> Address | None:
    """The address, or None. A zone (`fe80::1%eth0`) belongs to one machine's interfaces and is no address here."""
    if "%" in text:
        return None
    try:
        return ip_address(text)
    except ValueError:
        return None
