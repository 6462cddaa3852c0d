"""What the doctor sees of grants: which are gone, which end by themselves, which scopes were not given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from sidecar.cli.account import CONSENTED, Connection
from sidecar.cli.doctor_line import Line, fail, warn
from sidecar.kinds import OAuth2
from sidecar.provider import Catalogue, Provider

DAY = 86_400
GRANT_SECONDS = "refresh_token_expires_in"  # how a provider says that a grant ends by itself
SOME = 3  # names in one line
DEAD = "reauth_required"


def grant_lines(catalogue: Catalogue, connections: Sequence[Connection]) -> list[Line]:
    """Which accounts have to be connected again, which will have to be soon, which may do less than there is."""
    lines: list[Line] = []
    by_provider: Mapping[str, list[Connection]] = defaultdict(list)
    for item in connections:
        by_provider[item.provider].append(item)
    for name, items in sorted(by_provider.items()):
        provider = catalogue.providers.get(name)
        auth = oauth2_of(provider) if provider else None
        for item in [item for item in items if item.status == DEAD]:
            seen = f"{item.connection} must be allowed again by its owner: {item.why or 'its grant is gone'}"
            lines.append(fail(name, seen, f"sidecar connect {name} -c {item.connection}{_publish(auth)}"))
        if provider is None or auth is None:
            continue
        active = [item for item in items if item.kind in CONSENTED and item.status == "active"]
        lines += _ending(name, auth, active)
        lines += _narrow(name, provider, auth, active)
    return lines


def _publish(auth: OAuth2 | None) -> str:
    if auth is None or auth.unpublished is None:
        return ""
    return f"; an app in test mode loses its grants after {auth.unpublished.days:g} days: {auth.unpublished.publish}"


def _ending(name: str, auth: OAuth2, active: Sequence[Connection]) -> Iterator[Line]:
    """Grants that end by themselves, as those of an app in test mode do."""
    if auth.unpublished is None:
        return
    limit = auth.unpublished.days * DAY
    short = [item for item in active if 0 < _number(item.kept.get(GRANT_SECONDS)) <= limit]
    if short:
        seen = f"OAuth app is in test mode: grants end after {auth.unpublished.days:g} days, as that of {named(short)}"
        yield warn(name, seen, f"publish the app, then connect again: {auth.unpublished.publish}")


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _narrow(name: str, provider: Provider, auth: OAuth2, active: Sequence[Connection]) -> Iterator[Line]:
    """Scopes that operations need and that were not granted, as far as the provider says what was."""
    lacking: dict[str, list[Connection]] = defaultdict(list)
    for item in active:
        for scope in missing_scopes(provider, auth, item.scopes):
            lacking[scope].append(item)
    for scope, items in lacking.items():
        refused = ", ".join([pattern for pattern in auth.scopes[scope] if pattern != "*"][:SOME]) or "calls"
        seen = f"scope {scope} is not granted to {named(items)}: {refused} will be refused"
        yield warn(name, seen, f"where that is not meant so: sidecar connect {name} -c {items[0].connection}")


def missing_scopes(provider: Provider, auth: OAuth2, granted: Sequence[str]) -> list[str]:
    """The scopes whose operations have no other scope that was granted; none where nobody said what was."""
    if not granted:
        return []
    held = {_short(scope) for scope in granted}
    missing: list[str] = []
    for scope, patterns in auth.scopes.items():
        needing = [name for name in provider.operations if any(fnmatchcase(name, pattern) for pattern in patterns)]
        if _short(scope) not in held and any(not _covered(auth, name, held) for name in needing):
            missing.append(scope)
    return missing


def _covered(auth: OAuth2, operation: str, held: set[str]) -> bool:
    return any(
        _short(scope) in held and any(fnmatchcase(operation, pattern) for pattern in patterns)
        for scope, patterns in auth.scopes.items()
    )


def _short(scope: str) -> str:
    """A scope as providers tell it back: some leave out what stands before its last slash."""
    return scope.rsplit("/", 1)[-1].casefold()


def oauth2_of(provider: Provider) -> OAuth2 | None:
    """How the provider's accounts are connected by consent."""
    return next((auth for auth in provider.manifest.auth if isinstance(auth, OAuth2)), None)


def named(items: Sequence[Connection]) -> str:
    """A few of the names, and how many more there are."""
    some = ", ".join(item.connection for item in items[:SOME])
    return some if len(items) <= SOME else f"{some} and {len(items) - SOME} more"
