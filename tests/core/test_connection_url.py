"""The base URL of a connection that is made of what the provider said about the account."""

from __future__ import annotations

import pytest

from sidecar.core.base_url import base_url, connection_url
from sidecar.credential import Credential
from sidecar.manifest import FixedUrl, KeptUrl, SelfHosted
from sidecar.model import Failure, Reason

JIRA = KeptUrl(url="https://api.atlassian.example/ex/jira/{cloud_id}")
CRM = KeptUrl(url="{instance_url}", suffixes=(".crm.example", ".force.example"))
SHOP = KeptUrl(url="https://{shop}.shops.example/admin", suffixes=(".shops.example",))


def connection(base_url: str | None = None, **kept: str) -> Credential:
    return Credential(kind="oauth2", fields={}, created=0, changed=0, base_url=base_url, kept=kept)


@pytest.mark.parametrize(
    ("fact", "kept", "url"),
    [
        (JIRA, {"cloud_id": "11-22"}, "https://api.atlassian.example/ex/jira/11-22"),
        (CRM, {"instance_url": "https://eu5.crm.example"}, "https://eu5.crm.example"),
        (CRM, {"instance_url": "https://a.b.force.example/"}, "https://a.b.force.example"),
        (SHOP, {"shop": "acme"}, "https://acme.shops.example/admin"),
    ],
)
def test_made_of_what_is_known_of_the_account(fact: KeptUrl, kept: dict[str, str], url: str) -> None:
    """A value in its place, or the whole URL."""
    assert connection_url(fact, connection(**kept)) == url


@pytest.mark.parametrize(
    ("fact", "kept"),
    [
        (CRM, {"instance_url": "https://evil.example"}),
        (CRM, {"instance_url": "https://eu5.crm.example.evil.example"}),
        (CRM, {"instance_url": "https://evilcrm.example"}),
        (CRM, {"instance_url": "https://eu5.crm.example@evil.example"}),
        (CRM, {"instance_url": "http://eu5.crm.example"}),
        (CRM, {"instance_url": "https://127.0.0.1"}),
        (CRM, {"instance_url": "https://eu5.crm.example?x=1"}),
        (CRM, {"instance_url": "file:///etc/passwd"}),
        (CRM, {"instance_url": ""}),
        (CRM, {}),
        (JIRA, {"cloud_id": ".."}),
        (JIRA, {"cloud_id": "a/../../b"}),
        (JIRA, {"cloud_id": "a?b"}),
        (JIRA, {"cloud_id": "a#b"}),
        (JIRA, {"cloud_id": "a%2Fb"}),
        (JIRA, {"other": "1"}),
        (SHOP, {"shop": "evil.example/"}),
        (SHOP, {"shop": "a@evil.example"}),
        (SHOP, {"shop": "-"}),
    ],
)
def test_a_token_goes_nowhere_but_to_the_provider(fact: KeptUrl, kept: dict[str, str]) -> None:
    """What the provider, or who writes in its name, says of an account does not send a credential elsewhere."""
    refused = connection_url(fact, connection(**kept))
    assert isinstance(refused, Failure)
    assert refused.reason is Reason.VALIDATION


def test_what_is_missing_is_named() -> None:
    """A person learns that the account is to be connected again, and for what."""
    refused = connection_url(JIRA, connection())
    assert isinstance(refused, Failure)
    assert "cloud_id" in refused.detail
    assert "connect the account again" in refused.detail


def test_nobody_names_it() -> None:
    """An import cannot say where the token goes."""
    assert isinstance(base_url(CRM, "https://eu5.crm.example"), Failure)
    assert isinstance(connection_url(CRM, connection("https://eu5.crm.example")), Failure)


def test_other_base_urls_are_as_they_were() -> None:
    """The connection's own setting, or the manifest's URL."""
    assert connection_url(FixedUrl(url="https://api.acme.example/"), connection(x="1")) == "https://api.acme.example"
    assert connection_url(SelfHosted(), connection("https://a.example")) == "https://a.example"
