"""`python -m sidecar.schemas [--check] [FOLDER]`: write the generated files, or say which of them drift."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sidecar.schemas.files import FOLDER, drift, write


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 when the folder holds what the code says."""
    parser = argparse.ArgumentParser(prog="python -m sidecar.schemas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a file drifts")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="default: schemas/ of this checkout")
    asked = parser.parse_args(arguments)
    if not asked.check:
        write(asked.folder)
        return 0
    drifting = drift(asked.folder)
    for line in drifting:
        sys.stderr.write(f"{line}\n")
    if drifting:
        folder = "" if asked.folder == FOLDER else f" {asked.folder}"
        sys.stderr.write(f"mend it with: python -m sidecar.schemas{folder}   (then a line in schemas/README.md)\n")
    return 1 if drifting else 0


if __name__ == "__main__":
    sys.exit(main())
