"""Which Python `make` uses."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parent.parent / "Makefile"
MAKE = shutil.which("make")
pytestmark = pytest.mark.skipif(MAKE is None, reason="make is not installed")


def python(path: Path, version: str) -> Path:
    """A stand-in that says only which one it is."""
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("there", "named", "anew"),
    [
        ("3 11", None, False),
        ("3 11", "3 11", False),
        ("3 11", "3 13", True),
        (None, None, True),
        (None, "3 13", True),
    ],
)
def test_the_python_that_is_named_is_used(tmp_path: Path, there: str | None, named: str | None, *, anew: bool) -> None:
    """With `PYTHON=` the environment is made anew where it is of another one; and always where its own has gone."""
    shutil.copy(MAKEFILE, tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    inside = tmp_path / ".venv/bin/python"
    if there is None:
        inside.symlink_to(tmp_path / "gone")
    else:
        python(inside, there)
    for name in ("requirements-dev.txt", "pyproject.toml", ".venv/ready"):
        (tmp_path / name).touch()
    said = [f"PYTHON={python(tmp_path / 'other', named)}"] if named else []
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "MAKEFLAGS", "MFLAGS")}
    told = subprocess.run(
        [str(MAKE), "-n", "test", *said], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert ("-m venv" in told.stdout) is anew, told
    assert "-m pytest" in told.stdout
