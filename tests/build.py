"""Providers made for a test: a small manifest, loaded by the real loader."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from sidecar.adapters.json_schema import compile_schema
from sidecar.adapters.yaml_file import read_yaml
from sidecar.catalogue.load import load_provider
from sidecar.ports import Formats
from sidecar.provider import Provider

FORMATS = Formats(read_yaml, compile_schema)
BASE = "https://api.acme.example/v1"
MANIFEST: dict[str, Any] = {
    "format": 1,
    "name": "acme",
    "title": "Acme",
    "version": "1",
    "docs": "https://docs.acme.example",
    "base_url": {"kind": "fixed", "url": BASE},
    "auth": [{"kind": "bearer"}],
}
GET_ITEM: dict[str, Any] = {
    "access": "read",
    "summary": "Get an item.",
    "method": "GET",
    "path": "/items/{id}",
    "docs": "https://docs.acme.example/items",
    "input": {"id": {"in": "path", "type": "string"}},
    "required": ["id"],
}
CREATE_ITEM: dict[str, Any] = {
    "access": "write",
    "summary": "Create an item.",
    "method": "POST",
    "path": "/items",
    "docs": "https://docs.acme.example/items",
    "input": {"title": {"in": "body", "type": "string"}},
    "required": ["title"],
}
OPERATIONS: dict[str, Any] = {"items.get": GET_ITEM, "items.create": CREATE_ITEM}


def write_provider(
    folder: Path, *, operations: Mapping[str, Any] = OPERATIONS, code: str | None = None, **facts: Any
) -> Path:
    """The folder of a provider called `acme` (unless `name` says otherwise), below `folder`; `code` is its hooks.py."""
    manifest = MANIFEST | facts
    place = folder / str(manifest["name"])
    (place / "operations").mkdir(parents=True)
    # Every JSON text is a YAML text.
    (place / "provider.yaml").write_bytes(msgspec.json.encode(manifest))
    (place / "operations" / "all.yaml").write_bytes(msgspec.json.encode(operations))
    if code is not None:
        (place / "hooks.py").write_text(code)
    return place


def provider(*, operations: Mapping[str, Any] = OPERATIONS, code: str | None = None, **facts: Any) -> Provider:
    """The provider as the loader gives it."""
    with tempfile.TemporaryDirectory() as folder:
        return load_provider(write_provider(Path(folder), operations=operations, code=code, **facts), FORMATS)
