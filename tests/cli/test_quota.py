"""`sidecar quota show` beside a real sidecar: what its calls took, and whose it is."""

from __future__ import annotations

from tests.cli.conftest import Command, Served, said

MILK = '{"list": "home work", "title": "Milk"}'


def test_what_a_call_took_is_shown(beside: Command, served: Served) -> None:
    """The budget of the connection that called, kept by the sidecar that runs; nobody waits."""
    assert beside("call", "acme.items.create", MILK, "--timeout", "20").exit_code == 0
    shown = said(beside("quota", "show", "acme", "--json"))
    [posts] = [budget for budget in shown["budgets"] if budget["key"] == "acme|default|default|posts"]
    assert (posts["provider"], posts["bucket"], posts["owner"]) == ("acme", "posts", shown["sidecars"][0])
    assert posts["windows"][0]["units"] == 1
    assert shown["waits"] == []
    text = beside("quota", "show").stdout
    assert "acme|default|default|posts" in text
    assert text.endswith("told by 1 sidecar\n")


def test_another_tenant_sees_nothing_of_it(beside: Command, served: Served) -> None:
    """Nor does somebody who names another connection or provider."""
    assert beside("call", "acme.items.create", MILK, "--timeout", "20").exit_code == 0
    for words in (("--tenant", "other"), ("-c", "nobody"), ("github",)):
        assert said(beside("quota", "show", "--json", *words))["budgets"] == []


def test_a_provider_that_is_not_there(beside: Command) -> None:
    """It is told as everywhere, with the nearest name, not as if no sidecar ran."""
    refused = beside("quota", "show", "acmee", "--json")
    assert refused.exit_code == 66
    assert said(refused)["reason"] == "UNKNOWN_PROVIDER"
    assert "acme" in said(refused)["detail"]


def test_with_no_sidecar_there_is_a_hint(sidecar: Command) -> None:
    """As with every command: what to do next."""
    result = sidecar("quota", "show")
    assert result.exit_code != 0
    assert "sidecar dev" in result.stderr
