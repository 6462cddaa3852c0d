"""The strict OAuth server (node-oidc-provider) by the recipe of SHARED, for a browser to be sent to."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.real.servers import free_ports

CLIENT_ID = "sidecar"
CLIENT_SECRET = "s3cr3t-sidecar"
SECONDS = 300.0


def recipe() -> Path:
    here = Path(__file__).parent.parent.parent
    return (here / os.environ.get("SHARED", "../shared") / "real" / "oidc-provider.sh").absolute()


def why_not() -> str | None:
    """Why there is no such server here, or None."""
    if not recipe().is_file():
        return f"there is no {recipe()}; set SHARED to the folder that holds real/"
    missing = [name for name in ("bash", "node", "npm", "curl") if shutil.which(name) is None]
    return f"{' and '.join(missing)} must be installed" if missing else None


@contextmanager
def strict_server(folder: Path, redirect_uri: str, **also: str) -> Iterator[str]:
    """A running one that knows the redirect URI; everybody who signs in there is alice. Its URL."""
    folder.mkdir()
    (folder / "oidc").mkdir()
    (folder / "oidc" / "node_modules").symlink_to(_installed())
    port = free_ports(1)[0]
    environment = {
        **os.environ,
        "REAL_DIR": str(folder),
        "OIDC_PORT": str(port),
        "ACCESS_TTL": "300",
        "CLIENT_ID": CLIENT_ID,
        "CLIENT_SECRET": CLIENT_SECRET,
        "REDIRECT_URI": redirect_uri,
        **also,
    }
    _run("start", environment)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        _run("stop", environment)


def _installed() -> Path:
    """Its modules, installed at the first time."""
    place = Path(os.environ.get("REAL_DIR") or Path(tempfile.gettempdir()) / "connector-sidecar-real").absolute()
    modules = place / "oidc" / "node_modules"
    if not (modules / "oidc-provider" / "package.json").is_file():
        place.mkdir(parents=True, exist_ok=True)
        _run("install", {**os.environ, "REAL_DIR": str(place)})
    return modules


def _run(verb: str, environment: dict[str, str]) -> None:
    subprocess.run(
        ["bash", recipe(), verb],
        env=environment,
        check=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
