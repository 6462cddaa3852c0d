"""What an operator asks of copies: sealed records out (`export`), and back where they are missing (`restore`)."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from sidecar.model import Failure, Outcome, Reason, Success
from sidecar.store.copies import Copies, Copy, Restored, SealedCopies
from sidecar.store.record import record_pattern
from sidecar.wire.subject import EVERY, AdminAddress

COPY_VERBS = ("export", "restore")
MOST_COPIES = 500

T = TypeVar("T")


class ExportRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of `export`: at most `limit` records behind `after`, the `next` of the batch before."""

    after: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_COPIES)] = 200


class RestoreRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of `restore`: copies as `export` gave them. With `dry_run` each is opened and none is written."""

    copies: Annotated[tuple[Copy, ...], msgspec.Meta(max_length=MOST_COPIES)]
    dry_run: bool = False


class CopyAdministrator:
    """Answers `export` (looks) and `restore` (changes). No copy is opened for whoever asks."""

    def __init__(self, copies: SealedCopies) -> None:
        self._copies = copies

    async def answer(self, address: AdminAddress, payload: bytes) -> Outcome:
        connection = None if address.connection == EVERY else address.connection
        provider = None if address.provider == EVERY else address.provider
        pattern = record_pattern(address.tenant, connection, provider)
        made: Copies | Restored | Failure
        if address.verb == "export":
            asked = _decoded(payload, ExportRequest, '{"after": "...", "limit": 200}')
            if isinstance(asked, Failure):
                return asked
            made = await self._copies.take(pattern, after=asked.after, limit=asked.limit)
        else:
            given = _decoded(payload, RestoreRequest, '{"copies": [...], "dry_run": true}')
            if isinstance(given, Failure):
                return given
            made = await self._copies.put_back(address.tenant, pattern, given.copies, dry_run=given.dry_run)
        return made if isinstance(made, Failure) else Success(body=msgspec.json.encode(made))


def _decoded(payload: bytes, kind: type[T], shape: str) -> T | Failure:
    try:
        return msgspec.json.decode(payload or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = str(error) if isinstance(error, msgspec.ValidationError) else "the payload is not JSON"
        return Failure(reason=Reason.MALFORMED, detail=f"{detail}; send {shape}")
