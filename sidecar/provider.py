"""A provider ready to serve: its manifest, its operations with compiled input schemas, and its hooks.

Hooks are pure functions without clock or random, from this closed list of signatures:

- `input(input: dict) -> dict`: shape the validated input before it is rendered; `call_id` in it is the call's own id
  (with an idempotency key: one that every call with this key and input has), for providers that let a client choose an
  id, so that the same call sent twice is one thing;
- `output(body: object) -> object`: shape the decoded answer of a success into the operation's output;
- `explain(status: int, headers: Mapping[str, str], body: object) -> Explained`: what a failed answer says, where
  paths cannot say it (header names in lower case; `body` is decoded JSON, or None).

As loaded they raise HookFailed and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from sidecar import manifest
from sidecar.manifest import Verify
from sidecar.model import Access, Problem
from sidecar.ports import SchemaProblems

RAW_READ = "http.get"
RAW_WRITE = "http.request"
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})  # RFC 9110 section 9.2.2


class Explained(msgspec.Struct, frozen=True):
    """What a failed answer says: the provider's code, its message, and its findings by JSON pointer. `retry_at`: where
    it says in words when to come back, that moment in Unix seconds by the provider's clock.
    """

    code: str | None = None
    message: str | None = None
    problems: tuple[Problem, ...] = ()
    retry_at: float | None = None


class HookFailed(Exception):
    """A hook raised, or gave what it may not; the cause says what. `place`: file and line."""

    def __init__(self, hook: str, provider: str, place: str) -> None:
        super().__init__(f"hook {hook} of provider {provider} failed")
        self.place = place


InputHook = Callable[[dict[str, Any]], dict[str, Any]]
OutputHook = Callable[[Any], Any]
ExplainHook = Callable[[int, Mapping[str, str], Any], Explained]


class Parameter(msgspec.Struct, frozen=True):
    """One input and where it goes. `wire` is the provider's name; in a JSON body a path of names.

    `file_name` and `name_from` are the inputs that hold the file name and the provider's name of a multipart part;
    `base64`: the value is bytes, or a list of them in a multipart body.
    """

    name: str
    place: str
    wire: tuple[str, ...]
    style: str | None = None
    base64: bool = False
    file_name: str | None = None
    name_from: str | None = None


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation, from a curated manifest or built in (`http.get`, `http.request`). `looked_up_by`: inputs that its
    look-up asks for too, all that it needs; None where it needs others.
    """

    provider: str
    name: str
    fact: manifest.Operation
    parameters: tuple[Parameter, ...]
    input_schema: Mapping[str, object]
    problems: SchemaProblems
    raw: bool = False
    input_hook: InputHook | None = None
    output_hook: OutputHook | None = None
    looked_up_by: tuple[str, ...] | None = None

    @property
    def access(self) -> Access:
        return self.fact.access

    def repeatable(self, method: str) -> bool:
        """Whether sending it twice does what sending it once does: it changes nothing, or its method is idempotent."""
        if self.fact.repeatable is not None:
            return self.fact.repeatable
        return self.access is Access.READ or method in IDEMPOTENT_METHODS - {"GET", "HEAD", "OPTIONS"}


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One provider as loaded. `digest` is a SHA-256 over the bytes it was loaded from."""

    manifest: manifest.Manifest
    operations: Mapping[str, Operation]
    explain: ExplainHook | None
    digest: str

    @property
    def name(self) -> str:
        return self.manifest.name

    def verification(self, kind: str) -> Verify | None:
        """The call that shows whether a credential of this kind works."""
        return self.manifest.verify_as.get(kind, self.manifest.verify)


class Catalogue(msgspec.Struct, frozen=True):
    """Every provider served, and one hash over them all."""

    providers: Mapping[str, Provider]
    digest: str

    def operation(self, provider: str, name: str) -> Operation | None:
        found = self.providers.get(provider)
        return found.operations.get(name) if found else None
