"""Providers in trouble: who is left alone, for how long, and how often anything is tried again."""

from __future__ import annotations

from tests.prove_red.row import Row

GUARD = "tests/execute/test_guard.py"
BREAKER = "tests/core/test_breaker.py"
OVERDUE = "tests/execute/test_overdue.py"
FAIR = "tests/core/test_fair.py"

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
        tests=(f"{BREAKER}::test_one_probe_at_a_time",),
    ),
    Row(
        promise="A breaker closes by itself when the provider works again.",
        file="sidecar/core/breaker.py",
        good="        return Breaker(0, breaker.opened)\n",
        bad="        return breaker\n",
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
        file="sidecar/attempt.py",
        good="        finally:\n            self._guard.leave(run, result)\n",
        bad="        finally:\n            if result is not None:\n                self._guard.leave(run, result)\n",
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
    Row(
        promise="No call outlives its deadline, whatever it waits for.",
        file="sidecar/execute.py",
        good="        due = self._overdue.expect(stop, call.deadline - now)\n",
        bad="        due = self._overdue.expect(stop, 100.0)\n",
        tests=(f"{OVERDUE}::test_a_wait_that_hangs_tells_the_attempt_before",),
    ),
    Row(
        promise="A call that was sent and ends by its deadline is not told as unsent.",
        file="sidecar/core/refusal.py",
        good="    ended = Reason.OUTCOME_UNKNOWN if under_way and reason is Reason.BEFORE_SEND else reason\n",
        bad="    ended = reason\n",
        tests=(f"{OVERDUE}::test_whatever_hangs",),
    ),
    Row(
        promise="Tenants that wait are served in turn.",
        file="sidecar/core/fair.py",
        good="                if line.left <= 0:\n",
        bad="                if line.number <= 1:\n",
        tests=(f"{FAIR}::test_lines_are_served_in_turn", f"{FAIR}::test_a_weight_is_so_many_turns"),
    ),
    Row(
        promise="However long one tenant's line is, the others have a share of the room for lines.",
        file="sidecar/core/fair.py",
        good="return self.waiting >= bounds.lines + room and number >=",
        bad="return self.waiting >= bounds.lines + room or number > 1e9 *",
        tests=(f"{FAIR}::test_a_long_line_leaves_room_for_the_others",),
    ),
    Row(
        promise="One tenant's bound holds.",
        file="sidecar/core/fair.py",
        good="        left = min(everywhere.left(tenant), bounds.tenant - everywhere.of.get(tenant, 0))\n",
        bad="        left = everywhere.left(tenant)\n",
        tests=("tests/worker/test_fair.py::test_one_tenant_leaves_room_for_others",),
    ),
    Row(
        promise="A provider that hangs does not fill the sidecar.",
        file="sidecar/core/fair.py",
        good="        return min(left, there.left(tenant) if there else bounds.provider)\n",
        bad="        return left\n",
        tests=(f"{FAIR}::test_a_provider_that_is_full_holds_up_no_other",),
    ),
    Row(
        promise="Who has most under way leaves the last places to the others.",
        file="sidecar/core/fair.py",
        good="        return left if self._is_behind(tenant) else 0\n",
        bad="        return left\n",
        tests=(
            f"{FAIR}::test_who_has_most_leaves_the_last_places_to_the_others",
            f"{FAIR}::test_the_last_places_at_a_provider_are_kept_too",
        ),
    ),
    Row(
        promise="Who has less than another may have the last places.",
        file="sidecar/core/fair.py",
        good="        return left if self._is_behind(tenant) else 0\n",
        bad="        return 0\n",
        tests=(f"{FAIR}::test_who_has_most_leaves_the_last_places_to_the_others",),
    ),
    Row(
        promise="A tenth of the room is kept at most.",
        file="sidecar/core/fair.py",
        good="        kept = min(self._kept, len(self.of) - (tenant in self.of))\n",
        bad="        kept = len(self.of) - (tenant in self.of)\n",
        tests=(f"{FAIR}::test_a_tenth_is_kept_at_most",),
    ),
    Row(
        promise="Who has most is told by the weight.",
        file="sidecar/core/fair.py",
        good="        return self.of.get(tenant, 0) / self._weight(tenant) < self._largest\n",
        bad="        return self.of.get(tenant, 0) < max(self.of.values())\n",
        tests=(f"{FAIR}::test_a_weight_is_so_many_places",),
    ),
    Row(
        promise="Who waits goes on as soon as another has more.",
        file="sidecar/core/fair.py",
        good="            self._may_go = self.waiting > 0\n\n",
        bad="            pass\n\n",
        tests=(f"{FAIR}::test_who_has_most_no_more_goes_on",),
    ),
    Row(
        promise="When there is room again whoever waits goes on.",
        file="sidecar/core/fair.py",
        good="            self._may_go = self.waiting > 0\n        elif",
        bad="            self._may_go = self.waiting > self._bounds.line\n        elif",
        tests=("tests/worker/test_fair.py::test_who_waits_has_its_turn_and_it_is_told",),
    ),
    Row(
        promise="A burst of one caller is spread, so that others have their turn meanwhile.",
        file="sidecar/core/fair.py",
        good=" and self._may_begin(place.tenant):\n",
        bad=":\n",
        tests=(f"{FAIR}::test_few_begin_in_one_turn",),
    ),
    Row(
        promise="A call that waits for its turn can be cancelled.",
        file="sidecar/cancel.py",
        good="        self._seat_all()\n",
        bad="",
        tests=("tests/worker/test_fair.py::test_who_waits_can_be_cancelled",),
    ),
    Row(
        promise="Who waits when the sidecar ends has a reply.",
        file="sidecar/worker.py",
        good="        for arrived in self._gate.send_away():\n",
        bad="        for arrived in self._gate.send_away()[:0]:\n",
        tests=("tests/worker/test_fair.py::test_who_waits_when_the_sidecar_ends",),
    ),
    Row(
        promise="Of many that are refused together each has its reply.",
        file="sidecar/replies.py",
        good="        self.publish(message, known[1])\n",
        bad="        if known is not self._refusal:\n            self.publish(message, known[1])\n",
        tests=("tests/worker/test_fair.py::test_ten_thousand_at_a_stuck_sidecar",),
    ),
    Row(
        promise="What a hint repeats of an input cannot put a command into a shell.",
        file="sidecar/core/hint.py",
        good="{shlex.quote(msgspec.json.encode(known).decode())}",
        bad="'{msgspec.json.encode(known).decode()}'",
        tests=("tests/core/test_hint.py::test_a_look_up_is_filled_in",),
    ),
    Row(
        promise="A look-up is filled in only where that is all it needs.",
        file="sidecar/catalogue/load.py",
        good="return needs if needs and all(name in fact.input for name in needs) else None",
        bad="return needs or None",
        tests=("tests/core/test_hint.py::test_a_look_up_that_needs_more_is_named_alone",),
    ),
)
