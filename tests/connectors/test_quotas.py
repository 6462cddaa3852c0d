"""What calls of the shipped providers must pass: the figures of the providers' pages, by whose they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar.catalogue.load import load_catalogue
from sidecar.core.quota.demand import Caller, Tariff
from sidecar.core.quota.limit import Demand
from sidecar.credential import OwnLimit
from tests.build import FORMATS

CATALOGUE = load_catalogue([Path(__file__).parents[2] / "connectors"], FORMATS)


def demand(name: str, *limits: OwnLimit, server: str | None = None, **values: Any) -> Demand:
    """What a call of `<provider>.<operation>` must pass."""
    provider, _, operation = name.partition(".")
    served = CATALOGUE.providers[provider]
    caller = Caller("acme", "alice", "al", server, limits)
    return Tariff(served, served.operations[operation]).demand(caller, values)


def told(found: Demand) -> list[str]:
    """Its wants in short: key, cost, windows, slots."""
    return [
        f"{want.limit.key} {want.cost} of "
        + ",".join([f"{w.units}/{w.seconds:g}" for w in want.limit.windows])
        + (f"{want.limit.slots} at once" if want.limit.slots else "")
        for want in found.wants
    ]


@pytest.mark.parametrize(
    ("call", "wants"),
    [
        ("gmail.messages.send", ["|acme|=al|user 100 of 6000/60", "|project 100 of 1200000/60"]),
        ("gmail.threads.get", ["|acme|=al|user 40 of 6000/60", "|project 40 of 1200000/60"]),
        ("gmail.labels.list", ["|acme|=al|user 10 of 6000/60", "|project 10 of 1200000/60"]),
        ("google_calendar.events.create", ["|acme|=al|user 1 of 600/60", "|project 1 of 10000/60"]),
        (
            "outlook.messages.send",
            [
                "|acme|=al|mailbox 1 of 10000/600",
                "|acme|=al|concurrent 1 of 4 at once",
                "|acme|=al|sending 1 of 30/60",
            ],
        ),
        (
            "github.issues.create",
            [
                "|acme|=al|core 1 of 5000/3600",
                "|acme|=al|points 5 of 900/60",
                "|acme|=al|content 1 of 80/60,500/3600",
                "|acme|=al|concurrent 1 of 100 at once",
            ],
        ),
        (
            "github.search.issues",
            [
                "|acme|=al|search 1 of 30/60",
                "|acme|=al|points 1 of 900/60",
                "|acme|=al|concurrent 1 of 100 at once",
            ],
        ),
        ("slack.messages.update", ["|acme|alice|messages.update|tier_3 1 of 50/60"]),
        ("slack.conversations.history", ["|acme|alice|conversations.history|history 1 of 50/60"]),
        ("slack.auth.test", []),
        ("matrix.messages.send", []),
        ("pocketbase.records.create", []),
        ("redmine.issues.create", []),
    ],
)
def test_what_a_call_must_pass(call: str, wants: list[str]) -> None:
    """As many units of each budget as the provider's page says."""
    provider = call.partition(".")[0]
    assert told(demand(call)) == [f"{provider}{want}" for want in wants]


def test_a_message_takes_from_its_channel_and_from_all() -> None:
    """One a second into a channel; another channel is another budget."""
    first, second = (told(demand("slack.messages.post", channel=name)) for name in ("C1", "C2"))
    assert first == ["slack|acme|alice|channel:C1|channel 1 of 1/1", "slack|acme|alice|posting 1 of 300/60"]
    assert second == ["slack|acme|alice|channel:C2|channel 1 of 1/1", "slack|acme|alice|posting 1 of 300/60"]


def test_a_limited_message_holds_up_all_messages_and_nothing_else() -> None:
    """Slack does not say whether it is the channel's limit or the workspace's."""
    blamed = demand("slack.messages.post", channel="C1").blamed
    assert blamed == ("slack|acme|alice|channel:C1|channel", "slack|acme|alice|posting")
    assert not set(blamed) & set(demand("slack.users.info").keys)


@pytest.mark.parametrize(
    ("call", "limit", "values", "wants"),
    [
        ("matrix.messages.send", "messages", {}, ["|acme|=al|@server.example|messages=10/50 1 of 10/50"]),
        ("matrix.rooms.join", "messages", {}, []),
        (
            "pocketbase.records.create",
            "creates",
            {"collection": "contacts"},
            ["|@server.example|collection:contacts|creates=10/50 1 of 10/50"],
        ),
        ("redmine.issues.create", "requests", {}, ["|acme|alice|requests=10/50 1 of 10/50"]),
    ],
)
def test_a_self_hosted_server_has_the_limits_of_its_connection(
    call: str, limit: str, values: dict[str, str], wants: list[str]
) -> None:
    """What nobody else could know."""
    provider = call.partition(".")[0]
    found = demand(call, OwnLimit(limit, 10, 50.0), server="server.example", **values)
    assert told(found) == [f"{provider}{want}" for want in wants]
