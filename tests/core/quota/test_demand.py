"""What an exchange must pass: whose budgets, at which cost, under keys that never mean two things."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.quota.demand import Caller, Tariff, caller_of
from sidecar.core.quota.limit import Demand, Limit, Tokens, Want, Window
from sidecar.credential import Credential, OwnLimit
from tests.build import CREATE_ITEM, GET_ITEM, provider

ALICE = Caller("acme", "alice")
MINUTE = {"windows": [{"units": 60, "seconds": 60}]}
POST = CREATE_ITEM | {"input": {"channel": {"in": "body", "type": "string"}}, "required": []}
OPERATIONS = {"items.get": GET_ITEM, "items.create": CREATE_ITEM, "messages.post": POST}


def quota(**facts: Any) -> dict[str, Any]:
    """A quota of 60 a minute of the connection, but for what is given."""
    return {"name": "calls", "scope": "connection"} | MINUTE | facts


def demand(
    operation: str, *quotas: dict[str, Any], caller: Caller = ALICE, raw: bool = False, **values: object
) -> Demand:
    """What an exchange of this operation must pass."""
    facts: dict[str, Any] = {"raw": {}} if raw else {}
    made = provider(operations=OPERATIONS, quotas=list(quotas), **facts)
    return Tariff(made, made.operations[operation]).demand(caller, values)


def keys(found: Demand) -> list[str]:
    """Of its limits."""
    return [want.limit.key for want in found.wants]


def test_figures_of_the_manifest() -> None:
    """Windows, the declared bucket, slots and the variation of the way go over as they stand."""
    facts = quota(
        windows=[{"units": 10, "seconds": 1}, {"units": 500, "seconds": 3600}],
        bucket={"rate": 2.5, "burst": 40},
        concurrency=4,
        variation_ms=50,
        costs={"items.create": 5, "items.*": 2},
    )
    windows = (Window(10, 1), Window(500, 3600))
    limit = Limit("acme|acme|alice|calls", "calls", windows, Tokens(2.5, 40), 4, 0.05)
    assert demand("items.create", facts).wants == (Want(limit, 5),)
    assert demand("items.get", facts).wants == (Want(limit, 2),)
    assert demand("messages.post", facts).wants == (Want(limit, 1),)


def test_only_quotas_that_name_the_operation_count() -> None:
    """Others are no business of it; neither is one that costs it nothing."""
    narrow = quota(name="writes", operations=["items.create", "messages.*"])
    free = quota(name="reads", costs={"items.create": 0})
    assert keys(demand("items.create", narrow, free)) == ["acme|acme|alice|writes"]
    assert keys(demand("items.get", narrow, free)) == ["acme|acme|alice|reads"]


@pytest.mark.parametrize(
    ("scope", "caller", "key"),
    [
        ("app", ALICE, "acme|calls"),
        ("tenant", ALICE, "acme|acme|calls"),
        ("connection", ALICE, "acme|acme|alice|calls"),
        ("account", Caller("acme", "alice", account="al@x.example"), "acme|acme|=al%40x%2Eexample|calls"),
        ("account", ALICE, "acme|acme|alice|calls"),  # nobody said whose account it is
        ("app", Caller("acme", "alice", server="a.example/x"), "acme|@a.example/x|calls"),
        ("tenant", Caller("acme", "alice", server="a.example"), "acme|acme|@a.example|calls"),
        ("account", Caller("acme", "b", account="al", server="a.example"), "acme|acme|=al|@a.example|calls"),
        ("connection", Caller("acme", "alice", server="a.example"), "acme|acme|alice|calls"),
        ("connection", Caller("a|b", "c.d"), "acme|a%7Cb|c%2Ed|calls"),
    ],
)
def test_whose_budget_it_is(scope: str, caller: Caller, key: str) -> None:
    """A server, a tenant, an account or a connection of another has another budget."""
    assert keys(demand("items.get", quota(scope=scope), caller=caller)) == [key]


def test_an_input_may_make_budgets_of_its_own() -> None:
    """A channel each; a call that names none uses the one that such calls share."""
    facts = quota(by=["channel"], operations=["messages.post", "http.request"])
    assert keys(demand("messages.post", facts, raw=True, channel="C1")) == ["acme|acme|alice|channel:C1|calls"]
    assert keys(demand("messages.post", facts, raw=True, channel=7)) == ["acme|acme|alice|channel:7|calls"]
    assert keys(demand("messages.post", facts, raw=True)) == ["acme|acme|alice|calls"]
    raw = demand("http.request", facts, raw=True, channel="C1")  # an input of another operation
    assert keys(raw) == ["acme|acme|alice|calls"]


def test_a_long_value_is_told_by_its_digest() -> None:
    """A key stays short, whatever a caller says."""
    facts = quota(by=["channel"], operations=["messages.post"])
    first, second = (keys(demand("messages.post", facts, channel="x" * 100_000 + end))[0] for end in "ab")
    assert first != second
    assert len(first) < 100


def test_each_operation_may_have_a_budget() -> None:
    """One line of a manifest for an API that counts each method apart."""
    facts = quota(each_operation=True)
    assert keys(demand("items.get", facts)) == ["acme|acme|alice|items.get|calls"]
    assert keys(demand("items.create", facts)) == ["acme|acme|alice|items.create|calls"]


@pytest.mark.parametrize(
    ("scopes", "family"),
    [
        ((), "acme|acme|alice"),
        (("connection",), "acme|acme|alice"),
        (("connection", "account"), "acme|acme"),
        (("tenant",), "acme|acme"),
        (("connection", "app"), "acme"),
    ],
)
def test_the_family_holds_whatever_calls_may_share(scopes: tuple[str, ...], family: str) -> None:
    """One owner keeps all limits that one exchange takes together; it is the same for every operation."""
    quotas = [quota(name=scope, scope=scope) for scope in scopes]
    account = Caller("acme", "alice", account="al")
    assert demand("items.get", *quotas).family == family
    assert demand("items.get", *(facts | {"operations": ["items.create"]} for facts in quotas)).family == family
    assert demand("items.get", *quotas, caller=account).family == family


def test_accounts_of_one_tenant_have_one_family_where_some_are_unknown() -> None:
    """A connection whose account nobody told falls back to its own name; its limits share no key with others'."""
    facts = quota(scope="account")
    known, unknown = (
        demand("items.get", facts, caller=Caller("acme", "alice", account="al")),
        demand("items.get", facts),
    )
    assert known.family == unknown.family == "acme|acme"
    assert keys(known) != keys(unknown)


