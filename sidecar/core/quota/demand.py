"""What one exchange must pass: the manifest's quotas, and what a connection says of its server, as limits with keys.

A key tells everything that makes a budget another one, so that equal keys mean equal limits. Between bars stand the
provider, whose budget it is, and its name: `slack|acme|alice|channel:C024BE91L|post`. Names are encoded as in subjects;
what is none of those is marked by a sign that no encoded name holds: `@` a server, `=` an account, `:` behind an input.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from sidecar.core.base_url import connection_url
from sidecar.core.quota.limit import Demand, Limit, Tokens, Want, Window
from sidecar.credential import Credential, OwnLimit
from sidecar.manifest import BaseUrl, KeptUrl, Quota
from sidecar.model import Failure
from sidecar.provider import Operation, Provider
from sidecar.wire.subject import encode_token

TOLD = "told"  # no quota of a manifest: closed by what the provider says
SERVER = re.compile(r"[a-z0-9.:/_\[\]-]{1,80}")
LONGEST_NAME = 80
MAX_KNOWN = 1_024  # demands of one operation that are kept
WIDTH = ("connection", "account", "tenant", "app")


class Caller(msgspec.Struct, frozen=True):
    """Whose exchange it is. `account`: who the provider says it is; `server`: where (host and path, in lower case),
    unless everybody's is there; `limits`: what the connection says of its server.
    """

    tenant: str
    connection: str
    account: str | None = None
    server: str | None = None
    limits: tuple[OwnLimit, ...] = ()


def caller_of(provider: Provider, tenant: str, connection: str, credential: Credential) -> Caller:
    """Whose exchange it is that this credential proves. It is kept with the credential: its next call is the same's."""
    fact, kept = provider.manifest.base_url, vars(credential)
    known = kept.get("caller")
    if known is None or known[0] is not fact or known[1].tenant != tenant or known[1].connection != connection:
        known = kept["caller"] = fact, _caller(fact, tenant, connection, credential)
    caller: Caller = known[1]
    return caller


def _caller(fact: BaseUrl, tenant: str, connection: str, credential: Credential) -> Caller:
    server = None
    if isinstance(fact, KeptUrl) or credential.base_url is not None:
        url = connection_url(fact, credential)
        server = None if isinstance(url, Failure) else url.partition("://")[2].lower()
    return Caller(tenant, connection, credential.account, server, credential.limits)


class Tariff:
    """What the exchanges of one operation must pass. Keeps the demands that it made, as the next call has the same."""

    def __init__(self, provider: Provider, operation: Operation) -> None:
        self._provider = provider.name
        self._operation = operation.name
        quotas = provider.manifest.quotas
        self._quotas = tuple(quota for quota in quotas if quota.cost(operation.name))
        self._inputs = () if operation.raw else tuple(sorted({name for quota in self._quotas for name in quota.by}))
        self._widest = max((quota.scope for quota in quotas), key=WIDTH.index, default="connection")
        self._known: dict[tuple[Caller, tuple[str | None, ...]], Demand] = {}

    def demand(self, caller: Caller, values: Mapping[str, Any]) -> Demand:
        """What an exchange with this input must pass. `values` are the input as the caller gave it."""
        chosen = tuple(_value(values.get(name)) for name in self._inputs) if self._inputs else ()
        about = (caller, chosen)
        known = self._known.get(about)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[about] = self._made(caller, dict(zip(self._inputs, chosen, strict=True)))
        return known

    def _made(self, caller: Caller, chosen: Mapping[str, str | None]) -> Demand:
        priced = [(quota, want) for quota in self._quotas for want in self._wants(quota, caller, chosen)]
        return Demand(
            family=_key(self._provider, _family(self._widest, caller)),
            told=_key(self._provider, _whose("connection", caller), TOLD),
            wants=tuple(want for _, want in priced),
            blame=_blame(priced),
        )

    def _wants(self, quota: Quota, caller: Caller, chosen: Mapping[str, str | None]) -> list[Want]:
        """What the quota asks of it: one limit, or two where the connection narrows a budget that is not its alone."""
        parts = [f"{name}:{value}" for name in quota.by if (value := chosen.get(name)) is not None]
        if quota.each_operation:
            parts.append(self._operation)
        own = tuple(limit for limit in caller.limits if limit.quota == quota.name)
        said = f"={','.join(limit.figures for limit in own)}" if own else ""
        cost = quota.cost(self._operation)

        def want(scope: str, limit: Limit, said: str) -> list[Want]:
            key = _key(self._provider, _whose(scope, caller), *parts, f"{quota.name}{said}")
            limited = limit.windows or limit.tokens or limit.slots
            return [Want(msgspec.structs.replace(limit, key=key), cost)] if limited else []

        limit = _limit(quota)
        if not own:
            return want(quota.scope, limit, "")
        if quota.set_by_connection:
            return want(quota.scope, _replaced(limit, own), said)
        if quota.scope == "connection":
            return want(quota.scope, _narrowed(limit, own), said)
        nothing = Limit("", quota.name, variation=limit.variation)
        return [*want(quota.scope, limit, ""), *want("connection", _replaced(nothing, own), said)]


