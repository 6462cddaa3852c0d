"""A small provider that breaks no rule, as values that a test can change before it writes them to a folder."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

DOCS = "https://docs.acme.example/api"

PROVIDER: dict[str, Any] = {
    "format": 1,
    "name": "acme",
    "title": "Acme",
    "version": "1",
    "docs": DOCS,
    "base_url": {"kind": "self_hosted", "path": "/api", "docs": DOCS},
    "auth": [
        {"kind": "bearer", "docs": DOCS},
        {"kind": "api_key", "place": "query", "name": "key", "docs": DOCS},
    ],
    "quotas": [
        {
            "name": "posts",
            "scope": "connection",
            "windows": [{"units": 1, "seconds": 1}],
            "operations": ["items.create"],
            "docs": DOCS,
        }
    ],
    "success": {"path": "ok", "equals": True, "docs": DOCS},
    "errors": {
        "code": ["error"],
        "docs": DOCS,
        "rules": [
            {"reason": "PROVIDER_NOT_FOUND", "code": ["gone"], "hint": "items.list shows what there is"},
            {"reason": "PROVIDER_RATE_LIMITED", "code": ["slow"]},
        ],
    },
    "retry_after": [{"unit": "milliseconds", "path": "wait", "docs": DOCS}],
    "verify": {"operation": "account.get", "account": "login"},
    "unverified": ["that nobody else uses this name"],
}

OPERATIONS: dict[str, Any] = {
    "account.get": {
        "access": "read",
        "summary": "Show the account.",
        "docs": DOCS,
        "method": "GET",
        "path": "/account",
    },
    "items.list": {
        "access": "read",
        "summary": "List the items.",
        "docs": DOCS,
        "method": "GET",
        "path": "/items",
        "input": {"limit": {"in": "query", "type": "integer", "description": "Items on one page."}},
        "paging": {"kind": "cursor", "path": "next", "name": "after"},
    },
    "items.create": {
        "access": "write",
        "summary": "Create an item.",
        "docs": DOCS,
        "method": "POST",
        "path": "/lists/{list}/items",
        "input": {
            "list": {"in": "path", "type": "string", "description": "Name of the list."},
            "title": {"in": "body", "type": "string", "description": "What it is called."},
        },
        "required": ["list", "title"],
        "look_up": "items.list",
    },
}

ACCOUNT = {"method": "GET", "path": "/account"}
LIST = {"method": "GET", "path": "/items"}
CREATE = {"method": "POST", "path": "/lists/home%20work/items", "json": {"title": "Milk"}}
MILK = {"list": "home work", "title": "Milk"}

CASES: list[dict[str, Any]] = [
    {
        "name": "the account",
        "operation": "account.get",
        "exchanges": [
            {
                "request": {**ACCOUNT, "headers": {"Authorization": "Bearer test-token"}},
                "response": {"status": 200, "json": {"ok": True, "login": "anna"}},
            }
        ],
        "expect": {"output": {"ok": True, "login": "anna"}},
    },
    {
        "name": "the account by key",
        "operation": "account.get",
        "auth": "api_key",
        "exchanges": [
            {
                "request": {**ACCOUNT, "query": {"key": "test-key"}},
                "response": {"status": 200, "json": {"ok": True}},
            }
        ],
        "expect": {"output": {"ok": True}},
    },
    {
        "name": "the first page",
        "operation": "items.list",
        "input": {"limit": 1},
        "exchanges": [
            {
                "request": {**LIST, "query": {"limit": "1"}},
                "response": {"status": 200, "json": {"ok": True, "items": [1], "next": "b"}},
            }
        ],
        "expect": {"output": {"ok": True, "items": [1], "next": "b"}, "next_cursor": "b"},
    },
    {
        "name": "the last page",
        "operation": "items.list",
        "cursor": "b",
        "exchanges": [
            {
                "request": {**LIST, "query": {"after": "b"}},
                "response": {"status": 200, "json": {"ok": True, "items": [2]}},
            }
        ],
        "expect": {"output": {"ok": True, "items": [2]}},
    },
    {
        "name": "a new item, once the provider lets it",
        "operation": "items.create",
        "input": MILK,
        "exchanges": [
            {"request": CREATE, "response": {"status": 200, "json": {"ok": False, "error": "slow", "wait": 2500}}},
            {"request": CREATE, "response": {"status": 200, "json": {"ok": True, "id": 1}}},
        ],
        "expect": {"output": {"ok": True, "id": 1}, "waits": [2.5]},
    },
    {
        "name": "a list that is gone",
        "operation": "items.create",
        "input": MILK,
        "exchanges": [{"request": CREATE, "response": {"status": 404, "json": {"error": "gone"}}}],
        "expect": {
            "reason": "PROVIDER_NOT_FOUND",
            "side_effect": "none",
            "provider_code": "gone",
            "detail": "404",
            "hint": "items.list",
        },
    },
    {
        "name": "an item whose answer was lost",
        "operation": "items.create",
        "input": MILK,
        "exchanges": [{"request": CREATE, "lost": "after_send"}],
        "expect": {"reason": "OUTCOME_UNKNOWN", "side_effect": "unknown"},
    },
]


def by_path() -> Acme:
    """The small provider, which takes its key in the path instead of the query; one case lists it there."""
    made = Acme()
    made.provider["auth"][1] = {"kind": "api_key", "place": "path", "prefix": "bot", "docs": DOCS}
    made.case("the account by key")["exchanges"][0]["request"] = {"method": "GET", "path": "/bottest-key/account"}
    return made


class Acme:
    """The provider's files, to be changed and written."""

    def __init__(self) -> None:
        self.provider = deepcopy(PROVIDER)
        self.operations = deepcopy(OPERATIONS)
        self.cases = deepcopy(CASES)

    def case(self, name: str) -> dict[str, Any]:
        return next(case for case in self.cases if case["name"] == name)

    def write(self, folder: Path) -> Path:
        """The folder of the provider, below `folder`. JSON is YAML too."""
        place = folder / "acme"
        for name, value in (
            ("provider", self.provider),
            ("operations/all", self.operations),
            ("cases/all", self.cases),
        ):
            file = place / f"{name}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(value))
        return place
