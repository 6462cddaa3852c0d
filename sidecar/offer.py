"""Which flow is offered for what an agent asks: which kind, at which server, for whose account; or why none. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sidecar.auth.apps import App
from sidecar.auth.flow import may_return, scopes_for
from sidecar.auth.kind import auth_of, kind_of
from sidecar.core.base_url import base_url
from sidecar.credential import Credential, Status
from sidecar.kinds import OAuth2
from sidecar.manifest import KeptUrl, SelfHosted
from sidecar.model import Failure, Problem, Reason
from sidecar.provider import Provider
from sidecar.store.credential import Revised
from sidecar.store.flow import Flow
from sidecar.wire.connect import StartRequest
from sidecar.wire.subject import ConnectAddress

UNREADABLE = frozenset({Reason.CREDENTIAL_CORRUPT, Reason.KEY_UNAVAILABLE})  # the record, which connecting replaces


def consent_of(provider: Provider, kind: str | None) -> OAuth2 | Failure:
    """The kind of credential that a person consents to."""
    kinds = [auth for auth in provider.manifest.auth if isinstance(auth, OAuth2)]
    auth = auth_of(kinds, kind) if kind is not None else kinds[0] if kinds else None
    if isinstance(auth, OAuth2):
        return auth if provider.verification(kind_of(auth)) is not None else _unverifiable(provider)
    names = ", ".join(kind_of(auth) for auth in provider.manifest.auth)
    title = provider.manifest.title
    if kinds:
        problem = Problem("/kind", f"must be {kind_of(kinds[0])}", (kind_of(kinds[0]),))
        return Failure(reason=Reason.VALIDATION, detail=f"/kind {problem.detail}", problems=(problem,))
    return Failure(
        reason=Reason.VALIDATION,
        detail=f"{title} has no consent by link; it takes: {names}",
        hint=f"import a credential: sidecar connection import {provider.name}",
    )


def _unverifiable(provider: Provider) -> Failure:
    detail = f"{provider.manifest.title} names no call that says whose an account is: its manifest needs `verify`"
    return Failure(reason=Reason.VALIDATION, detail=detail)


def connected_before(address: ConnectAddress, there: Revised | Failure | None) -> Credential | Failure | None:
    """What the connection is now; None where it may become anything. What is disabled is not connected around."""
    if not isinstance(there, Revised) or there.credential.status is Status.REVOKED:
        return there if isinstance(there, Failure) and there.reason not in UNREADABLE else None
    if there.credential.status is Status.DISABLED:
        who = f"connection {address.connection} of {address.provider}"
        return Failure(
            reason=Reason.CONNECTION_DISABLED, detail=f"{who} is disabled; an operator has to enable it first"
        )
    return there.credential


def flow_for(
    provider: Provider,
    auth: OAuth2,
    app: App,
    asked: StartRequest,
    known: Credential | None,
    return_urls: Sequence[str],
) -> Flow | Failure:
    """The flow that is asked for. An account that is known already is the one that is expected again."""
    given = _server(provider, app, asked, known)
    problems = []
    if not isinstance(provider.manifest.base_url, KeptUrl) or given is not None:
        url = base_url(provider.manifest.base_url, given)
        if isinstance(url, Failure):
            problems.append(Problem("/base_url", url.detail.removeprefix("base_url: ")))
        elif not _is_trusted(provider, app, given, known):
            problems.append(Problem("/base_url", "is not among `servers` in the file of the OAuth app"))
    if asked.return_to is not None and not may_return(asked.return_to, return_urls):
        problems.append(Problem("/return_to", "is not one of SIDECAR_RETURN_URLS, or below one of them"))
    if problems:
        detail = "; ".join(f"{problem.pointer} {problem.detail}" for problem in problems)
        return Failure(reason=Reason.VALIDATION, detail=detail, problems=tuple(problems))
    expected = asked.expected_account if asked.expected_account is not None or known is None else known.account
    return Flow(
        kind=kind_of(auth),
        scopes=scopes_for(auth, provider.operations, asked.operations),
        valid_seconds=asked.valid_seconds,
        base_url=given,
        expected_account=expected or None,
        return_to=asked.return_to,
    )


def as_before(auth: OAuth2, flow: Flow, known: Credential | None) -> Flow:
    """The flow with those of its scopes that were granted before; with all where the provider calls what it granted by
    other names.
    """
    if known is None or known.tokens is None:
        return flow
    granted = known.tokens.scopes
    kept = tuple(scope for scope in flow.scopes if scope in granted or scope in auth.always)
    return msgspec.structs.replace(flow, scopes=kept) if set(kept) - set(auth.always) else flow


def _server(provider: Provider, app: App, asked: StartRequest, known: Credential | None) -> str | None:
    """What is put into the base URL: as asked, as it was, or the one server that the app is for."""
    if asked.base_url is not None:
        return asked.base_url
    if known is not None:
        return known.base_url
    alone = isinstance(provider.manifest.base_url, SelfHosted) and len(app.servers) == 1
    return app.servers[0] if alone else None


def _is_trusted(provider: Provider, app: App, given: str | None, known: Credential | None) -> bool:
    """Whether an operator named the server. It is sent the app's secret, or what its owner consents to: at one that an
    agent names, the agent would have them.
    """
    fact = provider.manifest.base_url
    if not isinstance(fact, SelfHosted) or given is None or (known is not None and given == known.base_url):
        return True
    return base_url(fact, given) in {base_url(fact, server) for server in app.servers}
