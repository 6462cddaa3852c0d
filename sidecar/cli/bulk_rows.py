"""Files of many credentials, read into rows. Pure; what is wrong with a row is said of the row, never with a secret.

Nango's connections come as its API and its exports give them, with credentials:
https://nango.dev/docs/reference/backend/http-api/connections/get
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from sidecar.wire.subject import NAME, is_name
from sidecar.wire.unknown import told_without_names

NANGO, JSONL = "nango", "jsonl"
FORMATS = (NANGO, JSONL)
# Names of Nango that are not ours with `_` for `-`.
OURS = {"google-mail": "gmail", "google": "gmail", "microsoft": "outlook", "github-app": "github", "slack-bot": "slack"}
SERVER = ("baseUrl", "base_url", "hostname", "domain", "instance_url")  # of a connection's configuration


class Reading(msgspec.Struct, frozen=True):
    """How a file is read: its form, names of providers, and the OAuth app of its refresh tokens."""

    form: str
    names: Mapping[str, str] = {}
    client_id: str | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One credential of the file, or why it is none. `kind` None: the provider's that these fields fit."""

    number: int
    connection: str = ""
    provider: str = ""
    kind: str | None = None
    fields: dict[str, str] = {}
    base_url: str | None = None
    client_id: str | None = None
    limits: dict[str, list[str]] | None = None
    problem: str | None = None

    def __repr__(self) -> str:
        return f"Row({self.number}, {self.connection}, {self.provider})"  # never its fields


class NoRows(Exception):
    """The file is not of this form at all; the message says what was expected."""


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    connection: str
    provider: str
    fields: dict[str, str]
    kind: str | None = None
    base_url: str | None = None
    client_id: str | None = None
    limits: dict[str, list[str]] | None = None


class _Nango(msgspec.Struct, frozen=True):
    """The part of a connection of Nango that says what we need."""

    connection_id: str
    provider: str = ""
    provider_config_key: str = ""
    credentials: dict[str, Any] = {}
    connection_config: dict[str, Any] = {}


def rows(text: str, reading: Reading) -> list[Row]:
    """Every row of the file, in its order. Raises NoRows."""
    found = list(_lines(text, reading) if reading.form == JSONL else _connections(text, reading))
    if not found:
        raise NoRows("it holds no connection")
    return list(_once_each(found))


def _lines(text: str, reading: Reading) -> Iterator[Row]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            read = msgspec.json.decode(line, type=_Line)
        except (msgspec.DecodeError, RecursionError) as error:
            yield Row(number=number, problem=told_without_names(error, _Line, "it"))
            continue
        yield _named(
            Row(
                number=number,
                connection=read.connection,
                provider=read.provider,
                kind=read.kind,
                fields=read.fields,
                base_url=read.base_url,
                client_id=read.client_id or reading.client_id,
                limits=read.limits,
            )
        )


def _connections(text: str, reading: Reading) -> Iterator[Row]:
    for number, raw in enumerate(_documents(text), 1):
        try:
            read = msgspec.convert(raw, _Nango)
        except msgspec.ValidationError as error:
            yield Row(number=number, problem=str(error))
            continue
        theirs = read.provider or read.provider_config_key
        ours = next((reading.names[name] for name in (theirs, read.provider_config_key) if name in reading.names), None)
        row = Row(
            number=number,
            connection=read.connection_id,
            provider=ours or OURS.get(theirs) or theirs.replace("-", "_"),
            base_url=_server(read.connection_config),
        )
        yield _named(_with_credential(row, read, reading))


def _documents(text: str) -> list[object]:
    """A list, one connection, `{"connections": [...]}`, or JSON lines."""
    try:
        whole = msgspec.json.decode(text)
    except msgspec.DecodeError:
        try:
            return [msgspec.json.decode(line) for line in text.splitlines() if line.strip()]
        except msgspec.DecodeError:
            raise NoRows("it is not JSON: a list of connections, as Nango's API gives them") from None
    if isinstance(whole, dict):
        inner = whole.get("connections")
        return inner if isinstance(inner, list) else [whole]
    if not isinstance(whole, list):
        raise NoRows("it is not a list of connections, as Nango's API gives them")
    return whole


