"""Load providers from folders: what the files say, checked as a whole, with hooks found and schemas compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from sidecar.catalogue.hooks import gives_explained, gives_input, gives_output, hook_of, load_hooks
from sidecar.catalogue.manifest_mistakes import manifest_mistakes
from sidecar.catalogue.operation_mistakes import operation_mistakes
from sidecar.catalogue.place_mistakes import Places, credential_places
from sidecar.catalogue.read import ManifestError, read_manifest, read_operations, refuse, refuse_strays
from sidecar.core.dig import path_of
from sidecar.core.raw import RAW_FACTS, RAW_SCHEMAS
from sidecar.manifest import Field
from sidecar.manifest import Operation as OperationFact
from sidecar.model import Access
from sidecar.ports import CompileSchema, FormatError, Formats
from sidecar.provider import Catalogue, Operation, Parameter, Provider
from sidecar.scope import Scope

NOT_SCHEMA = ("in", "name", "nameFrom", "style", "fileName")


def load_catalogue(folders: Iterable[Path], formats: Formats) -> Catalogue:
    """Every provider below the folders. A name that stands in two of them is an error: which one would serve?"""
    providers: dict[str, Provider] = {}
    origin: dict[str, Path] = {}
    for folder in folders:
        for place in provider_folders(folder):
            provider = load_provider(place, formats)
            if provider.name in providers:
                raise ManifestError(f"{place}: provider {provider.name} is already served from {origin[provider.name]}")
            providers[provider.name], origin[provider.name] = provider, place
    return _catalogue(providers)


def narrowed(whole: Catalogue, scope: Scope) -> Catalogue:
    """The catalogue of a sidecar that serves this scope: its providers, and a digest of them alone."""
    return _catalogue({name: provider for name, provider in whole.providers.items() if scope.holds_provider(name)})


def _catalogue(providers: Mapping[str, Provider]) -> Catalogue:
    together = "".join(f"{name}:{providers[name].digest}\n" for name in sorted(providers))
    return Catalogue(providers, hashlib.sha256(together.encode()).hexdigest()[:16])


def provider_folders(folder: Path) -> list[Path]:
    """The provider folders of a folder of providers."""
    if not folder.is_dir():
        raise ManifestError(f"{folder}: is not a folder of providers")
    found = sorted(place.parent for place in folder.glob("*/provider.yaml"))
    for file in sorted((*folder.glob("*/provider.yml"), *folder.glob("*/provider.json"))):
        if file.parent not in found:
            raise ManifestError(f"{file}: is not read: rename to provider.yaml")
    if not found:
        itself = (folder / "provider.yaml").is_file()
        hint = "; it is a provider itself: name its parent" if itself else ""
        raise ManifestError(f"{folder}: holds no <name>/provider.yaml{hint}")
    return found


def load_provider(folder: Path, formats: Formats) -> Provider:
    """The provider of one folder. Raises ManifestError with file and key path."""
    refuse_strays(folder)
    path = folder / "provider.yaml"
    manifest = read_manifest(path, formats.read_yaml)
    files = [path, *sorted((folder / "operations").glob("*.yaml"))]
    hooks_path = folder / "hooks.py"
    hooks = load_hooks(hooks_path, manifest.name) if hooks_path.is_file() else None
    facts = _operation_facts(files[1:], formats, credential_places(manifest.auth))
    operations = {
        name: msgspec.structs.replace(
            _operation(manifest.name, file, name, fact, hooks, formats.compile_schema),
            looked_up_by=_looked_up_by(fact, facts),
        )
        for name, (file, fact) in facts.items()
    }
    if manifest.raw is not None:
        operations |= {name: _raw_operation(manifest.name, name, formats.compile_schema) for name in RAW_FACTS}
    refuse(path, manifest_mistakes(folder.name, manifest, operations))
    read = [*files, hooks_path] if hooks else files
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in read)).hexdigest()
    named = manifest.hooks.explain
    explain = hook_of(hooks, str(path), named, gives_explained) if named else None
    return Provider(manifest=manifest, operations=operations, explain=explain, digest=digest)


def input_schema(fact: OperationFact) -> dict[str, object]:
    """The JSON Schema of an operation's input."""
    properties = {name: _schema(field) for name, field in fact.input.items()}
    schema: dict[str, object] = {"type": "object", "properties": properties, "additionalProperties": False}
    if fact.required:
        schema["required"] = list(fact.required)
    return schema


