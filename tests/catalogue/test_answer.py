"""Discovery: what there is, what it takes, and the word that was meant."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from sidecar.adapters.json_schema import compile_schema
from sidecar.catalogue.answer import TOOL_FORMATS, VERBS, answer
from sidecar.model import Failure, Reason, SideEffect, Success
from sidecar.provider import Catalogue
from sidecar.wire.subject import CatalogAddress
from tests.build import CREATE_ITEM, GET_ITEM, provider

LIST = GET_ITEM | {"path": "/items", "input": {}, "required": [], "paging": {"kind": "link"}, "summary": "List items."}
ACME = provider(
    operations={"items.get": GET_ITEM, "items.list": LIST, "items.create": CREATE_ITEM},
    raw={},
    auth=[{"kind": "api_key", "place": "query", "name": "k"}, {"kind": "basic"}],
)
NOTES = provider(name="notes", title="Notes", operations={"notes.create": CREATE_ITEM | {"summary": "Create a note."}})
SUBDOMAIN = provider(name="desk", base_url={"kind": "subdomain", "suffix": ".desk.example"})
CATALOGUE = Catalogue({"acme": ACME, "notes": NOTES, "desk": SUBDOMAIN}, "abc")


def ask(verb: str, provider: str | None = None, operation: str | None = None, **asked: Any) -> Any:
    outcome = answer(CATALOGUE, CatalogAddress("acme-corp", verb, provider, operation), asked)
    assert isinstance(outcome, Success), outcome
    return msgspec.json.decode(outcome.body)


def refused(verb: str, provider: str | None = None, operation: str | None = None, **asked: Any) -> Failure:
    outcome = answer(CATALOGUE, CatalogAddress("acme-corp", verb, provider, operation), asked)
    assert isinstance(outcome, Failure), outcome
    assert outcome.side_effect is SideEffect.NONE
    return outcome


def test_providers_say_what_a_connection_needs() -> None:
    """The kinds of credential with their fields, and what may be set in the base URL."""
    acme, notes, desk = ask("providers")
    plain: dict[str, object] = {"optional": [], "file": {}, "app": []}
    assert acme == {
        "name": "acme",
        "title": "Acme",
        "version": "1",
        "operations": 5,
        "auth": [
            {"kind": "api_key", "fields": ["key"], **plain},
            {"kind": "basic", "fields": ["username", "password"], **plain},
        ],
        "base_url": "fixed",
        "docs": "https://docs.acme.example",
        "quotas": [],
        "base_url_needed": False,
    }
    assert notes["name"] == "notes"
    assert desk["base_url"] == "subdomain"
    assert (notes["base_url_needed"], desk["base_url_needed"]) == (False, True)


def test_operations_are_listed_with_their_access() -> None:
    """Name and summary, read or write; the raw request too where it is allowed."""
    listed = ask("operations", "acme")
    assert [(item["operation"], item["access"]) for item in listed] == [
        ("items.get", "read"),
        ("items.list", "read"),
        ("items.create", "write"),
        ("http.get", "read"),
        ("http.request", "write"),
    ]
    assert listed[0]["summary"] == "Get an item."


def test_an_operation_is_described_with_its_schema() -> None:
    """Enough to call it without reading anything else."""
    described = ask("describe", "acme", "items.list")
    assert described["request"] == "GET /items"
    assert described["pages"] is True
    assert described["docs"] == "https://docs.acme.example/items"
    create = ask("describe", "acme", "items.create")
    assert create["input_schema"]["required"] == ["title"]
    assert create["input_schema"]["additionalProperties"] is False
    assert ask("describe", "acme", "http.get")["request"] == "any request below the base URL"


@pytest.mark.parametrize("verb", ["operations", "describe", "tools"])
@pytest.mark.parametrize(("name", "near"), [("acm", "acme"), ("ACME", "acme"), ("zzz", None)])
def test_an_unknown_provider_names_the_nearest(verb: str, name: str, near: str | None) -> None:
    """And those that are served."""
    failure = refused(verb, name, "items.get" if verb == "describe" else None)
    assert failure.reason is Reason.UNKNOWN_PROVIDER
    assert failure.hint == "served: acme, desk, notes"
    assert ("did you mean acme?" in failure.detail) is (near is not None)


@pytest.mark.parametrize(("name", "near"), [("items.crate", "items.create"), ("item", "items.get"), ("zzz", None)])
def test_an_unknown_operation_names_the_nearest(name: str, near: str | None) -> None:
    """Of that provider."""
    failure = refused("describe", "acme", name)
    assert failure.reason is Reason.UNKNOWN_OPERATION
    assert ("did you mean" in failure.detail) is (near is not None)


@pytest.mark.parametrize(
    ("verb", "provider", "operation", "reason", "words"),
    [
        ("operations", None, None, Reason.UNKNOWN_PROVIDER, "name a provider"),
        ("describe", None, None, Reason.UNKNOWN_PROVIDER, "name a provider"),
        ("describe", "acme", None, Reason.UNKNOWN_OPERATION, "name an operation"),
        ("providers", "acme", None, Reason.MALFORMED, "providers takes nothing more"),
        ("search", "acme", None, Reason.MALFORMED, "search takes nothing more"),
        ("operations", "acme", "items.get", Reason.MALFORMED, "operations takes a provider and nothing more"),
        ("tools", "acme", "items.get", Reason.MALFORMED, "tools takes a provider and nothing more"),
        ("descibe", "acme", "items.get", Reason.MALFORMED, "did you mean describe?"),
        ("zzz", None, None, Reason.MALFORMED, ", ".join(VERBS)),
    ],
)
def test_a_subject_that_says_too_little_or_too_much_is_told(
    verb: str, provider: str | None, operation: str | None, reason: Reason, words: str
) -> None:
    """Never answered as if something else had been asked."""
    failure = refused(verb, provider, operation)
    assert failure.reason is reason
    assert words in failure.detail


# --- search ----------------------------------------------------------------------------------------------------------


def found(query: str, **asked: Any) -> list[str]:
    return [f"{item['provider']}.{item['operation']}" for item in ask("search", query=query, **asked)]


def test_search_finds_by_name_and_summary() -> None:
    """Words in the name weigh more; without regard to case; what holds none of them is left out."""
    assert found("create note") == ["notes.notes.create", "acme.items.create", "desk.items.create"]
    assert found("CREATE NOTE")[0] == "notes.notes.create"
    assert found("zzz") == []
    assert found("") == []


def test_search_is_bounded() -> None:
    """As many as asked for, twenty by default."""
    assert len(found("items", limit=2)) == 2


@pytest.mark.parametrize(
    "asked",
    [{}, {"query": 1}, {"query": None}, {"query": "x", "limit": 0}, {"query": "x", "limit": "1"},
     {"query": "x", "limit": True}, {"query": "x", "limit": 1.5}, {"query": "x", "limit": -1},
     {"querry": "x"}, {"query": "x", "limits": 3}],
)  # fmt: skip
def test_a_wrong_search_is_refused(asked: dict[str, Any]) -> None:
    """A misspelt or wrong field is not ignored; the text shows the form."""
    failure = refused("search", **asked)
    assert failure.reason is Reason.VALIDATION
    assert '{"query": "words", "limit": 20}' in (failure.hint or "")


def test_a_search_of_a_megabyte_takes_no_time() -> None:
    """Nobody else waits while words are compared."""
    began = time.perf_counter()
    found("create " * 150_000 + "x" * 100_000)
    assert time.perf_counter() - began < 0.5


# --- tools -----------------------------------------------------------------------------------------------------------

FORMS = {
    "openai": {"type", "function"},
    "anthropic": {"name", "description", "input_schema"},
    "gemini": {"name", "description", "parametersJsonSchema"},
    "mcp": {"name", "description", "inputSchema", "annotations"},
}


@pytest.mark.parametrize("style", TOOL_FORMATS)
def test_tools_have_the_form_of_their_maker(style: str) -> None:
    """One definition per operation, with its schema; the raw request is not offered to a model."""
    tools = ask("tools", "acme", format=style)
    assert len(tools) == 3
    assert all(set(tool) == FORMS[style] for tool in tools)
    for tool in tools:
        inner = tool["function"] if style == "openai" else tool
        schema = next(
            inner[key] for key in ("parameters", "input_schema", "parametersJsonSchema", "inputSchema") if key in inner
        )
        compile_schema(schema)
        assert inner["name"].startswith("acme_items_")


def test_tools_are_of_every_provider_where_none_is_named() -> None:
    """In the form of MCP where none is asked for, with the hint that says what changes nothing."""
    tools = ask("tools")
    assert len(tools) == 6
    read = {tool["name"]: tool["annotations"]["readOnlyHint"] for tool in tools}
    assert read["acme_items_get"] is True
    assert read["notes_notes_create"] is False


@pytest.mark.parametrize("asked", [{"format": "OpenAI"}, {"format": None}, {"format": ["mcp"]}, {"fromat": "openai"}])
def test_a_wrong_form_is_refused(asked: dict[str, Any]) -> None:
    """Also a misspelt field: definitions of the wrong form would be taken for right ones."""
    failure = refused("tools", **asked)
    assert failure.reason is Reason.VALIDATION
    assert all(style in (failure.hint or "") for style in TOOL_FORMATS)
