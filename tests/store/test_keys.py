"""Sealing: opens where it was sealed and nowhere else; another key takes over without touching the content."""

from __future__ import annotations

import msgspec
import pytest

from sidecar.adapters.cryptography_keys import FileKeys
from sidecar.ports import KeyUnavailable, SealBroken

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PLAIN = b'{"token":"hunter2"}'


@pytest.fixture
def keys() -> FileKeys:
    return FileKeys({"new": NEW})


def test_opens_what_it_sealed(keys: FileKeys) -> None:
    """Sealed bytes open at their place, and hold nothing readable."""
    sealed = keys.seal("acme", "B|k", PLAIN)
    assert keys.open("acme", "B|k", sealed) == PLAIN
    assert b"hunter2" not in sealed


def test_never_seals_the_same_way_twice(keys: FileKeys) -> None:
    """Data key and nonces are fresh each time."""
    first, second = (msgspec.msgpack.decode(keys.seal("acme", "B|k", PLAIN)) for _ in range(2))
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, True, False, False, False, False, True]


@pytest.mark.parametrize(("tenant", "place"), [("evil", "B|k"), ("acme", "B|other"), ("acme", "C|k"), ("k", "B|acme")])
def test_does_not_open_elsewhere(keys: FileKeys, tenant: str, place: str) -> None:
    """Bytes moved to another tenant, key or bucket do not open."""
    with pytest.raises(SealBroken):
        keys.open(tenant, place, keys.seal("acme", "B|k", PLAIN))


def test_every_flipped_bit_is_seen(keys: FileKeys) -> None:
    """Whatever bit of a record is flipped, it is damaged: never opened, never another error."""
    sealed = keys.seal("acme", "B|k", PLAIN)
    for position in range(len(sealed)):
        for bit in range(8):
            damaged = bytearray(sealed)
            damaged[position] ^= 1 << bit
            with pytest.raises(SealBroken):
                keys.open("acme", "B|k", bytes(damaged))


@pytest.mark.parametrize("sealed", [b"", b"{}", b"\x90", b"\xc1", PLAIN])
def test_what_was_never_sealed_is_refused(keys: FileKeys, sealed: bytes) -> None:
    """Other bytes in the place of a record are damage."""
    with pytest.raises(SealBroken):
        keys.open("acme", "B|k", sealed)


def test_truncated_records_are_refused(keys: FileKeys) -> None:
    """A record cut anywhere is damage."""
    sealed = keys.seal("acme", "B|k", PLAIN)
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            keys.open("acme", "B|k", sealed[:length])


def test_the_last_key_seals_and_all_open() -> None:
    """A new key is added as the last; what an older one sealed still opens while that one is there."""
    sealed = FileKeys({"old": OLD}).seal("acme", "B|k", PLAIN)
    both = FileKeys({"old": OLD, "new": NEW})
    assert both.open("acme", "B|k", sealed) == PLAIN
    assert FileKeys({"new": NEW}).open("acme", "B|k", both.seal("acme", "B|k", PLAIN)) == PLAIN


def test_a_missing_key_is_named(keys: FileKeys) -> None:
    """A record whose key is not at hand is not called damaged: the key can be put back."""
    sealed = FileKeys({"old": OLD}).seal("acme", "B|k", PLAIN)
    with pytest.raises(KeyUnavailable, match="key 'old' is not in the key file; put it back"):
        keys.open("acme", "B|k", sealed)


def test_a_newer_format_is_told(keys: FileKeys) -> None:
    """A record that a later version wrote is told as such."""
    parts = msgspec.msgpack.decode(keys.seal("acme", "B|k", PLAIN))
    with pytest.raises(SealBroken, match="format 2; this version reads 1"):
        keys.open("acme", "B|k", msgspec.msgpack.encode([2, *parts[1:]]))


def test_rewrapping_changes_the_wrapping_alone() -> None:
    """The content stays byte for byte; the newest key opens it, the old one is not needed any more."""
    sealed = FileKeys({"old": OLD}).seal("acme", "B|k", PLAIN)
    rewrapped = FileKeys({"old": OLD, "new": NEW}).rewrap("acme", "B|k", sealed)
    assert rewrapped is not None
    assert FileKeys({"new": NEW}).open("acme", "B|k", rewrapped) == PLAIN
    before, after = msgspec.msgpack.decode(sealed), msgspec.msgpack.decode(rewrapped)
    assert [one == other for one, other in zip(before, after, strict=True)] == [
        True, False, False, False, True, True, False,
    ]  # fmt: skip


def test_what_the_newest_key_sealed_is_not_rewrapped() -> None:
    """Nothing is written where nothing would change."""
    both = FileKeys({"old": OLD, "new": NEW})
    assert both.rewrap("acme", "B|k", both.seal("acme", "B|k", PLAIN)) is None


@pytest.mark.parametrize(("tenant", "place"), [("evil", "B|k"), ("acme", "B|other")])
def test_rewrapping_moves_nothing(tenant: str, place: str) -> None:
    """A record in a place that is not its own is not made at home there."""
    sealed = FileKeys({"old": OLD}).seal("acme", "B|k", PLAIN)
    with pytest.raises(SealBroken):
        FileKeys({"old": OLD, "new": NEW}).rewrap(tenant, place, sealed)


def test_damage_is_not_rewrapped() -> None:
    """Whatever byte of an old record is flipped, no new one is made of it."""
    both = FileKeys({"old": OLD, "new": NEW})
    sealed = FileKeys({"old": OLD}).seal("acme", "B|k", PLAIN)
    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        with pytest.raises(SealBroken):
            both.rewrap("acme", "B|k", bytes(damaged))


def test_the_key_of_a_record_is_told_without_it() -> None:
    """Also where the key is not at hand; damage is damage."""
    sealed = FileKeys({"old": OLD}).seal("acme", "B|k", PLAIN)
    here = FileKeys({"older": NEW, "new": NEW})
    assert here.key_of(sealed) == "old"
    assert here.held("acme") == ("older", "new")
    with pytest.raises(SealBroken):
        here.key_of(sealed[:-1])
