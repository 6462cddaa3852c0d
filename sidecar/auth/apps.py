"""The OAuth apps of this installation: one file for each provider, and where wanted for each tenant.

`<provider>.json` is everybody's, `<tenant>.<provider>.json` one tenant's (the tenant's token with `.` in place of `%`,
as key files are called). A file is as a provider hands it out (Google's `client_secret_*.json`), or says `client_id`,
`client_secret` or `client_secrets` (the newest first), `private_key` (PEM), `key_id`, `servers` (base URLs).
"""

from __future__ import annotations

import logging

import msgspec

from sidecar.ports import AppFileError, AppFiles
from sidecar.secret import Secret
from sidecar.wire.subject import encode_token
from sidecar.wire.unknown import told_without_names

GOOGLE = ("installed", "web")  # https://developers.google.com/api-client-library/dotnet/guide/aaa_client_secrets

log = logging.getLogger("sidecar.auth")


class App(msgspec.Struct, frozen=True, kw_only=True):
    """An OAuth client, registered at a provider: what proves that a token request is ours. The newest secret first.

    `servers`: where connections may be connected with it, of a provider that people host themselves.
    """

    client_id: str
    client_secrets: tuple[Secret, ...] = ()
    private_key: Secret | None = None
    key_id: str | None = None
    servers: tuple[str, ...] = ()


class Apps:
    """Finds the app of a provider. A file that becomes wrong leaves its app as it was, and is told in the log."""

    def __init__(self, files: AppFiles | None = None) -> None:
        self._files = files
        self._read: dict[str, tuple[bytes, App]] = {}
        self._told: dict[str, str] = {}

    def app(self, tenant: str, provider: str) -> App | None:
        """The tenant's own app, else everybody's; None where there is none that can be used."""
        for name in app_file_names(tenant, provider):
            try:
                found = self._found(name)
            except AppFileError as error:
                return self._kept(name, str(error))
            if found is not None:
                return found
        return None

    def problem(self, tenant: str, provider: str) -> str | None:
        """Why the app's file cannot be used, for a person; None where it can, or there is none."""
        for name in app_file_names(tenant, provider):
            try:
                if self._found(name) is not None:
                    return None
            except AppFileError as error:
                return str(error)
        return None

    def _found(self, name: str) -> App | None:
        content = self._files.content(name) if self._files else None
        if content is None:
            self._read.pop(name, None)
            return None
        known = self._read.get(name)
        if known is None or known[0] is not content:
            known = self._read[name] = (content, read_app(content, name))
            self._told.pop(name, None)
        return known[1]

    def _kept(self, name: str, problem: str) -> App | None:
        if self._told.get(name) != problem:
            self._told[name] = problem
            log.warning("%s", problem)
        known = self._read.get(name)
        return known[1] if known else None


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An app's file in our words."""

    client_id: str
    client_secret: str | None = None
    client_secrets: tuple[str, ...] = ()
    private_key: str | None = None
    key_id: str | None = None
    servers: tuple[str, ...] = ()


class _Downloaded(msgspec.Struct, frozen=True):
    """The part of a provider's file that says the same, among more."""

    client_id: str
    client_secret: str | None = None


def read_app(content: bytes, name: str) -> App:
    """The app that a file describes. Raises AppFileError."""
    try:
        whole = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        inner = next((whole[key] for key in GOOGLE if key in whole), None)
        if inner is not None:
            downloaded = msgspec.json.decode(inner, type=_Downloaded)
            written = _Written(downloaded.client_id, downloaded.client_secret)
        else:
            written = msgspec.json.decode(content, type=_Written)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = told_without_names(error, _Written, "it")
        raise AppFileError(f"app file {name}: {why}; it says client_id and client_secret") from None
    secrets = ((written.client_secret,) if written.client_secret else ()) + written.client_secrets
    for text in (written.client_id, *secrets):
        if not text or text != text.strip() or not text.isascii() or not text.isprintable():
            raise AppFileError(f"app file {name}: client_id and secrets are printable ASCII on one line, and not empty")
    return App(
        client_id=written.client_id,
        client_secrets=tuple(Secret(text) for text in dict.fromkeys(secrets)),
        private_key=Secret(written.private_key) if written.private_key else None,
        key_id=written.key_id,
        servers=written.servers,
    )


def app_file_names(tenant: str, provider: str) -> tuple[str, str]:
    """What the file of an app is called: the tenant's own, and everybody's."""
    return f"{encode_token(tenant).replace('%', '.')}.{provider}.json", f"{provider}.json"
