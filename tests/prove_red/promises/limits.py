"""Limits: whose budget a call takes from, what answers say of it, what a connection may say."""

from __future__ import annotations

from tests.prove_red.row import Row

DEMAND = "sidecar/core/quota/demand.py"
OBSERVE = "sidecar/core/quota/observe.py"
TEST_DEMAND = "tests/core/quota/test_demand.py"
TEST_OBSERVE = "tests/core/quota/test_observe.py"
ADMIN = "tests/admin/test_limits.py"
MISTAKES = "tests/catalogue/test_quota_mistakes.py"

ROWS = (
    Row(
        promise="Accounts of one name at two servers have two budgets.",
        file=DEMAND,
        good='return (encode_token(caller.tenant), f"={_short(caller.account)}", *server)',
        bad='return (encode_token(caller.tenant), f"={_short(caller.account)}")',
        tests=(f"{TEST_DEMAND}::test_whose_budget_it_is",),
    ),
    Row(
        promise="No two callers share a budget by a trick of their names.",
        file=DEMAND,
        good='return (encode_token(caller.tenant), f"={_short(caller.account)}", *server)',
        bad="return (encode_token(caller.tenant), _short(caller.account), *server)",
        tests=(f"{TEST_DEMAND}::test_whose_budget_it_is",),
    ),
    Row(
        promise="All limits that calls may share are of one family, whichever operation is called.",
        file=DEMAND,
        good="max((quota.scope for quota in quotas), key=WIDTH.index",
        bad="max((quota.scope for quota in self._quotas), key=WIDTH.index",
        tests=(f"{TEST_DEMAND}::test_the_family_holds_whatever_calls_may_share",),
    ),
    Row(
        promise="A connection narrows a shared budget for itself alone.",
        file=DEMAND,
        good='return [*want(quota.scope, limit, ""), *want("connection", _replaced(nothing, own), said)]',
        bad="return want(quota.scope, _narrowed(limit, own), said)",
        tests=(f"{TEST_DEMAND}::test_a_connection_narrows_a_shared_budget_for_itself_alone",),
    ),
    Row(
        promise="What a connection says never makes more of the provider's own limit.",
        file=DEMAND,
        good="return msgspec.structs.replace(limit, windows=(*limit.windows, *windows), slots=slots)",
        bad="return msgspec.structs.replace(limit, windows=windows or limit.windows, slots=slots)",
        tests=(f"{TEST_DEMAND}::test_a_connection_narrows_its_own_budget",),
    ),
    Row(
        promise="A limited answer that names no quota closes the narrowest, and leaves other calls alone.",
        file=DEMAND,
        good="    if narrow:\n        return tuple(limit.key for _, limit in narrow)\n",
        bad="",
        tests=(f"{TEST_DEMAND}::test_what_an_answer_closes_that_names_no_quota",),
    ),
    Row(
        promise="A reset that is told beside what is left of another limit is not waited for.",
        file="sidecar/core/wait.py",
        good="seconds = _bare(reset, now) if left is None or left <= 0 else None",
        bad="seconds = _bare(reset, now)",
        tests=("tests/core/test_wait.py::test_the_usual_headers",),
    ),
    Row(
        promise="A limited answer that says no time is waited for as long as the provider's page says.",
        file="sidecar/core/outcome.py",
        good="return rule.wait_seconds if rule and wait is None else wait",
        bad="return wait",
        tests=(f"{TEST_OBSERVE}::test_the_wait_of_a_limited_answer",),
    ),
    Row(
        promise="Of several limits in the same headers, each answer corrects the one that it is about.",
        file=OBSERVE,
        good="return all(headers.get(name) == value for name, value in source.header.items())",
        bad="return all(name in headers for name in source.header)",
        tests=(f"{TEST_OBSERVE}::test_where_the_same_headers_tell_of_several_quotas",),
    ),
    Row(
        promise="A limited answer closes what it says is used up.",
        file=OBSERVE,
        good="for names in ({bucket}, used_up):",
        bad="for names in ({bucket},):",
        tests=(f"{TEST_OBSERVE}::test_which_quota_a_limited_answer_closes",),
    ),
    Row(
        promise="A new credential for a server leaves the limits that its owner set.",
        file="sidecar/import_admin.py",
        good="return there.credential.limits_at(asked.base_url) if isinstance(there, Revised) else ()",
        bad="return ()",
        tests=(f"{ADMIN}::test_a_new_credential_leaves_the_limits",),
    ),
    Row(
        promise="The limits of one server say nothing of another.",
        file="sidecar/credential.py",
        good="return self.limits if base_url == self.base_url else ()",
        bad="return self.limits",
        tests=(f"{ADMIN}::test_a_new_credential_leaves_the_limits",),
    ),
    Row(
        promise="A limit that could never be kept is refused, and nothing is stored.",
        file="sidecar/catalogue/own_limits.py",
        good="    if quota.cost(most) > limit.units:",
        bad="    if quota.cost(most) > 2 * limit.units:",
        tests=(f"{ADMIN}::test_limits_that_make_no_sense",),
    ),
    Row(
        promise="A wait for a quota leaves time for the exchange.",
        file="sidecar/pacing.py",
        good="kept = min(KEPT_SECONDS, KEPT_PART * (call.deadline - call.accepted))",
        bad="kept = 0.0",
        tests=("tests/execute/test_limits.py::test_a_wait_leaves_time_for_the_exchange",),
    ),
    Row(
        promise="A quota that can never be kept is told when it is loaded.",
        file="sidecar/catalogue/quota_mistakes.py",
        good="if most is not None and quota.cost(name) > most:",
        bad="if most is not None and quota.cost(name) > 100 * most:",
        tests=(f"{MISTAKES}::test_figures_that_make_no_sense",),
    ),
)
