"""`sidecar provider check`: the folders it is about, and what is found in them."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from sidecar.app import FORMATS, provider_folders_of
from sidecar.catalogue.load import provider_folders
from sidecar.catalogue.read import ManifestError
from sidecar.catalogue.validate import nearest
from sidecar.cli.failure import USAGE, stop
from sidecar.cli.terminal import paint, put, put_json, say
from sidecar.model import Reason
from sidecar.sandbox.check import Finding, check_provider
from sidecar.settings import Settings
from sidecar.trace.line import Paint, Tone, counted, plain, unpainted

OK, TO_MEND = 0, 1
MOST_FINDINGS = 20


def check_providers(settings: Settings, which: Sequence[str], *, as_json: bool) -> int:
    """Check these providers (none named: all); returns the exit code."""
    places = chosen(settings, which)
    logging.getLogger().addHandler(logging.NullHandler())  # what a case provokes on purpose is no news
    told: list[dict[str, Any]] = []
    bad = 0
    for place in places:
        findings = check_provider(place, FORMATS)
        bad += any(not finding.note for finding in findings)
        told += [{"provider": place.name, **msgspec.to_builtins(finding)} for finding in findings]
        if not as_json:
            put(findings_text(place.name, findings, paint))
    if as_json:
        put_json({"checked": [place.name for place in places], "findings": told})
    else:
        say(f"{counted(len(places), 'provider')} checked, {bad or 'none'} to mend")
    return TO_MEND if bad else OK


def chosen(settings: Settings, which: Sequence[str]) -> list[Path]:
    """The folders meant by names and paths; all that are served when there are none."""
    try:
        served = [place for folder in provider_folders_of(settings) for place in provider_folders(folder)]
    except ManifestError as error:
        raise stop(
            USAGE, str(error), "check SIDECAR_CONNECTORS: it names folders that hold folders of providers"
        ) from None
    return [_place(name, served) for name in which] if which else served


def _place(name: str, served: Sequence[Path]) -> Path:
    by_name = next((place for place in served if place.name == name), None)
    if by_name is not None:
        return by_name
    folder = Path(name).expanduser()
    if (folder / "provider.yaml").is_file():
        return folder.resolve()
    if folder.is_dir():
        raise stop(USAGE, f"{name} holds no provider.yaml", "see connectors/README.md")
    close = nearest(name, [place.name for place in served])
    asked = f"there is no provider and no folder {name[:200]!r}"
    raise stop(Reason.UNKNOWN_PROVIDER, f"{asked}; did you mean {close}?" if close else asked)


def findings_text(provider: str, findings: Sequence[Finding], paint: Paint = unpainted) -> str:
    """What is to be mended in a provider's folder, and how; notes only counted."""
    wrong = [finding for finding in findings if not finding.note]
    notes = len(findings) - len(wrong)
    head = paint("ok   ", Tone.GOOD) if not wrong else paint("FAIL ", Tone.BAD)
    said = [counted(len(wrong), "finding")] if wrong else []
    said += [counted(notes, "unverified fact")] if notes else []
    lines = [f"{head} {provider:<14} {', '.join(said)}".rstrip()]
    shown = wrong[:MOST_FINDINGS]
    for finding, after in itertools.zip_longest(shown, shown[1:]):
        lines.append(f"      {plain(finding.where, 160)}: {plain(finding.wrong, 600)}")
        if finding.todo and (after is None or after.todo != finding.todo):  # once for all that need the same
            lines.append(f"        -> {plain(finding.todo)}")
    if len(wrong) > len(shown):
        lines.append(f"      and {counted(len(wrong) - len(shown), 'more finding')}; --json lists all")
    return "\n".join(lines)