# --- what a connection says -----------------------------------------------------------------------------------------


def limits(**own: tuple[int, float | None]) -> Caller:
    """Alice, whose connection carries limits."""
    return Caller(
        "acme", "alice", account="al", limits=tuple(OwnLimit(name, *figures) for name, figures in own.items())
    )


def test_a_connection_narrows_its_own_budget() -> None:
    """Both hold, so that nothing it says makes more of the manifest's."""
    found = demand("items.get", quota(concurrency=9), caller=limits(calls=(1000, 60.0)))
    (want,) = found.wants
    assert want.limit.windows == (Window(60, 60), Window(1000, 60.0))
    assert want.limit.key == "acme|acme|alice|calls=1000/60"
    (want,) = demand("items.get", quota(concurrency=9), caller=limits(calls=(12, None))).wants
    assert want.limit.slots == 9
    (want,) = demand("items.get", quota(concurrency=9), caller=limits(calls=(3, None))).wants
    assert want.limit.slots == 3


@pytest.mark.parametrize("scope", ["app", "tenant", "account"])
def test_a_connection_narrows_a_shared_budget_for_itself_alone(scope: str) -> None:
    """Others' budget keeps its key and its figures; what the connection says is a limit beside it."""
    shared, own = demand("items.get", quota(scope=scope), caller=limits(calls=(5, 60.0))).wants
    assert shared == demand("items.get", quota(scope=scope), caller=limits()).wants[0]
    assert (own.limit.key, own.limit.windows) == ("acme|acme|alice|calls=5/60", (Window(5, 60.0),))


def test_where_the_server_s_owner_decides_a_connection_says_the_figures() -> None:
    """In place of the usual ones, more of them too; rate and slots apart."""
    facts = quota(set_by_connection=True, concurrency=2, bucket={"rate": 1, "burst": 3})
    (want,) = demand("items.get", facts, caller=limits(calls=(1000, 60.0))).wants
    assert (want.limit.windows, want.limit.tokens, want.limit.slots) == ((Window(1000, 60.0),), None, 2)
    (want,) = demand("items.get", facts, caller=limits(calls=(8, None))).wants
    assert (want.limit.windows, want.limit.tokens, want.limit.slots) == ((Window(60, 60),), Tokens(1, 3), 8)


def test_a_quota_without_figures_waits_for_a_connection_that_says_some() -> None:
    """Until then there is nothing to keep."""
    facts = {"name": "calls", "scope": "app", "set_by_connection": True}
    assert demand("items.get", facts).wants == ()
    (want,) = demand("items.get", facts, caller=limits(calls=(10, 2.5))).wants
    assert (want.limit.key, want.limit.windows) == ("acme|calls=10/2.5", (Window(10, 2.5),))


# --- who is blamed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quotas", "blamed"),
    [
        ([], ["acme|acme|alice|told"]),
        ([quota(windows=[], concurrency=4)], ["acme|acme|alice|told"]),
        ([quota(), quota(name="app", scope="app")], ["acme|acme|alice|calls"]),
        ([quota(name="app", scope="app")], ["acme|app"]),
        ([quota(), quota(name="reads", operations=["items.get"])], ["acme|acme|alice|reads"]),
        ([quota(), quota(name="method", each_operation=True)], ["acme|acme|alice|items.get|method"]),
    ],
)
def test_what_an_answer_closes_that_names_no_quota(quotas: list[dict[str, Any]], blamed: list[str]) -> None:
    """The narrowest budgets that it passed: calls that use others go on."""
    assert list(demand("items.get", *quotas).blamed) == blamed


