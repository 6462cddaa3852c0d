"""Which scopes to ask for: those that the operations allowed need, and no more."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase

from sidecar.kinds import ClientCredentials, JwtBearer, OAuth2


def wanted_scopes(auth: OAuth2 | ClientCredentials | JwtBearer, operations: Collection[str]) -> tuple[str, ...]:
    """The scopes for these operations, in the manifest's order: a scope of several operations stands once."""
    needed = [
        scope
        for scope, patterns in auth.scopes.items()
        if any(fnmatchcase(operation, pattern) for operation in operations for pattern in patterns)
    ]
    return tuple(dict.fromkeys((*auth.always, *needed)))
