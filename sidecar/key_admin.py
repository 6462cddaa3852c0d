"""What an operator asks of keys: which of them are in use, and to move every record under the newest."""

from __future__ import annotations

from typing import Annotated

import msgspec

from sidecar.model import Failure, Outcome, Reason, Success
from sidecar.store.record import record_pattern
from sidecar.store.rewrap import SealedRecords
from sidecar.wire.subject import EVERY, AdminAddress

KEY_VERBS = ("keys", "rewrap")
MOST_RECORDS = 1_000
BATCH_SECONDS = 4.0  # a batch answers by then with what it has done; an operator waits several times as long


class BatchRequest(msgspec.Struct, frozen=True):
    """Payload of `keys` and `rewrap`: at most `limit` records behind `after`, the `next` of the batch before."""

    after: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_RECORDS)] = 500


class KeyAdministrator:
    """Answers `keys` (looks) and `rewrap` (changes), each a batch of the records that the subject names."""

    def __init__(self, records: SealedRecords) -> None:
        self._records = records

    async def answer(self, address: AdminAddress, payload: bytes) -> Outcome:
        asked = _decode(payload)
        if isinstance(asked, Failure):
            return asked
        connection = None if address.connection == EVERY else address.connection
        provider = None if address.provider == EVERY else address.provider
        batch = await self._records.batch(
            address.tenant,
            record_pattern(address.tenant, connection, provider),
            after=asked.after,
            limit=asked.limit,
            within=BATCH_SECONDS,
            rewrap=address.verb == "rewrap",
        )
        return batch if isinstance(batch, Failure) else Success(body=msgspec.json.encode(batch))


def _decode(payload: bytes) -> BatchRequest | Failure:
    try:
        return msgspec.json.decode(payload or b"{}", type=BatchRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = str(error) if isinstance(error, msgspec.ValidationError) else "the payload is not JSON"
        return Failure(reason=Reason.MALFORMED, detail=f'{detail}; send {{"after": "...", "limit": 500}}')