def _operation_facts(files: Iterable[Path], formats: Formats, places: Places) -> dict[str, tuple[Path, OperationFact]]:
    facts: dict[str, tuple[Path, OperationFact]] = {}
    for file in files:
        for name, fact in read_operations(file, formats.read_yaml).items():
            if name in facts:
                raise ManifestError(f"{file}: {name}: stands in {facts[name][0].name} too")
            refuse(file, (f"{name}: {mistake}" for mistake in operation_mistakes(name, fact, places)))
            facts[name] = (file, fact)
    for name, (file, fact) in facts.items():
        if fact.look_up is not None and (fact.look_up not in facts or facts[fact.look_up][1].access is Access.WRITE):
            refuse(file, [f"{name}: look_up: {fact.look_up!r} is not a read operation of this provider"])
    return facts


def _looked_up_by(fact: OperationFact, facts: Mapping[str, tuple[Path, OperationFact]]) -> tuple[str, ...] | None:
    """What the look-up needs, where the write has it by the same name."""
    needs = facts[fact.look_up][1].required if fact.look_up else ()
    return needs if needs and all(name in fact.input for name in needs) else None


def _operation(
    provider: str,
    file: Path,
    name: str,
    fact: OperationFact,
    hooks: ModuleType | None,
    compile_schema: CompileSchema,
) -> Operation:
    schema, place, named = input_schema(fact), f"{file}: {name}", fact.hooks
    try:
        problems = compile_schema(schema)
    except FormatError as error:
        told = f": {error}".replace(": properties.", ".", 1)
        raise ManifestError(f"{file}: {name}.input{told}") from error
    return Operation(
        provider=provider,
        name=name,
        fact=fact,
        parameters=tuple(_parameter(field_name, field) for field_name, field in fact.input.items()),
        input_schema=schema,
        problems=problems,
        input_hook=hook_of(hooks, place, named.input, gives_input) if named.input else None,
        output_hook=hook_of(hooks, place, named.output, gives_output) if named.output else None,
    )


def _raw_operation(provider: str, name: str, compile_schema: CompileSchema) -> Operation:
    schema = RAW_SCHEMAS[name]
    return Operation(
        provider=provider,
        name=name,
        fact=RAW_FACTS[name],
        parameters=(),
        input_schema=schema,
        problems=compile_schema(schema),
        raw=True,
    )


def _parameter(name: str, field: Field) -> Parameter:
    wire = field.name or name
    return Parameter(
        name=name,
        place=field.place,
        wire=path_of(wire) if field.place == "body" else (wire,),
        style=field.style,
        base64=field.is_bytes if field.place == "body" else field.content_encoding is not None,
        file_name=field.file_name,
        name_from=field.name_from,
    )


def _schema(field: Field) -> dict[str, object]:
    values: dict[str, Any] = msgspec.to_builtins(field)
    return _closed({name: value for name, value in values.items() if name not in NOT_SCHEMA})


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with every object that lists its properties closed, unless it says otherwise."""
    if "properties" in schema:
        schema["properties"] = {name: _closed(inner) for name, inner in schema["properties"].items()}
        schema.setdefault("additionalProperties", False)
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            schema[keyword] = _closed(schema[keyword])
    if "anyOf" in schema:
        schema["anyOf"] = [_closed(inner) for inner in schema["anyOf"]]
    return schema
