"""Providers in trouble: who is left alone, for how long, and how often anything is tried again."""

from __future__ import annotations

from tests.prove_red.row import Row

GUARD = "tests/execute/test_guard.py"
BREAKER = "tests/core/test_breaker.py"

ROWS = (
    Row(
        promise="A provider that fails five times in a row is left alone.",
        file="sidecar/core/breaker.py",
        good="    if not entry.probe and failures < policy.failures:",
        bad="    if not entry.probe and failures <= policy.failures:",
        tests=(
            f"{BREAKER}::test_five_failures_in_a_row_open_it",
            f"{GUARD}::test_a_provider_that_is_down_is_asked_five_times",
        ),
    ),
    Row(
        promise="One exchange at a time shows whether it is back.",
        file="sidecar/core/breaker.py",
        good="    return PROBE_SECONDS if breaker.probing else max(0.0, breaker.until - now)",
        bad="    return max(0.0, breaker.until - now)",
        tests=(f"{BREAKER}::test_one_probe_at_a_time", f"{GUARD}::test_a_probe_that_is_cancelled_leaves_its_place"),
    ),
    Row(
        promise="A breaker closes by itself when the provider works again.",
        file="sidecar/core/breaker.py",
        good="        return Breaker(0, breaker.opened)\n",
        bad="        return Breaker(0, breaker.opened, breaker.until)\n",
        tests=(f"{GUARD}::test_ten_minutes_down_are_one_probe_in_thirty_seconds",),
    ),
    Row(
        promise="What began before a breaker opened says nothing after.",
        file="sidecar/core/breaker.py",
        good="    if entry.opened != breaker.opened:\n",
        bad="    if entry.opened > breaker.opened:\n",
        tests=(f"{BREAKER}::test_what_began_before_it_opened_says_nothing_after",),
    ),
    Row(
        promise="A probe that was cut off is not a probe for good.",
        file="sidecar/execute.py",
        good="        finally:\n            self.guard.leave(run, result)\n",
        bad="        finally:\n            if result is not None:\n                self.guard.leave(run, result)\n",
        tests=(f"{GUARD}::test_a_probe_that_is_cancelled_leaves_its_place",),
    ),
    Row(
        promise="4xx, 401 and 429 never trip a breaker.",
        file="sidecar/core/breaker.py",
        good="        return True  # it answered: a 4xx, 401 and 429 too",
        bad="        return result.provider_status < 400  # noqa: PLR2004",
        tests=(f"{BREAKER}::test_what_an_exchange_shows",),
    ),
    Row(
        promise="The short deadline of one caller does not shut a provider for others.",
        file="sidecar/core/breaker.py",
        good="    return late and lasted < policy.patience",
        bad="    return late and lasted < 0",
        tests=(f"{BREAKER}::test_what_an_exchange_shows",),
    ),
    Row(
        promise="A tenant's server that is down is nobody else's provider.",
        file="sidecar/guard.py",
        good='    return run.provider.name, f"{scheme}//{host}"',
        bad='    return "", f"{scheme}//{host}"',
        tests=(f"{GUARD}::test_another_origin_goes_on",),
    ),
    Row(
        promise="Retries that do not help are bounded for each tenant and provider.",
        file="sidecar/guard.py",
        good="        self._tokens[key] = tokens - cost\n",
        bad="        self._tokens[key] = tokens\n",
        tests=(f"{GUARD}::test_a_failing_provider_uses_up_the_retries",),
    ),
    Row(
        promise="One tenant's failures do not use up another's retries.",
        file="sidecar/guard.py",
        good="        key = run.provider.name, run.call.tenant\n        cost",
        bad='        key = run.provider.name, ""\n        cost',
        tests=(f"{GUARD}::test_one_tenant_does_not_use_up_the_retries_of_another",),
    ),
    Row(
        promise="No retry is begun against an open breaker.",
        file="sidecar/guard.py",
        good="        if refused is not None:\n            return Decision(None,",
        bad="        if refused is not None and run.trial:\n            return Decision(None,",
        tests=(f"{GUARD}::test_no_retry_once_it_is_open",),
    ),
)
