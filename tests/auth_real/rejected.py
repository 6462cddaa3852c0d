"""A 401 on a token that the clock calls valid: one forced refresh, one more try, and then an end."""

from __future__ import annotations

import asyncio
import json

from tests.auth_real.exchange import Answer, Asked, serving
from tests.auth_real.expiries import connected, refused
from tests.auth_real.fleet import GET, TOUCH, Fleet, fleet
from tests.auth_real.scene import Scene
from tests.auth_real.strict import StrictServer, strict_server
from tests.figure import Figure, equal, told

TTL = 2
BELIEVED = 3600.0  # seconds that the record calls the token valid for
AT_ONCE = 8
ONE_BY_ONE = (GET, TOUCH)
NO = json.dumps({"error": "invalid_token"}).encode()


async def rejected(scene: Scene) -> list[Figure]:
    async with strict_server(scene.folder, ttl=TTL) as server, fleet(scene.folder / "fleet") as here:
        await here.grow(2)
        *names, shared = await _ended_early(here, server, len(ONE_BY_ONE) + 1)
        figures: list[Figure] = []
        for name, what in zip(names, ONE_BY_ONE, strict=True):
            before = len(await server.refreshes())
            reply = await here.call(name, what)
            figures += [
                Figure(
                    f"a {what.access} on a token that ended early", reply.reason or "ok", "ok", reply.reason is None
                ),
                equal("  attempts", reply.attempts, 2),
                equal("  forced refreshes", len(await server.refreshes()) - before, 1),
            ]
        before = len(await server.refreshes())
        replies = await asyncio.gather(*(here.call(shared) for _ in range(AT_ONCE)))
        calls = await server.refreshes()
        return [
            *figures,
            equal(f"{AT_ONCE} calls at once: failed", sum(reply.reason is not None for reply in replies), 0),
            equal("  forced refreshes", len(calls) - before, 1),
            equal("refresh tokens used twice, or refused", refused(calls), 0),
            *await _for_ever(scene),
        ]


async def _ended_early(here: Fleet, server: StrictServer, number: int) -> list[str]:
    """So many connections that hold a token which their server takes no more."""
    names = await connected(here, server, number)
    for name in names:
        await here.believe(name, server, BELIEVED)
    await asyncio.sleep(TTL * 1.1)
    return names


class Refusing:
    """A provider whose tokens are always fresh, and never taken."""

    def __init__(self) -> None:
        self.tokens = self.calls = 0

    async def answer(self, asked: Asked) -> Answer:
        if asked.path != "/token":
            self.calls += 1
            return Answer(401, NO, {"content-type": "application/json"})
        self.tokens += 1
        body = {"access_token": f"a{self.tokens}", "refresh_token": f"r{self.tokens}", "expires_in": 3600}
        return Answer(200, json.dumps(body).encode(), {"content-type": "application/json"})


async def _for_ever(scene: Scene) -> list[Figure]:
    provider = Refusing()
    async with serving(provider.answer) as port, fleet(scene.folder / "refusing") as here:
        await here.member()
        await here.put("c", f"http://127.0.0.1:{port}", "a0", "r0", 3600)
        first = await here.call("c")
        told_first = (provider.calls, provider.tokens)
        await asyncio.gather(*(here.call("c") for _ in range(AT_ONCE)))
        ended = first.reason == "CREDENTIAL_REJECTED"
        return [
            Figure("401 for ever ends in", first.reason or "ok", "CREDENTIAL_REJECTED", ended),
            equal("  requests of the first call", told_first[0], 2),
            equal("  token calls of the first call", told_first[1], 1),
            told(f"  token calls of {AT_ONCE} more", provider.tokens - told_first[1]),
        ]
