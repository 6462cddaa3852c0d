"""Leave to send: asked of the quotas, used at the last moment or given back, shared with other sidecars."""

from __future__ import annotations

from tests.prove_red.row import Row

QUOTAS = "tests/quota/test_quotas.py"
SHARING = "tests/quota/test_sharing.py"
LOOK = "tests/quota/test_look.py"
PACE = "tests/auth/test_pace.py"

ROWS: tuple[Row, ...] = (
    Row(
        promise="Leave that ended while the connection was made sends nothing.",
        file="sidecar/adapters/http1_exchange.py",
        good="        if may_send is not None and not may_send():\n",
        bad="        if may_send is None:\n",
        tests=("tests/sender/test_may_send.py::test_without_leave_nothing_is_sent",),
    ),
    Row(
        promise="A connection that was made for nothing serves the next exchange.",
        file="sidecar/adapters/http1_exchange.py",
        good="            pool.put_back(connection)\n",
        bad="            pool.drop(connection)\n",
        tests=("tests/sender/test_may_send.py::test_without_leave_nothing_is_sent",),
    ),
    Row(
        promise="An exchange that was held back is no attempt, and it asks again.",
        file="sidecar/attempt.py",
        good="run.attempts, run.side_effect = run.attempts - 1, before",
        bad="run.side_effect = before",
        tests=("tests/execute/test_leave.py::test_held_back_it_asks_again",),
    ),
    Row(
        promise="What was not sent takes nothing of a quota.",
        file="sidecar/pacing.py",
        good="        if sent and run.permit is not None:\n",
        bad="        if run.permit is not None:\n",
        tests=("tests/execute/test_leave.py::test_what_becomes_of_leave",),
    ),
    Row(
        promise="What a call was given and did not use goes back at its end.",
        file="sidecar/execute.py",
        good="        give_back(run)\n",
        bad="",
        tests=("tests/execute/test_leave.py::test_leave_goes_back_where_the_call_ends_before_it_is_used",),
    ),
    Row(
        promise="Leave that is over when it is given is asked for again.",
        file="sidecar/quota.py",
        good="            if isinstance(given, Failure) or given.holds():\n",
        bad="            if isinstance(given, Failure | Permit):\n",
        tests=(f"{QUOTAS}::test_leave_that_is_over_before_it_is_given_is_asked_for_again",),
    ),
    Row(
        promise="What became of leave is said once: units never come back twice.",
        file="sidecar/permit.py",
        good="            self._open = False\n",
        bad="            self._open = True\n",
        tests=(f"{QUOTAS}::test_what_became_of_it_is_said_once",),
    ),
    Row(
        promise="A call that ended gives up its place in the line of a quota.",
        file="sidecar/quota.py",
        good="        except BaseException:\n            self.hear(Left(line.call))\n",
        bad="        except BaseException:\n            pass\n",
        tests=(f"{QUOTAS}::test_who_is_cancelled_leaves",),
    ),
    Row(
        promise="What another sidecar was told by the provider holds here at once.",
        file="sidecar/quota.py",
        good="if isinstance(event, Heard) and isinstance(event.message, Closed):",
        bad="if isinstance(event, Told) and isinstance(event, Closed):",
        tests=(f"{QUOTAS}::test_what_another_sidecar_was_told_holds_here",),
    ),
    Row(
        promise="After a sleep that no clock tells, nothing that was held counts.",
        file="sidecar/quota.py",
        good="if abs(self._clock.wall() - now - self._ahead) > JUMP:",
        bad="if self._clock.wall() - now - self._ahead < -JUMP:",
        tests=(f"{QUOTAS}::test_a_jump_of_the_clock_is_heard_first",),
    ),
    Row(
        promise="Nobody waits past the deadline, whatever the node forgets.",
        file="sidecar/quota.py",
        good="with anyio.move_on_after(deadline + LATE - self._clock.now()):",
        bad="with anyio.move_on_after(3600):",
        tests=(f"{QUOTAS}::test_nobody_waits_past_the_deadline",),
    ),
    Row(
        promise="A message that nobody heard is known, with what it was.",
        file="sidecar/sharing.py",
        good="        self._certain[number] = effect\n",
        bad="        self._certain[subject := number[:0]] = effect\n",
        tests=(f"{SHARING}::test_what_nobody_hears_is_known",),
    ),
    Row(
        promise="A record's age is told by the store's clock, and is never more than it is.",
        file="sidecar/sharing.py",
        good="return max(0.0, ours.written - entry.written + self._elapsed() - known)",
        bad="return max(0.0, ours.written - entry.written + self._elapsed())",
        tests=(f"{SHARING}::test_the_age_is_by_the_stores_clock",),
    ),
    Row(
        promise="How quotas stand is told to their own tenant.",
        file="sidecar/quota_admin.py",
        good="            return self._apart\n",
        bad="            return True\n",
        tests=(f"{LOOK}::test_a_tenant_sees_its_own[False-----seen0]",),
    ),
    Row(
        promise="A token endpoint that says to wait is not asked meanwhile.",
        file="sidecar/auth/pace.py",
        good="            if closed <= now:\n",
        bad="            if closed <= deadline:\n",
        tests=(f"{PACE}::test_what_the_endpoint_says_holds_for_whoever_comes",),
    ),
    Row(
        promise="No sidecar writes who owns the quotas of another tenant.",
        file="sidecar/permissions.py",
        good='_SCOPED: _may_publish(f"$KV.{QUOTAS}.{{tenant_key}}.*.*"),',
        bad='_SCOPED: _may_publish(f"$KV.{QUOTAS}.>"),',
        tests=("tests/permissions/test_table.py::test_names_are_encoded",),
    ),
    Row(
        promise="A sidecar that ends in order leaves its quotas to the next one.",
        file="sidecar/app.py",
        good="    await parts.calls.shared.leave(QUOTA_SECONDS)\n",
        bad="",
        tests=("tests/app/test_quota_end.py::test_quotas_are_handed_over_at_the_end",),
    ),
)
