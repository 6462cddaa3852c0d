"""Calls: what is sent, when it is not, how it is cancelled, and that its end is true."""

from __future__ import annotations

from tests.prove_red.row import Row

CANCEL = "tests/worker/test_cancel.py"
STOPPED = "tests/execute/test_stopped.py"
REFUSED = "tests/execute/test_refused.py"
ATTEMPTS = "tests/execute/test_attempts.py"
AROUND = "tests/execute/test_around.py"

ROWS = (
    Row(
        promise="A write whose `started` cannot be handed to NATS is not sent.",
        file="sidecar/execute.py",
        good="and run.attempts == 0 and not await self._telling.is_told(run):",
        bad="and run.attempts == 0 and not run.told:",
        tests=(f"{REFUSED}::test_a_write_that_cannot_be_told_is_not_sent",),
    ),
    Row(
        promise="An operation that writes is refused on a `read` subject.",
        file="sidecar/prepare.py",
        good="if plan.operation.access is not call.access:",
        bad="if call.access.value == 'write' and plan.operation.access is not call.access:",
        tests=(f"{REFUSED}::test_the_other_kind_of_subject",),
    ),
    Row(
        promise="A refusal whose body was cut off is a refusal, and not a write that was done.",
        file="sidecar/adapters/http1_exchange.py",
        good="        if answer is None or self._connection is None or failure.side_effect is SideEffect.DONE:\n",
        bad="        if failure:\n",
        tests=("tests/sender/test_sent.py::test_a_refusal_is_one_without_its_body_too",),
    ),
    Row(
        promise="An answer of success that says no, and that no rule knows, leaves it open whether a write was done.",
        file="sidecar/core/outcome.py",
        good="unsure = reason in UNCERTAIN or (rule is None and status < 300)",
        bad="unsure = reason in UNCERTAIN",
        tests=("tests/core/test_outcome.py::test_a_refusal_without_a_rule_is_rejected",),
    ),
    Row(
        promise="A dry run sends nothing, of a write neither.",
        file="sidecar/execute.py",
        good="        if run.call.dry_run:\n",
        bad="        if run.call.dry_run and run.call.access is Access.READ:\n",
        tests=(f"{REFUSED}::test_a_dry_run_shows_the_request",),
    ),
    Row(
        promise="A call uses the connection that it names, or fails.",
        file="sidecar/prepare.py",
        good="self._credentials.load(call.tenant, call.connection, call.provider, within=left)",
        bad='self._credentials.load(call.tenant, "default", call.provider, within=left)',
        tests=(f"{REFUSED}::test_a_connection_that_cannot_be_used",),
    ),
    Row(
        promise="A connection disabled meanwhile is not used for a further attempt.",
        file="sidecar/prepare.py",
        good="if run.attempts == 0 or run.trial:",
        bad="if run.attempts >= 0 or run.trial:",
        tests=(f"{ATTEMPTS}::test_disabled_between_two_attempts",),
    ),
    Row(
        promise="A secret imported for another server meanwhile is not sent to the one before.",
        file="sidecar/prepare.py",
        good="if connection_url(fact, credential) != connection_url(fact, run.credential):",
        bad="if credential.kind != run.credential.kind:",
        tests=(f"{AROUND}::test_a_credential_for_another_server_is_not_sent_to_the_old_one",),
    ),
    Row(
        promise="What an earlier attempt may have done is not forgotten for the last one's sake.",
        file="sidecar/attempt.py",
        good="run.side_effect = surest(before, SideEffect.DONE if isinstance(result, Success) else result.side_effect)",
        bad="run.side_effect = SideEffect.DONE if isinstance(result, Success) else result.side_effect",
        tests=(f"{ATTEMPTS}::test_what_an_exchange_ends_in",),
    ),
    Row(
        promise="A provider's 429 holds up every call of that budget.",
        file="sidecar/pacing.py",
        good="            self._quotas.told(to_close(run.demand, said, result.bucket), wait, result.reason)\n",
        bad="            del wait\n",
        tests=(f"{ATTEMPTS}::test_a_closed_bucket_answers_the_next_call_without_sending",),
    ),
    Row(
        promise="A cancelled write of which no byte was sent ends with `none`.",
        file="sidecar/attempt.py",
        good="                run.side_effect = before\n            self._pacing",
        bad="                run.side_effect = SideEffect.UNKNOWN\n            self._pacing",
        tests=(f"{STOPPED}::test_wherever_it_waits",),
    ),
    Row(
        promise="The sender says at a cancellation whether a byte was sent.",
        file="sidecar/adapters/http1_sender.py",
        good='request.extensions["sent"] = exchange.sent',
        bad='request.extensions["sent"] = False',
        tests=("tests/sender/test_cancel_sent.py::test_while_the_answer_is_waited_for",),
    ),
    Row(
        promise="A second call with a `Call-Id` in flight is refused.",
        file="sidecar/answer.py",
        good="if refusal is None and named in self._in_flight:",
        bad="if refusal is not None and named in self._in_flight:",
        tests=(f"{CANCEL}::test_an_id_in_flight_is_refused",),
    ),
    Row(
        promise="A `Call-Id` may come again when its call has ended.",
        file="sidecar/answer.py",
        good="            del self._in_flight[named]\n",
        bad="            self._in_flight[named] = stop\n",
        tests=(f"{CANCEL}::test_an_id_may_come_again_when_its_call_has_ended",),
    ),
    Row(
        promise="`CALL_ID_IN_USE` is nothing to send again: the first would be done twice.",
        file="sidecar/model.py",
        good='Meaning(Code.INVALID_ARGUMENT, 400, "Another call in flight has this call id")',
        bad='Meaning(Code.ABORTED, 409, "Another call in flight has this call id", Again.YES)',
        tests=(f"{CANCEL}::test_an_id_in_flight_is_refused",),
    ),
    Row(
        promise="A cancel names one call, of one tenant and connection.",
        file="sidecar/answer.py",
        good="named = CancelAddress(call.tenant, call.connection, call.call_id)",
        bad='named = CancelAddress(call.tenant, "default", call.call_id)',
        tests=(f"{CANCEL}::test_the_same_id_of_somebody_else_is_another_call",),
    ),
    Row(
        promise="From the moment that its outcome is known a call is not stopped any more.",
        file="sidecar/stop.py",
        good="if self._settled or self.reason is not None:",
        bad="if self.reason is not None:",
        tests=(f"{STOPPED}::test_a_known_outcome_stays",),
    ),
    Row(
        promise="A call that is told to stop before its first step has its reply all the same.",
        file="sidecar/stop.py",
        good="self.task.get_loop().call_soon(self._cancel)",
        bad="self._cancel()",
        tests=(f"{STOPPED}::test_told_before_its_first_step",),
    ),
    Row(
        promise="A cancellation that is not ours is told, and goes on.",
        file="sidecar/execute.py",
        good="            if not ours:\n",
        bad="            if run is None and not ours:\n",
        tests=(f"{STOPPED}::test_another_cancellation_is_not_swallowed",),
    ),
    Row(
        promise="The exchange that a cancel cut off is told in the trace.",
        file="sidecar/execute.py",
        good=(
            "        if began is not None:\n            self._telling.attempt(run, result, result, "
            'Decision(None, "the call was told to stop"), began)\n'
        ),
        bad="",
        tests=(f"{STOPPED}::test_the_exchange_that_was_cut_off_is_told",),
    ),
    Row(
        promise="A defect ends in one reply, and the worker goes on.",
        file="sidecar/worker.py",
        good="        except Exception as defective:\n",
        bad="        except ValueError as defective:\n",
        tests=("tests/worker/test_reply.py::test_a_defect_is_answered",),
    ),
    Row(
        promise="A reply may only be sent to an inbox.",
        file="sidecar/wire/inbox.py",
        good="return reply.startswith(self._anybodys) or any(",
        bad="return bool(reply) or any(",
        tests=("tests/worker/test_reply.py::test_a_reply_subject_that_is_no_inbox",),
    ),
    Row(
        promise="No caller has an answer put into another tenant's inbox.",
        file="sidecar/wire/inbox.py",
        good='if subject.startswith("$") else subject.split(".", 3)[2]',
        bad='if subject else subject.split(".", 3)[2]',
        tests=("tests/worker/test_reply.py::test_an_inbox_of_another_tenant",),
    ),
    Row(
        promise="No more calls at once than the setting says; more are refused at once.",
        file="sidecar/core/fair.py",
        good="        left = self._most - self.under_way\n",
        bad="        left = self._most + 1 - self.under_way\n",
        tests=("tests/core/test_fair.py::test_no_more_than_so_many_in_all",),
    ),
    Row(
        promise="Whoever is refused for want of room is told when to come back.",
        file="sidecar/gate.py",
        good="return Failure(reason=reason, detail=detail, retry_after=RETRY_SECONDS)",
        bad="return Failure(reason=reason, detail=detail)",
        tests=("tests/worker/test_reply.py::test_no_more_than_so_many_in_flight",),
    ),
    Row(
        promise="A write that was not sent because NATS could not be told says when to come back.",
        file="sidecar/core/refusal.py",
        good='was not sent",\n        retry_after=1.0,\n',
        bad='was not sent",\n',
        tests=(f"{REFUSED}::test_a_write_that_cannot_be_told_is_not_sent",),
    ),
)
