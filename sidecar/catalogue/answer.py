"""Discovery: what an agent can ask of the catalogue, answered from memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec

from sidecar.auth.kind import fields_of, kind_of, optional_fields_of
from sidecar.catalogue.listed_quota import ListedQuota, listed_quota
from sidecar.catalogue.validate import nearest
from sidecar.kinds import Auth, JwtBearer, OAuth2
from sidecar.manifest import BaseUrl, SelfHosted, Subdomain
from sidecar.model import Access, Failure, Outcome, Reason, Success
from sidecar.provider import Catalogue, Operation, Provider
from sidecar.wire.subject import CatalogAddress

VERBS = ("providers", "operations", "describe", "search", "tools")
TAKES = {"providers": "", "search": "", "operations": " a provider and", "tools": " a provider and"}  # and nothing more
SEARCH_LIMIT = 20
MAX_WORDS = 50  # of a search
ToolFormat = Literal["openai", "anthropic", "gemini", "mcp"]
TOOL_FORMATS: tuple[str, ...] = get_args(ToolFormat)


class ListedAuth(msgspec.Struct, frozen=True):
    """A kind of credential that a provider takes, the fields that an import of it gives, and those that it may give.
    `file`: by which names a key file that the provider hands out has them; `app`: how an OAuth app is made there.
    """

    kind: str
    fields: tuple[str, ...]
    optional: tuple[str, ...] = ()
    file: dict[str, str] = {}
    app: tuple[str, ...] = ()


class ListedProvider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as `providers` lists it."""

    name: str
    title: str
    version: str
    operations: int
    auth: tuple[ListedAuth, ...]
    base_url: str
    docs: str | None = None
    quotas: tuple[ListedQuota, ...] = ()
    base_url_needed: bool = False


class ListedOperation(msgspec.Struct, frozen=True, kw_only=True):
    """An operation as `operations` and `search` list it."""

    provider: str
    operation: str
    access: Access
    summary: str


class DescribedOperation(ListedOperation, frozen=True, kw_only=True):
    """An operation as `describe` shows it, with the JSON Schema of its input."""

    request: str
    pages: bool
    docs: str | None = None
    input_schema: Mapping[str, Any]


class SearchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of `search`."""

    query: str
    limit: Annotated[int, msgspec.Meta(ge=1)] = SEARCH_LIMIT


class ToolsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of `tools`."""

    format: ToolFormat = "mcp"


class NoRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of the other verbs: nothing is asked."""


def answer(catalogue: Catalogue, address: CatalogAddress, asked: dict[str, Any]) -> Outcome:
    """The answer to `sidecar.catalog.<tenant>.<verb>...`; `asked` is the payload."""
    wrong = _wrong_subject(address)
    if wrong is not None:
        return Failure(reason=Reason.MALFORMED, detail=wrong)
    try:
        match address.verb:
            case "search":
                return _search(catalogue, msgspec.convert(asked, SearchRequest))
            case "tools":
                return _tools(catalogue, address, msgspec.convert(asked, ToolsRequest))
            case verb:
                msgspec.convert(asked, NoRequest)
                return _providers(catalogue) if verb == "providers" else _of_provider(catalogue, address)
    except msgspec.ValidationError as error:
        return Failure(reason=Reason.VALIDATION, detail=str(error)[:500], hint=_form(address.verb))


def _wrong_subject(address: CatalogAddress) -> str | None:
    """What is wrong with the verb, or stands behind it and would be ignored."""
    verb = address.verb
    if verb not in VERBS:
        close = nearest(verb, VERBS)
        meant = f"; did you mean {close}?" if close else ""
        return f"there is no catalogue verb {verb[:80]!r}{meant}; verbs: {', '.join(VERBS)}"
    most = {"describe": 2, "operations": 1, "tools": 1}.get(verb, 0)
    given = [part for part in (address.provider, address.operation) if part is not None]
    return f"{verb} takes{TAKES[verb]} nothing more" if len(given) > most else None


def _form(verb: str) -> str:
    match verb:
        case "search":
            return f'send {{"query": "words", "limit": {SEARCH_LIMIT}}}'
        case "tools":
            return f'send {{"format": "mcp"}}, or one of: {", ".join(TOOL_FORMATS)}'
        case _:
            return "leave the payload empty"


def unknown_provider(catalogue: Catalogue, name: str | None) -> Failure:
    close = nearest(name or "", catalogue.providers)
    served = ", ".join(sorted(catalogue.providers))
    what = f"provider {name} is not served here" if name else "name a provider"
    return Failure(
        reason=Reason.UNKNOWN_PROVIDER,
        detail=f"{what}; did you mean {close}?" if close else what,
        hint=f"served: {served}",
    )


def _of_provider(catalogue: Catalogue, address: CatalogAddress) -> Outcome:
    """Its operations, or one of them described."""
    provider = catalogue.providers.get(address.provider or "")
    if provider is None:
        return unknown_provider(catalogue, address.provider)
    if address.verb == "operations":
        return _success([_operation(operation) for operation in provider.operations.values()])
    operation = provider.operations.get(address.operation or "")
    if operation is None:
        close = nearest(address.operation or "", provider.operations)
        asked = f"{provider.name} has no operation {address.operation}" if address.operation else "name an operation"
        detail = f"{asked}; did you mean {close}?" if close else asked
        return Failure(reason=Reason.UNKNOWN_OPERATION, detail=detail)
    return _success(_described(operation))


def _providers(catalogue: Catalogue) -> Success:
    return _success([_provider(provider) for provider in catalogue.providers.values()])


def _search(catalogue: Catalogue, asked: SearchRequest) -> Success:
    """The operations whose name and summary hold the most words of `query`."""
    words = list(dict.fromkeys(asked.query.lower().split()))[:MAX_WORDS]
    scored = [(_score(operation, words), operation) for operation in _operations(catalogue)]
    found = sorted((item for item in scored if item[0]), key=lambda item: (-item[0], item[1].provider, item[1].name))
    return _success([_operation(operation) for _, operation in found[: asked.limit]])


def _score(operation: Operation, words: list[str]) -> int:
    name, summary = f"{operation.provider} {operation.name}".lower(), operation.fact.summary.lower()
    return sum(3 * (word in name) + (word in summary) for word in words)


def _tools(catalogue: Catalogue, address: CatalogAddress, asked: ToolsRequest) -> Outcome:
    """Operations as tool definitions for language models, of one provider or of all."""
    if address.provider is not None and address.provider not in catalogue.providers:
        return unknown_provider(catalogue, address.provider)
    wanted = [item for item in _operations(catalogue) if address.provider in (None, item.provider) and not item.raw]
    return _success([_tool(operation, asked.format) for operation in wanted])


def _tool(operation: Operation, style: str) -> dict[str, Any]:
    name = f"{operation.provider}_{operation.name}".replace(".", "_")
    summary, schema = operation.fact.summary, operation.input_schema
    match style:
        case "openai":
            return {"type": "function", "function": {"name": name, "description": summary, "parameters": schema}}
        case "anthropic":
            return {"name": name, "description": summary, "input_schema": schema}
        case "gemini":
            return {"name": name, "description": summary, "parametersJsonSchema": schema}
        case _:
            hints = {"readOnlyHint": operation.access is Access.READ}
            return {"name": name, "description": summary, "inputSchema": schema, "annotations": hints}


def _operations(catalogue: Catalogue) -> Iterator[Operation]:
    for provider in catalogue.providers.values():
        yield from provider.operations.values()


def _provider(provider: Provider) -> ListedProvider:
    manifest = provider.manifest
    return ListedProvider(
        name=manifest.name,
        title=manifest.title,
        version=manifest.version,
        operations=len(provider.operations),
        auth=tuple(_listed_auth(auth) for auth in manifest.auth),
        base_url=kind_of_base(provider),
        docs=manifest.docs,
        quotas=tuple(listed_quota(quota) for quota in manifest.quotas),
        base_url_needed=_needed(manifest.base_url),
    )


def _listed_auth(auth: Auth) -> ListedAuth:
    file = auth.file if isinstance(auth, JwtBearer) else {}
    steps = auth.app if isinstance(auth, OAuth2) else ()
    return ListedAuth(kind_of(auth), fields_of(auth), optional_fields_of(auth), file, steps)


def _needed(fact: BaseUrl) -> bool:
    """Whether a connection without one leads nowhere."""
    return isinstance(fact, Subdomain) or (isinstance(fact, SelfHosted) and fact.default is None)


def kind_of_base(provider: Provider) -> str:
    """What a connection may set in the base URL: `fixed`, `subdomain` or `self_hosted`."""
    return str(provider.manifest.base_url.__struct_config__.tag)


def _operation(operation: Operation) -> ListedOperation:
    return ListedOperation(
        provider=operation.provider,
        operation=operation.name,
        access=operation.access,
        summary=operation.fact.summary,
    )


def _described(operation: Operation) -> DescribedOperation:
    fact = operation.fact
    return DescribedOperation(
        provider=operation.provider,
        operation=operation.name,
        access=operation.access,
        summary=fact.summary,
        request=f"{fact.method} {fact.path}" if not operation.raw else "any request below the base URL",
        pages=fact.paging is not None,
        docs=fact.docs,
        input_schema=operation.input_schema,
    )


def _success(body: object) -> Success:
    return Success(body=msgspec.json.encode(body))
