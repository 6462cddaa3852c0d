"""Idempotency keys: done once, answered alike, never in doubt without saying so, and never sent unprotected."""

from __future__ import annotations

from tests.prove_red.row import Row

ONCE = "tests/once/test_once.py"
CORE = "tests/core/test_idempotency.py"
SIM = "tests/sim/test_once.py::test_every_promise_holds_in_every_world"

ROWS = (
    Row(
        promise="What is sent again with its key is answered from the record, and nothing is sent.",
        file="sidecar/core/once.py",
        good="        case Done():\n            return state, Replay(found)",
        bad="        case Done():\n            return _take_over(state, found, revision)",
        tests=(f"{ONCE}::test_a_repetition_gets_the_first_answer_to_the_byte",),
    ),
    Row(
        promise="The same key with another input is refused.",
        file="sidecar/core/once.py",
        good="    if found.fingerprint != state.ours.fingerprint:",
        bad="    if False:",
        tests=(f"{ONCE}::test_the_same_key_with_another_input_is_refused", SIM),
    ),
    Row(
        promise="A dead owner's call that could be done twice is not sent again.",
        file="sidecar/core/once.py",
        good="    if state.again:\n        return _write(state, replace(state.ours, doubt",
        bad="    if True:\n        return _write(state, replace(state.ours, doubt",
        tests=(f"{ONCE}::test_a_dead_owners_post_is_told_as_unknown", SIM),
    ),
    Row(
        promise="Who takes a call over remembers that it may have been done.",
        file="sidecar/core/once.py",
        good="replace(state.ours, doubt=True, barred=found.barred), revision)",
        bad="state.ours, revision)",
        tests=(f"{ONCE}::test_doubt_stays_until_it_is_known", SIM),
    ),
    Row(
        promise="A call under way is left alone while its owner lives.",
        file="sidecar/core/once.py",
        good="    if now - state.since >= PATIENCE_SECONDS:",
        bad="    if now - state.since >= 0.2:",
        tests=(f"{ONCE}::test_who_waits_in_vain_is_told_at_its_own_deadline",),
    ),
    Row(
        promise="Who waits for another's answer ends at its own deadline.",
        file="sidecar/core/once.py",
        good="in_progress() if state.seen else state.unclear",
        bad="owner_lost() if state.seen else state.unclear",
        tests=(f"{ONCE}::test_who_waits_in_vain_is_told_at_its_own_deadline",),
    ),
    Row(
        promise="A write to the store that has no answer is no leave to send.",
        file="sidecar/core/once.py",
        good="            return _pause(replace(state, unclear=failure, abandoned=abandoned), now, jitter)",
        bad="            return state, Go(state.ours, 0)",
        tests=(SIM,),
    ),
    Row(
        promise="What certainly did nothing frees its key: a limit is not replayed for a day.",
        file="sidecar/core/settle.py",
        good="    if isinstance(outcome, Failure) and outcome.side_effect is SideEffect.NONE:\n        return _freed",
        bad="    if False:\n        return _freed",
        tests=(f"{ONCE}::test_what_certainly_did_nothing_frees_the_key",),
    ),
    Row(
        promise="What may have been done does not free its key.",
        file="sidecar/core/settle.py",
        good="    if isinstance(outcome, Failure) and outcome.side_effect is SideEffect.NONE:\n        return _freed",
        bad="    if isinstance(outcome, Failure):\n        return _freed",
        tests=(f"{ONCE}::test_an_unknown_outcome_is_told_alike_and_never_sent_again", SIM),
    ),
    Row(
        promise="An owner that was given up and lives after all tells what it knows.",
        file="sidecar/core/settle.py",
        good="    return isinstance(found, Pending) or (isinstance(found, Done) and found.judged)",
        bad="    return isinstance(found, Pending)",
        tests=(f"{ONCE}::test_an_owner_that_lives_after_all_knows_better",),
    ),
    Row(
        promise="Nothing is written over what another one wrote.",
        file="sidecar/core/settle.py",
        good="    if found.attempt != state.attempt:",
        bad="    if False:",
        tests=(SIM,),
    ),
    Row(
        promise="Whoever may have been taken over does not say that nothing was done.",
        file="sidecar/core/once.py",
        good="    return again and unconfirmed >= PATIENCE_SECONDS",
        bad="    return again and unconfirmed >= 1e9",
        tests=(f"{ONCE}::test_nobody_speaks_for_another_one",),
    ),
    Row(
        promise="Without its record a call with a key is not sent.",
        file="sidecar/keyed.py",
        good="        if isinstance(claimed, Failure):\n            run.again = True\n            return claimed",
        bad="        if isinstance(claimed, Failure):\n            return None",
        tests=(f"{ONCE}::test_nothing_is_sent_that_cannot_be_kept",),
    ),
    Row(
        promise="An answer does not wait for a store that is away, and is kept all the same.",
        file="sidecar/core/settle.py",
        good="        case Refused() | Unclear():\n            return _pause(state, now, jitter)",
        bad="        case Refused() | Unclear():\n            return state, Over(kept=False)",
        tests=(f"{ONCE}::test_an_answer_does_not_wait_for_its_record",),
    ),
    Row(
        promise="A claim whose answer was lost does not block its key.",
        file="sidecar/once.py",
        good="                    if abandoned is not None:\n                        self._abandon(held, abandoned)",
        bad="                    if False:\n                        self._abandon(held, abandoned)",
        tests=("tests/once/test_claim.py::test_a_claim_that_nobody_confirms_goes_again",),
    ),
    Row(
        promise="A call's key is handed on as the same id by every call that has it.",
        file="sidecar/core/idempotency.py",
        good="    whose = (call.tenant, call.connection, call.provider, call.idempotency_key, fingerprint(call))",
        bad="    whose = (call.tenant, call.connection, call.provider, call.call_id, fingerprint(call))",
        tests=(
            f"{CORE}::test_calls_with_one_key_are_known_by_one_id",
            f"{ONCE}::test_a_provider_that_takes_keys_is_given_one",
        ),
    ),
    Row(
        promise="Tenants that share an app never meet at the provider.",
        file="sidecar/core/idempotency.py",
        good="    whose = (call.tenant, call.connection,",
        bad="    whose = (call.connection,",
        tests=(f"{CORE}::test_every_key_is_its_own_at_the_provider",),
    ),
    Row(
        promise="A key cannot be read where its record is.",
        file="sidecar/store/idempotency.py",
        good="    digest = hashlib.sha256(key.encode()).hexdigest()[:32]",
        bad="    digest = key",
        tests=(f"{ONCE}::test_a_record_says_nothing_to_who_lists_or_reads_it",),
    ),
    Row(
        promise="An output that is too large to keep does not leave its call open.",
        file="sidecar/once.py",
        good="        if wanted is not None and smaller is not None and not self._store.fits(wanted):",
        bad="        if False:",
        tests=("tests/once/test_claim.py::test_a_record_fits_one_message",),
    ),
    Row(
        promise="An id made of the key that is there already after a crash means that the call was done.",
        file="sidecar/keyed.py",
        good="        if failure.done_before and run.side_effect is not SideEffect.NONE:",
        bad="        if failure.done_before and run.side_effect is SideEffect.DONE:",
        tests=("tests/once/test_once.py::test_an_id_that_is_there_already_was_this_calls",),
    ),
)
