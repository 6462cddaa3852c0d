"""Quotas that sidecars share: whatever is lost, late or there twice, never more than a limit, and one owner."""

from __future__ import annotations

from tests.prove_red.row import Row

COPIES = "tests/core/quota/test_copies.py"
DENIED = "tests/core/quota/test_denied.py"
SPARE = "tests/core/quota/test_spare.py"
WORLDS = "tests/sim/test_quota.py"

ROWS = (
    Row(
        promise="Never more of a limit arrives than it allows, however the way there varies.",
        file="sidecar/core/quota/budget.py",
        good="        self.variation = limit.variation\n",
        bad="        self.variation = 0.0\n",
        tests=(f"{WORLDS}::test_every_promise_holds_in_every_world",),
    ),
    Row(
        promise="A copy of a permit that was used gives nothing back.",
        file="sidecar/core/quota/member.py",
        good="            self.spares.granted(permit.call, latest)  # or a copy:",
        bad="            self.unused.append(permit.call)  # or a copy:",
        tests=(f"{COPIES}::test_a_copy_of_a_used_permit_is_not_given_back",),
    ),
    Row(
        promise="That nobody received a copy of a permit proves nothing of the permit.",
        file="sidecar/core/quota/permits.py",
        good="if granted is not None and not granted.repeated:",
        bad="if granted is not None:",
        tests=(f"{COPIES}::test_a_copy_that_nobody_received_proves_nothing",),
    ),
    Row(
        promise="A permit that reached nobody goes back to those who wait.",
        file="sidecar/core/quota/permits.py",
        good="if granted is not None and not granted.repeated:",
        bad="if granted is not None and granted.repeated:",
        tests=(f"{COPIES}::test_a_permit_that_nobody_received_goes_back",),
    ),
    Row(
        promise="Slots that are told a second time stay held.",
        file="sidecar/core/quota/permits.py",
        good="        if (sender, call) in self.granted:\n            return\n        budgets",
        bad="        budgets",
        tests=(f"{COPIES}::test_slots_told_again_are_held_as_long",),
    ),
    Row(
        promise="What an owner refused is refused without asking for a moment only: units may have come back.",
        file="sidecar/core/quota/denied.py",
        good="        if now - said > FRESH:\n",
        bad="        if now - said > 100 * FRESH:\n",
        tests=(f"{DENIED}::test_a_moment_later_it_is_asked_for_again_and_served",),
    ),
    Row(
        promise="Who has more time than was too little for another is not refused without asking.",
        file="sidecar/core/quota/denied.py",
        good="        return (opens - now, denial) if opens > deadline else None\n",
        bad="        return (max(opens, deadline + 1.0) - now, denial)\n",
        tests=(f"{DENIED}::test_who_has_the_time_asks",),
    ),
    Row(
        promise="No call is refused a slot without asking: one may come back at any moment.",
        file="sidecar/core/quota/denied.py",
        good="        if not demand.slots:\n",
        bad="        if demand:\n",
        tests=(f"{DENIED}::test_of_slots_every_call_asks",),
    ),
    Row(
        promise="A permit that was asked for ahead is not used when it is over, or too late to be sent in time.",
        file="sidecar/core/quota/spare.py",
        good="            if latest - now >= least:\n",
        bad="            if latest - now >= 0.0:\n",
        tests=(f"{SPARE}::test_it_is_not_used_too_late_to_be_sent",),
    ),
    Row(
        promise="What was asked for before its call, and nobody used, goes back when it is over.",
        file="sidecar/core/quota/spare.py",
        good="                self.over.append(kind.held.popleft()[0])\n",
        bad="                kind.held.popleft()\n",
        tests=(f"{SPARE}::test_what_nobody_used_goes_back",),
    ),
    Row(
        promise="No permit is kept for a call to come where a limit has little left.",
        file="sidecar/core/quota/budget.py",
        good="+ cost + window.units // SPARED > self.cap(at, now):\n",
        bad="+ cost > self.cap(at, now):\n",
        tests=(f"{SPARE}::test_a_fiftieth_stays_free",),
    ),
    Row(
        promise="Who waited asks for no permit ahead for a moment.",
        file="sidecar/core/quota/spare.py",
        good="        if self.apart > STEADY or now < self.paused:\n",
        bad="        if self.apart > STEADY:\n",
        tests=(f"{SPARE}::test_there_is_none_where_little_is_left",),
    ),
    Row(
        promise="Units of token buckets and slots are kept for no call to come.",
        file="sidecar/core/quota/limit.py",
        good="want.limit.tokens is None and want.limit.slots is None for want",
        bad="want.limit for want",
        tests=(f"{SPARE}::test_where_nothing_is_asked_ahead",),
    ),
    Row(
        promise="Who leaves gives back at once what it asked for before there were calls for it.",
        file="sidecar/core/quota/part.py",
        good="        member.spares.give_up()\n        for key",
        bad="        for key",
        tests=(f"{SPARE}::test_who_leaves_gives_it_back",),
    ),
    Row(
        promise="After a jump of the clock nothing is used that was asked for before.",
        file="sidecar/core/quota/part.py",
        good="        member.spares.give_up()\n        self.seat.jumped(turn)",
        bad="        self.seat.jumped(turn)",
        tests=(f"{SPARE}::test_nothing_is_held_after_a_jump_of_the_clock",),
    ),
    Row(
        promise="What was given for a limit that has changed since is not used.",
        file="sidecar/core/quota/spare.py",
        good="        if kind is None or kind.wants != demand.wants:\n            return None\n",
        bad="        if kind is None:\n            return None\n",
        tests=(f"{SPARE}::test_another_limit_is_another_permit",),
    ),
    Row(
        promise="A record of quotas is no larger than the messages that this nats-server takes.",
        file="sidecar/shared_quotas.py",
        good="paced(bus.max_payload)",
        bad="paced(1 << 20)",
        tests=("tests/quota/test_room.py::test_a_record_keeps_to_what_the_server_takes",),
    ),
)
