"""A real sidecar over an embedded nats-server, with the offline provider `acme`, and the command line beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click.testing
import msgspec
import pytest
from anyio.from_thread import start_blocking_portal

from sidecar.adapters.yaml_file import read_yaml
from sidecar.app import Sidecar
from sidecar.cli import main
from sidecar.laptop import development
from sidecar.sandbox.read import all_cases
from sidecar.sandbox.server import OfflineProviders, Sandbox, store_credentials
from sidecar.settings import Settings
from tests.sandbox.acme import Acme


@dataclass(frozen=True, slots=True)
class Served:
    """Where the sidecar is."""

    url: str
    data_dir: str
    connectors: str
    running: Sidecar
    offline: Sandbox


class Command(Protocol):
    """`sidecar ARGS...`."""

    def __call__(self, *args: str, **changed: Any) -> click.testing.Result: ...


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A sidecar that answers until the tests end; connections `default` and `alice` of acme are there."""
    folder = tmp_path_factory.mktemp("cli")
    connectors = folder / "connectors"
    Acme().write(connectors)
    settings = Settings(data_dir=str(folder / "data"), connectors=(str(connectors),), grace_seconds=0)

    @asynccontextmanager
    async def all_of_it() -> Any:
        offline = OfflineProviders(all_cases([connectors], read_yaml))
        async with development(settings, offline) as (running, url):
            assert await store_credentials(running.administrator, running.catalogue) is None
            assert offline.served is not None
            yield Served(url, settings.data_dir, str(connectors), running, offline.served)

    loop = {"use_uvloop": True}
    with start_blocking_portal("asyncio", loop) as portal, portal.wrap_async_context_manager(all_of_it()) as it:
        yield it


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of whoever runs the tests has a say, and no folder either."""
    for name in [*os.environ]:
        if name.startswith("SIDECAR_") or name in {"NO_COLOR", "TERM"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIDECAR_DATA_DIR", str(tmp_path / "nothing"))


@pytest.fixture
def sidecar() -> Command:
    """The command line, in an environment where nothing runs."""

    def run(*args: str, **changed: Any) -> click.testing.Result:
        return click.testing.CliRunner().invoke(main, args, prog_name="sidecar", **changed)

    return run


@pytest.fixture
def beside(served: Served, sidecar: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line, where the sidecar runs."""
    monkeypatch.setenv("SIDECAR_DATA_DIR", served.data_dir)
    return sidecar


def said(result: click.testing.Result) -> Any:
    """The JSON on stdout, which is all that is there."""
    return msgspec.json.decode(result.stdout_bytes)
