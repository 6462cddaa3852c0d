"""What follows a failed exchange: another one or none, after which wait, and what is known of the provider's side."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import httpx
import pytest

from sidecar.model import Access, Failure, Reason, SideEffect, Success, retryable
from sidecar.ports import HttpSender
from sidecar.run import Limits
from sidecar.sandbox.scripted import WALL, ManualClock
from tests.build import CREATE_ITEM, GET_ITEM, provider
from tests.execute.house import CUT_OFF, LOST, OK, REFUSED, Answer, Connections, House, credential

pytestmark = pytest.mark.anyio

READ, WRITE, REPLACE = "items.get", "items.create", "items.replace"
REPLACE_ITEM = CREATE_ITEM | {"method": "PUT", "look_up": "items.get"}
LOOKED_UP = {
    "items.get": GET_ITEM,
    "items.create": CREATE_ITEM | {"look_up": "items.get"},
    "items.replace": REPLACE_ITEM,
}
NO_CERTIFICATE = Failure(reason=Reason.TLS_VERIFY_FAILED, detail="the certificate is not accepted")
NONE, UNKNOWN, DONE = SideEffect.NONE, SideEffect.UNKNOWN, SideEffect.DONE


def limited(**headers: str) -> httpx.Response:
    return httpx.Response(429, headers={name.replace("_", "-"): value for name, value in headers.items()})


def house(*answers: Answer, **also: Any) -> House:
    return House(answers, {"acme": provider(operations=LOOKED_UP)}, **also)


@pytest.mark.parametrize(
    ("operation", "answers", "reason", "side_effect", "sent"),
    [
        pytest.param(WRITE, [REFUSED] * 3, Reason.CONNECT_FAILED, NONE, 3, id="refused, refused, refused"),
        pytest.param(WRITE, [REFUSED, LOST], Reason.OUTCOME_UNKNOWN, UNKNOWN, 2, id="refused, then lost"),
        pytest.param(WRITE, [LOST], Reason.OUTCOME_UNKNOWN, UNKNOWN, 1, id="a POST without an answer"),
        pytest.param(WRITE, [httpx.Response(500)], Reason.PROVIDER_5XX, UNKNOWN, 1, id="a POST and 500"),
        pytest.param(WRITE, [CUT_OFF], Reason.RESPONSE_TRUNCATED, DONE, 1, id="a POST with half an answer"),
        pytest.param(WRITE, [NO_CERTIFICATE], Reason.TLS_VERIFY_FAILED, NONE, 1, id="certificate"),
        pytest.param(READ, [NO_CERTIFICATE], Reason.TLS_VERIFY_FAILED, NONE, 1, id="certificate, read"),
        pytest.param(READ, [LOST] * 3, Reason.OUTCOME_UNKNOWN, NONE, 3, id="a GET without an answer"),
        pytest.param(READ, [httpx.Response(500)] * 3, Reason.PROVIDER_5XX, NONE, 3, id="a GET and 500"),
        pytest.param(READ, [CUT_OFF] * 3, Reason.RESPONSE_TRUNCATED, NONE, 3, id="a GET with half an answer"),
        pytest.param(REPLACE, [LOST] * 3, Reason.OUTCOME_UNKNOWN, UNKNOWN, 3, id="a PUT without an answer"),
        pytest.param(REPLACE, [LOST, REFUSED, REFUSED], Reason.CONNECT_FAILED, UNKNOWN, 3, id="lost, refused"),
        pytest.param(REPLACE, [LOST, httpx.Response(404)], Reason.PROVIDER_NOT_FOUND, UNKNOWN, 2, id="lost, 404"),
        pytest.param(WRITE, [httpx.Response(400)], Reason.PROVIDER_REJECTED, NONE, 1, id="rejected"),
        pytest.param(READ, [httpx.Response(401)], Reason.CREDENTIAL_REJECTED, NONE, 1, id="401"),
    ],
)  # fmt: skip
async def test_what_an_exchange_ends_in(
    operation: str, answers: list[Answer], reason: Reason, side_effect: SideEffect, sent: int
) -> None:
    """A write that may have been done is sent once and never told as undone; nothing else gives up too early."""
    here = house(*answers)
    ended = await here.run(operation)
    assert isinstance(ended.outcome, Failure)
    assert (ended.outcome.reason, ended.outcome.side_effect) == (reason, side_effect)
    assert (len(here.sender.sent), ended.attempts, here.finished.attempts) == (sent, sent, sent)
    assert here.told == ["started", *["attempt", "wait"] * (sent - 1), "attempt", "finished"]
    assert (here.finished.outcome, here.finished.side_effect) == (reason, side_effect)
    access = Access.READ if operation == READ else Access.WRITE
    if access is Access.WRITE and side_effect is not NONE:
        assert not retryable(ended.outcome, access)


@pytest.mark.parametrize(
    ("operation", "first"),
    [(WRITE, REFUSED), (WRITE, limited()), (READ, LOST), (READ, httpx.Response(500)), (READ, CUT_OFF), (REPLACE, LOST)],
)
async def test_a_second_exchange_can_succeed(operation: str, first: Answer) -> None:
    """Where another attempt is safe it is made, and its success is the call's."""
    here = house(first, OK)
    ended = await here.run(operation)
    assert isinstance(ended.outcome, Success)
    assert (ended.attempts, len(here.clock.slept)) == (2, 1)
    assert here.sender.sent[0].content == here.sender.sent[1].content


