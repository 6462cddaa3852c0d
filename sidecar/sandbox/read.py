"""Read a provider's cases; a mistake is told with file, place and rule."""

from __future__ import annotations

from pathlib import Path

from sidecar.catalogue.load import provider_folders
from sidecar.catalogue.read import ManifestError, ReadYaml, convert, read
from sidecar.sandbox.case import Case


def read_cases(folder: Path, read_yaml: ReadYaml) -> dict[str, list[Case]]:
    """The cases of one provider's folder by file, each file a list. Raises ManifestError."""
    found: dict[str, list[Case]] = {}
    for file in sorted((folder / "cases").glob("*.yaml")):
        values = read(file, read_yaml)
        if not isinstance(values, list):
            raise ManifestError(f"{file}: must be a list of cases")
        found[f"cases/{file.name}"] = [_case(file, index, value) for index, value in enumerate(values)]
    return found


def all_cases(folders: list[Path], read_yaml: ReadYaml) -> dict[str, list[Case]]:
    """The cases of every provider below the folders, by provider."""
    places = [place for folder in folders for place in provider_folders(folder)]
    return {place.name: [case for cases in read_cases(place, read_yaml).values() for case in cases] for place in places}


def _case(file: Path, index: int, value: object) -> Case:
    """One case; its mistakes are told by its name where it has one."""
    name = value.get("name") if isinstance(value, dict) else None
    case: Case = convert(file, value, Case, f"case {name!r}" if isinstance(name, str) else f"case {index + 1}")
    return case
