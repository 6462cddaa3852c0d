"""JetStream KV as we use it, in memory: what each request is answered, by the clock that it is given.

Seen on nats-server 2.15.1, one server and three; `test_real_server.py` asks both the same questions again.
- One server compares revisions first: a repeated write is refused as `wrong last sequence`, unless the revision it
  names is right, then it is a duplicate. A cluster looks for repetitions first.
- Message ids are the stream's, not the key's. That of a refused write is not kept; that of one which expired or was
  written over is.
- In a cluster a write is proposed, then committed: until then its id answers 10158, and its key 10164.
- A server that starts again knows the ids of the messages that it still holds.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import NamedTuple

WRONG_LAST_SEQUENCE = 10071
KEY_IN_PROCESS = 10164
ID_IN_PROCESS = 10158
INVALID_TTL = 10165
WINDOW_SECONDS = 120.0


class Write(NamedTuple):
    """A publish to a bucket. `expected` is the revision it replaces (0: none), None to write over anything."""

    key: str
    value: bytes
    expected: int | None
    message_id: str = ""
    ttl: float | None = None
    delete: bool = False


class Stored(NamedTuple):
    """One message of the bucket's stream; `expires` is a moment."""

    revision: int
    write: Write
    at: float
    expires: float = math.inf


class Ack(NamedTuple):
    revision: int
    duplicate: bool = False


class Refused(NamedTuple):
    err_code: int
    text: str


class Proposal(NamedTuple):
    """A write that the leader took and the majority has not got yet."""

    write: Write


class Bucket:
    """A bucket that keeps one message of each key, and remembers for the checks every write there ever was."""

    def __init__(self, *, clustered: bool = False, window: float = WINDOW_SECONDS) -> None:
        self.log: list[Stored] = []
        self._clustered = clustered
        self._window = window
        self._of_key: dict[str, list[Stored]] = {}
        self._ids: dict[str, tuple[int, float]] = {}
        self._proposals: list[Proposal] = []

    def publish(self, write: Write, now: float) -> Ack | Refused:
        """Propose and commit in one moment, as one server does."""
        answer = self.propose(write, now)
        return self.commit(answer, now) if isinstance(answer, Proposal) else answer

    def propose(self, write: Write, now: float) -> Proposal | Ack | Refused:
        if write.ttl is not None and (write.ttl < 1 or write.ttl != int(write.ttl)):
            return Refused(INVALID_TTL, "invalid per-message TTL")
        wrong = self._wrong_revision(write, now)
        repeated = self._repeated(write, now)
        refused = (repeated or wrong) if self._clustered else (wrong or repeated)
        if refused is not None:
            return refused
        proposal = Proposal(write)
        self._proposals.append(proposal)
        return proposal

    def commit(self, proposal: Proposal, now: float) -> Ack:
        """The majority has it: it is in the bucket, and so is everything proposed before it."""
        while True:
            first = self._proposals.pop(0)
            stored = self._keep(first.write, now)
            if first is proposal:
                return Ack(stored.revision)

    def in_flight(self, proposal: Proposal) -> bool:
        return any(one is proposal for one in self._proposals)

    def change_leader(self, survive: int, now: float) -> None:
        """The first `survive` proposals reached the new leader, which commits them; the others never were."""
        for proposal in self._proposals[:survive]:
            self._keep(proposal.write, now)
        self._proposals.clear()

    def restart(self, now: float) -> None:
        """Every process of it ends and starts again: message ids are known only of what is still there."""
        held = (self.last(key, now) for key in self._of_key)
        self._proposals.clear()
        self._ids = {stored.write.message_id: (stored.revision, stored.at) for stored in held if stored}

    def last(self, key: str, as_of: float) -> Stored | None:
        """The last message of a key (a deletion's marker too) as somebody sees it whose knowledge is of that moment."""
        messages = self._of_key.get(key, [])
        known = bisect_right(messages, as_of, key=lambda stored: stored.at)
        if not known or messages[known - 1].expires <= as_of:
            return None
        return messages[known - 1]

    def revision(self, key: str, now: float) -> int:
        """What a write must name now; 0 when the key never was or is gone."""
        stored = self.last(key, now)
        return stored.revision if stored else 0

    def _keep(self, write: Write, now: float) -> Stored:
        expires = math.inf if write.ttl is None else now + write.ttl
        stored = Stored(len(self.log) + 1, write, now, expires)
        self.log.append(stored)
        self._of_key.setdefault(write.key, []).append(stored)
        if write.message_id:
            self._ids[write.message_id] = (stored.revision, now)
        return stored

    def _wrong_revision(self, write: Write, now: float) -> Refused | None:
        if write.expected is None:
            return None
        if any(proposal.write.key == write.key for proposal in self._proposals):
            return Refused(KEY_IN_PROCESS, "wrong last sequence")
        last = self.revision(write.key, now)
        return None if write.expected == last else Refused(WRONG_LAST_SEQUENCE, f"wrong last sequence: {last}")

    def _repeated(self, write: Write, now: float) -> Ack | Refused | None:
        if not write.message_id:
            return None
        if any(proposal.write.message_id == write.message_id for proposal in self._proposals):
            return Refused(ID_IN_PROCESS, "duplicate message id is in process")
        revision, at = self._ids.get(write.message_id, (0, -math.inf))
        return Ack(revision, duplicate=True) if now - at < self._window else None
