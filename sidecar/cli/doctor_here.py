"""What the doctor sees without a network: settings, key file, providers, egress list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from sidecar.adapters.key_file import KeyFileError, read_key_file
from sidecar.app import Unfit, catalogue_of
from sidecar.catalogue.read import ManifestError
from sidecar.catalogue.validate import nearest
from sidecar.cli.doctor_line import Line, fail, ok, warn
from sidecar.cli.session import SANDBOX
from sidecar.core.egress import EgressAllow, parse_allow
from sidecar.key_places import places_in_production, places_on_a_laptop
from sidecar.permissions import INBOX, REPLIES
from sidecar.provider import Catalogue
from sidecar.settings import ENVIRONMENT, FILE, Settings, SettingsError, load_settings, unknown_names
from sidecar.trace.line import counted
from sidecar.wire.subject import EVERY

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
    for line in (*key_lines(settings), *reply_lines(settings)):
        tell(line)
    return Here(settings, _catalogue(settings, tell), _allow(settings, tell))


def key_lines(settings: Settings) -> list[Line]:
    """The key files that `run` would use; where none is named, those that `dev` made."""
    sandbox = msgspec.structs.replace(settings, data_dir=str(Path(settings.data_dir) / SANDBOX))
    places = places_in_production(settings)
    made = [file for at in (settings, sandbox) for file in places_on_a_laptop(at).files_there() if file.is_file()]
    files = places.files_there() if places else made
    if not files:
        mend = "set SIDECAR_KEK_FILE or SIDECAR_KEK_DIR for sidecar run; sidecar dev makes its own"
        return [warn("key", f"{places.folder} has no key file" if places else "no key file is named", mend)]
    return [_key_line(file) for file in files]


def reply_lines(settings: Settings) -> list[Line]:
    """Whether a sidecar that serves several tenants lets one of them name an inbox of another's for its answers."""
    inboxes = f"{INBOX}.{EVERY}."  # where each has inboxes of its own, by the table of rights
    if not settings.inbox_prefix.startswith(inboxes) or not any(map(inboxes.startswith, settings.reply_prefixes)):
        return []
    seen = "a caller may have its answer sent to an inbox of another tenant"
    return [warn("replies", seen, f"set SIDECAR_REPLY_PREFIXES={','.join(REPLIES)} for sidecar run")]


def _key_line(file: Path) -> Line:
    try:
        newest = list(read_key_file(file))[-1]
    except KeyFileError as error:
        return fail("key", str(error), "keep the key safe: without it no stored credential can be opened")
    return ok("key", f"{file}, new records are sealed with {newest}")


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
        catalogue = catalogue_of(settings)
    except Unfit as error:
        tell(fail("catalogue", str(error), "correct SIDECAR_PROVIDERS"))
        return None
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
