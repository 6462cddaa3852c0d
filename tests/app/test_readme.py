"""What the README says is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sidecar.app import FORMATS
from sidecar.catalogue.load import load_provider, provider_folders
from sidecar.settings import table

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_setting_is_in_the_table() -> None:
    """The table of settings is the one that the code prints (`python -m sidecar.settings`)."""
    assert table() in README


def test_the_node_program_is_the_one_that_is_run() -> None:
    program = re.search(r"```js\n(.*?)```", README, re.DOTALL)
    assert program is not None
    assert program[1] == (ROOT / "tests" / "real" / "agent.mjs").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", provider_folders(ROOT / "connectors"), ids=lambda folder: folder.name)
def test_every_provider_is_in_the_table(folder: Path) -> None:
    """Each provider has its row, with the number of its operations."""
    provider = load_provider(folder, FORMATS)
    curated = sum(not operation.raw for operation in provider.operations.values())
    assert f"| `{provider.name}` | {curated} |" in README


def test_the_two_commands_are_targets() -> None:
    """`make demo` and `make test` stand in the README and in the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in ("demo", "test"):
        assert f"\nmake {command}\n" in README
        assert f"\n{command}: " in makefile
