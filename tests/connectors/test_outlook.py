"""What Outlook's input hooks make of any input that its schemas let through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.json_schema import compile_schema
from sidecar.adapters.yaml_file import read_yaml
from sidecar.catalogue.load import load_provider
from sidecar.core.render import Template
from sidecar.model import Request
from sidecar.ports import Formats

CONNECTORS = Path(__file__).parents[2] / "connectors"
URL = "https://graph.microsoft.com/v1.0"
OUTLOOK = load_provider(CONNECTORS / "outlook", Formats(read_yaml, compile_schema))
MOMENTS = st.from_regex(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?",
    fullmatch=True,
)


def shaped(name: str, values: dict[str, Any]) -> dict[str, Any]:
    operation = OUTLOOK.operations[name]
    assert not list(operation.problems(values)), values
    assert operation.input_hook is not None
    return operation.input_hook({**values, "call_id": "call-1"})


def rendered(name: str, values: dict[str, Any]) -> Request:
    request = Template(OUTLOOK, OUTLOOK.operations[name]).filled(URL, shaped(name, values), "call-1")
    assert isinstance(request, Request), request
    return request


@given(MOMENTS)
def test_every_moment_that_is_let_through_becomes_one_in_a_zone(text: str) -> None:
    """Of dates that do not exist, and of the ends of time, Microsoft says what is wrong: no hook fails on them."""
    made = shaped("events.create", {"subject": "x", "start": text, "end": text})
    assert made["start"] == made["end"]
    assert made["start"].keys() == {"dateTime", "timeZone"}


@pytest.mark.parametrize(
    ("text", "zone", "moment"),
    [
        ("2026-11-23T10:00:00", None, ("2026-11-23T10:00:00", "UTC")),
        ("2026-11-23T10:00:00", "Europe/Berlin", ("2026-11-23T10:00:00", "Europe/Berlin")),
        ("2026-11-23T10:00:00+01:00", "Europe/Berlin", ("2026-11-23T09:00:00", "UTC")),
        ("2026-11-23T10:00Z", None, ("2026-11-23T10:00:00", "UTC")),
        ("2026-03-29T23:30:00-05:00", None, ("2026-03-30T04:30:00", "UTC")),
        ("0001-01-01T00:00:00+14:00", None, ("0001-01-01T00:00:00+14:00", "UTC")),
    ],
)
def test_an_offset_decides_over_the_zone(text: str, zone: str | None, moment: tuple[str, str]) -> None:
    """A moment with an offset is one moment everywhere; without one it is that of the zone."""
    values = {"subject": "x", "start": text, "end": text} | ({"time_zone": zone} if zone else {})
    made = shaped("events.create", values)
    assert (made["start"]["dateTime"], made["start"]["timeZone"]) == moment


@given(st.text(alphabet='a "\\\\', min_size=1, max_size=20))
def test_a_search_cannot_leave_its_quotes(words: str) -> None:
    """Whatever is searched for, the quotes that end it are its last."""
    query = shaped("messages.search", {"query": words})["query"]
    inside = query[1:-1].replace(r"\\", "").replace(r"\"", "")
    assert query[0] == query[-1] == '"'
    assert set(inside) <= set("a ")


@pytest.mark.parametrize("zone", ['UTC"', "UTC, x", "a\r\nb", "", "x" * 65, "Z\u00fcrich"])
def test_a_zone_stays_inside_of_its_preference(zone: str) -> None:
    """What could end the quotes, or the header, is refused before anything is sent."""
    values = {"start": "2026-11-23T00:00:00Z", "end": "2026-11-24T00:00:00Z", "time_zone": zone}
    assert list(OUTLOOK.operations["calendar.view"].problems(values))


def test_the_same_call_makes_the_same_event() -> None:
    """An event that is sent again bears the same transaction id, so that it is made once."""
    values = {"subject": "x", "start": "2026-11-23T10:00", "end": "2026-11-23T11:00"}
    first, second = (rendered("events.create", values) for _ in range(2))
    assert first == second
    assert b'"transactionId":"call-1"' in first.content


def test_inputs_are_not_changed() -> None:
    """A hook gives a new input: a call that is tried again starts from the same one."""
    values = {"to": ["a@acme.com"], "subject": "x", "body": "y", "attachments": [{"name": "f", "content": "AAEC"}]}
    before = str(values)
    assert rendered("messages.send", values) == rendered("messages.send", values)
    assert str(values) == before
