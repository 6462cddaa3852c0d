"""Read a provider's files into strict structs; a mistake is told with file and key path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sidecar.manifest import Field, Manifest, Operation
from sidecar.ports import FormatError

ReadYaml = Callable[[str], object]

PROVIDER = Path("provider.yaml")
READ = frozenset({Path("operations"), Path("cases")})
DATA = frozenset({".yaml", ".yml", ".json"})


class ManifestError(Exception):
    """A provider's folder cannot be served. Each line of the message names file, key path and rule."""


def read_manifest(path: Path, read_yaml: ReadYaml) -> Manifest:
    manifest: Manifest = convert(path, read(path, read_yaml), Manifest)
    return manifest


def read_operations(path: Path, read_yaml: ReadYaml) -> dict[str, Operation]:
    """The operations of one file, by name."""
    values = read(path, read_yaml)
    if not isinstance(values, Mapping):
        raise ManifestError(f"{path}: must be a mapping of operation name to operation")
    return {str(name): _operation(path, str(name), value) for name, value in values.items()}


def read(path: Path, read_yaml: ReadYaml) -> Any:
    try:
        return read_yaml(path.read_text(encoding="utf-8"))
    except FormatError as error:
        raise ManifestError(f"{path}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read: {error}") from error


def convert(path: Path, value: Any, kind: Any, at: str = "") -> Any:
    """The value as the struct; an error says where below `at` it is."""
    try:
        return msgspec.convert(value, type=kind, strict=True)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at ")
        below = place.strip("`").removeprefix("$")
        where = f"{at}{below}".lstrip(".")
        raise ManifestError(f"{path}: {where + ': ' if where else ''}{text}") from error


def refuse_strays(folder: Path) -> None:
    """Raise ManifestError for each file that looks like a part of the provider and would not be read."""
    strays = [file for file in sorted(folder.rglob("*")) if _is_stray(file.relative_to(folder))]
    if strays:
        raise ManifestError("\n".join(f"{file}: is not read: {_instead(file.relative_to(folder))}" for file in strays))


def refuse(path: Path, mistakes: Iterable[str]) -> None:
    """Raise ManifestError with every mistake that there is in the file; nothing where there is none."""
    lines = [f"{path}: {mistake}" for mistake in mistakes]
    if lines:
        raise ManifestError("\n".join(lines))


def _is_stray(file: Path) -> bool:
    if file.suffix.lower() not in DATA or any(part.startswith(".") for part in file.parts):
        return False
    return file != PROVIDER and not (file.suffix == ".yaml" and file.parent in READ)


def _instead(file: Path) -> str:
    yaml = file.with_suffix(".yaml")
    if yaml != file and (yaml == PROVIDER or yaml.parent in READ):
        return f"rename to {yaml.name}"
    return "operations stand in operations/*.yaml, cases in cases/*.yaml"


def _operation(path: Path, name: str, value: Any) -> Operation:
    """One operation; its inputs are read one by one first, since an error inside a mapping does not name the key."""
    if isinstance(value, Mapping) and isinstance(value.get("input"), Mapping):
        for field, schema in value["input"].items():
            convert(path, schema, Field, f"{name}.input.{field}")
    operation: Operation = convert(path, value, Operation, name)
    return operation
