"""Shared quotas, the deciding part: permits, waits, credits, owners, what a next owner knows."""

from __future__ import annotations

from tests.prove_red.row import Row

QUOTA = "sidecar/core/quota"
ALONE = "tests/core/quota/test_alone.py"
OWNERS = "tests/core/quota/test_owners.py"
LENT = "tests/core/quota/test_lent.py"
HINTS = "tests/core/quota/test_hints.py"
USED = "tests/core/quota/test_used.py"
WINDOW = "tests/core/quota/test_window.py"
LEVEL = "tests/core/quota/test_level.py"

ROWS = (
    Row(
        promise="A unit is taken until it has surely left its window, however late its permit was used.",
        file=f"{QUOTA}/permits.py",
        good="budget.take(name, cost, start + call.late, ends, turn.now)",
        bad="budget.take(name, cost, start, ends, turn.now)",
        tests=(f"{ALONE}::test_above_the_limit_it_is_dated",),
    ),
    Row(
        promise="A unit is taken for as much longer as the way to the provider varies.",
        file=f"{QUOTA}/budget.py",
        good="        sure = last + self.variation\n        for window in self.windows:\n            window.take(cost",
        bad="        sure = last\n        for window in self.windows:\n            window.take(cost",
        tests=(f"{ALONE}::test_above_the_limit_it_is_dated",),
    ),
    Row(
        promise="What a permit took counts from when it was used.",
        file=f"{QUOTA}/permits.py",
        good="            if sooner <= MOMENT:\n                continue\n",
        bad="            if sooner <= NEVER:\n                continue\n",
        tests=(f"{USED}::test_a_unit_that_was_used_counts_from_then",),
    ),
    Row(
        promise="When a permit was used is counted from when that is heard, never from what its sidecar's clock says.",
        file=f"{QUOTA}/permits.py",
        good="sooner = granted.start + granted.late - (turn.now - age)",
        bad="sooner = granted.start + granted.late - granted.start",
        tests=(f"{USED}::test_used_later_it_counts_from_later",),
    ),
    Row(
        promise="Clocks may run at rates that differ.",
        file=f"{QUOTA}/member.py",
        good="(1 - DRIFT) * (turn.now - at)",
        bad="(turn.now - at)",
        tests=(f"{USED}::test_a_permit_of_another_clock_rate_frees_no_sooner",),
    ),
    Row(
        promise="Those who stood in line do not start in one moment.",
        file=f"{QUOTA}/serving.py",
        good="            wanted.space(cost, start)\n",
        bad="            pass\n",
        tests=(f"{USED}::test_a_crowd_thins_out",),
    ),
    Row(
        promise="A unit that comes back after its window is nobody's.",
        file=f"{QUOTA}/window.py",
        good="        if at >= len(self._ends) or self._ends[at] != end:\n            return\n",
        bad="        if at >= len(self._ends):\n            at = len(self._ends) - 1\n",
        tests=(f"{WINDOW}::test_what_comes_back_late_frees_nothing_of_others",),
    ),
    Row(
        promise="A permit that was not used gives its units back.",
        file=f"{QUOTA}/permits.py",
        good="            budget.give_back((sender, call), cost, sure, turn.now)\n",
        bad="",
        tests=(f"{ALONE}::test_what_was_not_used_comes_back",),
    ),
    Row(
        promise="What cannot be served in time is refused at once, with the time.",
        file=f"{QUOTA}/serving.py",
        good="        if wait > item.left:\n",
        bad="        if wait < 0.0:\n",
        tests=(f"{ALONE}::test_who_would_wait_too_long_in_line_is_refused_at_once",),
    ),
    Row(
        promise="A provider's token bucket does not refill for requests that are still on their way.",
        file=f"{QUOTA}/level.py",
        good="            full = self.burst - self._under_way_sum\n",
        bad="            full = self.burst\n",
        tests=(f"{LEVEL}::test_the_provider_always_has_the_token",),
    ),
    Row(
        promise="A slot is free when its exchange is over.",
        file=f"{QUOTA}/member.py",
        good="        self.ended.append(known.name)\n",
        bad="",
        tests=(f"{ALONE}::test_slots_are_free_when_exchanges_end",),
    ),
    Row(
        promise='A provider\'s "not before" refuses those that cannot wait until then.',
        file=f"{QUOTA}/node.py",
        good="        if until >= asked.deadline:\n",
        bad="        if until >= asked.deadline + 60.0:\n",
        tests=(f"{ALONE}::test_what_the_provider_closes_is_closed",),
    ),
    Row(
        promise="A minute after the last call a sidecar owns nothing, writes nothing, and waits for nothing.",
        file=f"{QUOTA}/seat.py",
        good="        if self.step is Step.OWNING and owner is not None and owner.idle(turn):\n",
        bad="        if False and owner is not None:\n",
        tests=(f"{ALONE}::test_who_has_nothing_to_do_is_silent",),
    ),
    Row(
        promise="A new owner counts as used what the last one may have granted.",
        file=f"{QUOTA}/seat.py",
        good="                owner.cold = self._claimed - gap + turn.pace.horizon + LATEST\n",
        bad="                owner.cold = self._claimed - 60.0\n",
        tests=(f"{OWNERS}::test_a_snapshot_holds_nothing",),
    ),
    Row(
        promise="A lease counts from when its record was asked for, not from when the store said so.",
        file=f"{QUOTA}/seat.py",
        good="        self._until = started + turn.pace.lease\n        self._claimed",
        bad="        self._until = turn.now + turn.pace.lease\n        self._claimed",
        tests=(f"{OWNERS}::test_a_lease_counts_from_when_its_record_was_asked_for",),
    ),
    Row(
        promise="An owner that the store cannot confirm grants nothing past its lease.",
        file=f"{QUOTA}/seat.py",
        good="        return self.step is Step.OWNING and now < self._until\n",
        bad="        return self.step is Step.OWNING\n",
        tests=(f"{OWNERS}::test_without_the_store_the_owner_goes_on_until_its_lease_ends",),
    ),
    Row(
        promise="Who leaves in order leaves its ledger: the next one starts at once and knows what is used.",
        file=f"{QUOTA}/keeping.py",
        good="            if last.left or is_long(window.seconds, turn):\n",
        bad="            if is_long(window.seconds, turn):\n",
        tests=(f"{OWNERS}::test_who_leaves_in_order_leaves_its_ledger",),
    ),
    Row(
        promise="What a crashed owner granted of a long window stands in the record before it is granted.",
        file=f"{QUOTA}/keeping.py",
        good="                if log.ahead:\n",
        bad="                if False:\n",
        tests=(f"{OWNERS}::test_an_owner_writes_ahead",),
    ),
    Row(
        promise="A request without an answer is sent again.",
        file=f"{QUOTA}/looking.py",
        good="        if waiters:\n            self._part.request(waiters, turn)\n\n    def _by_credit",
        bad="\n    def _by_credit",
        tests=(f"{OWNERS}::test_a_lost_request_is_sent_again",),
    ),
    Row(
        promise="A permit that nobody received takes nothing.",
        file=f"{QUOTA}/permits.py",
        good="                self.unused(sender, permit.call, turn)\n",
        bad="                pass\n",
        tests=(f"{OWNERS}::test_one_who_is_gone_gives_back",),
    ),
    Row(
        promise="A credit that was dropped does not come back by a renewal that was under way.",
        file=f"{QUOTA}/credit.py",
        good="        if credit.serial <= self._last.get(credit.key, (-1, -1)) or len(",
        bad="        if len(",
        tests=(f"{LENT}::test_a_dropped_credit_does_not_come_back",),
    ),
    Row(
        promise="An owner frees a credit by its own serial only.",
        file=f"{QUOTA}/lending.py",
        good="if budget is None or lent is None or lent.serial != serial:",
        bad="if budget is None or lent is None:",
        tests=(f"{LENT}::test_an_old_return_frees_no_new_credit",),
    ),
    Row(
        promise="While others wait, a credit that is hardly used is called back.",
        file=f"{QUOTA}/serving.py",
        good="        self._owner.lending.recall(budget, turn)\n",
        bad="",
        tests=(f"{LENT}::test_a_credit_is_called_back_while_others_wait",),
    ),
    Row(
        promise="What answers say of what is left only lowers what is used.",
        file=f"{QUOTA}/hints.py",
        good="    if foreign <= max(TOLERATED, window.units // TOLERATED_PART):\n        return\n",
        bad="",
        tests=(f"{HINTS}::test_it_lowers_and_never_raises",),
    ),
    Row(
        promise="A declared fixed window is all there again after its reset.",
        file=f"{QUOTA}/hints.py",
        good="    window.forget(max(turn.now, moment + window.seconds))\n",
        bad="    window.forget(turn.now)\n",
        tests=(f"{HINTS}::test_a_fixed_window_starts_anew",),
    ),
    Row(
        promise="A slot is held although messages of before its permit do not name it.",
        file=f"{QUOTA}/permits.py",
        good="if granted.named and call not in calls and call not in before:",
        bad="if call not in calls and call not in before:",
        tests=(f"{OWNERS}::test_what_was_said_before_a_permit_came_frees_no_slot",),
    ),
    Row(
        promise="A permit's last moment counts from when it was asked for, never from when it came.",
        file=f"{QUOTA}/member.py",
        good="        latest = grant.sent + grant.hold + permit.wait + permit.late\n",
        bad="        latest = turn.now + permit.wait + permit.late\n",
        tests=(f"{OWNERS}::test_a_permit_that_comes_late_is_void",),
    ),
    Row(
        promise="What a partition's record has no room for counts as used after a crash.",
        file=f"{QUOTA}/keeping.py",
        good="        owner.ahead.inherit(last.omitted, owner.cold + LATEST + last.omitted)\n",
        bad="        pass\n",
        tests=("tests/core/quota/test_crowd.py::test_what_the_record_does_not_name_counts_as_used",),
    ),
    Row(
        promise="A partition's record stays small, however many budgets it has.",
        file=f"{QUOTA}/keeping.py",
        good="        if size <= self._room:\n",
        bad="        if size:\n",
        tests=("tests/core/quota/test_crowd.py::test_everybody_is_served",),
    ),
)
