"""cryptography: envelope encryption with AES-256-GCM, and the file that holds the key-encryption keys.

Every record has a data key of its own, wrapped by a key-encryption key (KEK) whose id stands in the record. Both layers
are bound to the tenant and to the place where the record is kept.

The KEK file has one key a line, `<id> <32 bytes in base64>`; `#` starts a comment. The last key seals, all open: a new
key becomes the last line, and an older one stays until nothing is sealed with it.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sidecar.ports import KeyUnavailable, SealBroken

FORMAT = 1
KEY_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D section 8.2.2: random, and a data key seals one record only
OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
GROUP_READS = stat.S_IRGRP


class KeyFileError(Exception):
    """The KEK file cannot be used; the message names the file and what to do."""


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
    """`ports.Keys` with the keys of one file, for every tenant."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """`keys` by id, in order; the last one seals."""
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self.newest = list(keys)[-1]

    def seal(self, tenant: str, place: str, plain: bytes) -> bytes:
        bound = _bound(tenant, place)
        data_key, wrap_nonce, nonce = (
            AESGCM.generate_key(KEY_BYTES * 8),
            os.urandom(NONCE_BYTES),
            os.urandom(NONCE_BYTES),
        )
        sealed = Sealed(
            FORMAT,
            self.newest,
            wrap_nonce,
            self._keys[self.newest].encrypt(wrap_nonce, data_key, bound),
            nonce,
            AESGCM(data_key).encrypt(nonce, plain, bound),
            zlib.crc32(self.newest.encode()),
        )
        return msgspec.msgpack.encode(sealed)

    def open(self, tenant: str, place: str, sealed: bytes) -> bytes:
        try:
            parts = msgspec.msgpack.decode(sealed, type=Sealed)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SealBroken("the record is not in the sealed form") from error
        if parts.format != FORMAT:
            raise SealBroken(f"the record has format {parts.format}; this version reads {FORMAT}")
        if parts.key_check != zlib.crc32(parts.key_id.encode()):
            raise SealBroken("the record was changed")
        wrapping = self._keys.get(parts.key_id)
        if wrapping is None:
            raise KeyUnavailable(f"key {parts.key_id[:64]!r} is not in the key file; put it back")
        bound = _bound(tenant, place)
        try:
            data_key = wrapping.decrypt(parts.wrap_nonce, parts.wrapped_key, bound)
            return AESGCM(data_key).decrypt(parts.nonce, parts.ciphertext, bound)
        except (InvalidTag, ValueError) as error:
            raise SealBroken("the record was changed, or belongs to another place") from error


def read_key_file(path: Path) -> FileKeys:
    """The keys of a file that only its owner may read. Raises KeyFileError."""
    try:
        with path.open(encoding="ascii") as file:
            status, text = os.fstat(file.fileno()), file.read()
    except FileNotFoundError:
        raise KeyFileError(f"key file {path} is not there; `sidecar dev` makes one, or make it yourself") from None
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"key file {path} cannot be read: {error}") from error
    if open_to_others(status.st_mode, status.st_uid, os.geteuid()):
        raise KeyFileError(
            f"key file {path} is open to others (mode {status.st_mode & 0o777:o}); run: chmod 600 {path}"
        )
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if words:
            key_id, key = _key(path, number, words)
            if key_id in keys:
                raise KeyFileError(
                    f"key file {path}, line {number}: id {key_id!r} stands there twice; name each key once"
                )
            keys[key_id] = key
    if not keys:
        raise KeyFileError(f"key file {path} holds no key; a line is `<id> <32 bytes in base64>`")
    return FileKeys(keys)


def create_key_file(path: Path) -> None:
    """Make a file with one new key, readable by its owner alone; leave a file that is there as it is.

    Whole and on the disk before it has its name: what was sealed with a lost key is lost. The id is random, so that a
    record of another file's key is told as one whose key is missing, not as damaged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(f"k{secrets.token_hex(4)} {base64.b64encode(os.urandom(KEY_BYTES)).decode()}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(fresh)  # fails where a file is, however it came there
    except FileExistsError:
        return
    finally:
        fresh.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def open_to_others(mode: int, owner: int, us: int) -> bool:
    """Whether others may use a file of this mode, or its group; root's file may be read by our group.

    So a Kubernetes Secret reaches a process that is not root.
    https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#set-the-security-context-for-a-pod
    """
    allowed = GROUP_READS if owner == 0 and us != 0 else 0
    return bool(mode & OPEN_TO_OTHERS & ~allowed)


def _key(path: Path, number: int, words: list[str]) -> tuple[str, bytes]:
    """One line's key. A message never repeats the line: it may hold the key."""
    try:
        key_id, encoded = words
        key = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        key_id, key = "", b""
    if len(key) != KEY_BYTES:
        raise KeyFileError(f"key file {path}, line {number}: a line is `<id> <32 bytes in base64>`")
    return key_id, key


def _bound(tenant: str, place: str) -> bytes:
    return msgspec.json.encode([place, tenant, FORMAT])
