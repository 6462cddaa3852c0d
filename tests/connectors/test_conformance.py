"""Every provider of the repository conforms: facts with their pages, operations with words, cases that come out."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.adapters.json_schema import compile_schema
from sidecar.adapters.yaml_file import read_yaml
from sidecar.catalogue.load import provider_folders
from sidecar.ports import Formats
from sidecar.sandbox.check import check_provider

FOLDERS = provider_folders(Path(__file__).parents[2] / "connectors")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_provider_conforms(folder: Path) -> None:
    """`sidecar provider check` finds nothing to mend."""
    findings = check_provider(folder, Formats(read_yaml, compile_schema))
    wrong = [f"{finding.where}: {finding.wrong}; {finding.todo}" for finding in findings if not finding.note]
    assert not wrong, "\n".join(wrong)
