"""The strict OAuth server: node-oidc-provider by the recipe of SHARED, on a loopback port of its own.

It is a certified server of somebody else's: what it says of a refresh token is the judgement that counts here.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import msgspec

from tests.real.servers import CannotStart, Recipe, free_ports

CLIENT_ID = "sidecar"
CLIENT_SECRET = "s3cr3t-sidecar"
REDIRECT = "http://127.0.0.1:9199/callback"  # nobody listens there: the code is taken from the address
START_SECONDS = 60.0
INSTALL_SECONDS = 600.0
MOST_REDIRECTS = 10
REFUSED = 400


class Grant(NamedTuple):
    """What one person allowed: the refresh token, and the name that the server's log has for it."""

    refresh_token: str
    id: str


class GrantEnded(Exception):
    """The server takes the refresh token no more."""


class TokenCall(msgspec.Struct, frozen=True):
    """One line of the server's log. `t` in Unix milliseconds."""

    t: int
    status: int
    grant: str | None = None
    error: str | None = None
    grant_id: str | None = None

    @property
    def seconds(self) -> float:
        return self.t / 1000


class StrictServer:
    """A running one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.AsyncClient(trust_env=False, timeout=30)

    async def log(self) -> list[TokenCall]:
        """Every call of its token endpoint so far, in the order of the answers."""
        answer = await self._client.get(f"{self.url}/_log")
        return msgspec.json.decode(answer.content, type=list[TokenCall])

    async def refreshes(self) -> list[TokenCall]:
        """Those that spent a refresh token, or tried to."""
        return [call for call in await self.log() if call.grant == "refresh_token"]

    async def grant(self) -> Grant:
        """A person allows access, and the code is exchanged. One at a time: the log's last line must be this one's."""
        verifier = secrets.token_urlsafe(48)
        form = {
            "grant_type": "authorization_code",
            "code": await self._code(verifier),
            "redirect_uri": REDIRECT,
            "code_verifier": verifier,
        }
        answer = await self._client.post(f"{self.url}/token", data=form, auth=(CLIENT_ID, CLIENT_SECRET))
        token = str(answer.raise_for_status().json()["refresh_token"])
        grant_id = (await self.log())[-1].grant_id
        assert grant_id is not None
        return Grant(token, grant_id)

    async def renew(self, refresh_token: str) -> tuple[str, str]:
        """The next access token and refresh token, for who is no sidecar. Raises GrantEnded."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        answer = await self._client.post(f"{self.url}/token", data=form, auth=(CLIENT_ID, CLIENT_SECRET))
        if answer.status_code == REFUSED:
            raise GrantEnded(answer.text)
        tokens = answer.raise_for_status().json()
        return str(tokens["access_token"]), str(tokens["refresh_token"])

    async def grants(self, number: int) -> list[Grant]:
        return [await self.grant() for _ in range(number)]

    async def _code(self, verifier: str) -> str:
        """The code, as a browser is given it: cookies are kept, and every redirect followed but the last."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "client_id": CLIENT_ID,
            "response_type": "code",
            "redirect_uri": REDIRECT,
            "scope": "openid offline_access email",
            "prompt": "consent",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "state": "s",
        }
        async with httpx.AsyncClient(trust_env=False, timeout=30) as browser:
            answer = await browser.get(f"{self.url}/auth", params=query)
            for _ in range(MOST_REDIRECTS):
                where = urljoin(str(answer.request.url), answer.headers["location"])
                if where.startswith(REDIRECT):
                    return parse_qs(urlsplit(where).query)["code"][0]
                answer = await browser.get(where)
        raise CannotStart(f"{self.url} does not give a code")

    async def aclose(self) -> None:
        await self._client.aclose()


@asynccontextmanager
async def strict_server(
    folder: Path, *, ttl: int, delay_ms: int = 0, answer_delay_ms: int = 0
) -> AsyncIterator[StrictServer]:
    """One whose access tokens live `ttl` seconds to the second. Its token endpoint may be slow before
    it acts, or after.

    Raises CannotStart.
    """
    place = folder / f"strict-{secrets.token_hex(3)}"
    (place / "oidc").mkdir(parents=True)
    (place / "oidc" / "node_modules").symlink_to(await asyncio.to_thread(_installed))
    port = free_ports(1)[0]
    environment = {
        **os.environ,
        "REAL_DIR": str(place),
        "OIDC_PORT": str(port),
        "ACCESS_TTL": str(ttl),
        "CLIENT_ID": CLIENT_ID,
        "CLIENT_SECRET": CLIENT_SECRET,
        "REDIRECT_URI": REDIRECT,
        "TOKEN_DELAY_MS": str(delay_ms or ""),
        "TOKEN_ANSWER_DELAY_MS": str(answer_delay_ms or ""),
    }
    recipe = Recipe(recipes() / "oidc-provider.sh", place, environment)
    await asyncio.to_thread(recipe.run, "start", START_SECONDS)
    server = StrictServer(f"http://127.0.0.1:{port}")
    try:
        yield server
    finally:
        await server.aclose()
        await asyncio.to_thread(recipe.run, "stop", START_SECONDS)


def recipes() -> Path:
    """The folder of the servers' recipes; it need not be there."""
    here = Path(__file__).parent.parent.parent
    return (here / os.environ.get("SHARED", "../shared") / "real").absolute()


def why_not() -> str | None:
    """Why the strict server cannot be had here, or None."""
    if not (recipes() / "oidc-provider.sh").is_file():
        return (
            f"there is no recipe of the strict OAuth server in {recipes()}; set SHARED to the folder that holds real/"
        )
    missing = [name for name in ("bash", "node", "npm", "curl") if shutil.which(name) is None]
    return f"{' and '.join(missing)} must be installed" if missing else None


def scratch() -> Path:
    """Where third-party servers are installed, once for all runs."""
    return Path(os.environ.get("REAL_DIR") or Path(tempfile.gettempdir()) / "connector-sidecar-real").absolute()


def _installed() -> Path:
    """Its modules, installed at the first time. Raises CannotStart."""
    place = scratch()
    place.mkdir(parents=True, exist_ok=True)
    modules = place / "oidc" / "node_modules"
    with (place / "oidc.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # runs side by side install it once
        if not (modules / "oidc-provider" / "package.json").is_file():
            recipe = Recipe(recipes() / "oidc-provider.sh", place, {**os.environ, "REAL_DIR": str(place)})
            recipe.run("install", INSTALL_SECONDS)
    return modules
