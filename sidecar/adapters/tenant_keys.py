"""`ports.Keys` with a key file for each tenant, read again when it changes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sidecar.adapters.cryptography_keys import FileKeys, key_of
from sidecar.adapters.key_file import KeyFileError, create_key_file, read_key_file
from sidecar.ports import KeyUnavailable

LOOK_SECONDS = 1.0  # how often a file is looked at while its keys are in use

log = logging.getLogger("sidecar.keys")

T = TypeVar("T")
Stamp = tuple[tuple[int, ...] | None, ...]
FilesOf = Callable[[str], Sequence[Path]]


@dataclass(slots=True)
class _Held:
    """A tenant's keys as they were last read, from what state of the files, and what was last said against them."""

    files: Sequence[Path]
    keys: FileKeys
    stamp: Stamp
    looked: float
    told: str | None = None


class TenantKeys:
    """Each tenant's keys and nobody else's.

    `files_of` names a tenant's key file (last), and before it those that only open what they once sealed and need not
    be there; it raises KeyUnavailable. With `make`, a tenant gets a key when it first needs one.

    A file that is replaced, or is behind a symbolic link that is (as in a mounted Kubernetes Secret), is noticed within
    `LOOK_SECONDS`, and at once by a record whose key is not known yet. One that is gone or has become wrong leaves the
    keys as they were, and is told in the log.
    https://kubernetes.io/docs/concepts/configuration/secret/#using-secrets-as-files-from-a-pod
    """

    def __init__(self, files_of: FilesOf, now: Callable[[], float], *, make: bool = False) -> None:
        self._files_of = files_of
        self._now = now
        self._make = make
        self._held: dict[str, _Held] = {}

    def seal(self, tenant: str, place: str, plain: bytes) -> bytes:
        return self._keys(tenant).seal(tenant, place, plain)

    def open(self, tenant: str, place: str, sealed: bytes) -> bytes:
        return self._asked(tenant, lambda keys: keys.open(tenant, place, sealed))

    def rewrap(self, tenant: str, place: str, sealed: bytes) -> bytes | None:
        return self._asked(tenant, lambda keys: keys.rewrap(tenant, place, sealed))

    def held(self, tenant: str) -> tuple[str, ...]:
        # Who asks has perhaps just changed the file; and to ask makes none, unless an older one is to be replaced.
        make = any(file.exists() for file in self._files_of(tenant))
        return self._keys(tenant, at_once=True, make=make).held(tenant)

    def key_of(self, sealed: bytes) -> str:
        return key_of(sealed)

    def _asked(self, tenant: str, ask: Callable[[FileKeys], T]) -> T:
        """What the keys answer; where one is missing, it may have come since we last looked."""
        keys = self._keys(tenant)
        try:
            return ask(keys)
        except KeyUnavailable:
            newer = self._keys(tenant, at_once=True)
            if newer is keys:
                raise
            return ask(newer)

    def _keys(self, tenant: str, *, at_once: bool = False, make: bool = True) -> FileKeys:
        held, now = self._held.get(tenant), self._now()
        if held is None:
            held = self._held[tenant] = self._first(tenant, now, make=make)
        elif at_once or now - held.looked >= LOOK_SECONDS:
            held.looked = now
            _look(tenant, held)
        return held.keys

    def _first(self, tenant: str, now: float, *, make: bool) -> _Held:
        files = self._files_of(tenant)
        try:
            if make and self._make:
                create_key_file(files[-1])
            return _Held(files, *_read(files), now)
        except (KeyFileError, OSError) as error:
            raise KeyUnavailable(f"tenant {tenant!r} has no key here: {error}") from error


def _look(tenant: str, held: _Held) -> None:
    """Read the files again if they changed."""
    if _stamp(held.files) == held.stamp:
        return
    try:
        held.keys, held.stamp = _read(held.files)
    except KeyFileError as error:
        if str(error) != held.told:
            held.told = str(error)
            log.warning("the keys of tenant %s stay as they were: %s", tenant, error)
    else:
        held.told = None
        log.info("the keys of tenant %s were read again; %s seals", tenant, held.keys.newest)


def _read(files: Sequence[Path]) -> tuple[FileKeys, Stamp]:
    """The keys, and the state that the files had before they were read."""
    stamp = _stamp(files)
    *older, own = files
    keys: dict[str, bytes] = {}
    for file in older:
        if file.exists():
            keys |= read_key_file(file)
    for key_id, key in read_key_file(own).items():
        keys.pop(key_id, None)  # its place is where the tenant's own file has it
        keys[key_id] = key
    return FileKeys(keys), stamp


def _stamp(files: Sequence[Path]) -> Stamp:
    return tuple(_state(file) for file in files)


def _state(file: Path) -> tuple[int, ...] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