# --- whose call it is -----------------------------------------------------------------------------------------------


def credential(**facts: Any) -> Credential:
    """A credential with these facts."""
    return Credential(kind="bearer", fields={}, created=0.0, changed=0.0, **facts)


def test_the_caller_of_a_credential() -> None:
    """Its account and limits; its server only where it names one."""
    own = provider(base_url={"kind": "self_hosted", "path": "/api", "default": "https://acme.example/api"})
    limit = OwnLimit("calls", 1, 2.0)
    named = credential(base_url="https://Notes.example:3000/t", account="al", limits=(limit,))
    assert caller_of(own, "acme", "alice", named) == Caller("acme", "alice", "al", "notes.example:3000/t/api", (limit,))
    assert caller_of(own, "acme", "alice", credential()) == ALICE
    assert caller_of(provider(), "acme", "alice", credential()) == ALICE
    site = {"kind": "kept", "url": "https://api.acme.example/ex/{site}"}
    oauth = {
        "kind": "oauth2",
        "authorize_url": "https://acme.example/a",
        "token_url": "https://acme.example/t",
        "callback": ["site"],
    }
    kept = provider(base_url=site, auth=[oauth])
    assert caller_of(kept, "acme", "alice", credential(kept={"site": "s1"})).server == "api.acme.example/ex/s1"


def test_a_caller_is_made_once() -> None:
    """Calls of one connection share it; another connection, provider or credential has its own."""
    known, made = credential(base_url="https://a.example"), provider(base_url={"kind": "self_hosted"})
    caller = caller_of(made, "acme", "alice", known)
    assert caller_of(made, "acme", "alice", known) is caller
    assert caller_of(made, "acme", "bob", known).connection == "bob"
    assert caller_of(made, "other", "bob", known).tenant == "other"
    below = provider(base_url={"kind": "self_hosted", "path": "/api"})
    assert caller_of(below, "other", "bob", known).server == "a.example/api"
    moved = msgspec.structs.replace(known, base_url="https://b.example")
    assert caller_of(below, "other", "bob", moved).server == "b.example/api"


def test_a_demand_is_made_once() -> None:
    """The next call with the same budgets gets the same object."""
    made = provider(operations=OPERATIONS, quotas=[quota(by=["channel"], operations=["messages.*"])])
    tariff = Tariff(made, made.operations["messages.post"])
    first = tariff.demand(ALICE, {"channel": "C1"})
    assert tariff.demand(Caller("acme", "alice"), {"channel": "C1"}) is first
    assert tariff.demand(ALICE, {"channel": "C2"}) != first
    assert tariff.demand(Caller("acme", "bob"), {"channel": "C1"}) != first


NAMES = st.text(alphabet="ab|@=:~%7C.-/é", min_size=1, max_size=6) | st.sampled_from(["long" * 30, "long" * 31])
CALLERS = st.builds(Caller, NAMES, NAMES, st.none() | NAMES, st.none() | NAMES)


@given(first=CALLERS, second=CALLERS, values=st.tuples(st.none() | NAMES, st.none() | NAMES))
def test_equal_keys_are_equal_budgets(first: Caller, second: Caller, values: tuple[str | None, str | None]) -> None:
    """No two callers share a budget by a trick of their names."""
    found = []
    for caller, value in zip((first, second), values, strict=True):
        for scope in ("tenant", "connection", "account"):
            made = TARIFFS[scope].demand(caller, {"channel": value})
            whose: tuple[object, ...] = (caller.tenant, value)
            if scope == "connection" or (scope == "account" and caller.account is None):
                whose = (*whose, "connection", caller.connection)
            elif scope == "account":
                whose = (*whose, "account", caller.account, caller.server)
            else:
                whose = (*whose, "tenant", caller.server)
            found.append((made.wants[0].limit.key, whose))
    for key, whose in found:
        for other_key, other in found:
            assert (key == other_key) is (whose == other)


def _tariff(scope: str) -> Tariff:
    made = provider(operations=OPERATIONS, quotas=[quota(scope=scope, by=["channel"], operations=["messages.post"])])
    return Tariff(made, made.operations["messages.post"])


TARIFFS = {scope: _tariff(scope) for scope in ("tenant", "connection", "account")}


def test_limits_go_over_the_wire() -> None:
    """As messages between sidecars carry them."""
    want = demand("items.get", quota(bucket={"rate": 1, "burst": 2})).wants[0]
    assert msgspec.json.decode(msgspec.json.encode(want), type=Want) == want
