"""Durable calls: what is acknowledged is done or told, once, in its tenant's turn."""

from __future__ import annotations

from tests.prove_red.row import Row

RUN = "tests/durable/test_run.py"
STEPS = "tests/durable/test_steps.py"
NATS = "tests/durable/test_nats.py"
ADMIN = "tests/durable/test_admin.py"
BARRED = "tests/durable/test_barred.py"

ROWS = (
    Row(
        promise="A submit is answered only when its word is in the queue.",
        file="sidecar/submit.py",
        good="            if failure is not None:\n                return await self._taken_back(seen, failure)",
        bad="            if failure is None:\n                return self._taken(place, seen.call)",
        tests=(f"{RUN}::test_a_queue_that_is_away_takes_nothing",),
    ),
    Row(
        promise="What was refused does not run later: its record is taken back.",
        file="sidecar/submit.py",
        good="        if await self._on.store.delete(seen) is None:",
        bad="        if seen.revision > 0:",
        tests=(f"{RUN}::test_a_tenant_has_so_much_waiting",),
    ),
    Row(
        promise="A word is acknowledged when what followed from it is kept, not before.",
        file="sidecar/core/durable.py",
        good="        case NotStored() | NotPutOff():\n            return _again(state)",
        bad="        case NotStored() | NotPutOff():\n            return state, Ack()",
        tests=(
            f"{STEPS}::test_nothing_is_acknowledged_that_is_not_kept",
            "tests/sim/test_durable.py::test_every_promise_holds_in_every_world",
        ),
    ),
    Row(
        promise="Reads that show nothing prove nothing.",
        file="sidecar/core/durable.py",
        good="        return state, Bury() if state.number >= LOOKS else Leave()",
        bad="        return state, Ack() if state.number >= LOOKS else Leave()",
        tests=("tests/sim/test_durable.py::test_every_promise_holds_in_every_world",),
    ),
    Row(
        promise="What is not due is put off again, whoever says its word.",
        file="sidecar/core/durable.py",
        good="    early = found.due is not None and not state.timely and wall < found.due",
        bad="    early = False",
        tests=(f"{STEPS}::test_what_is_not_due_is_put_off_again",),
    ),
    Row(
        promise="An outcome that nobody knows is not repeated.",
        file="sidecar/core/rerun.py",
        good="    if not repeatable(ran, call) or tries > MOST_TRIES",
        bad="    if tries > MOST_TRIES",
        tests=(f"{RUN}::test_an_outcome_that_nobody_knows_is_not_repeated",),
    ),
    Row(
        promise="A call that ends its sidecars is ended.",
        file="sidecar/core/durable.py",
        good="    if state.number > MOST_DELIVERIES:",
        bad="    if state.number < 0:",
        tests=(f"{STEPS}::test_a_call_that_ends_its_sidecars_is_ended",),
    ),
    Row(
        promise="A call that is taken again is not done again: every run has a key.",
        file="sidecar/durable.py",
        good="        idempotency_key=kept.idempotency_key or own,",
        bad="        idempotency_key=kept.idempotency_key,",
        tests=(f"{STEPS}::test_every_run_has_a_key",),
    ),
    Row(
        promise="What may have happened is not driven again.",
        file="sidecar/queue_admin.py",
        good="    if call.ended.side_effect is SideEffect.NONE:",
        bad="    if call.ended.side_effect is not SideEffect.DONE:",
        tests=(f"{ADMIN}::test_what_may_have_happened_is_not_driven_again",),
    ),
    Row(
        promise="One tenant's long queue holds up nobody else's.",
        file="sidecar/queue.py",
        good="        while self._running[tenant] and (self._running[tenant] >= self._share",
        bad="        while self._words and (len(self._words) >= self._share",
        tests=(f"{RUN}::test_one_tenant_does_not_hold_up_another",),
    ),
    Row(
        promise="At the end what is not begun stays in the queue.",
        file="sidecar/queue.py",
        good="            self._takers.cancel()\n",
        bad="            self._takers.shield = False\n",
        tests=(f"{RUN}::test_at_the_end_what_is_not_begun_stays",),
    ),
    Row(
        promise="A place for later work is taken once.",
        file="sidecar/adapters/nats_queue.py",
        good='EXPECTED_OF: f"{below}.*.{place}"',
        bad='EXPECTED_OF: f"{below}.at.{place}"',
        tests=(f"{NATS}::test_a_place_for_later_is_taken_once",),
    ),
    Row(
        promise="A question for words that is refused at once is not asked again at once.",
        file="sidecar/adapters/nats_queue.py",
        good="            if unused > self._pull_seconds / 2:\n",
        bad="            if unused > 2 * self._pull_seconds:\n",
        tests=(f"{NATS}::test_a_question_that_is_not_let_wait_is_not_asked_again",),
    ),
    Row(
        promise="What another tenant's schedule says at our subjects is thrown away.",
        file="sidecar/adapters/nats_queue.py",
        good='        if later and not said_by.startswith(f"{self._prefix}.later.{tenant}.at."):',
        bad='        if later and not said_by.startswith(f"{self._prefix}.later."):',
        tests=(f"{NATS}::test_another_tenants_schedule_wakes_nobody",),
    ),
    Row(
        promise="A tenant has so many waiting and no more.",
        file="sidecar/adapters/nats_streams.py",
        good="        discard_new_per_subject=True,\n",
        bad="        discard_new_per_subject=False,\n",
        tests=(f"{NATS}::test_a_tenant_has_so_many_and_no_more",),
    ),
    Row(
        promise="A sidecar of a part of a tenant has no right to the queue.",
        file="sidecar/permissions.py",
        good='        "whole": [] if connections or providers else tenant,',
        bad='        "whole": tenant,',
        tests=("tests/permissions/test_table.py::test_what_is_asked_to_check_is_allowed",),
    ),
    Row(
        promise="A cancel says that nothing was changed only where no record of the call's key is there.",
        file="sidecar/core/once.py",
        good="        case _:\n            return None\n",
        bad="        case _:\n            return Free((run,))\n",
        tests=(
            "tests/durable/test_withdraw.py::test_what_may_have_been_sent_is_not_ended",
            "tests/sim/test_durable.py::test_every_promise_holds_in_every_world",
        ),
    ),
    Row(
        promise="A cancel is told when a write over nothing bars the call, not when a look shows nothing.",
        file="sidecar/withdraw.py",
        good="        return isinstance(written, Written)\n",
        bad="        return True\n",
        tests=(f"{BARRED}::test_what_began_after_the_look_is_not_told_as_cancelled",),
    ),
    Row(
        promise="Who read a call's record before its cancel sends nothing after it.",
        file="sidecar/core/once.py",
        good="        return state, Stop(WITHDRAWN, state.abandoned)\n",
        bad="        return _write(state, state.ours, revision)\n",
        tests=(f"{BARRED}::test_who_read_its_record_before_the_cancel_sends_nothing",),
    ),
    Row(
        promise="A cancelled call that sent nothing leaves its key to others.",
        file="sidecar/core/once.py",
        good="        return _write(state, replace(state.ours, barred=found.barred), revision)\n",
        bad="        return state, Stop(WITHDRAWN, state.abandoned)\n",
        tests=(f"{BARRED}::test_a_cancelled_calls_own_key_is_free_for_others",),
    ),
    Row(
        promise="A cancelled call does not begin either when others used its key and freed it.",
        file="sidecar/core/settle.py",
        good="    return Free(pending.barred) if pending.barred else None\n",
        bad="    return None\n",
        tests=(f"{BARRED}::test_a_call_stays_barred_when_others_used_its_key",),
    ),
    Row(
        promise="A call that is driven again is not barred by a cancel of the run before.",
        file="sidecar/durable.py",
        good="        durable=own,\n",
        bad="        durable=place.call_id,\n",
        tests=(f"{BARRED}::test_one_that_is_driven_again_is_not_barred_by_an_old_cancel",),
    ),
    Row(
        promise="What was done stands, also where a cancel ended the call meanwhile as one that nobody had begun.",
        file="sidecar/core/durable.py",
        good="    if state.ran is not None and _wrongly_withdrawn(found, state.ran):\n"
        "        return _keep(replace(state, call=state.ran), wall)\n",
        bad="",
        tests=("tests/durable/test_withdraw.py::test_a_call_done_meanwhile_is_told_as_done",),
    ),
    Row(
        promise="While a call is being ended it does not begin at the same sidecar.",
        file="sidecar/withdraw.py",
        good="            self._on.ending.add(address)\n",
        bad="",
        tests=("tests/durable/test_withdraw.py::test_what_is_ended_cannot_begin",),
    ),
    Row(
        promise="A durable call whose word is gone is woken.",
        file="sidecar/queue.py",
        good="                takers.start_soon(self._wake, tenant)\n",
        bad="",
        tests=("tests/durable/test_wake.py::test_a_call_whose_word_is_gone_runs",),
    ),
)
