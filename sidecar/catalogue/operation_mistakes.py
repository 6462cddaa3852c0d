"""What is wrong with one operation, beyond the form of its parts: what would fail, or be ignored, when it is called."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sidecar.catalogue.body_mistakes import body_mistakes
from sidecar.catalogue.input_mistakes import input_mistakes
from sidecar.catalogue.paging_mistakes import paging_mistakes
from sidecar.catalogue.path_mistakes import path_mistakes, success_mistakes
from sidecar.catalogue.place_mistakes import Places, operation_place_mistakes
from sidecar.core.render import CALL_ID, PLACEHOLDER
from sidecar.manifest import Operation, SuccessTest
from sidecar.wire.subject import OPERATION

BUILT_IN = ("http", "body", "result")  # first words of operations that every provider has
PATH = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})+)+/?|/")  # RFC 3986 section 3.3, no empty segment
IN_BRACES = re.compile(r"\{[^{}/]*\}")


def operation_mistakes(name: str, fact: Operation, places: Places) -> Iterator[str]:
    """Each mistake as `key: rule`. `places` are those of the provider's credentials."""
    if not OPERATION.fullmatch(name) or name.split(".", maxsplit=1)[0] in BUILT_IN:
        yield f"is not a name for an operation: lower-case words of [a-z0-9_] and dots, not starting with {BUILT_IN}"
    if not fact.docs:
        yield "docs: the URL of the provider's page is required"
    for required in fact.required:
        if required not in fact.input:
            yield f"required: there is no input {required!r}"
    yield from _path_mistakes(fact)
    yield from input_mistakes(fact)
    yield from operation_place_mistakes(fact, places)
    yield from body_mistakes(fact)
    yield from _answer_mistakes(fact)


def _path_mistakes(fact: Operation) -> Iterator[str]:
    wrong = [name for name in IN_BRACES.findall(fact.path) if not PLACEHOLDER.fullmatch(name)]
    if wrong:
        yield f"path: {wrong[0]}: a placeholder is a word of [a-z0-9_]"
        return
    plain = PLACEHOLDER.sub("x", fact.path)
    if not PATH.fullmatch(plain) or {".", ".."} & set(plain.split("/")):
        yield f"path: {fact.path!r} must start with / and be a path alone: no query, no segment that is empty, . or .."
    placeholders = set(PLACEHOLDER.findall(fact.path)) - {CALL_ID}
    in_path = {field.name or name: name for name, field in fact.input.items() if field.place == "path"}
    for missing in sorted(placeholders - in_path.keys()):
        yield f"path: {{{missing}}} has no input with `in: path`"
    for wire in sorted(in_path.keys() - placeholders):
        yield f"input.{in_path[wire]}: `in: path`, but the path has no {{{wire}}}"
    for field in in_path.values():
        if field not in fact.required:
            yield f"required: must list {field}, which is part of the path"


def _answer_mistakes(fact: Operation) -> Iterator[str]:
    """What shapes an output that there is none of, and paths that lead nowhere."""
    for index, test in enumerate(fact.tests):
        key = "success" if isinstance(fact.success, SuccessTest) else f"success.{index}"
        yield from success_mistakes(key, test)
    yield from path_mistakes({"output": fact.output})
    yield from paging_mistakes(fact)
    if fact.returns == "json":
        return
    for key, there in (("output", fact.output), ("paging", fact.paging), ("hooks.output", fact.hooks.output)):
        if there is not None:
            yield f"{key}: an operation that returns {fact.returns} has none"
