"""Scenes in real processes, told one after the other: every figure beside what it must be.

SCENES names some of the scenes, SHORT=1 makes each small, COUNTS="seconds=20 posts=1000" changes single counts.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import httpx
import msgspec
from nats.errors import Error as NatsError

from tests.figure import Figure, say, table
from tests.real.servers import CannotStart

ENDINGS: tuple[type[Exception], ...] = (AssertionError, CannotStart, OSError, NatsError, httpx.HTTPError)
MISUSED, TERMINATED = 2, 143

C = TypeVar("C", bound=msgspec.Struct)


class Scene(NamedTuple, Generic[C]):
    """What a scene is given: a folder of its own, and how much it is to do."""

    folder: Path
    counts: C


Story = Callable[[Scene[C]], Awaitable[list[Figure]]]


class Misused(Exception):
    """SCENES or COUNTS name what there is not."""


@dataclass(frozen=True)
class Scenes(Generic[C]):
    """The stories by name, each with its title, and how much of everything they do. `more` are exceptions, beside the
    usual ones, that end a story before its time.
    """

    name: str
    stories: Mapping[str, tuple[str, Story[C]]]
    usual: C
    short: C
    more: tuple[type[Exception], ...] = ()

    def run(self) -> int:
        """Tell what the environment asks for. The exit code: 1 where a figure is not as it must be."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # servers and sidecars are stopped then too
        try:
            wanted, counts = self._wanted(), self._counts()
        except Misused as error:
            say(str(error))
            return MISUSED
        with tempfile.TemporaryDirectory(prefix=f"{self.name}-") as folder:
            return asyncio.run(self._tell(wanted, Path(folder), counts))

    def _wanted(self) -> list[str]:
        wanted = os.environ.get("SCENES", "").replace(",", " ").split() or list(self.stories)
        if unknown := sorted(set(wanted) - set(self.stories)):
            raise Misused(f"SCENES: there is no {', '.join(unknown)}; there are: {' '.join(self.stories)}")
        return wanted

    def _counts(self) -> C:
        usual = self.short if os.environ.get("SHORT") else self.usual
        try:
            changed = dict(word.split("=", 1) for word in os.environ.get("COUNTS", "").split())
            return msgspec.convert({**msgspec.to_builtins(usual), **changed}, type(usual), strict=False)
        except (msgspec.ValidationError, ValueError) as error:  # ValueError: a word without `=`
            raise Misused(f"COUNTS: {error}; there are: {' '.join(usual.__struct_fields__)}") from error

    async def _tell(self, wanted: list[str], folder: Path, counts: C) -> int:
        wrong: list[str] = []
        for name in wanted:
            title, story = self.stories[name]
            began = time.monotonic()
            figures = await self._figures(story, Scene(folder / name, counts))
            say(table(f"\n{name}: {title} ({time.monotonic() - began:.0f} s)", figures))
            wrong += [f"{name}: {figure.what}: {figure.seen}" for figure in figures if not figure.holds]
        say(f"\n{len(wanted)} scenes; {len(wrong)} figures not as they must be")
        for line in wrong:
            say(f"!! {line}")
        return 1 if wrong else 0

    async def _figures(self, story: Story[C], scene: Scene[C]) -> list[Figure]:
        """Its figures; one that cannot be told to its end does not keep the others from being told."""
        scene.folder.mkdir(parents=True)
        try:
            return await story(scene)
        except ENDINGS + self.more as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            why = f"{type(error).__name__} in {where.name}: {error}"[:600]
            return [Figure("ends here", why, "told to its end", holds=False)]
