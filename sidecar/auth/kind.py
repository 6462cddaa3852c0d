"""The credential kinds: what each needs, and what it adds to a request."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeGuard, get_args

from sidecar.kinds import (
    ApiKey,
    AppInstallation,
    Auth,
    Basic,
    Bearer,
    ClientCredentials,
    Issued,
    JwtBearer,
    Login,
    OAuth2,
)
from sidecar.model import Failure, Problem, Reason

ACCESS_TOKEN = "access_token"  # the field of the kinds whose token the provider issues, in use
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # neither a header (RFC 9110 section 5.5) nor basic (RFC 7617) has one
PRIVATE_KEY = "private_key"
PEM = re.compile(
    r"-----BEGIN (?:RSA |EC )?PRIVATE KEY-----\s+"
    r"[A-Za-z0-9+/=]{32}[A-Za-z0-9+/=\s]+"
    r"-----END (?:RSA |EC )?PRIVATE KEY-----"
)
KINDS: dict[type, str] = {kind: str(kind.__struct_config__.tag) for kind in get_args(Auth)}
GIVEN = (ApiKey, Bearer, Basic)
# Fields that name somebody, and prove nothing.
PUBLIC = frozenset({"client_id", "key_id", "issuer", "subject", "scope", "app_id", "installation_id"})


def kind_of(auth: Auth) -> str:
    """The kind's name, as a manifest and an import say it."""
    return KINDS[type(auth)]


def is_issued(auth: Auth) -> TypeGuard[Issued]:
    """Whether a provider issues access tokens for the kind."""
    return not isinstance(auth, GIVEN)


def fields_of(auth: Auth) -> tuple[str, ...]:
    """The credential fields that the kind needs."""
    match auth:
        case ApiKey(more=more):
            return ("key", *(part.field for part in more))
        case Bearer():
            return ("token",)
        case Basic():
            return ("username", "password")
        case OAuth2():
            return ("refresh_token",)
        case ClientCredentials(client_auth=how, fields=further):
            proof = PRIVATE_KEY if how == "private_key_jwt" else "client_secret"
            return tuple(dict.fromkeys(("client_id", proof, *further.values())))
        case JwtBearer():
            return ("issuer", "private_key")
        case AppInstallation():
            return ("app_id", "installation_id", "private_key")
        case Login(fields=fields):
            return fields


def optional_fields_of(auth: Auth) -> tuple[str, ...]:
    """The credential fields that the kind takes beside those that it needs."""
    match auth:
        case OAuth2(client_auth="private_key_jwt"):
            return ("client_id", "private_key", "key_id")
        case OAuth2():
            return ("client_id", "client_secret")
        case ClientCredentials(client_auth="private_key_jwt"):
            return ("key_id", "scope")
        case ClientCredentials():
            return ("scope",)
        case JwtBearer():
            return ("subject", "key_id", "scope")
        case _:
            return ()


def kept_names(kinds: Iterable[Auth]) -> set[str]:
    """The values that connections of these kinds may have beside their fields."""
    names: set[str] = set()
    for auth in kinds:
        if is_issued(auth):
            names |= {*auth.answer.keep, *(auth.follow_up.keep if auth.follow_up else ())}
        if isinstance(auth, OAuth2):
            names |= set(auth.callback)
    return names


def auth_of(kinds: Sequence[Auth], kind: str) -> Auth | None:
    """The manifest's description of a kind."""
    for auth in kinds:
        if KINDS[type(auth)] == kind:
            return auth
    return None


def check_fields(kinds: Sequence[Auth], kind: str | None, fields: Mapping[str, str]) -> Auth | Failure:
    """The kind that these fields are a credential of, or everything that is wrong with them. Never says a value."""
    names = [kind_of(auth) for auth in kinds]
    auth = kinds[0] if kind is None else auth_of(kinds, kind)
    if auth is None:
        problem = Problem("/kind", f"must be one of: {', '.join(names)}", tuple(names))
        return _refused((problem,))
    known = (*fields_of(auth), *optional_fields_of(auth))
    problems = [Problem(f"/fields/{name}", "is required") for name in _missing(auth, fields)]
    problems += unknown_names("/fields", fields, known, f"are fields of {kind_of(auth)}")
    for name in known:
        wrong = _wrong(auth, name, fields.get(name, ""))
        if wrong is not None:
            problems.append(Problem(f"/fields/{name}", wrong))
    if isinstance(auth, Basic) and ":" in fields.get("username", ""):
        problems.append(Problem("/fields/username", "cannot hold a colon (RFC 7617)"))
    if isinstance(auth, OAuth2):
        problems += _half_an_app(auth, fields)
    return _refused(tuple(problems)) if problems else auth


