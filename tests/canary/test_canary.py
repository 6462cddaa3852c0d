"""No secret is seen anywhere: one of every kind goes in through every door, to a provider that repeats all it is shown,
and is then looked for in everything that comes out.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sidecar.secret import Secret
from sidecar.wire.connect import StatusRequest
from tests.canary.house import KINDS, PUBLIC, canary, fields_of, house
from tests.canary.places import Places, logged, remembered
from tests.canary.tattler import MODES, forms

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

# What an operator may send by mistake: each is refused, and none is repeated.
SLIPS: list[Callable[[str], dict[str, Any]]] = [
    lambda secret: {"fields": secret},
    lambda secret: {"fields": {"token": [secret]}, "kind": "bearer"},
    lambda secret: {"fields": {"token": f"{secret}\r\nx: y"}, "kind": "bearer", "base_url": "https://x.example"},
    lambda secret: {"fields": {"token": secret}, "kind": "bearer", "base_url": "ftp://x.example"},
    lambda secret: {"fields": {"private_key": secret, "issuer": "x"}, "kind": "jwt_bearer"},
    lambda secret: {"fields": {"client_secret": secret}, "kind": "client_credentials"},
]


async def test_no_secret_is_seen_anywhere(tmp_path: Path) -> None:
    """API keys, tokens of both sorts, passwords, client secrets, private keys, authorization codes and what is made of
    them stand in no log, trace, metric, stored byte, reply, page or `repr`.
    """
    places = Places()
    async with house(tmp_path, places) as here:
        for kind in (str(each["kind"]) for each in KINDS):
            for mode in MODES:
                fields, name = fields_of(kind), f"{kind}-{mode}"
                here.tattler.secrets |= {value for field, value in fields.items() if field not in PUBLIC}
                body = {"kind": kind, "fields": fields, "base_url": here.url(mode)}
                if not await here.give(name, body) and not await here.give(name, {**body, "verify": False}):
                    continue
                await here.call(name)
                if mode in {"ok", "denied", "taken"}:
                    await here.look(name)
            remembered(places)
        for mode in MODES:
            code = canary("code")
            here.tattler.secrets.add(code)
            await here.consent(f"person-{mode}", mode, code)
        for number, slip in enumerate(SLIPS):
            secret = canary("slip")
            here.tattler.secrets.add(secret)
            assert not await here.give(f"slip-{number}", slip(secret))
        remembered(places)
    assert len(here.tattler.secrets) > 100
    assert len({line.split()[0] for line in here.tattler.asked}) == len(MODES)
    assert any(b'"REAUTH_REQUIRED"' in reply for reply in places.seen["reply to a call"])
    assert {"reply to a call", "page", "log in JSON", "listener /metrics", "NATS $KV.SIDECAR_CREDENTIALS"} <= set(
        places.seen
    )
    leaks = places.leaks(here.tattler.secrets)
    assert not leaks, "\n".join(leaks)


@pytest.mark.parametrize(
    "written",
    [
        lambda secret: secret,
        lambda secret: quote(f"/{secret}/"),
        lambda secret: base64.b64encode(f"user:{secret}".encode()).decode(),
        lambda secret: base64.b64encode(f"us:{secret}".encode()).decode(),
        lambda secret: base64.b64encode(f"u:{secret}".encode()).decode(),
    ],
)
def test_a_secret_is_found_however_it_is_written(written: Callable[[str], str]) -> None:
    """The search sees it plain, in a URL and in base64, wherever in it."""
    secret, places = canary("x"), Places()
    places.note("here", f"before {written(secret)} after")
    assert [leak.partition(":")[0] for leak in places.leaks({secret})] == ["here"]


def test_a_private_key_is_found_by_any_of_its_lines() -> None:
    """A part of a key is a leak too."""
    key, places = fields_of("jwt_bearer")["private_key"], Places()
    places.note("here", key.splitlines()[3])
    assert places.leaks({key})
    assert not any("BEGIN" in form for form in forms(key))


def test_the_search_hears_every_log_line(tmp_path: Path) -> None:
    """A secret that a library logs at its lowest level is found."""
    places = Places()
    with logged(places):
        logging.getLogger("some.library").debug("connecting with %s", "canary-of-this-test")
    assert len(places.leaks({"canary-of-this-test"})) == len(["JSON", "text"])


def test_the_search_sees_what_values_say_of_themselves() -> None:
    """A value of ours whose `repr` shows a secret is found, also inside of others; one that hides it is not."""
    places = Places()
    held = {"a": [StatusRequest("canary-of-this-test")], "b": Secret("canary-that-is-hidden")}
    remembered(places)
    assert held
    assert places.leaks({"canary-of-this-test"})
    assert not places.leaks({"canary-that-is-hidden"})