async def test_back_off_doubles_with_jitter() -> None:
    """50 ms, then 100 ms, each times the dice (0.5 here)."""
    here = house(REFUSED, REFUSED, OK)
    await here.success(WRITE)
    assert here.clock.slept == [pytest.approx(0.025), pytest.approx(0.05)]
    assert [wait.jitter for wait in here.waits] == [0.5, 0.5]


@pytest.mark.parametrize("operation", [WRITE, REPLACE])
async def test_an_uncertain_write_is_told_how_to_look(operation: str) -> None:
    """The hint names the look-up operation, with the connection."""
    here = house(LOST, LOST, LOST)
    failure = await here.failure(operation, connection="alice")
    assert "sidecar call acme.items.get -c alice" in (failure.hint or "")
    assert here.finished.hint == failure.hint


@pytest.mark.parametrize(
    ("told", "slept"),
    [
        pytest.param({"retry_after": "2"}, [2.0], id="seconds"),
        pytest.param({"retry_after": formatdate(WALL + 7, usegmt=True)}, [7.0], id="date"),
        pytest.param({"retry_after": "soon"}, [0.5], id="garbage: back-off"),
        pytest.param({}, [0.5], id="nothing: back-off"),
        pytest.param({"retry_after": "-5"}, [0.5], id="negative: back-off"),
        pytest.param({"retry_after": formatdate(WALL - 60, usegmt=True)}, [0.5], id="a date that has passed"),
        pytest.param({"retry_after": "0"}, [0.5], id="zero"),
    ],
)
@pytest.mark.parametrize("operation", [READ, WRITE])
async def test_a_limit_is_obeyed(operation: str, told: dict[str, str], slept: list[float]) -> None:
    """A 429 is waited out as the provider told, by reads and writes; what makes no sense is a back-off."""
    here = house(limited(**told), OK)
    await here.success(operation)
    assert here.clock.slept == pytest.approx(slept)
    assert len(here.sender.sent) == 2


async def test_a_wait_past_the_deadline_fails_now() -> None:
    """A day is not slept: the caller is told at once when to come back."""
    here = house(limited(retry_after="86400"))
    failure = await here.failure(WRITE)
    assert (failure.reason, failure.side_effect) == (Reason.PROVIDER_RATE_LIMITED, NONE)
    assert failure.retry_after == 86_400
    assert here.finished.retry_after_ms == 86_400_000
    assert (here.clock.slept, len(here.sender.sent)) == ([], 1)


async def test_a_closed_bucket_answers_the_next_call_without_sending() -> None:
    """The next call of the connection fails with the time that is left, and costs the provider nothing."""
    here = house(limited(retry_after="100"))
    await here.failure(WRITE)
    here.clock.advance(10)
    failure = await here.failure(READ)
    assert failure.reason is Reason.PROVIDER_RATE_LIMITED
    assert failure.retry_after == pytest.approx(90)
    assert len(here.sender.sent) == 1


async def test_only_the_limited_connection_waits() -> None:
    """Another connection, another tenant and another provider go on at once."""
    both = {"acme": provider(operations=LOOKED_UP), "other": provider(name="other", title="Other")}
    here = House([limited(retry_after="100"), OK, OK, OK], both)
    await here.failure(WRITE)
    await here.success(WRITE, connection="alice")
    await here.success(WRITE, tenant="globex")
    await here.success(WRITE, provider="other")
    assert here.clock.slept == []


async def test_the_deadline_holds_over_retries() -> None:
    """A read that costs time with every exchange is not begun again when its wait would end past the deadline."""
    here = house(LOST, LOST, LOST)
    here.before = lambda: here.clock.advance(0.5)
    failure = await here.failure(READ, timeout=0.52)
    assert failure.reason is Reason.OUTCOME_UNKNOWN
    assert (len(here.sender.sent), here.clock.slept) == (1, [])


