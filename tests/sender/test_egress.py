"""The address rule: everything inner is refused, everything public is not, and the operator's list is read strictly."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.core.egress import REFUSED, EgressAllow, blocked, host_problem, literal, parse_allow

NOTHING = EgressAllow()


@pytest.mark.parametrize("network", [network for network, _ in REFUSED], ids=str)
def test_every_refused_network_is_refused_to_its_edges(network: object) -> None:
    """First and last address of each refused network are refused, with the network in the reason."""
    refused = ip_network(str(network))
    for address in (refused[0], refused[-1]):
        assert blocked(str(address), 443, NOTHING) is not None


@given(st.ip_addresses(v=4))
@example(IPv4Address("169.254.169.254"))
def test_what_python_calls_inner_is_refused(address: IPv4Address) -> None:
    """Whatever the standard library holds for not global is refused here too."""
    if not address.is_global or address.is_multicast:
        assert blocked(str(address), 443, NOTHING) is not None


@given(st.ip_addresses(v=6))
def test_what_python_calls_inner_in_ipv6_is_refused(address: IPv6Address) -> None:
    """The same for IPv6, and everything outside 2000::/3."""
    if not address.is_global or address.is_multicast or address not in ip_network("2000::/3"):
        assert blocked(str(address), 443, NOTHING) is not None


@given(st.ip_addresses(v=4))
def test_an_embedded_ipv4_address_never_gets_through(address: IPv4Address) -> None:
    """NAT64, 6to4, mapped and compatible forms of any IPv4 address are refused."""
    number = int(address)
    forms = (0x64FF9B << 96 | number, 0x2002 << 112 | number << 80, 0xFFFF << 32 | number, number)
    for form in forms:
        assert blocked(str(IPv6Address(form)), 443, NOTHING) is not None


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "198.17.255.255",
        "223.255.255.255",
        "168.63.129.17",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "2001:4860:4860::8888",
    ],
)
def test_what_is_public_is_allowed(address: str) -> None:
    """The neighbours of the refused networks, and known public addresses, may be called: the list can be wrong."""
    assert blocked(address, 443, NOTHING) is None


@pytest.mark.parametrize(
    "address", ["", "x", "127.1", "0x7f000001", "fe80::1%eth0", "1.1.1.1 ", "\uff11.1.1.1", "[::1]"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    """Anything but an address in its usual form is refused, not guessed."""
    assert blocked(address, 443, NOTHING) is not None


@pytest.mark.parametrize(
    ("entry", "address", "port", "host"),
    [
        ("127.0.0.1:9103", "127.0.0.1", 9103, ""),
        ("127.0.0.1", "127.0.0.1", 1, "any.test"),
        ("10.0.0.0/8", "10.255.255.255", 443, "any.test"),
        ("redmine.internal", "192.168.0.1", 443, "redmine.internal"),
        ("Redmine.Internal:3000", "fd00::1", 3000, "redmine.internal"),
        ("[::1]:8080", "::1", 8080, ""),
        ("[::1]", "::1", 1, ""),
        ("fd00::/8", "fd00::7", 443, "any.test"),
        ("my_host", "10.0.0.1", 443, "my_host"),
    ],
)
def test_what_an_entry_names_is_allowed(entry: str, address: str, port: int, host: str) -> None:
    """Each form of entry allows what it names, over TLS and in clear text."""
    allow = parse_allow([entry])
    assert blocked(address, port, allow, host=host) is None
    assert blocked(address, port, allow, host=host, clear_text=True) is None
    assert blocked(address, port, NOTHING, host=host) is not None


@pytest.mark.parametrize(
    ("entry", "address", "port", "host"),
    [
        ("127.0.0.1:9103", "127.0.0.1", 9104, ""),
        ("127.0.0.1", "127.0.0.2", 443, ""),
        ("10.0.0.0/8", "11.0.0.1", 80, ""),
        ("redmine.internal", "10.0.0.1", 443, "x.redmine.internal"),
        ("redmine.internal", "10.0.0.1", 443, ""),
        ("redmine.internal:3000", "10.0.0.1", 443, "redmine.internal"),
        ("127.0.0.1", "::ffff:127.0.0.1", 443, ""),
    ],
)
def test_what_an_entry_does_not_name_stays_refused(entry: str, address: str, port: int, host: str) -> None:
    """Another port, address or host, and plain http to a public address, are not meant."""
    assert blocked(address, port, parse_allow([entry]), host=host, clear_text=True) is not None


def test_clear_text_to_a_public_address_is_refused() -> None:
    """Plain http goes only where the operator said so: a token would cross the internet unencrypted."""
    why = blocked("1.1.1.1", 80, NOTHING, host="api.example.com", clear_text=True)
    assert why is not None
    assert "http" in why


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("", "host name"),
        (" ", "host name"),
        ("*", "host name"),
        ("*.internal", "host name"),
        ("a b", "host name"),
        ("a..b", "host name"),
        ("a.b.", "host name"),
        ("münchen.test", "host name"),
        ("a" * 64, "host name"),
        ("http://redmine.internal", "scheme"),
        ("user@redmine.internal", "user"),
        ("redmine.internal:", "port"),
        ("redmine.internal:0", "port"),
        ("redmine.internal:065", "port"),
        ("redmine.internal:65536", "port"),
        ("redmine.internal:http", "port"),
        ("127.1", "four decimal parts"),
        ("2130706433", "four decimal parts"),
        ("0x7f.1", "four decimal parts"),
        ("1.2.3.256", "four decimal parts"),
        ("127.0.0.01", "four decimal parts"),
        ("::1", "brackets"),
        ("::1:8080", "brackets"),
        ("[::1", "brackets"),
        ("[127.0.0.1]", "IPv6"),
        ("[fe80::1%eth0]", "IPv6"),
        ("[]:80", "IPv6"),
        ("10.0.0.1/8", "host bits"),
        ("10.0.0.0/33", "network"),
        ("10.0.0.0/8:443", "network"),
        ("redmine.internal/8", "network"),
        ("0.0.0.0/0", "every address"),
        ("::/0", "every address"),
    ],
)
def test_a_wrong_entry_is_told(entry: str, said: str) -> None:
    """An entry that could mean something else is an error that names it and the rule."""
    with pytest.raises(ValueError, match=said) as caught:
        parse_allow(["127.0.0.1", entry])
    assert repr(entry) in str(caught.value)


@given(st.ip_addresses())
def test_a_usual_address_is_a_literal(address: IPv4Address | IPv6Address) -> None:
    """An address in its usual form is recognised as one, and is no host name."""
    assert literal(str(address)) == str(address)
    assert host_problem(str(address)) is None


@given(st.text(alphabet="0123456789xXaf.", min_size=1, max_size=20))
def test_a_number_is_an_address_or_refused(host: str) -> None:
    """What a resolver may read as a number is either an address in four decimal parts, or refused."""
    last = host.rsplit(".", 1)[-1]
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", last, re.IGNORECASE):
        assert literal(host) == host or host_problem(host) is not None
    if literal(host) is not None:
        assert str(ip_address(host)) == host
