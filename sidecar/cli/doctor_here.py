"""What the doctor sees without a network: settings, key file, providers, egress list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from sidecar.adapters.cryptography_keys import KeyFileError, read_key_file
from sidecar.app import FORMATS, provider_folders_of
from sidecar.catalogue.load import load_catalogue
from sidecar.catalogue.read import ManifestError
from sidecar.catalogue.validate import nearest
from sidecar.cli.doctor_line import Line, fail, ok, warn
from sidecar.cli.session import SANDBOX
from sidecar.core.egress import EgressAllow, parse_allow
from sidecar.provider import Catalogue
from sidecar.settings import ENVIRONMENT, FILE, Settings, SettingsError, load_settings, unknown_names
from sidecar.trace.line import counted

Tell = Callable[[Line], None]


class Here(msgspec.Struct, frozen=True):
    """What was found on this machine; None where it could not be had."""

    settings: Settings | None = None
    catalogue: Catalogue | None = None
    allow: EgressAllow | None = None


def look_here(environment: Mapping[str, str], folder: Path, tell: Tell) -> Here:
    """Tell of everything that needs no network."""
    for name in unknown_names(environment):
        tell(_unknown(name))
    try:
        settings = load_settings(environment, folder)
    except SettingsError as error:
        tell(fail("settings", str(error), "correct it: nothing starts with a wrong setting"))
        return Here()
    tell(ok("settings", _settings_seen(environment, folder)))
    for line in key_lines(settings):
        tell(line)
    return Here(settings, _catalogue(settings, tell), _allow(settings, tell))


def key_lines(settings: Settings) -> list[Line]:
    """The key file that `run` would use; where none is named, the one that `dev` made."""
    data_dir = Path(settings.data_dir).expanduser()
    made = [data_dir / "kek", data_dir / SANDBOX / "kek"]
    named = [Path(settings.kek_file).expanduser()] if settings.kek_file else [path for path in made if path.is_file()]
    if not named:
        return [warn("key", "no key file is named", "set SIDECAR_KEK_FILE for sidecar run; sidecar dev makes its own")]
    try:
        keys = read_key_file(named[0])
    except KeyFileError as error:
        return [fail("key", str(error), "keep the key safe: without it no stored credential can be opened")]
    return [ok("key", f"{named[0]}, new records are sealed with {keys.newest}")]


def _unknown(name: str) -> Line:
    known = [f"{ENVIRONMENT}{field.upper()}" for field in Settings.__struct_fields__]
    close = nearest(name.lower(), [item.lower() for item in known])
    mend = f"did you mean {close.upper()}?" if close else "unset it, or see the table of settings in the README"
    return warn("settings", f"{name} is no setting, and is ignored", mend)


def _settings_seen(environment: Mapping[str, str], folder: Path) -> str:
    known = {f"{ENVIRONMENT}{field.upper()}" for field in Settings.__struct_fields__}
    count = sum(1 for name in environment if name in known)
    file = f" and {FILE}" if (folder / FILE).is_file() else ""
    return f"{counted(count, 'variable')}{file}"


def _catalogue(settings: Settings, tell: Tell) -> Catalogue | None:
    try:
        catalogue = load_catalogue(provider_folders_of(settings), FORMATS)
    except ManifestError as error:
        tell(fail("catalogue", str(error), "see what is wrong with the folder: sidecar provider check FOLDER"))
        return None
    operations = sum(len(provider.operations) for provider in catalogue.providers.values())
    seen = f"{counted(len(catalogue.providers), 'provider')}, {counted(operations, 'operation')}"
    tell(ok("catalogue", f"{seen}, hash {catalogue.digest}"))
    return catalogue


def _allow(settings: Settings, tell: Tell) -> EgressAllow | None:
    try:
        allow = parse_allow(settings.egress_allow)
    except ValueError as error:
        tell(fail("egress", str(error), "correct SIDECAR_EGRESS_ALLOW"))
        return None
    if settings.egress_allow:
        tell(ok("egress", f"private addresses that may be called: {', '.join(settings.egress_allow)}"))
    return allow
