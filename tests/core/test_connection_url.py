"""The base URL of a connection that is made of what the provider said about the account."""

from __future__ import annotations

import pytest

from sidecar.core.base_url import base_url, connection_url
from sidecar.credential import Credential
from sidecar.manifest import FixedUrl, KeptUrl, SelfHosted
from sidecar.model import Failure, Reason
from sidecar.secret import Secret

JIRA = KeptUrl(url="https://api.atlassian.example/ex/jira/{cloud_id}")
CRM = KeptUrl(url="{instance_url}", suffixes=(".crm.example", ".force.example"))
SHOP = KeptUrl(url="https://{shop}.shops.example/admin", suffixes=(".shops.example",))
BOOKS = KeptUrl(url="https://books.example/v3/company/{realmId}")
SIGN = KeptUrl(url="{base_uri}/restapi/v2.1/accounts/{account_id}", suffixes=(".sign.example",))
NA3 = "https://na3.sign.example"


def connection(base_url: str | None = None, **kept: str) -> Credential:
    return Credential(kind="oauth2", fields={}, created=0, changed=0, base_url=base_url, kept=kept)


@pytest.mark.parametrize(
    ("fact", "kept", "url"),
    [
        (JIRA, {"cloud_id": "11-22"}, "https://api.atlassian.example/ex/jira/11-22"),
        (CRM, {"instance_url": "https://eu5.crm.example"}, "https://eu5.crm.example"),
        (CRM, {"instance_url": "https://a.b.force.example/"}, "https://a.b.force.example"),
        (SHOP, {"shop": "acme"}, "https://acme.shops.example/admin"),
        (BOOKS, {"realmId": "4620"}, "https://books.example/v3/company/4620"),
        (SIGN, {"base_uri": NA3, "account_id": "7"}, f"{NA3}/restapi/v2.1/accounts/7"),
        (SIGN, {"base_uri": f"{NA3}/eu/", "account_id": "7"}, f"{NA3}/eu/restapi/v2.1/accounts/7"),
        (KeptUrl(url="{base_uri}/", suffixes=(".sign.example",)), {"base_uri": NA3}, NA3),
    ],
)
def test_made_of_what_is_known_of_the_account(fact: KeptUrl, kept: dict[str, str], url: str) -> None:
    """A value in its place, or the whole URL, with a path below it where there is one."""
    assert connection_url(fact, connection(**kept)) == url


@pytest.mark.parametrize(
    ("text", "segment"),
    [
        ("a/../../b", "a%2F..%2F..%2Fb"),
        ("a?b", "a%3Fb"),
        ("a#b", "a%23b"),
        ("a%2Fb", "a%252Fb"),
        ("a b@c", "a%20b%40c"),
        ("...", "..."),
    ],
)
def test_a_value_stays_one_segment_of_the_path(text: str, segment: str) -> None:
    """Percent-encoded, as an input in a path is: it ends neither the path nor its own place in it."""
    assert connection_url(JIRA, connection(cloud_id=text)) == f"https://api.atlassian.example/ex/jira/{segment}"
    url = connection_url(SIGN, connection(base_uri=NA3, account_id=text))
    assert url == f"{NA3}/restapi/v2.1/accounts/{segment}"


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
        (JIRA, {"cloud_id": "."}),
        (JIRA, {"cloud_id": "a\n"}),
        (JIRA, {"cloud_id": ""}),
        (SIGN, {"base_uri": NA3, "account_id": ".."}),
        (SIGN, {"base_uri": NA3}),
        (SIGN, {"base_uri": "https://evil.example", "account_id": "7"}),
        (SIGN, {"base_uri": "http://na3.sign.example", "account_id": "7"}),
        (SIGN, {"base_uri": f"{NA3}?x=", "account_id": "7"}),
        (SIGN, {"base_uri": "", "account_id": "7"}),
        (JIRA, {"other": "1"}),
        (SHOP, {"shop": "evil.example/"}),
        (SHOP, {"shop": "a@evil.example"}),
        (SHOP, {"shop": "-"}),
        (SHOP, {"shop": ".."}),
        (SHOP, {"shop": ""}),
    ],
)
def test_a_token_goes_nowhere_but_to_the_provider(fact: KeptUrl, kept: dict[str, str]) -> None:
    """What the provider, or who writes in its name, says of an account does not send a credential elsewhere."""
    refused = connection_url(fact, connection(**kept))
    assert isinstance(refused, Failure)
    assert refused.reason is Reason.VALIDATION


CALLS = KeptUrl(url="https://api.calls.example/2010-04-01/Accounts/{username}")


def known_by(**fields: str) -> Credential:
    return Credential(kind="basic", fields={name: Secret(text) for name, text in fields.items()}, created=0, changed=0)


@pytest.mark.parametrize(
    ("user", "segment"), [("AC12", "AC12"), ("a/../b@c", "a%2F..%2Fb%40c"), ("zoë", "zo%C3%AB"), ("..", None)]
)
def test_a_field_that_names_somebody_stands_in_every_path(user: str, segment: str | None) -> None:
    """The credential says it, and it stays one segment."""
    url = connection_url(CALLS, known_by(username=user, password="p"))
    if segment is None:
        assert isinstance(url, Failure)
    else:
        assert url == f"https://api.calls.example/2010-04-01/Accounts/{segment}"


def test_a_user_name_that_is_the_key_stands_in_no_url() -> None:
    """Without a password beside it, it is the whole secret: refused, and not repeated."""
    refused = connection_url(CALLS, known_by(username="canary", password=""))
    assert isinstance(refused, Failure)
    assert "without a password" in refused.detail
    assert "canary" not in refused.detail


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
