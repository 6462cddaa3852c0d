"""The generated files as text, and the comparison with those of a folder."""

from __future__ import annotations

import json
from pathlib import Path

from sidecar.schemas.asyncapi import asyncapi
from sidecar.schemas.payload import PAYLOADS, schema

FOLDER = Path(__file__).parents[2] / "schemas"


def files() -> dict[str, str]:
    """Every generated file by its name; the same text on every machine."""
    documents = {f"{name}.json": schema(name) for name in PAYLOADS} | {"asyncapi.json": asyncapi()}
    return {name: _text(document) for name, document in documents.items()}


def write(folder: Path) -> None:
    """Write every file; one that is generated no longer is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    generated = files()
    for name in _present(folder) - set(generated):
        (folder / name).unlink()
    for name, text in generated.items():
        (folder / name).write_text(text, encoding="utf-8")


def drift(folder: Path) -> list[str]:
    """Each file that is not what the code says, in words."""
    generated, present = files(), _present(folder)
    missing = [f"{folder / name} is missing" for name in generated if name not in present]
    left = [f"{folder / name} is generated no longer" for name in present - set(generated)]
    changed = [
        f"{folder / name} is not what the code says"
        for name, text in generated.items()
        if name in present and (folder / name).read_text(encoding="utf-8") != text
    ]
    return sorted([*missing, *left, *changed])


def _present(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.json")}


def _text(document: object) -> str:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