def _missing(auth: Auth, fields: Mapping[str, str]) -> list[str]:
    """The fields that the kind needs and has not. Where a key stands for a user name and password, the other of the two
    is given as empty (RFC 7617 allows either).
    """
    missing = [name for name in fields_of(auth) if not fields.get(name)]
    one_is_empty = isinstance(auth, Basic) and len(missing) == 1 and missing[0] in fields
    return [] if one_is_empty else missing


def unknown_names(place: str, given: Iterable[str], known: tuple[str, ...], what: str) -> list[Problem]:
    """That names beside a secret are none that are known: how many, not which. The secret may have slipped to there."""
    number = sum(name not in known for name in given)
    if number == 0:
        return []
    some = "a name that is" if number == 1 else f"{number} names that are"
    return [Problem(place, f"has {some} not known; those that {what}: {', '.join(known) or 'none'}", known)]


def _wrong(auth: Auth, name: str, text: str) -> str | None:
    """What is wrong with a field, without its value."""
    if isinstance(auth, ApiKey) and auth.place == "path" and text and auth.prefix + text in {".", ".."}:
        return "cannot be a segment of a path"  # it would be resolved away
    if name == PRIVATE_KEY:
        return None if not text or PEM.fullmatch(text.strip()) else "is not a private key in PEM without a password"
    if text != text.strip() or CONTROL.search(text):
        return "has white space around it, or a character that no header can carry"
    if not text.isascii() and not isinstance(auth, Basic | Login):  # those two are encoded
        return "has white space around it, or a character that no header can carry"
    return None


def _half_an_app(auth: OAuth2, fields: Mapping[str, str]) -> list[Problem]:
    """An app of the credential's own is whole: who it is, and its proof where it needs one."""
    proof = {"private_key_jwt": PRIVATE_KEY, "none": None}.get(auth.client_auth, "client_secret")
    proofs = [name for name in ("client_secret", PRIVATE_KEY, "key_id") if fields.get(name)]
    if proofs and not fields.get("client_id"):
        return [Problem("/fields/client_id", f"is required with {proofs[0]}")]
    if fields.get("client_id") and proof is not None and not fields.get(proof):
        return [Problem(f"/fields/{proof}", "is required with client_id")]
    return []


def secrets_of(auth: Auth, fields: Mapping[str, str]) -> list[str]:
    """What nobody may be shown of a credential: its fields, but those that only name somebody, and what a header or
    a path says in their place.
    """
    secrets = [value for name, value in fields.items() if value and is_secret(auth, name)]
    match auth:
        case Basic():
            return [*secrets, pair(fields)]
        case ApiKey(place="path", prefix=prefix) if prefix:
            # A short key is known only where no letter stands before it.
            return [*secrets, prefix + fields["key"]]
        case _:
            return secrets


def proofs_of(auth: Auth, fields: Mapping[str, str]) -> list[str]:
    """Of what nobody may be shown, what alone makes anybody the account. A user name is that only where it is the key,
    with no password beside it; else it is what the provider's answers call the account.
    """
    secrets = secrets_of(auth, fields)
    if isinstance(auth, Basic) and fields["password"]:
        return [secret for secret in secrets if secret != fields["username"]]
    return secrets


def is_secret(auth: Auth, name: str) -> bool:
    """Whether nobody may be shown this field, or token."""
    match auth:
        case ApiKey(more=more):
            return name not in {part.field for part in more if not part.secret}
        case Bearer() | Basic():
            return True
        case Login(fields=names, secret=secret):
            return name in secret or name not in names
        case ClientCredentials(fields=further):
            return name not in PUBLIC.union(further.values())
        case _:
            return name not in PUBLIC


def names_somebody(auth: Auth, name: str) -> bool:
    """Whether this field may stand in a URL. A user name does, beside a password that proves it; all the same it is cut
    out of what is shown, since it may as well be a key.
    """
    return not is_secret(auth, name) or (isinstance(auth, Basic) and name == "username")


def pair(fields: Mapping[str, str]) -> str:
    """User name and password as RFC 7617 section 2 writes them."""
    return base64.b64encode(f"{fields['username']}:{fields['password']}".encode()).decode()


def shown(auth: Auth) -> str:
    """What the kind adds, in words, for a dry run."""
    match auth:
        case ApiKey(place="path", prefix=prefix):
            return f"API key in path, right below the base URL: {prefix}<key>"
        case ApiKey(place=place, name=name):
            return f"API key in {place} {name}"
        case Bearer():
            return "bearer token in header authorization"
        case Basic():
            return "user name and password in header authorization"
        case _:
            return f"access token in {auth.carry.place} {auth.carry.name}"


def _refused(problems: tuple[Problem, ...]) -> Failure:
    detail = "; ".join(f"{problem.pointer} {problem.detail}" for problem in problems)
    return Failure(reason=Reason.VALIDATION, detail=detail, problems=problems)
