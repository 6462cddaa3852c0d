"""Quotas that sidecars share: whatever is lost, late or there twice, never more than a limit, and one owner."""

from __future__ import annotations

from tests.prove_red.row import Row

COPIES = "tests/core/quota/test_copies.py"
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
        good="            return  # a copy: it was used, or given back when its call left\n",
        bad="            self.unused.append(permit.call)\n            return\n",
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
)
