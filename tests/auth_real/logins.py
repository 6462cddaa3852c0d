"""Logins for a token, on the real servers: calls go on when the token they began with is long over."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.auth_real.fleet import Call, Fleet, fleet
from tests.auth_real.scene import Scene
from tests.auth_real.strict import recipes, scratch
from tests.figure import Figure, at_least, equal, listed, told
from tests.real.servers import Recipe, free_ports

START_SECONDS = 120.0
INSTALL_SECONDS = 900.0
LIVES = 4  # so often the token ends
PAUSE = 0.5
SYNAPSE_TTL = 5
POCKETBASE_TTL = 10  # the least it takes
USER, PASSWORD = "ann", "ann-password-1"
EMAIL, EMAIL_PASSWORD = "bot@example.test", "bot-password-1"
ADMIN = {"identity": "admin@example.test", "password": "admin-password-1"}


async def synapse(scene: Scene) -> list[Figure]:
    """Access tokens of five seconds, and refresh tokens that are used once."""
    async with _started("synapse", "MX_PORT", scene.folder, TOKEN_TTL=str(SYNAPSE_TTL)) as (url, recipe):
        await asyncio.to_thread(recipe.run, "user", START_SECONDS, USER, PASSWORD, may_fail=True)
        async with fleet(scene.folder / "fleet") as here:
            await here.grow(2)
            fields = {"user": USER, "password": PASSWORD}
            call = Call("read", "account.whoami", "matrix")
            return await _told(here, "matrix", fields, url, call, SYNAPSE_TTL)


async def pocketbase(scene: Scene) -> list[Figure]:
    """Login tokens of ten seconds, which are renewed with themselves."""
    async with _started("pocketbase", "PB_PORT", scene.folder, PB_RATE="100000") as (url, _):
        await _short_tokens(url)
        async with fleet(scene.folder / "fleet") as here:
            await here.grow(2)
            fields = {"collection": "users", "identity": EMAIL, "password": EMAIL_PASSWORD}
            call = Call("read", "records.list", "pocketbase")
            return await _told(here, "pocketbase", fields, url, call, POCKETBASE_TTL)


async def _told(
    here: Fleet, provider: str, fields: Mapping[str, str], url: str, call: Call, ttl: float
) -> list[Figure]:
    """Call past several expiries; how the calls ended, and how many tokens there were."""
    made = await here.admin("a", "import", {"kind": "login", "fields": dict(fields), "base_url": url}, provider)
    if made.reason is not None:
        return [Figure("import", f"{made.reason}: {made.body['detail']}", "ok", holds=False)]
    tokens, outcomes = Counter[str](), Counter[str]()
    payload = {"collection": "contacts"} if provider == "pocketbase" else {}
    loop = asyncio.get_running_loop()
    end = loop.time() + ttl * LIVES
    while loop.time() < end:
        reply = await here.call("a", call, payload=payload)
        outcomes[reply.reason or "ok"] += 1
        record, _ = await here.record("a", provider)
        assert record.tokens is not None
        tokens[record.tokens.access.reveal()] += 1
        await asyncio.sleep(PAUSE)
    return [
        told("account", made.body.get("account")),
        told("seconds that a token lives, and that calls were made", f"{ttl:g} and {ttl * LIVES:g}"),
        at_least("tokens", len(tokens), LIVES),
        equal("failed calls", outcomes.total() - outcomes["ok"], 0),
        told("calls", listed(outcomes)),
    ]


async def _short_tokens(url: str) -> None:
    """Have the tokens of users live as short as PocketBase allows."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        login = await client.post("/api/collections/_superusers/auth-with-password", json=ADMIN)
        headers = {"Authorization": login.raise_for_status().json()["token"]}
        change = {"authToken": {"duration": POCKETBASE_TTL}}
        (await client.patch("/api/collections/users", json=change, headers=headers)).raise_for_status()


@asynccontextmanager
async def _started(name: str, port_name: str, folder: Path, **variables: str) -> AsyncIterator[tuple[str, Recipe]]:
    """The server, with data of its own; its program is installed once, in the same place for all runs."""
    port = free_ports(1)[0]
    installing = Recipe(recipes() / f"{name}.sh", scratch(), {**os.environ, "REAL_DIR": str(scratch())})
    own, program = {"synapse": ("synapse", "synapse/venv"), "pocketbase": ("pb", "pb/venv")}[name]
    if not (scratch() / program / "bin").is_dir():
        scratch().mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(installing.run, "install", INSTALL_SECONDS)
    place = folder / "real"
    (place / own).mkdir(parents=True)
    (place / own / "venv").symlink_to(scratch() / program)
    environment = {**os.environ, "REAL_DIR": str(place), port_name: str(port), **variables}
    recipe = Recipe(recipes() / f"{name}.sh", place, environment)
    try:
        await asyncio.to_thread(recipe.run, "start", START_SECONDS)
        yield f"http://127.0.0.1:{port}", recipe
    finally:
        await asyncio.to_thread(recipe.run, "stop", START_SECONDS)
