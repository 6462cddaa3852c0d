"""A provider's hooks.py: loaded by path, its functions found by name, and their failures told as theirs."""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from sidecar.catalogue.read import ManifestError
from sidecar.provider import Explained, HookFailed


def load_hooks(path: Path, provider: str) -> ModuleType:
    """The module of hooks, loaded by path under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"connectors_{provider}_hooks", path)
    if spec is None or spec.loader is None:
        raise ManifestError(f"{path}: cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ManifestError(f"{path}: {type(error).__name__}: {error}") from error
    return module


def hook_of(hooks: ModuleType | None, place: str, name: str, check: Callable[[Any], object]) -> Callable[..., Any]:
    """The function of this name, which raises HookFailed and nothing else. `check` raises where it gave what a hook of
    its kind may not.
    """
    function = getattr(hooks, name, None)
    if hooks is None or not callable(function):
        raise ManifestError(f"{place}: hooks: there is no function {name!r} in hooks.py")
    found: Callable[..., Any] = function
    provider = hooks.__name__.removeprefix("connectors_").removesuffix("_hooks")

    @wraps(found)
    def hook(*given: Any) -> Any:
        try:
            told = found(*given)
            check(told)
        except Exception as error:  # noqa: BLE001 - an author's code; it is told as theirs
            # Without its frames, in which what the provider said would live on.
            raise HookFailed(name, provider, _place(hooks, found, error)) from error.with_traceback(None)
        return told

    return hook


def gives_input(told: Any) -> None:
    """What an input hook gives is an input."""
    if not isinstance(told, dict):
        raise TypeError(f"it gave no dict but {type(told).__name__}")


def gives_output(_: Any) -> None:
    """What an output hook gives is not looked through: it may be large, and is written as JSON right after."""


def gives_explained(told: Any) -> None:
    """What an explain hook gives is what it says to be."""
    if not isinstance(told, Explained):
        raise TypeError(f"it gave no Explained but {type(told).__name__}")
    msgspec.convert(msgspec.structs.asdict(told), Explained)


def _place(hooks: ModuleType, function: Callable[..., Any], error: Exception) -> str:
    """File and line of hooks.py where it raised; of what it gave back, where it begins."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == hooks.__file__]
    code = getattr(function, "__code__", None)
    line = frames[-1].lineno if frames else code and code.co_firstlineno
    return f"{hooks.__file__}, line {line}"
