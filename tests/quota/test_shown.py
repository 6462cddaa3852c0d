"""`sidecar quota show`: a person reads what is left, who keeps it, who waits."""

from __future__ import annotations

from sidecar.cli.quota import shown
from sidecar.wire.quota_view import BudgetView, QuotaView, SlotsLeft, TokensLeft, WaitView, WindowLeft

CORE = BudgetView(
    key="github|acme|alice|core",
    provider="github",
    bucket="core",
    owner="0a1b",
    windows=(WindowLeft(5000, 3600, 4990), WindowLeft(80, 60, 0), WindowLeft(10, 7, 1)),
    slots=SlotsLeft(100, 99),
    closed_ms=1500,
    lent=12,
    waiting=3,
)
POST = BudgetView(key="slack|post", provider="slack", bucket="post", owner="0a1b", tokens=TokensLeft(1, 5, 2))


def test_a_budget_is_one_line() -> None:
    """Whose it is, what is left of each of its limits, who keeps it, and what is special now."""
    text = shown(QuotaView(sidecars=("0a1b", "ff"), budgets=(CORE, POST), waits=()))
    core, post, _, told = text.splitlines()
    assert core.split("  ")[0] == "github|acme|alice|core"
    assert "4990 of 5000/h, 0 of 80/min, 1 of 10/7s, 99 of 100 at once" in core
    assert "kept by 0a1b" in core
    assert core.endswith("closed for 1.5 s, 3 waited for, 12 lent")
    assert "2 of 5, +1/s" in post
    assert told == "told by 2 sidecars"


def test_who_waits_is_told_by_connection() -> None:
    """And when nothing is in use, that is said."""
    waits = (WaitView("github", "alice", "core", 3, "0a1b"),)
    lines = shown(QuotaView(sidecars=("0a1b",), budgets=(), waits=waits, more=2)).splitlines()
    assert lines[0] == "no quota is in use: everything is left"
    assert lines[1].startswith("2 budgets more")
    assert lines[4].split() == ["github", "alice", "3", "calls", "for", "core"]


def test_names_of_others_cannot_write_on_the_terminal() -> None:
    """A connection's name may hold anything; it is shown without control characters."""
    waits = (WaitView("github", "a\x1b[31m", "core", 1, "0a1b"),)
    assert "\x1b" not in shown(QuotaView(sidecars=(), budgets=(), waits=waits))
