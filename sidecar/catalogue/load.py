"""Load providers from folders: what the files say, checked as a whole, with hooks found and schemas compiled."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from sidecar.catalogue.read import ManifestError, read_manifest, read_operations
from sidecar.core.raw import RAW_FACTS, RAW_SCHEMAS
from sidecar.core.render import CALL_ID, PLACEHOLDER
from sidecar.manifest import Field, Manifest
from sidecar.manifest import Operation as OperationFact
from sidecar.model import Access
from sidecar.ports import CompileSchema, FormatError, Formats
from sidecar.provider import Catalogue, Operation, Parameter, Provider
from sidecar.wire.subject import NAME, OPERATION

BUILT_IN = ("http", "body", "result")  # first words of operations that every provider has
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
    together = "".join(f"{name}:{providers[name].digest}\n" for name in sorted(providers))
    return Catalogue(providers, hashlib.sha256(together.encode()).hexdigest()[:16])


def provider_folders(folder: Path) -> list[Path]:
    """The provider folders of a folder of providers."""
    if not folder.is_dir():
        raise ManifestError(f"{folder}: is not a folder of providers")
    return sorted(place.parent for place in folder.glob("*/provider.yaml"))


def load_provider(folder: Path, formats: Formats) -> Provider:
    """The provider of one folder. Raises ManifestError with file and key path."""
    path = folder / "provider.yaml"
    manifest = read_manifest(path, formats.read_yaml)
    files = [path, *sorted((folder / "operations").glob("*.yaml"))]
    hooks_path = folder / "hooks.py"
    hooks = _hooks(hooks_path, manifest.name) if hooks_path.is_file() else None
    facts = _operation_facts(files[1:], formats)
    for mistake in _mistakes(folder, manifest, {name: fact for name, (_, fact) in facts.items()}):
        raise ManifestError(f"{path}: {mistake}")
    operations = {
        name: _operation(manifest.name, file, name, fact, hooks, formats.compile_schema)
        for name, (file, fact) in facts.items()
    }
    if manifest.raw is not None:
        operations |= {name: _raw_operation(manifest.name, name, formats.compile_schema) for name in RAW_FACTS}
    read = [*files, hooks_path] if hooks else files
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in read)).hexdigest()
    explain = _hook(hooks, path, manifest.hooks.explain) if manifest.hooks.explain else None
    return Provider(manifest=manifest, operations=operations, explain=explain, digest=digest)


def input_schema(fact: OperationFact) -> dict[str, object]:
    """The JSON Schema of an operation's input."""
    properties = {name: _schema(field) for name, field in fact.input.items()}
    schema: dict[str, object] = {"type": "object", "properties": properties, "additionalProperties": False}
    if fact.required:
        schema["required"] = list(fact.required)
    return schema


def _operation_facts(files: Iterable[Path], formats: Formats) -> dict[str, tuple[Path, OperationFact]]:
    facts: dict[str, tuple[Path, OperationFact]] = {}
    for file in files:
        for name, fact in read_operations(file, formats.read_yaml).items():
            if name in facts:
                raise ManifestError(f"{file}: {name}: stands in {facts[name][0].name} too")
            for mistake in _operation_mistakes(name, fact):
                raise ManifestError(f"{file}: {name}: {mistake}")
            facts[name] = (file, fact)
    return facts


def _operation(
    provider: str,
    file: Path,
    name: str,
    fact: OperationFact,
    hooks: ModuleType | None,
    compile_schema: CompileSchema,
) -> Operation:
    schema = input_schema(fact)
    try:
        problems = compile_schema(schema)
    except FormatError as error:
        raise ManifestError(f"{file}: {name}.input: {error}") from error
    return Operation(
        provider=provider,
        name=name,
        fact=fact,
        parameters=tuple(_parameter(field_name, field) for field_name, field in fact.input.items()),
        input_schema=schema,
        problems=problems,
        input_hook=_hook(hooks, file, fact.hooks.input) if fact.hooks.input else None,
        output_hook=_hook(hooks, file, fact.hooks.output) if fact.hooks.output else None,
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
        wire=_path_of(wire) if field.place == "body" else (wire,),
        style=field.style,
        base64=field.content_encoding == "base64",
        file_name=field.file_name,
        name_from=field.name_from,
    )


