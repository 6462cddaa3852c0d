"""New tokens that could not be stored yet, sealed on this machine's disk: they outlive the process."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Iterator

import msgspec

from sidecar.credential import Credential
from sidecar.ports import Keys, KeyUnavailable, SealBroken, StateFiles
from sidecar.store.credential_form import Stored, opened_form, stored_form
from sidecar.store.record import record_key

log = logging.getLogger("sidecar.auth")


class Spilled(msgspec.Struct, frozen=True, kw_only=True):
    """A credential as it shall be stored, as long as its record holds this attempt."""

    tenant: str
    connection: str
    provider: str
    attempt: str
    credential: Credential


class _File(msgspec.Struct, frozen=True, kw_only=True):
    tenant: str
    connection: str
    provider: str
    sealed: str


class _Plain(msgspec.Struct, frozen=True, kw_only=True):
    attempt: str
    stored: Stored

    def __repr__(self) -> str:
        return f"_Plain({self.attempt})"  # never what is secret


class Spill:
    """One file for each connection, sealed with its tenant's key and bound to the connection."""

    def __init__(self, files: StateFiles, keys: Keys) -> None:
        self._files = files
        self._keys = keys

    async def keep(self, spilled: Spilled) -> bool:
        """Whether it is on the disk."""
        names = (spilled.tenant, spilled.connection, spilled.provider)
        plain = msgspec.json.encode(_Plain(attempt=spilled.attempt, stored=stored_form(spilled.credential)))
        try:
            sealed = base64.b64encode(self._keys.seal(spilled.tenant, _place(*names), plain)).decode()
            file = _File(tenant=names[0], connection=names[1], provider=names[2], sealed=sealed)
            await self._files.write(_name(*names), msgspec.json.encode(file))
        except (KeyUnavailable, OSError) as error:
            log.error("new tokens of %s could not be kept on the disk: %s", record_key(*names), error)  # noqa: TRY400  # its text says it all
            return False
        return True

    async def drop(self, tenant: str, connection: str, provider: str) -> None:
        """It is stored, or somebody else's by now."""
        try:
            await self._files.remove(_name(tenant, connection, provider))
        except OSError as error:
            log.warning("the spilled tokens of %s stay: %s", record_key(tenant, connection, provider), error)

    async def found(self) -> list[Spilled]:
        """What an earlier life of this process left; what cannot be opened stays where it is and is told."""
        return [spilled for content in await self._files.all() for spilled in self._opened(content)]

    def _opened(self, content: bytes) -> Iterator[Spilled]:
        try:
            file = msgspec.json.decode(content, type=_File)
            place = _place(file.tenant, file.connection, file.provider)
            sealed = base64.b64decode(file.sealed, validate=True)
            plain = msgspec.json.decode(self._keys.open(file.tenant, place, sealed), type=_Plain)
        except (KeyUnavailable, SealBroken) as error:
            log.error("tokens that were kept on the disk cannot be read: %s", error)  # noqa: TRY400  # its text says it all
            return
        except (ValueError, RecursionError) as error:  # not JSON, not base64, not text; in no words that repeat it
            log.error("tokens that were kept on the disk cannot be read: %s", type(error).__name__)  # noqa: TRY400  # a trace could show them
            return
        yield Spilled(
            tenant=file.tenant,
            connection=file.connection,
            provider=file.provider,
            attempt=plain.attempt,
            credential=opened_form(plain.stored),
        )


def _place(tenant: str, connection: str, provider: str) -> str:
    return f"spill|{record_key(tenant, connection, provider)}"


def _name(tenant: str, connection: str, provider: str) -> str:
    """A file's name; a key may be longer than one may be."""
    return f"{hashlib.sha256(record_key(tenant, connection, provider).encode()).hexdigest()}.tokens"
