"""The keys of each mode: `dev` makes what is not there, `run` refuses to start without. Neither starts where what is
stored was sealed with others.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable

import msgspec

from sidecar.adapters.key_file import KeyFileError, read_key_file
from sidecar.adapters.nats_store import NatsStore
from sidecar.adapters.tenant_keys import TenantKeys
from sidecar.key_places import file_tenant, places_in_production, places_on_a_laptop
from sidecar.ports import Entry, Keys, KeyUnavailable, SealBroken
from sidecar.settings import Settings
from sidecar.store.credential import BUCKET
from sidecar.store.record import record_names, record_patterns, record_place

log = logging.getLogger("sidecar.keys")

NOT_SET = (
    "neither SIDECAR_KEK_FILE nor SIDECAR_KEK_DIR is set: name the key file of the tenant, or the folder with a file"
    " for each; make a key: sidecar keys new FILE"
)

LOOKED_AT = 3  # records of a tenant, before a sidecar starts
MOST_TENANTS = 50  # that are looked at


def keys_to_run(settings: Settings, now: Callable[[], float]) -> TenantKeys | str:
    """The keys that the settings name, or why no call could be served with them."""
    places = places_in_production(settings)
    if places is None:
        return NOT_SET
    files = places.files_there()
    if not files:
        return (
            f"SIDECAR_KEK_DIR: {places.folder} has no key file; make one for each tenant: sidecar keys new --tenant T"
        )
    wrong: list[str] = []
    for file in files:
        try:
            read_key_file(file)
        except KeyFileError as error:
            wrong.append(str(error))
    if len(wrong) == len(files):
        return "; ".join(wrong)
    for text in wrong:
        log.warning("%s; until then no record of its tenant can be opened", text)
    if places.folder is not None and places.tenant is None:
        for file in files:
            if file_tenant(file.name) is None:
                log.warning("%s is no tenant's key file: it is called as the token, with `.` in place of `%%`", file)
    return TenantKeys(places.files_of, now)


def keys_on_a_laptop(settings: Settings, now: Callable[[], float]) -> TenantKeys:
    """The keys of the data directory, each made when it is first needed. Raises KeyFileError where one is wrong."""
    places = places_on_a_laptop(settings)
    for file in places.files_there():
        if file.exists():
            read_key_file(file)
    return TenantKeys(places.files_of, now, make=True)


async def unopened(store: NatsStore, keys: Keys, settings: Settings) -> tuple[str, ...]:
    """Why no call could be served: of no tenant with a key here a stored credential opens. What shuts out some of
    several tenants is told in the log. It looks at a few records alone. Raises StoreUnavailable.
    """
    places = places_in_production(settings)
    shut: list[str] = []
    opened = 0
    for tenant in places.tenants_there()[:MOST_TENANTS] if places is not None else ():
        problems = [_problem(keys, tenant, entry) for entry in await _some(store, settings, tenant)]
        if problems and all(problems):
            shut.append(f"no stored credential of tenant {tenant!r} can be opened: {problems[-1]}")
        elif problems:
            opened += 1
    if not opened:
        return tuple(shut)
    for text in shut:
        log.warning("%s", text)
    return ()


async def keys_gone(store: NatsStore, settings: Settings) -> tuple[str, ...]:
    """The key files of the data directory that are not there although something is sealed with their keys: a new key
    would open none of it. Raises StoreUnavailable.
    """
    places = places_on_a_laptop(settings)
    tenants = sorted({record_names(key)[0] for key in await store.keys(BUCKET, ">")})
    gone = [(tenant, places.file_of(tenant)) for tenant in tenants if settings.tenant in (None, tenant)]
    return tuple(
        f"key file {file} is not there, and stored credentials of tenant {tenant!r} are sealed with its keys: put it"
        f" back, or give them up with a new key (sidecar keys new --tenant {shlex.quote(tenant)}) and connect again"
        for tenant, file in gone
        if not any(path.exists() for path in places.files_of(tenant))
    )


async def _some(store: NatsStore, settings: Settings, tenant: str) -> list[Entry]:
    """A few of the tenant's records that are served here."""
    for pattern in record_patterns(msgspec.structs.replace(settings.scope, tenant=tenant)):
        found = await store.some(BUCKET, pattern, LOOKED_AT)
        if found:
            return found
    return []


def _problem(keys: Keys, tenant: str, entry: Entry) -> str | None:
    """Why the record does not open."""
    try:
        keys.open(tenant, record_place(BUCKET, entry.key), entry.value)
    except (KeyUnavailable, SealBroken) as error:
        return str(error)
    return None