async def test_a_deadline_that_passes_between_attempts_tells_the_last_failure() -> None:
    """Not that nothing was sent: something was."""
    here = house(httpx.Response(500), OK)

    async def sleeps_long(seconds: float) -> None:
        here.clock.advance(seconds + 60)

    here.clock.sleep = sleeps_long  # type: ignore[method-assign]  # a machine that stood still
    failure = await here.failure(READ)
    assert failure.reason is Reason.PROVIDER_5XX
    assert len(here.sender.sent) == 1


async def test_time_in_the_queue_counts() -> None:
    """A call whose deadline passed before its turn sends nothing."""
    here = house(OK)
    late = here.call(WRITE, timeout=0.2)
    here.clock.advance(0.2)
    ended = await here.executor.run(late)
    assert isinstance(ended.outcome, Failure)
    assert (ended.outcome.reason, ended.outcome.side_effect, ended.attempts) == (Reason.BEFORE_SEND, NONE, 0)
    assert here.sender.sent == []
    assert here.told == ["started", "finished"]


async def test_disabled_between_two_attempts() -> None:
    """The second attempt is not made with a connection that was disabled meanwhile."""
    disabled = Failure(reason=Reason.CONNECTION_DISABLED, detail="connection default of acme is disabled")
    here = house(REFUSED, OK, connections=Connections(credential(), disabled))
    failure = await here.failure(WRITE)
    assert (failure.reason, failure.side_effect) == (Reason.CONNECTION_DISABLED, NONE)
    assert len(here.sender.sent) == 1


async def test_disabled_after_an_uncertain_attempt() -> None:
    """What the first attempt may have done is not forgotten."""
    disabled = Failure(reason=Reason.CONNECTION_DISABLED, detail="connection default of acme is disabled")
    here = house(LOST, OK, connections=Connections(credential(), disabled))
    assert (await here.failure(REPLACE)).side_effect is UNKNOWN


async def test_another_credential_between_two_attempts() -> None:
    """The second attempt proves itself with what was imported meanwhile."""
    here = house(REFUSED, OK, connections=Connections(credential(token="old"), credential(token="new")))
    await here.success(WRITE)
    assert [request.headers["authorization"] for request in here.sender.sent] == ["Bearer old", "Bearer new"]


