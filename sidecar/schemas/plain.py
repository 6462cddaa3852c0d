"""Schemas of the payloads that have no struct of ours: free by nature, or in somebody else's shape."""

from __future__ import annotations

from typing import Any

from sidecar.catalogue.answer import SEARCH_LIMIT, TOOL_FORMATS

TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}


def _object(required: dict[str, Any], description: str, **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": {**required, **optional},
        "required": sorted(required),
    }


_ENDPOINT = {"name": TEXT, "subject": TEXT, "queue_group": TEXT}
_COUNTERS = {
    "num_requests": COUNT,
    "num_errors": COUNT,
    "last_error": TEXT,
    "processing_time": {**COUNT, "description": "Nanoseconds, all requests together."},
    "average_processing_time": {**COUNT, "description": "Nanoseconds."},
}


def _service(verb: str, says: str, /, **more: Any) -> dict[str, Any]:
    about = {
        "type": {"enum": [f"io.nats.micro.v1.{verb}_response"]},
        "name": TEXT,
        "id": TEXT,
        "version": TEXT,
        "metadata": {"type": "object", "additionalProperties": TEXT},
    }
    return _object({**about, **more}, says)


PLAIN: dict[str, dict[str, Any]] = {
    "Input": {
        "type": "object",
        "description": "The operation's input; an empty payload is `{}`. `catalogDescribe` gives its schema.",
    },
    "Output": {"description": "The operation's output: JSON, or the bytes that `Content-Type` names."},
    "Nothing": {"type": "object", "description": "Nothing is asked: leave the payload empty.", "maxProperties": 0},
    "SearchRequest": _object(
        {"query": {**TEXT, "description": "Words to look for in names and summaries."}},
        "What to search for.",
        limit={"type": "integer", "minimum": 1, "default": SEARCH_LIMIT, "description": "Most operations to list."},
    ),
    "ToolsRequest": _object(
        {},
        "Whose form the definitions take.",
        format={"enum": list(TOOL_FORMATS), "default": "mcp", "description": "The model vendor's or MCP's form."},
    ),
    "Tools": {
        "type": "array",
        "items": {"type": "object"},
        "description": "Tool definitions, each in the form that was asked for: "
        "OpenAI function, Anthropic tool, Gemini function declaration, MCP tool.",
    },
    "ServicePing": _service("ping", "The process answers."),
    "ServiceInfo": _service(
        "info",
        "What the process serves; `metadata` has the catalogue hash, the providers, and `tenant` and `connections` "
        "(tokens) where it serves no others; `public_url`: where accounts are connected; `sandbox`: nothing is real; "
        "`left_out`: of what an answer says that would not fit one message.",
        description=TEXT,
        endpoints={
            "type": "array",
            "items": _object({**_ENDPOINT, "metadata": {"type": "object"}}, "One subscription."),
        },
    ),
    "ServiceStats": _service(
        "stats",
        "What went through each subscription since the start.",
        started={**TEXT, "format": "date-time"},
        endpoints={"type": "array", "items": _object({**_ENDPOINT, **_COUNTERS}, "One subscription.")},
    ),
}
