"""Renewing tokens: once, written down before it is spent, never overwritten, never lost while the store is away."""

from __future__ import annotations

from tests.prove_red.row import Row

LIVE = "tests/auth/test_live.py"
UNPERSISTED = "tests/auth/test_unpersisted.py"
REFUSED = "tests/auth/test_refused_token.py"
SIM = "tests/sim/test_refresh.py::test_every_promise_holds_in_every_world"

ROWS = (
    Row(
        promise="The record says who spends a refresh token before it is spent.",
        file="sidecar/auth/refresh.py",
        good="    return replace(state, held=held), Write(held, revision)",
        bad="    return replace(state, held=held), Ask(held)",
        tests=(f"{LIVE}::test_the_record_says_who_spends_the_token_before_it_is_spent", SIM),
    ),
    Row(
        promise="Another's attempt is left alone until it is certain to be over.",
        file="sidecar/auth/refresh.py",
        good="waited = state.waited + min(now - state.looked, 2 * LONGEST_PAUSE)",
        bad="waited = state.waited + 1e9",
        tests=(SIM,),
    ),
    Row(
        promise="Before an attempt is taken over, its owner could have stored what it has.",
        file="sidecar/auth/refresh.py",
        good="    if waited >= PATIENCE_SECONDS and not state.noticed:",
        bad="    if False and not state.noticed:",
        tests=(SIM,),
    ),
    Row(
        promise="Whoever stood still since it wrote its fence does not send on it.",
        file="sidecar/auth/refresh.py",
        good="    if now - state.began > SEND_SECONDS:",
        bad="    if now - state.began > 1e9:",
        tests=(SIM,),
    ),
    Row(
        promise="New tokens overwrite nothing that came after their attempt.",
        file="sidecar/auth/refresh.py",
        good="    if ours and not _told(credential):",
        bad="    if not state.told or ours:",
        tests=(
            f"{LIVE}::test_a_sidecar_that_stood_still_overwrites_nothing",
            f"{LIVE}::test_a_revoked_connection_gets_no_token_back",
            f"{LIVE}::test_a_new_grant_meanwhile_is_not_overwritten",
        ),
    ),
    Row(
        promise="A refusal of a token that may have been spent before is told as a loss.",
        file="sidecar/auth/refresh.py",
        good="return _fence(state, credential, revision, now, refreshing.unanswered + 1)",
        bad="return _fence(state, credential, revision, now, refreshing.unanswered)",
        tests=(f"{LIVE}::test_a_dead_sidecar_that_had_spent_the_token_is_told_as_a_loss",),
    ),
    Row(
        promise="A refused grant is not asked for again.",
        file="sidecar/auth/refresh.py",
        good="status=Status.REAUTH_REQUIRED, why=why",
        bad="status=Status.ACTIVE, why=why",
        tests=(f"{LIVE}::test_a_grant_that_was_taken_back_is_told_and_asked_for_once",),
    ),
    Row(
        promise="A token endpoint that fails is left alone for a while.",
        file="sidecar/auth/refresher.py",
        good="        if failure is None or left <= 0:",
        bad="        if failure is None or left <= 1e9:",
        tests=(
            f"{LIVE}::test_a_failing_endpoint_costs_no_credential",
            f"{LIVE}::test_a_throttling_endpoint_is_obeyed",
        ),
    ),
    Row(
        promise="New tokens serve from memory while the store does not take them.",
        file="sidecar/auth/live.py",
        good="        return self._refresher.unpersisted(key, refreshing.attempt) or found",
        bad="        return found",
        tests=(f"{UNPERSISTED}::test_new_tokens_serve_from_memory_and_are_stored_later",),
    ),
    Row(
        promise="New tokens that could not be stored outlive the process.",
        file="sidecar/auth/refresher.py",
        good="                    await self._keep(flight)\n",
        bad="",
        tests=(f"{UNPERSISTED}::test_what_is_not_stored_outlives_the_process",),
    ),
    Row(
        promise="A refused token is renewed once, not for every call.",
        file="sidecar/auth/live.py",
        good="now - held.forced < FUTILE_SECONDS",
        bad="now - held.forced < 0",
        tests=(f"{REFUSED}::test_new_tokens_that_are_refused_as_well_are_no_loop",),
    ),
    Row(
        promise="A token serves while it is renewed.",
        file="sidecar/auth/live.py",
        good="            if now < held.life.over:\n",
        bad="            if now < held.life.due:\n",
        tests=(f"{LIVE}::test_a_token_that_is_due_serves_while_it_is_renewed",),
    ),
    Row(
        promise="A wall clock that jumps renews nothing.",
        file="sidecar/auth/live.py",
        good="        if held is not None and held.access == access:\n            return held\n",
        bad="",
        tests=(f"{LIVE}::test_a_clock_that_jumps_renews_nothing",),
    ),
    Row(
        promise="A call on a refused token is sent once more, and no oftener.",
        file="sidecar/prepare.py",
        good="return self._renewal is not None and run.refused is None and not run.trial",
        bad="return self._renewal is not None and not run.trial",
        tests=("tests/execute/test_renewed.py::test_a_second_refusal_is_the_end",),
    ),
    Row(
        promise="A revoked connection keeps no token.",
        file="sidecar/store/credential.py",
        good="fields={}, tokens=None, refreshing=None, status=status",
        bad="fields={}, status=status",
        tests=(f"{LIVE}::test_a_revoked_connection_gets_no_token_back",),
    ),
    Row(
        promise="A grant that nobody uses is renewed before its provider ends it.",
        file="sidecar/auth/sweep.py",
        good="> auth.unused_days * DAY * SHARE",
        bad="> auth.unused_days * DAY",
        tests=("tests/auth/test_sweep.py::test_what_counts_as_unused",),
    ),
    Row(
        promise="New tokens of a connection that was revoked meanwhile are ended at the provider.",
        file="sidecar/auth/refresher.py",
        good="        if late:\n            await self._give_back(flight)",
        bad="",
        tests=("tests/auth/test_faults.py::test_what_comes_for_a_revoked_connection_is_given_back",),
    ),
    Row(
        promise="A damaged file of spilled tokens keeps no sidecar from starting.",
        file="sidecar/auth/spill.py",
        good="        except (ValueError, RecursionError) as error:",
        bad="        except RecursionError as error:",
        tests=(f"{UNPERSISTED}::test_what_cannot_be_read_from_the_disk_keeps_nobody_from_starting",),
    ),
)
