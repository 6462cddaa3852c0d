"""What cannot be written or sent as it is: still one reply, and the worker goes on."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import pytest

from sidecar.sandbox.scripted import ScriptedSender
from tests.build import OPERATIONS, provider
from tests.worker.house import House, Letter, ScriptedBus

pytestmark = pytest.mark.anyio

READ = "sidecar.read.default.default.acme.items.get"
WRITE = "sidecar.write.default.default.acme.items.create"
OK = httpx.Response(200, json={"id": 1})
# A hook of a provider's folder that puts half a character (a lone surrogate) into its words: no UTF-8 can say it.
HALF_A_CHARACTER = """
from sidecar.provider import Explained

def explain(status, headers, body):
    return Explained(message="\\ud83d")
"""


@pytest.mark.parametrize(
    ("subject", "payload", "side_effect"), [(READ, b'{"id": "7"}', "none"), (WRITE, b'{"title": "x"}', "unknown")]
)
async def test_words_that_cannot_be_written_are_a_defect_that_is_told(
    subject: str, payload: bytes, side_effect: str
) -> None:
    """The caller learns that it failed, of which call, and that a write may have been done."""
    made = provider(operations=OPERATIONS, code=HALF_A_CHARACTER, hooks={"explain": "explain"})
    house = House(ScriptedSender([httpx.Response(400, json={}), OK]), {"acme": made})
    await house.start()
    reply = await house.ask(subject, payload)
    assert reply.body["reason"] == "BUG"
    assert reply.body["side_effect"] == side_effect
    assert reply.body["call_id"] == reply.headers["Call-Id"]
    assert (await house.ask(READ, b'{"id": "7"}')).body == {"id": 1}
    assert house.worker.in_flight == 0


class BrokenBus(ScriptedBus):
    """A client that fails in a way that its port does not name."""

    broken = True

    def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        reply: str = "",
        later: bool = False,
    ) -> None:
        if self.broken:
            raise ValueError("the client did not like it")
        super().publish(subject, payload, headers=headers, reply=reply, later=later)


async def test_a_client_that_raises_anything_costs_one_reply() -> None:
    """Counted as lost; nothing is left in flight, and the next message is answered."""
    bus = BrokenBus()
    house = House(ScriptedSender([OK]), bus=bus)
    await house.start()
    letter = Letter(READ, b'{"id": "7"}')
    bus.hand_in(letter)
    await house.settled()
    assert house.counts.lost == 1
    assert house.worker.in_flight == 0
    bus.broken = False
    assert bus.hand_in(letter) == 1
    await house.settled()
    assert [reply.subject for reply in bus.published] == [letter.reply]
