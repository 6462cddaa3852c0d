"""The code under test with a bug planted in it: the same modules again, with one piece of text replaced.

Only what decides is loaded again; events, limits and messages are values that both sides of a world must share.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

QUOTA = "sidecar.core.quota"
SHARED = frozenset({"event", "limit", "message", "demand"})


def planted(file: str, good: str, bad: str, *, package: str = QUOTA, root: str = "node") -> ModuleType:
    """The module `root` of the package as it would be if `good`, which stands in that file once, were `bad`."""
    parent = importlib.import_module(package)
    folder = Path(parent.__path__[0])
    text = (folder / f"{file}.py").read_text()
    if text.count(good) != 1:
        raise ValueError(f"{file}.py holds {good!r} {text.count(good)} times, not once")
    names = [path.stem for path in sorted(folder.glob("*.py")) if path.stem not in SHARED | {"__init__"}]
    kept = {name: sys.modules.pop(f"{package}.{name}", None) for name in names}
    try:
        finder = _Finder(folder, package, file, text.replace(good, bad))
        sys.meta_path.insert(0, finder)
        try:
            return importlib.import_module(f"{package}.{root}")
        finally:
            sys.meta_path.remove(finder)
    finally:
        for name, module in kept.items():
            sys.modules.pop(f"{package}.{name}", None)
            if module is not None:
                sys.modules[f"{package}.{name}"] = module
                setattr(parent, name, module)


class _Finder(MetaPathFinder, Loader):
    """Finds one file of a package with another text."""

    def __init__(self, folder: Path, package: str, file: str, text: str) -> None:
        self._path = folder / f"{file}.py"
        self._name = f"{package}.{file}"
        self._text = text

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, origin=str(self._path)) if fullname == self._name else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        code = compile(self._text, str(self._path), "exec")
        exec(code, module.__dict__)
