"""The three real servers: from the recipes of SHARED, on free loopback ports, stopped however the run ends."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

UP_SECONDS = 60.0
INSTALL_SECONDS = 900.0
REDMINE_SITE = Path("/etc/redmine/real/database.yml")  # where the recipe says which database its one site has
SYNAPSE_RATE = {"RC_PER_SECOND": "1", "RC_BURST": "5"}  # messages per second and account, and at once


class Server(NamedTuple):
    """One real server: its URL, and the credential fields of its accounts."""

    url: str
    logins: dict[str, dict[str, str]]


class Servers(NamedTuple):
    redmine: Server
    pocketbase: Server
    synapse: Server


class CannotStart(Exception):
    """A recipe failed, or its server does not answer. The text says which, and where its words are."""


@contextmanager
def real_servers(recipes: Path, scratch: Path, say: Callable[[str], None]) -> Iterator[Servers]:
    """The servers, started and with accounts; stopped at the end of the block."""
    scratch.mkdir(parents=True, exist_ok=True)
    ports = dict(zip(("RM_PORT", "PB_PORT", "MX_PORT"), free_ports(3), strict=True))
    environment = {
        **os.environ,
        "REAL_DIR": str(scratch),
        "PB_RATE": "100000",  # its limits are set when they are tried
        **SYNAPSE_RATE,
        **{name: str(port) for name, port in ports.items()},
    }
    with ExitStack() as running:
        urls: dict[str, str] = {}
        for name, port, health in (
            ("pocketbase", ports["PB_PORT"], "/api/health"),
            ("synapse", ports["MX_PORT"], "/_matrix/client/versions"),
            ("redmine", ports["RM_PORT"], "/issues.json"),
        ):
            recipe = Recipe(recipes / f"{name}.sh", scratch, environment)
            if not _installed(name, scratch):
                say(f"installing {name} (once)")
                recipe.run("install", INSTALL_SECONDS)
            running.callback(recipe.run, "stop", UP_SECONDS)
            recipe.run("stop", UP_SECONDS)  # one that an interrupted run left behind
            began = time.monotonic()
            recipe.run("start", 2 * UP_SECONDS, may_fail=True)  # it waits less than a busy machine may need
            urls[name] = f"http://127.0.0.1:{port}"
            _wait_until_up(urls[name] + health, recipe)
            say(f"{name} answers on {urls[name]} after {time.monotonic() - began:.1f} s")
        synapse = Recipe(recipes / "synapse.sh", scratch, environment)
        try:
            servers = Servers(
                Server(urls["redmine"], _redmine_logins(scratch)),
                Server(urls["pocketbase"], _pocketbase_logins(urls["pocketbase"])),
                Server(urls["synapse"], _synapse_logins(urls["synapse"], synapse)),
            )
        except (httpx.HTTPError, KeyError, OSError) as error:
            raise CannotStart(
                f"an account cannot be had: {error}; what is in {scratch} may be of another run"
            ) from error
        yield servers


def free_ports(number: int) -> list[int]:
    """Loopback ports that nobody listens on now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


class Recipe:
    """One shell recipe; what it prints goes to `<scratch>/<name>.recipe.log`."""

    def __init__(self, path: Path, scratch: Path, environment: dict[str, str]) -> None:
        self.path = path
        self.log = scratch / f"{path.stem}.recipe.log"
        self._environment = environment

    def run(self, verb: str, seconds: float, *words: str, may_fail: bool = False) -> None:
        with self.log.open("ab") as log:
            done = subprocess.run(
                ["bash", self.path, verb, *words],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=seconds,
                check=False,
            )
        if done.returncode and not may_fail:
            raise CannotStart(f"{self.path.name} {verb} failed; see {self.log}")


def _installed(name: str, scratch: Path) -> bool:
    match name:
        case "redmine":
            if (scratch / "redmine/env").exists() and str(scratch) not in _text(REDMINE_SITE):
                (scratch / "redmine/env").unlink()  # the site's database lies elsewhere now: it must be set up again
            return Path("/usr/share/redmine/bin/rails").exists() and shutil.which("puma") is not None
        case "pocketbase":
            return (scratch / "pb/venv/bin/pocketbase").exists()
        case _:
            return (scratch / "synapse/venv/bin/register_new_matrix_user").exists()


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _wait_until_up(url: str, recipe: Recipe) -> None:
    end = time.monotonic() + UP_SECONDS
    while time.monotonic() < end:
        try:
            httpx.get(url, timeout=5, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.25)
        else:
            return
    raise CannotStart(f"{recipe.path.stem} does not answer on {url}; see {recipe.log}")


def _redmine_logins(scratch: Path) -> dict[str, dict[str, str]]:
    keys = dict(line.split("=", 1) for line in (scratch / "redmine/env").read_text().split())
    return {
        "bot": {"key": keys["KEY"]},
        "admin": {"key": keys["ADMIN_KEY"]},
        "basic": {"username": "bot", "password": "bot-password-1"},
    }


def _pocketbase_logins(url: str) -> dict[str, dict[str, str]]:
    def token(collection: str, identity: str, password: str) -> dict[str, str]:
        body = {"identity": identity, "password": password}
        answer = httpx.post(f"{url}/api/collections/{collection}/auth-with-password", json=body, trust_env=False)
        return {"key": str(answer.raise_for_status().json()["token"])}

    return {
        "bot": token("users", "bot@example.test", "bot-password-1"),
        "admin": token("_superusers", "admin@example.test", "admin-password-1"),
    }


def _synapse_logins(url: str, recipe: Recipe) -> dict[str, dict[str, str]]:
    def token(user: str) -> dict[str, str]:
        password = f"{user}-password-1"
        recipe.run("user", UP_SECONDS, user, password, may_fail=True)  # it may be there from an earlier run
        identifier = {"type": "m.id.user", "user": user}
        body = {"type": "m.login.password", "identifier": identifier, "password": password}
        answer = httpx.post(f"{url}/_matrix/client/v3/login", json=body, trust_env=False)
        return {"token": str(answer.raise_for_status().json()["access_token"])}

    return {"ann": token("ann"), "ben": token("ben")}