class HangingOnce(HttpSender):
    """Gives no answer to its first request, and the one that it has to the second; it keeps to its moments."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.waited: list[float] = []

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> Answer:
        del max_body
        self.waited.append(request.extensions.get("answer_by", deadline) - self.clock.now())
        if len(self.waited) > 1:
            return OK
        await self.clock.sleep(self.waited[0])
        return LOST

    async def aclose(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(("seconds", "first"), [(30, 25), (120, 115), (8, 6), (1, 0.75)])
async def test_a_read_that_hangs_is_asked_for_again_in_time(seconds: float, first: float) -> None:
    """Within its deadline; what is left for that is little, since a slow answer is one too."""
    clock = ManualClock()
    sender = HangingOnce(clock)
    here = House(clock=clock, network=sender)
    await here.success(READ, timeout=seconds)
    assert sender.waited == [pytest.approx(first), pytest.approx(seconds - first, abs=0.1)]


async def test_a_write_has_all_of_its_time() -> None:
    """It is not asked for again, so it is not cut off before its deadline."""
    clock = ManualClock()
    sender = HangingOnce(clock)
    failure = await House(clock=clock, network=sender).failure(WRITE, timeout=30)
    assert (failure.reason, sender.waited) == (Reason.OUTCOME_UNKNOWN, [30])


@pytest.mark.parametrize(
    ("status", "reason", "side_effect"),
    [
        (400, Reason.PROVIDER_REJECTED, NONE),
        (401, Reason.CREDENTIAL_REJECTED, NONE),
        (404, Reason.PROVIDER_NOT_FOUND, NONE),
        (500, Reason.PROVIDER_5XX, UNKNOWN),
    ],
)
async def test_a_refusal_whose_body_did_not_come(status: int, reason: Reason, side_effect: SideEffect) -> None:
    """A write that was refused is not told as done because the words of the refusal were cut off."""
    here = house(httpx.Response(status, extensions={"lost": CUT_OFF}))
    failure = await here.failure(WRITE)
    assert (failure.reason, failure.side_effect) == (reason, side_effect)
    assert "did not come whole" in failure.detail
    [attempt] = here.attempts
    assert (attempt.status, attempt.said) == (status, CUT_OFF.detail)


async def test_a_limit_whose_body_did_not_come_is_obeyed() -> None:
    """Its headers say for how long."""
    here = house(httpx.Response(429, headers={"retry-after": "7"}, extensions={"lost": CUT_OFF}), OK)
    await here.success(WRITE)
    assert sum(here.clock.slept) == pytest.approx(7.0)


@pytest.mark.parametrize("access", [READ, WRITE])
async def test_an_output_too_large_for_a_message(access: str) -> None:
    """A write is told as done; neither is sent again."""
    here = house(httpx.Response(200, json={"text": "x" * 200}), limits=Limits(max_output_bytes=100))
    failure = await here.failure(access)
    assert failure.reason is Reason.RESPONSE_TOO_LARGE
    assert failure.side_effect is (DONE if access == WRITE else NONE)
    assert len(here.sender.sent) == 1
    assert here.finished.side_effect is failure.side_effect


@pytest.mark.parametrize(
    ("answer", "reason", "code"),
    [
        (httpx.Response(200, json={"ok": False, "error": "not_there"}), Reason.PROVIDER_NOT_FOUND, "not_there"),
        (httpx.Response(200, json={"ok": False, "error": "odd"}), None, "odd"),
        (httpx.Response(200, json={"id": 1}), None, None),
    ],
)
async def test_a_200_that_is_no_success(answer: httpx.Response, reason: Reason | None, code: str | None) -> None:
    """The provider's own test of success decides; its rule names the reason."""
    errors = {"code": ["error"], "rules": [{"reason": "PROVIDER_NOT_FOUND", "code": ["not_there"]}]}
    here = House([answer], {"acme": provider(success={"path": "ok", "equals": True}, errors=errors)})
    failure = await here.failure(READ)
    assert failure.provider_code == code
    assert reason is None or failure.reason is reason


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>", headers={"content-type": "text/html"}),
        httpx.Response(200, content=b""),
        httpx.Response(200, content=b'{"a": '),
    ],
)
async def test_an_answer_that_makes_no_sense(answer: httpx.Response) -> None:
    """HTML, nothing, half a JSON: never a success, not retried for a write, whose end is unknown."""
    here = house(answer)
    failure = await here.failure(WRITE)
    assert (failure.reason, failure.side_effect) == (Reason.BAD_PROVIDER_RESPONSE, UNKNOWN)
    assert len(here.sender.sent) == 1


async def test_204_is_null() -> None:
    """No content is a success whose output is `null`."""
    assert (await house(httpx.Response(204)).success(WRITE)).body == b"null"


ONE_IN_TEN = [{"units": 1, "seconds": 10}]
QUOTA = {"name": "writes", "scope": "connection", "windows": ONE_IN_TEN, "operations": ["items.create"]}


async def test_a_quota_is_waited_for() -> None:
    """The second write waits for its unit, and the trace says for which bucket."""
    here = House([OK, OK], {"acme": provider(quotas=[QUOTA])})
    await here.success(WRITE)
    await here.success(WRITE)
    assert sum(here.clock.slept) == pytest.approx(10, abs=0.3)  # and what the way to the provider may vary by
    assert [wait.bucket for wait in here.waits] == ["writes"]
    assert here.waits[0].seconds == pytest.approx(10, abs=0.3)


async def test_a_quota_past_the_deadline() -> None:
    """Refused at once with the bucket's name and when to come back; nothing is sent; others go on."""
    here = House([OK, OK, OK], {"acme": provider(quotas=[QUOTA])})
    await here.success(WRITE)
    failure = await here.failure(WRITE, timeout=5)
    assert (failure.reason, failure.bucket) == (Reason.LOCAL_RATE_LIMITED, "writes")
    assert failure.retry_after == pytest.approx(10, abs=0.3)
    assert (len(here.sender.sent), here.clock.slept) == (1, [])
    await here.success(READ, timeout=5)
    await here.success(WRITE, timeout=5, connection="alice")


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([httpx.Response(500)], ["attempt 1: no retry: the write may have been done"]),
        ([REFUSED, LOST], ["attempt 1: retry in", "attempt 2: no retry: the write may have been done"]),
        ([httpx.Response(400)], ["attempt 1: no retry: PROVIDER_REJECTED does not go away"]),
    ],
)
async def test_the_end_says_why_no_more_was_tried(answers: list[Answer], why: list[str]) -> None:
    """The last event holds every decision in order, also the one to stop, before the failure's own words."""
    here = house(*answers)
    failure = await here.failure(WRITE)
    *told, last = here.finished.why
    assert len(told) == len(why)
    assert all(words.startswith(expected) for words, expected in zip(told, why, strict=True))
    assert last == failure.detail
