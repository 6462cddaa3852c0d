"""The base URL: what a connection may set in it never leads to another host."""

from __future__ import annotations

import httpx
import pytest
import yarl
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.core.base_url import base_url
from sidecar.manifest import FixedUrl, SelfHosted, Subdomain
from sidecar.model import Failure, Reason

ZENDESK = Subdomain(suffix=".zendesk.com", path="/api/v2")
OWN = SelfHosted(path="/api/v3", default="https://api.github.com")
REQUIRED = SelfHosted()

EVIL_LABELS = [
    "",
    "evil.com/",
    "evil.com",
    "a@b",
    "a:b@c",
    "127.1",
    "a.b",
    "a/b",
    "a\\b",
    "a?b",
    "a#b",
    "a%2eb",
    "a b",
    " a",
    "a ",
    "a\n",
    "a\x00",
    "-a",
    "a-",
    "A",
    "zoë",
    "a。b",  # an ideographic full stop, which resolvers fold into a dot
    "a\uff0eb",  # a full-width dot
    "a\u2024b",
    "a" * 64,
    "a" * 100_000,
    "..",
    ".",
    "*",
    "[::1]",
]


@pytest.mark.parametrize("given_label", EVIL_LABELS, ids=lambda label: repr(label[:12]))
def test_a_subdomain_is_one_label(given_label: str) -> None:
    """One DNS label in lower case: nothing else is ever looked up."""
    failure = base_url(ZENDESK, given_label)
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.VALIDATION
    assert len(failure.detail) < 300
    assert failure.detail.isprintable()


@pytest.mark.parametrize("label", ["acme", "a", "a-1", "1", "127", "xn--zo-yka", "a" * 63])
def test_a_label_makes_the_host(label: str) -> None:
    """The suffix and the path are the manifest's."""
    assert base_url(ZENDESK, label) == f"https://{label}.zendesk.com/api/v2"


@given(st.text(max_size=20))
@example("evil.com#")
def test_no_subdomain_leads_elsewhere(label: str) -> None:
    """Whatever is given, a URL that comes of it is https, below the suffix, with nothing else in it."""
    url = base_url(ZENDESK, label)
    if isinstance(url, Failure):
        return
    for host in (httpx.URL(url).host, yarl.URL(url).host):
        assert host == f"{label}.zendesk.com"
    assert httpx.URL(url).path == "/api/v2"


def test_a_subdomain_must_be_named() -> None:
    """There is no default customer."""
    failure = base_url(ZENDESK, None)
    assert isinstance(failure, Failure)
    assert "zendesk.com" in failure.detail


def test_a_fixed_url_takes_nothing() -> None:
    """A setting that would be ignored is refused."""
    fixed = FixedUrl(url="https://slack.com/api/")
    assert base_url(fixed, None) == "https://slack.com/api"
    assert isinstance(base_url(fixed, "https://slack.com/api"), Failure)


@pytest.mark.parametrize(
    ("given_url", "url"),
    [
        ("https://git.example.com", "https://git.example.com/api/v3"),
        ("https://git.example.com/", "https://git.example.com/api/v3"),
        ("https://git.example.com:8443/base/", "https://git.example.com:8443/base/api/v3"),
        ("http://10.0.0.8:3000", "http://10.0.0.8:3000/api/v3"),
        ("http://[::1]:3000/x", "http://[::1]:3000/x/api/v3"),
        ("HTTPS://Git.Example.COM", "https://git.example.com/api/v3"),
        ("https://redmine_2.internal", "https://redmine_2.internal/api/v3"),
        (None, "https://api.github.com"),
    ],
)
def test_a_server_can_be_ones_own(given_url: str | None, url: str) -> None:
    """Scheme, host, port and a plain path; the manifest's path follows. The default is whole as it stands."""
    assert base_url(OWN, given_url) == url


EVIL_SERVERS = [
    "",
    "git.example.com",
    "//git.example.com",
    "ftp://git.example.com",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https://",
    "https:///x",
    "https:git.example.com",
    "https://user@git.example.com",
    "https://user:password@git.example.com",
    "https://git.example.com@evil.example",
    "https://git.example.com?x",
    "https://git.example.com?",
    "https://git.example.com#x",
    "https://git.example.com#",
    "https://git.example.com\\@evil.example",
    "https://git.example.com/a b",
    "https://git.example.com/%2e%2e",
    "https://git.example.com/../x",
    "https://git.example.com/./x",
    "https://git.example.com/a/..",
    "https://git.example.com/a//b",
    "https://git.example.com/ü",
    "https://git.example.com:0",
    "https://git.example.com:99999",
    "https://git.example.com:x",
    "https://git..example.com",
    "https://.example.com",
    "https://example.com.",
    "https://-a.example.com",
    "https://a" + "a" * 300 + ".com",
    "https://zoë.example",
    "https://evil。example",
    "https://127.1",
    "https://2130706433",
    "https://0x7f000001",
    "https://0177.0.0.1",
    "https://[fe80::1%25eth0]",
    "https://[::1",
    "https://::1",
    "https://[v1.x]",
    "https://git\n.example.com",
    "https://git.example.com\r\nX: 1",
    "\thttps://git.example.com",
    " https://git.example.com",
    "https://git.example.com ",
]


@pytest.mark.parametrize("given_url", EVIL_SERVERS, ids=lambda url: repr(url[:40]))
def test_a_server_is_a_plain_url(given_url: str) -> None:
    """No user, query, fragment, dot segment, odd host or odd port: what is stored is what is called."""
    failure = base_url(OWN, given_url)
    assert isinstance(failure, Failure), failure
    assert failure.reason is Reason.VALIDATION
    assert len(failure.detail) < 300
    assert failure.detail.isprintable()


@given(st.text(alphabet=":/@?#[]\\.%a1-_ \n", max_size=24).map(lambda rest: f"https://{rest}") | st.text(max_size=30))
def test_no_server_is_read_in_two_ways(given_url: str) -> None:
    """HTTPX and aiohttp's URL library agree on host and path of every URL that is taken."""
    url = base_url(REQUIRED, given_url)
    if isinstance(url, Failure):
        return
    seen_by_httpx, seen_by_yarl = httpx.URL(url), yarl.URL(url)
    assert seen_by_httpx.host == seen_by_yarl.host
    assert seen_by_httpx.raw_path.decode() in {seen_by_yarl.raw_path, "/"}
    assert not seen_by_httpx.userinfo
    assert not seen_by_httpx.query


def test_a_server_must_be_named_where_there_is_no_default() -> None:
    """The text gives an example."""
    failure = base_url(REQUIRED, None)
    assert isinstance(failure, Failure)
    assert "https://" in failure.detail


@pytest.mark.parametrize(
    "given_url",
    ["https://user:canary@git.example.com", "https://user:canary@[::1", "https://u:canary@x:port", "user:canary@x"],
)
def test_a_password_in_a_url_is_not_repeated(given_url: str) -> None:
    """Who pastes a URL with a password does not find it in the reply and the trace."""
    failure = base_url(OWN, given_url)
    assert isinstance(failure, Failure)
    assert "canary" not in failure.detail


@pytest.mark.parametrize("fact", [OWN, ZENDESK])
@pytest.mark.parametrize("given_url", ["https://api.example.com/bot123:canary", "https://api.example.com/canary/.."])
def test_a_path_is_not_repeated(fact: SelfHosted | Subdomain, given_url: str) -> None:
    """It may hold a secret, as that of a bot does: what is wrong is told without it."""
    failure = base_url(fact, given_url)
    assert isinstance(failure, Failure)
    assert "canary" not in failure.detail
