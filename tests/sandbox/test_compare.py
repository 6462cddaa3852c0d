"""Where a request may differ from the one that a case expects: the id of the call, wherever the case says so."""

from __future__ import annotations

import msgspec
import pytest

from sidecar.sandbox.case import CaseRequest
from sidecar.sandbox.compare import Seen, differences

CALL_ID = "018f0000-0000-7000-8000-000000000001"
BARE = CALL_ID.replace("-", "")


@pytest.mark.parametrize(
    ("expected", "sent", "same"),
    [
        ({"id": "{call_id}"}, {"id": CALL_ID}, True),
        ({"id": "{call_id}"}, {"id": BARE}, True),
        ({"id": "<{call_id}@acme>", "again": "{call_id}"}, {"id": f"<{CALL_ID}@acme>", "again": BARE}, True),
        ({"id": "{call_id}"}, {"id": "7"}, False),
        ({"id": "{call_id}"}, {"id": f"{CALL_ID}0"}, False),
        ({"id": "{call_id}", "a": "."}, {"id": CALL_ID, "a": "x"}, False),
        ({"id": CALL_ID}, {"id": BARE}, False),
    ],
)
def test_the_call_id_in_a_body_is_any_calls(expected: object, sent: object, same: bool) -> None:
    """`{call_id}` stands for a UUID with dashes or without, and for nothing else."""
    headers = {"content-type": "application/json"}
    request = Seen("POST", "/items", (), headers, msgspec.json.encode(sent))
    found = list(differences(CaseRequest(method="POST", path="/items", json=expected), request))
    assert (found == []) is same
