"""A provider's hook that explains failures meets whatever a server sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.adapters.json_schema import compile_schema
from sidecar.adapters.yaml_file import read_yaml
from sidecar.catalogue.load import load_catalogue
from sidecar.ports import Formats

CONNECTORS = Path(__file__).parents[2] / "connectors"
EXPLAINS = [
    provider
    for provider in load_catalogue([CONNECTORS], Formats(read_yaml, compile_schema)).providers.values()
    if provider.explain is not None
]
# The names that providers use in failures, so that what is found under them is of every type.
WORDS = ["error", "errors", "message", "messages", "code", "field", "response_metadata", "needed", "provided", "data"]
BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("provider", EXPLAINS, ids=lambda provider: provider.name)
@settings(deadline=None)  # a busy machine is no defect
@given(status=st.integers(200, 599), body=BODIES)
def test_explains_any_body_without_failing(provider: Any, status: int, body: object) -> None:
    """A strange body makes a poor explanation, never a defect: code and message are text or nothing."""
    told = provider.explain(status, {"content-type": "application/json"}, body)
    assert told.code is None or (isinstance(told.code, str) and told.code)
    assert told.message is None or (isinstance(told.message, str) and told.message)
    assert all(problem.pointer.startswith("/") and isinstance(problem.detail, str) for problem in told.problems)
