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
from typing import NamedTuple

QUOTA = "sidecar.core.quota"
SHARED = frozenset({"event", "limit", "message", "demand"})


class Edit(NamedTuple):
    """`good`, which stands in that file of the package once, becomes `bad`."""

    file: str
    good: str
    bad: str


def planted(*edits: Edit, package: str = QUOTA, root: str = "node") -> ModuleType:
    """The module `root` of the package as it would be with these edits. The package itself stays as it is."""
    parent = importlib.import_module(package)
    folder = Path(parent.__path__[0])
    texts: dict[str, str] = {}
    for file, good, bad in edits:
        text = texts.get(file) or (folder / f"{file}.py").read_text()
        if text.count(good) != 1:
            raise ValueError(f"{file}.py holds {good!r} {text.count(good)} times, not once")
        texts[file] = text.replace(good, bad)
    names = [path.stem for path in sorted(folder.glob("*.py")) if path.stem not in SHARED | {"__init__"}]
    kept = {name: sys.modules.pop(f"{package}.{name}", None) for name in names}
    finder = _Finder(folder, package, texts)
    sys.meta_path.insert(0, finder)
    try:
        return importlib.import_module(f"{package}.{root}")
    finally:
        sys.meta_path.remove(finder)
        for name, module in kept.items():
            sys.modules.pop(f"{package}.{name}", None)
            if module is not None:
                sys.modules[f"{package}.{name}"] = module
                setattr(parent, name, module)


class _Finder(MetaPathFinder, Loader):
    """Finds files of a package with other texts."""

    def __init__(self, folder: Path, package: str, texts: dict[str, str]) -> None:
        self._folder = folder
        self._package = package
        self._texts = texts

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        return ModuleSpec(fullname, self) if package == self._package and name in self._texts else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__.rpartition(".")[2]
        code = compile(self._texts[name], str(self._folder / f"{name}.py"), "exec")
        exec(code, module.__dict__)
