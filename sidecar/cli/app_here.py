"""The OAuth app of a provider on this machine: a file that the provider handed out, put where a sidecar looks."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from sidecar.auth.apps import App, app_file_names, read_app
from sidecar.cli.failure import NO_FILE, USAGE, stop
from sidecar.cli.session import DEFAULT, folder_in_use
from sidecar.ports import AppFileError
from sidecar.settings import Settings

SHAPE = '{"client_id": "...", "client_secret": "..."}'
OWNER_ONLY, FOLDER = 0o600, 0o700
MAX_BYTES = 64 * 1024


def apps_folder(settings: Settings) -> Path:
    """Where a sidecar with these settings looks for apps; on a laptop in the data directory of the one that runs."""
    return Path(settings.apps_dir).expanduser() if settings.apps_dir else folder_in_use(settings) / "apps"


def app_place(settings: Settings, tenant: str, provider: str) -> Path:
    """The file of an app: everybody's, or where a tenant is named, that tenant's own."""
    own, everybody = app_file_names(tenant, provider)
    return apps_folder(settings) / (everybody if tenant == DEFAULT else own)


def keep_app(settings: Settings, tenant: str, provider: str, file: str) -> tuple[Path, App, App | None]:
    """Put the file of an app in its place, readable by its owner alone: where that is, the app, and the one before."""
    source = Path(file).expanduser()
    try:
        with source.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        hint = "give the path of the file that the provider let you download"
        raise stop(NO_FILE, f"{source}: {error.strerror}", hint) from error
    if len(content) > MAX_BYTES:
        raise stop(USAGE, f"{source} is too large for the description of an app", "give the client's JSON file")
    return _kept(settings, tenant, provider, content, source)


def keep_typed(settings: Settings, tenant: str, provider: str, client_id: str, client_secret: str) -> Path:
    """Put an app in its place that its provider shows on a page instead of handing out a file."""
    described = {"client_id": client_id} | ({"client_secret": client_secret} if client_secret else {})
    place, _, _ = _kept(settings, tenant, provider, msgspec.json.encode(described), Path("what was typed"))
    return place


def _kept(settings: Settings, tenant: str, provider: str, content: bytes, source: Path) -> tuple[Path, App, App | None]:
    app = _read(content, source)
    place = app_place(settings, tenant, provider)
    before = _read(place.read_bytes(), place) if place.is_file() else None
    _write(place, content)
    return place, app, before


def _read(content: bytes, path: Path) -> App:
    try:
        return read_app(content, str(path))
    except AppFileError as error:
        hint = f"give the client's JSON file as the provider hands it out, or {SHAPE}"
        raise stop(USAGE, str(error), hint) from error


def _write(place: Path, content: bytes) -> None:
    """The file whole, or as it was."""
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(mode=FOLDER, parents=True, exist_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        beside.rename(place)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise stop(
            NO_FILE, f"{place} cannot be written: {error.strerror}", "make the folder yours, or set SIDECAR_APPS_DIR"
        ) from error
