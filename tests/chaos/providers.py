"""The providers of the scenes: the counting upstream under several names, each with the quota that a scene is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.build import write_provider

DOCS = "https://upstream.example/docs"
TITLE = {"type": "string", "description": "Its title."}

PROVIDERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "keyed": {"idempotency": {"header": "Idempotency-Key", "operations": ["items.create"]}},
    "window": {"quotas": [{"name": "calls", "scope": "tenant", "windows": [{"units": 250, "seconds": 1}]}]},
    "bucket": {"quotas": [{"name": "calls", "scope": "tenant", "bucket": {"rate": 50, "burst": 10}}]},
    "two": {
        "quotas": [
            {
                "name": "calls",
                "scope": "tenant",
                "windows": [{"units": 60, "seconds": 1}, {"units": 400, "seconds": 10}],
            }
        ]
    },
    "costly": {
        "quotas": [
            {
                "name": "units",
                "scope": "tenant",
                "windows": [{"units": 250, "seconds": 1}],
                "costs": {"items.create": 100},
            }
        ]
    },
    "slots": {"quotas": [{"name": "at_once", "scope": "tenant", "concurrency": 4}]},
}
UNITS = {"costly": 100}


def write_providers(folder: Path) -> None:
    """All of them as folders below this one, as `SIDECAR_CONNECTORS` wants it."""
    for name, facts in PROVIDERS.items():
        write_provider(
            folder,
            operations=_operations(UNITS.get(name)),
            name=name,
            title=name.capitalize(),
            docs=DOCS,
            base_url={"kind": "self_hosted"},
            **facts,
        )


def _operations(units: int | None) -> dict[str, Any]:
    """Create an item; get one by its title, which is also how an unknown outcome is looked up."""
    fixed = {"fixed": {"query": {"units": units}}} if units else {}
    create = {
        "access": "write",
        "summary": "Create an item.",
        "docs": DOCS,
        "method": "POST",
        "path": "/items",
        "input": {"title": {"in": "body", **TITLE}},
        "required": ["title"],
        **fixed,
    }
    get = {
        "access": "read",
        "summary": "Get an item by its title.",
        "docs": DOCS,
        "method": "GET",
        "path": "/items/{title}",
        "input": {"title": {"in": "path", **TITLE}},
        "required": ["title"],
        **fixed,
    }
    return {"items.create": create, "items.get": get}