def _path_of(name: str) -> tuple[str, ...]:
    """The path that a dotted name stands for; a dot behind a backslash belongs to the name beside it."""
    return tuple(part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", name))


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


def _mistakes(folder: Path, manifest: Manifest, facts: Mapping[str, OperationFact]) -> Iterator[str]:
    """What is wrong with a provider as a whole, beyond the form of its parts."""
    if manifest.name != folder.name:
        yield f"name: {manifest.name!r} must be the folder's name, {folder.name!r}"
    if not NAME.fullmatch(manifest.name):
        yield f"name: {manifest.name!r} must be a lower-case word of [a-z0-9_]"
    if not manifest.docs:
        yield "docs: the provider's documentation URL is required"
    if not manifest.auth:
        yield "auth: name at least one kind"
    if manifest.verify is not None and manifest.verify.operation not in facts:
        yield f"verify.operation: there is no operation {manifest.verify.operation!r}"
    yield from _limit_mistakes(manifest)
    for name, fact in facts.items():
        if fact.look_up is not None and (fact.look_up not in facts or facts[fact.look_up].access is Access.WRITE):
            yield f"{name}.look_up: {fact.look_up!r} is not a read operation of this provider"


def _limit_mistakes(manifest: Manifest) -> Iterator[str]:
    for quota in manifest.quotas:
        if quota.rate <= 0 or quota.per <= 0 or quota.burst < 1:
            yield f"quotas.{quota.name}: rate and per are above 0, burst is at least 1"
    for index, source in enumerate(manifest.retry_after):
        if (source.header is None) is (source.path is None):
            yield f"retry_after.{index}: name a header or a path, one of them"


def _operation_mistakes(name: str, fact: OperationFact) -> Iterator[str]:
    """What is wrong with one operation, beyond the form of its parts."""
    if not OPERATION.fullmatch(name) or name.split(".", maxsplit=1)[0] in BUILT_IN:
        yield f"is not a name for an operation: lower-case words of [a-z0-9_] and dots, not starting with {BUILT_IN}"
    if not fact.docs:
        yield "docs: the URL of the provider's page is required"
    if not fact.path.startswith("/") or "?" in fact.path or ".." in fact.path:
        yield f"path: {fact.path!r} must start with / and hold no query"
    placeholders = set(PLACEHOLDER.findall(fact.path)) - {CALL_ID}
    in_path = {
        field.name or field_name: field_name for field_name, field in fact.input.items() if field.place == "path"
    }
    for missing in placeholders - in_path.keys():
        yield f"path: {{{missing}}} has no input with `in: path`"
    for wire in in_path.keys() - placeholders:
        yield f"input.{in_path[wire]}: `in: path`, but the path has no {{{wire}}}"
    for field in in_path.values():
        if field not in fact.required:
            yield f"required: must list {field}, which is part of the path"
    for field in fact.required:
        if field not in fact.input:
            yield f"required: there is no input {field!r}"
    yield from _body_mistakes(fact)


def _body_mistakes(fact: OperationFact) -> Iterator[str]:
    places = [field.place for field in fact.input.values()]
    if places.count("content") > 1 or ("content" in places and ("body" in places or fact.fixed.body)):
        yield "input: one `in: content` is the whole body; nothing else can be in it"
    if fact.wrap is not None and fact.encoding != "json":
        yield "wrap: only a JSON body can be wrapped"
    if fact.encoding == "raw" and "body" in places:
        yield "encoding: raw takes its body from one `in: content`"
    for name, field in fact.input.items():
        if field.file_name is not None and field.file_name not in fact.input:
            yield f"input.{name}.fileName: there is no input {field.file_name!r}"
        if field.name_from is not None and (fact.encoding != "multipart" or field.name_from not in fact.required):
            yield f"input.{name}.nameFrom: {field.name_from!r} must be a required input of a multipart body"
    used = {name for field in fact.input.values() for name in (field.file_name, field.name_from)}
    for name, field in fact.input.items():
        if field.place == "none" and name not in used and fact.hooks.input is None:
            yield f"input.{name}: `in: none`, but no input hook and no other input uses it"


def _hooks(path: Path, provider: str) -> ModuleType:
    """The module of hooks, loaded by path under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"connectors_{provider}_hooks", path)
    if spec is None or spec.loader is None:
        raise ManifestError(f"{path}: cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ManifestError(f"{path}: {type(error).__name__}: {error}") from error
    return module


def _hook(hooks: ModuleType | None, file: Path, name: str) -> Callable[..., Any]:
    function = getattr(hooks, name, None)
    if not callable(function):
        raise ManifestError(f"{file}: hooks: there is no function {name!r} in hooks.py")
    found: Callable[..., Any] = function
    return found
