"""Read a provider's files into strict structs; a mistake is told with file and key path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sidecar.catalogue.allowed import allowed
from sidecar.manifest import Manifest, Operation
from sidecar.ports import FormatError

ReadYaml = Callable[[str], object]

STEP = re.compile(r"\.([^.\[]+)|\[([0-9]+|\.\.\.)\]")  # of a place as msgspec writes it
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
    return {name: convert(path, value, Operation, name) for name, value in values.items()}


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
        text, place = _told(error)
        steps = _steps(value, kind, place)
        below = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
        where = f"{at}{''.join(below)}".lstrip(".")
        told = f"{text}{allowed(text, value, kind, steps)}"
        raise ManifestError(f"{path}: {where + ': ' if where else ''}{told}") from error


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


def _steps(value: Any, kind: Any, place: str) -> list[str | int]:
    """The way to the error. For a key of a mapping msgspec says `[...]`: it is the one that is as wrong alone."""
    steps: list[str | int] = []
    for name, index in STEP.findall(place):
        if index != "...":
            steps.append(int(index) if index else name)
            continue
        for key in _at(value, steps):
            alone = _with_key_alone(value, steps, key)
            if _place(alone, kind) == place:
                value = alone
                steps.append(key)
                break
    return steps


def _at(value: Any, steps: list[str | int]) -> Any:
    for step in steps:
        value = value[step]
    return value


def _with_key_alone(value: Any, steps: list[str | int], key: str) -> Any:
    """The value, in which the mapping at the end of the steps holds this key alone."""
    if not steps:
        return {key: value[key]}
    within = _with_key_alone(value[steps[0]], steps[1:], key)
    if isinstance(value, list):
        return [within if index == steps[0] else item for index, item in enumerate(value)]
    return {**value, steps[0]: within}


def _place(value: Any, kind: Any) -> str | None:
    """Where msgspec finds the first error."""
    try:
        msgspec.convert(value, type=kind, strict=True)
    except msgspec.ValidationError as error:
        return _told(error)[1]
    return None


def _told(error: msgspec.ValidationError) -> tuple[str, str]:
    """The rule, and the place."""
    text, _, place = str(error).partition(" - at ")
    return text, place.strip("`").removeprefix("$")
