"""Where the key files are: that of one tenant, or a folder with one for each.

In a folder the file is named as the tenant's token with `.` in place of `%`: `acme`, and `acme.20corp` for `acme corp`.
A token has no dot of its own, so no two tenants share a name, and each is a legal key of a Kubernetes Secret.
https://kubernetes.io/docs/concepts/configuration/secret/#restriction-names-data
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from sidecar.ports import KeyUnavailable
from sidecar.settings import Settings
from sidecar.wire.subject import decode_token, encode_token

DEFAULT = "default"
NEW = "sidecar keys new"


class KeyPlaces(msgspec.Struct, frozen=True, kw_only=True):
    """`files` by tenant go before `folder`. `tenant`: nobody else's keys are held. `shared` opens what it once sealed
    for everybody.
    """

    files: Mapping[str, Path]
    folder: Path | None = None
    tenant: str | None = None
    shared: Path | None = None

    def files_of(self, tenant: str) -> tuple[Path, ...]:
        """The tenant's file, last; before it the one that only opens. Raises KeyUnavailable."""
        own = self.file_of(tenant)
        return (own,) if self.shared is None or self.shared == own else (self.shared, own)

    def file_of(self, tenant: str) -> Path:
        """The tenant's own file. Raises KeyUnavailable where there is no place for one."""
        if self.tenant is not None and tenant != self.tenant:
            raise KeyUnavailable(f"tenant {tenant!r} has no key here: this sidecar serves tenant {self.tenant!r} alone")
        if tenant in self.files:
            return self.files[tenant]
        if self.folder is None:
            known = ", ".join(f"{path} is that of tenant {name}" for name, path in self.files.items())
            raise KeyUnavailable(f"tenant {tenant!r} has no key here: {known}; for several set SIDECAR_KEK_DIR")
        return self.folder / file_name(tenant)

    def files_there(self) -> list[Path]:
        """Every file that should hold keys at the start: those of single tenants, and what the folder has."""
        if self.tenant is not None:
            return [self.file_of(self.tenant)]
        found = self.folder.glob("*") if self.folder else ()
        return [*self.files.values(), *sorted(path for path in found if path.is_file())]  # `..data` is none

    def tenants_there(self) -> list[str]:
        """Whose files these are."""
        if self.tenant is not None:
            return [self.tenant]
        named = {file_tenant(path.name) for path in self.files_there() if path.parent == self.folder}
        return sorted({*self.files, *filter(None, named)})


def file_name(tenant: str) -> str:
    """What the tenant's file is called in a folder of key files."""
    return encode_token(tenant).replace("%", ".")


def file_tenant(name: str) -> str | None:
    """The tenant whose file is called so; None where no tenant's is."""
    return None if "%" in name else decode_token(name.replace(".", "%"))


def places_in_production(settings: Settings) -> KeyPlaces | None:
    """Where `sidecar run` looks; None when no setting says it."""
    if settings.kek_file is not None:
        return KeyPlaces(files=_named(settings), tenant=settings.tenant)
    if settings.kek_dir is not None:
        return KeyPlaces(files={}, folder=Path(settings.kek_dir).expanduser(), tenant=settings.tenant)
    return None


def places_on_a_laptop(settings: Settings) -> KeyPlaces:
    """Where `sidecar dev` looks and makes what is not there: what the settings name, else the data directory.

    One file for everybody, as version 0.1 made it, is tenant `default`'s, and opens what it sealed for others.
    """
    data_dir = Path(settings.data_dir).expanduser()
    folder = Path(settings.kek_dir).expanduser() if settings.kek_dir is not None else data_dir / "keys"
    files = _named(settings)
    if settings.kek_file is None and settings.kek_dir is None and (data_dir / "kek").is_file():
        files = {DEFAULT: data_dir / "kek"}
    return KeyPlaces(files=files, folder=folder, tenant=settings.tenant, shared=next(iter(files.values()), None))


def _named(settings: Settings) -> dict[str, Path]:
    if settings.kek_file is None:
        return {}
    return {settings.tenant or DEFAULT: Path(settings.kek_file).expanduser()}
