"""What an input hook is given beside the input."""

from __future__ import annotations

import msgspec
import pytest

from tests.build import CREATE_ITEM, provider
from tests.execute.house import CALL_ID, LOST, OK, House

pytestmark = pytest.mark.anyio

OWN_ID = "def shape(values):\n    return {**values, 'id': values['call_id'].replace('-', '')}\n"
ITEM = CREATE_ITEM | {
    "input": {"title": {"in": "body", "type": "string"}, "id": {"in": "body", "type": "string"}},
    "hooks": {"input": "shape"},
    "repeatable": True,
}


async def test_an_input_hook_can_make_an_id_of_the_calls_own() -> None:
    """The same call sent twice asks for the same thing, under the id of the call."""
    here = House([LOST, OK], {"acme": provider(operations={"items.create": ITEM}, code=OWN_ID)})
    assert (await here.run()).attempts == 2
    wanted = {"title": "x", "id": CALL_ID.replace("-", "")}
    assert [msgspec.json.decode(request.content) for request in here.sender.sent] == [wanted, wanted]


async def test_nothing_but_the_inputs_of_the_operation_is_sent() -> None:
    """The call's id goes nowhere by itself."""
    same = "def shape(values):\n    return values\n"
    here = House([OK], {"acme": provider(operations={"items.create": ITEM}, code=same)})
    await here.run()
    assert [msgspec.json.decode(request.content) for request in here.sender.sent] == [{"title": "x"}]
