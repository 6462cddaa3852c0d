"""Conformance: what is wrong with a provider's folder, found before any account or network is needed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import msgspec

from sidecar.catalogue.load import load_provider
from sidecar.catalogue.read import ManifestError
from sidecar.fact import Fact
from sidecar.manifest import Manifest
from sidecar.manifest import Operation as OperationFact
from sidecar.ports import Formats
from sidecar.provider import Provider
from sidecar.sandbox.case import Case
from sidecar.sandbox.cover import unproved
from sidecar.sandbox.play import play
from sidecar.sandbox.read import read_cases

SENTENCE = re.compile(r"[A-Z\"'`].*\.", re.DOTALL)
NEXT_SENTENCE = re.compile(r"[.!?] +[A-Z]")
MAX_SUMMARY = 200


class Finding(msgspec.Struct, frozen=True):
    """One thing about a provider's folder. A `note` is for the reader alone, anything else must be mended."""

    where: str
    wrong: str
    todo: str = ""
    note: bool = False


def check_provider(folder: Path, formats: Formats) -> list[Finding]:
    """Everything that is wrong with the provider in this folder, and what its author marked as unverified."""
    try:
        provider = load_provider(folder, formats)
        files = read_cases(folder, formats.read_yaml)
    except ManifestError as error:
        told = [line.removeprefix(f"{folder}/").partition(": ") for line in str(error).splitlines()]
        return [Finding(file, rest, "connectors/README.md lists every key and its rule") for file, _, rest in told]
    cases = [case for inside in files.values() for case in inside]
    return [
        *_documents(provider.manifest),
        *_operations(provider),
        *_names(files),
        *anyio.run(_played, provider, files),
        *(Finding(*found) for found in unproved(provider, cases)),
        *(Finding("unverified", what, note=True) for what in provider.manifest.unverified),
    ]


def _documents(manifest: Manifest) -> Iterator[Finding]:
    """Facts without the page that says them."""
    required: list[tuple[str, Fact]] = [("provider.yaml", manifest), ("base_url", manifest.base_url)]
    listed: dict[str, tuple[Fact, ...]] = {
        "auth": manifest.auth,
        "quotas": manifest.quotas,
        "limits_told": manifest.limits_told,
        "retry_after": manifest.retry_after,
    }
    for name, facts in listed.items():
        required += [(f"{name}.{index}", fact) for index, fact in enumerate(facts)]
    if manifest.success is not None:
        required.append(("success", manifest.success))
    if manifest.errors.code or manifest.errors.message or manifest.errors.rules:
        required.append(("errors", manifest.errors))
    for where, fact in required:
        if fact.docs is None:
            yield Finding(where, "has no docs", "add the https URL of the provider's page that says it")
    yield from _addresses("provider.yaml", manifest)


def _addresses(where: str, value: Any) -> Iterator[Finding]:
    """Every `docs` within that is not an https URL."""
    if isinstance(value, Fact) and value.docs is not None and not re.fullmatch(r"https://\S+", value.docs):
        yield Finding(where, f"docs is not an https URL: {value.docs!r}", "give the provider's own page")
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            inner = getattr(value, name)
            if isinstance(inner, tuple):
                for index, item in enumerate(inner):
                    yield from _addresses(f"{name}.{index}", item)
            elif isinstance(inner, msgspec.Struct):
                yield from _addresses(name, inner)


def _operations(provider: Provider) -> Iterator[Finding]:
    for name, operation in provider.operations.items():
        if not operation.raw:
            yield from _addresses(name, operation.fact)
            yield from _words(name, operation.fact)


def _words(name: str, fact: OperationFact) -> Iterator[Finding]:
    """What an agent reads of an operation: its summary and its inputs."""
    summary = fact.summary.strip()
    if not SENTENCE.fullmatch(summary) or NEXT_SENTENCE.search(summary) or len(summary) > MAX_SUMMARY:
        rule = f"write one sentence, with a full stop, of at most {MAX_SUMMARY} characters"
        yield Finding(f"{name}.summary", f"is not one sentence: {summary!r}", rule)
    for field_name, field in fact.input.items():
        if not (field.description or "").strip():
            yield Finding(f"{name}.input.{field_name}", "has no description", "say what it is, and what it does")


def _names(files: Mapping[str, Sequence[Case]]) -> Iterator[Finding]:
    counted = Counter(case.name for cases in files.values() for case in cases)
    for name, times in counted.items():
        if times > 1:
            yield Finding(f"case {name!r}", f"stands {times} times", "give each case a name of its own")


async def _played(provider: Provider, files: Mapping[str, Sequence[Case]]) -> list[Finding]:
    todo = "mend the operation where the provider's page says what the case says, else the case"
    return [
        Finding(f"{file}: {case.name}", wrong, todo)
        for file, cases in files.items()
        for case in cases
        for wrong in await play(provider, case)
    ]