def _with_credential(row: Row, read: _Nango, reading: Reading) -> Row:
    """The row with what Nango's kind of credential is here, or why it is nothing."""
    given = read.credentials
    kind = str(given.get("type") or "")
    if not given:
        return _problem(row, "it has no credentials: get each connection from Nango with its credentials")
    taken = TAKEN.get(kind)
    if taken is None:
        return _problem(row, NOT_TAKEN.get(kind, f"there is no kind here for Nango's {kind or 'unknown type'}"))
    return taken(row, given, reading)


def _oauth2(row: Row, given: Mapping[str, Any], reading: Reading) -> Row:
    override = given.get("config_override")
    app = _texts(override if isinstance(override, dict) else {}, "client_id", "client_secret")
    refresh = _texts(given, "refresh_token")
    if refresh:
        own = app if len(app) > 1 else {}  # half an app is none
        client_id = app.get("client_id") or reading.client_id
        return msgspec.structs.replace(row, kind="oauth2", fields=refresh | own, client_id=client_id)
    token = _texts(given, "access_token").get("access_token")
    if token is None:
        return _problem(row, "it has neither a refresh token nor an access token")
    if given.get("expires_at"):
        return _problem(row, "its access token ends, and there is no refresh token: the account has to be connected")
    return msgspec.structs.replace(row, kind="bearer", fields={"token": token})


def _key(row: Row, given: Mapping[str, Any], _: Reading) -> Row:
    key = _texts(given, "apiKey").get("apiKey") or _texts(given, "api_key").get("api_key")
    return _problem(row, "its key is missing") if key is None else msgspec.structs.replace(row, fields={"": key})


def _basic(row: Row, given: Mapping[str, Any], _: Reading) -> Row:
    fields = {name: text for name in ("username", "password") if isinstance(text := given.get(name), str)}
    if not any(fields.values()):
        return _problem(row, "it holds no login")
    return msgspec.structs.replace(row, kind="basic", fields=fields)


def _client(row: Row, given: Mapping[str, Any], _: Reading) -> Row:
    return msgspec.structs.replace(row, kind="client_credentials", fields=_texts(given, "client_id", "client_secret"))


TAKEN: dict[str, Callable[[Row, Mapping[str, Any], Reading], Row]] = {
    "OAUTH2": _oauth2,
    "API_KEY": _key,
    "BASIC": _basic,
    "OAUTH2_CC": _client,
}
NOT_TAKEN = {
    "APP": "Nango keeps the private key of an app to itself: import it as app_installation, with its key file",
    "OAUTH1": "OAuth 1 is not spoken here: connect the account again by another kind",
    "NONE": "it has no credential",
}


def _texts(values: Mapping[str, Any], *names: str) -> dict[str, str]:
    return {name: value for name in names if isinstance(value := values.get(name), str) and value}


def _server(config: Mapping[str, Any]) -> str | None:
    """The base URL that a connection sets, or the subdomain."""
    found = _texts(config, "subdomain", *SERVER)
    if "subdomain" in found:
        return found["subdomain"]
    url = next((found[name] for name in SERVER if name in found), None)
    return url if url is None or "://" in url else f"https://{url}"


def _named(row: Row) -> Row:
    if row.problem is not None:
        return row
    if not is_name(row.connection):
        return _problem(row, f"{row.connection[:80]!r} is not a name that a connection can have")
    if not NAME.fullmatch(row.provider):
        return _problem(row, f"{row.provider[:80]!r} is not a provider here; --map THEIRS=OURS names one")
    return row


def _once_each(found: list[Row]) -> Iterator[Row]:
    """A second credential of one connection is refused: which of the two is meant nobody knows."""
    seen: dict[tuple[str, str], int] = {}
    for row in found:
        if row.problem is not None:
            yield row
            continue
        first = seen.setdefault((row.connection, row.provider), row.number)
        yield row if first == row.number else _problem(row, f"row {first} is of the same connection and provider")


def _problem(row: Row, problem: str) -> Row:
    return msgspec.structs.replace(row, fields={}, problem=problem)