def _limit(quota: Quota) -> Limit:
    """The manifest's figures."""
    windows = tuple(Window(window.units, window.seconds) for window in quota.windows)
    tokens = Tokens(quota.bucket.rate, quota.bucket.burst) if quota.bucket else None
    return Limit("", quota.name, windows, tokens, quota.concurrency, quota.variation_ms / 1000)


def _replaced(limit: Limit, own: tuple[OwnLimit, ...]) -> Limit:
    """The connection's figures in place of the manifest's, for rate and slots apart."""
    windows, slots = _figures(own)
    return Limit(
        limit.key,
        limit.bucket,
        windows or limit.windows,
        None if windows else limit.tokens,
        slots or limit.slots,
        limit.variation,
    )


def _narrowed(limit: Limit, own: tuple[OwnLimit, ...]) -> Limit:
    """Both hold: nothing that a connection says makes more of a budget."""
    windows, slots = _figures(own)
    slots = min((count for count in (slots, limit.slots) if count is not None), default=None)
    return msgspec.structs.replace(limit, windows=(*limit.windows, *windows), slots=slots)


def _figures(own: tuple[OwnLimit, ...]) -> tuple[tuple[Window, ...], int | None]:
    windows = tuple(Window(limit.units, limit.seconds) for limit in own if limit.seconds is not None)
    return windows, min((limit.units for limit in own if limit.seconds is None), default=None)


def _blame(priced: list[tuple[Quota, Want]]) -> tuple[str, ...]:
    """The limits that "not now" is most likely about: those of this operation alone, else those of the fewest callers.

    A slot comes back by itself: where there are no others, the connection waits.
    """
    paced = [(quota, want.limit) for quota, want in priced if want.limit.windows or want.limit.tokens]
    narrow = [
        (quota, limit) for quota, limit in paced if quota.by or quota.each_operation or quota.operations != ("*",)
    ]
    if narrow:
        return tuple(limit.key for _, limit in narrow)
    least = min((WIDTH.index(quota.scope) for quota, _ in paced), default=0)
    return tuple(limit.key for quota, limit in paced if WIDTH.index(quota.scope) == least)


def _family(widest: str, caller: Caller) -> tuple[str, ...]:
    """The names of those who may share a limit of the provider with it."""
    return (encode_token(caller.tenant),) if widest in {"tenant", "account"} else _whose(widest, caller)


def _whose(scope: str, caller: Caller) -> tuple[str, ...]:
    """The names of those that a budget of this scope belongs to."""
    server = () if caller.server is None else (f"@{_server(caller.server)}",)
    match scope:
        case "app":
            return server
        case "tenant":
            return (encode_token(caller.tenant), *server)
        case "account" if caller.account is not None:
            return (encode_token(caller.tenant), f"={_short(caller.account)}", *server)
        case _:
            return (encode_token(caller.tenant), encode_token(caller.connection))


def _key(provider: str, whose: tuple[str, ...], *parts: str) -> str:
    return "|".join((provider, *whose, *parts))


def _value(value: Any) -> str | None:
    """The value of an input, by which budgets are told apart: 7 and "7" are one to every provider."""
    if value is None:
        return None
    return _short(value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode())


def _server(name: str) -> str:
    """As people know it; what could be taken for something else is encoded."""
    return name if SERVER.fullmatch(name) else _short(name)


def _short(text: str) -> str:
    """The name as it stands in a key: what is long is told by its digest."""
    if len(text) <= LONGEST_NAME:
        return encode_token(text)
    return f"~{hashlib.sha256(text.encode()).hexdigest()[:32]}"
