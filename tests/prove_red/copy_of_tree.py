"""A copy of the tracked files, in which bugs are planted and tests are run: never in the tree itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

RUN_SECONDS = 240.0  # of one run of pytest: a bug that makes a test wait for ever is ended by the test's own limit
TAIL_LINES = 6
# The code does not even load: no test has looked at what it does.
NOT_LOADED = ("SyntaxError", "IndentationError", "ImportError", "ModuleNotFoundError", "NameError")


class NotOurs(Exception):
    """Not the copy is tested, but something else of that name."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of the tests of one run, by node id: those that passed, and those whose own body failed.

    `said`: the end of what pytest printed, for whoever asks why there is neither.
    """

    passed: frozenset[str]
    failed: frozenset[str]
    said: str

    def green(self, test: str) -> bool:
        """Whether the test ran, in each of its cases, and every one passed."""
        return any(_of(test, ran) for ran in self.passed) and not self.red(test)

    def red(self, test: str) -> bool:
        """Whether a case of the test failed by itself."""
        return any(_of(test, ran) for ran in self.failed)


class Copy:
    """The tree in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Compiled files are checked against their source's hash, and none is written: a bug of the same length, planted
        # within the second, is seen.
        options = {"PYTHONDONTWRITEBYTECODE": "1", "PROPERTIES": "random"}
        self._environment = {**os.environ, "PYTHONPATH": str(folder), **options}

    def prove_ours(self, package: str) -> None:
        """Raises NotOurs unless Python, started anywhere, finds the package in this copy."""
        found = subprocess.run(
            [sys.executable, "-c", f"import {package}; print({package}.__file__)"],
            cwd=self.folder.parent,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if not found.stdout.startswith(f"{self.folder}{os.sep}"):
            raise NotOurs(f"{package} is not the copy's: {(found.stdout or found.stderr).strip()}")

    def run(self, tests: Sequence[str], *options: str) -> Ran:
        """These tests by pytest, in a process of its own."""
        report = self.folder.parent / f"{self.folder.name}.xml"
        report.unlink(missing_ok=True)
        words = ("-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1", f"--junitxml={report}", *options)
        with subprocess.Popen(
            [sys.executable, "-m", "pytest", *words, *tests],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as pytest:
            try:
                printed, _ = pytest.communicate(timeout=RUN_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(pytest.pid, signal.SIGKILL)
                printed = f"did not end within {RUN_SECONDS:g} s"
        passed, failed = _read(report) if report.is_file() else (frozenset(), frozenset())
        return Ran(passed, failed, "\n".join(printed.strip().splitlines()[-TAIL_LINES:]))

    @contextmanager
    def planted(self, file: str, good: str, bad: str) -> Iterator[None]:
        """The bug is there until the block ends."""
        path = self.folder / file
        healthy = path.read_text(encoding="utf-8")
        path.write_text(healthy.replace(good, bad), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(healthy, encoding="utf-8")


def copies(root: Path, into: Path, number: int, package: str) -> list[Copy]:
    """So many copies of what git tracks below `root`. Raises NotOurs."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    made = [into / f"copy-{index}" for index in range(number)]
    for file in filter(None, listed.stdout.split("\0")):
        if (root / file).is_file():
            (made[0] / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / file, made[0] / file)
    compiling = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", package]
    subprocess.run(compiling, cwd=made[0], check=True)
    for folder in made[1:]:
        shutil.copytree(made[0], folder)
    found = [Copy(folder) for folder in made]
    for copy in found:
        copy.prove_ours(package)
    return found


def _of(test: str, ran: str) -> bool:
    """Whether a test that ran is the named one, or a case of it."""
    return ran == test or ran.startswith(f"{test}[")


def _read(report: Path) -> tuple[frozenset[str], frozenset[str]]:
    """The tests that passed and those that failed. Errors of collecting and of fixtures, and skips, are neither."""
    passed: set[str] = set()
    failed: set[str] = set()
    for case in ET.parse(report).iter("testcase"):
        node = f"{case.get('file')}::{case.get('name')}"
        failure = case.find("failure")
        if failure is not None:
            if not (failure.get("message") or "").startswith(NOT_LOADED):
                failed.add(node)
        elif case.find("error") is None and case.find("skipped") is None:
            passed.add(node)
    return frozenset(passed), frozenset(failed)
