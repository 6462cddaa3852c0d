"""cryptography: envelope encryption with AES-256-GCM.

Every record has a data key of its own, wrapped by a key-encryption key (KEK) whose id stands in the record. Both layers
are bound to the tenant and to the place where the record is kept. Another KEK takes over by wrapping the data key
again: the content keeps its data key until it is written anew.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sidecar.ports import KeyUnavailable, SealBroken

FORMAT = 1
DATA_KEY_BITS = 256
NONCE_BYTES = 12  # NIST SP 800-38D section 8.2.2: random, and a data key seals one record only


class Sealed(msgspec.Struct, frozen=True, array_like=True):
    """A sealed record as it is stored, in MessagePack.

    `key_check` tells a damaged key id from the id of a key that is not at hand; the tags of AES-GCM prove the rest.
    """

    format: int
    key_id: str
    wrap_nonce: bytes
    wrapped_key: bytes
    nonce: bytes
    ciphertext: bytes
    key_check: int


class FileKeys:
    """`ports.Keys` with the keys of one file, whoever the tenant."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """`keys` by id, in order; the last one seals."""
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self.newest = list(keys)[-1]

    def held(self, tenant: str) -> tuple[str, ...]:
        del tenant  # the file is everybody's
        return tuple(self._keys)

    def seal(self, tenant: str, place: str, plain: bytes) -> bytes:
        bound, data_key, nonce = _bound(tenant, place), AESGCM.generate_key(DATA_KEY_BITS), os.urandom(NONCE_BYTES)
        return self._wrapped(data_key, bound, nonce, AESGCM(data_key).encrypt(nonce, plain, bound))

    def open(self, tenant: str, place: str, sealed: bytes) -> bytes:
        return self._unwrapped(_bound(tenant, place), _parts(sealed))[1]

    def rewrap(self, tenant: str, place: str, sealed: bytes) -> bytes | None:
        parts = _parts(sealed)
        if parts.key_id == self.newest:
            return None
        bound = _bound(tenant, place)
        data_key, _ = self._unwrapped(bound, parts)  # the content too: what is damaged stays as it is
        return self._wrapped(data_key, bound, parts.nonce, parts.ciphertext)

    def key_of(self, sealed: bytes) -> str:
        return key_of(sealed)

    def _wrapped(self, data_key: bytes, bound: bytes, nonce: bytes, ciphertext: bytes) -> bytes:
        wrap_nonce = os.urandom(NONCE_BYTES)
        wrapped = self._keys[self.newest].encrypt(wrap_nonce, data_key, bound)
        check = zlib.crc32(self.newest.encode())
        return msgspec.msgpack.encode(Sealed(FORMAT, self.newest, wrap_nonce, wrapped, nonce, ciphertext, check))

    def _unwrapped(self, bound: bytes, parts: Sealed) -> tuple[bytes, bytes]:
        """The data key and the content."""
        wrapping = self._keys.get(parts.key_id)
        if wrapping is None:
            raise KeyUnavailable(f"key {parts.key_id[:64]!r} is not in the key file; put it back")
        try:
            data_key = wrapping.decrypt(parts.wrap_nonce, parts.wrapped_key, bound)
            return data_key, AESGCM(data_key).decrypt(parts.nonce, parts.ciphertext, bound)
        except (InvalidTag, ValueError) as error:
            raise SealBroken("the record was changed, or belongs to another place") from error


def key_of(sealed: bytes) -> str:
    """The id of the key that sealed it. Raises SealBroken."""
    return _parts(sealed).key_id


def _parts(sealed: bytes) -> Sealed:
    """The parts of a record in the form of this version. Raises SealBroken."""
    try:
        parts = msgspec.msgpack.decode(sealed, type=Sealed)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SealBroken("the record is not in the sealed form") from error
    if parts.format != FORMAT:
        raise SealBroken(f"the record has format {parts.format}; this version reads {FORMAT}")
    if parts.key_check != zlib.crc32(parts.key_id.encode()):
        raise SealBroken("the record was changed")
    return parts


def _bound(tenant: str, place: str) -> bytes:
    return msgspec.json.encode([place, tenant, FORMAT])
