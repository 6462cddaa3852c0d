"""The orderly end: no more calls, then those in flight, then the process."""

from __future__ import annotations

from tests.prove_red.row import Row

STOP = "tests/worker/test_stop.py"

ROWS = (
    Row(
        promise="Readiness goes off first: who ends is not ready.",
        file="sidecar/lifetime.py",
        good='        if self.ending.is_set():\n            return "ending',
        bad='        if self.lost is not None:\n            return "ending',
        tests=("tests/app/test_end.py::test_what_is_in_flight_is_finished_and_told_as_not_ready",),
    ),
    Row(
        promise="What is in flight is finished before the end.",
        file="sidecar/worker.py",
        good=(
            "            await _drained(self._subscriptions)\n"
            "            while (pending := self._tasks.keys() | self._others) or self._gate.waiting:\n"
            "                await (asyncio.wait(pending) if pending else asyncio.sleep(0))\n"
        ),
        bad="            await _drained(self._subscriptions)\n",
        tests=(f"{STOP}::test_what_is_in_flight_is_finished",),
    ),
    Row(
        promise="What was received during the drain is answered.",
        file="sidecar/worker.py",
        good="        if self._over:\n            self._refuse(message,",
        bad="        if self._grace:\n            self._refuse(message,",
        tests=(f"{STOP}::test_what_was_received_during_the_drain_is_answered",),
    ),
    Row(
        promise="Subscriptions end before the calls in flight.",
        file="sidecar/worker.py",
        good="            await _drained(self._subscriptions)\n",
        bad="",
        tests=(f"{STOP}::test_what_is_in_flight_is_finished",),
    ),
    Row(
        promise="What does not end in time is given up, with one reply each.",
        file="sidecar/worker.py",
        good="given_up = [stop.tell(Reason.SHUTTING_DOWN) for stop in self._tasks.values()]",
        bad="given_up = [True for stop in self._tasks.values()]",
        tests=(f"{STOP}::test_what_does_not_end_in_time_is_given_up",),
    ),
    Row(
        promise="A second signal gives up what is in flight, whatever is left of the grace.",
        file="sidecar/worker.py",
        good="            self._grace.cancel()\n",
        bad="            self._grace.shield = False\n",
        tests=(f"{STOP}::test_in_a_hurry",),
    ),
    Row(
        promise="The second signal reaches the worker.",
        file="sidecar/lifetime.py",
        good="            self.hurry()\n",
        bad="            self.ending.set()\n",
        tests=("tests/app/test_lifetime.py::test_a_second_signal_hurries_the_end",),
    ),
    Row(
        promise="What comes when all is over is refused at once.",
        file="sidecar/worker.py",
        good="        if self._over:\n",
        bad="        if self._over is None:\n",
        tests=(f"{STOP}::test_what_comes_when_all_is_over_is_refused",),
    ),
    Row(
        promise="A process that gave up calls ends with 75.",
        file="sidecar/app.py",
        good="    if number:\n        raise GivenUp(",
        bad="    if number < 0:\n        raise GivenUp(",
        tests=("tests/app/test_end.py::test_a_second_signal_gives_up_what_is_in_flight",),
    ),
    Row(
        promise="Until nothing is in flight any more, calls can be cancelled.",
        file="sidecar/worker.py",
        good="self._last_subscriptions.append(await self._bus.subscribe(interest.subject, hand_over))",
        bad="self._subscriptions.append(await self._bus.subscribe(interest.subject, hand_over))",
        tests=("tests/worker/test_cancel.py::test_while_the_sidecar_ends",),
    ),
)
