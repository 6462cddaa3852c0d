"""The keys of each mode: `dev` makes what is not there, `run` refuses to start without."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sidecar.adapters.key_file import KeyFileError, read_key_file
from sidecar.adapters.tenant_keys import TenantKeys
from sidecar.key_places import is_file_name, places_in_production, places_on_a_laptop
from sidecar.settings import Settings

log = logging.getLogger("sidecar.keys")

NOT_SET = (
    "neither SIDECAR_KEK_FILE nor SIDECAR_KEK_DIR is set: name the key file of the tenant, or the folder with a file"
    " for each; make a key: sidecar keys new FILE"
)


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
            if not is_file_name(file.name):
                log.warning("%s is no tenant's key file: it is called as the token, with `.` in place of `%%`", file)
    return TenantKeys(places.files_of, now)


def keys_on_a_laptop(settings: Settings, now: Callable[[], float]) -> TenantKeys:
    """The keys of the data directory, each made when it is first needed. Raises KeyFileError where one is wrong."""
    places = places_on_a_laptop(settings)
    for file in places.files_there():
        if file.exists():
            read_key_file(file)
    return TenantKeys(places.files_of, now, make=True)
