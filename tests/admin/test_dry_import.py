"""What an import would come to: looked at without asking the provider, and without storing anything."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.auth.apps import Apps
from sidecar.sandbox.scripted import ScriptedSender
from tests.build import provider
from tests.worker.house import House, Published

pytestmark = pytest.mark.anyio

CANARY = "canary-of-the-mine"
OAUTH2: dict[str, Any] = {
    "kind": "oauth2",
    "authorize_url": "https://acme.example/authorize",
    "token_url": "https://acme.example/token",
    "docs": "https://docs.acme.example/oauth",
    "client_auth": "post",
}
AN_APP = {"acme.json": b'{"client_id": "ours", "client_secret": "s3cret"}'}


class Files:
    """App files in memory."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self._contents = contents

    def content(self, name: str) -> bytes | None:
        return self._contents.get(name)


async def dry(payload: dict[str, Any], apps: dict[str, bytes] = AN_APP) -> tuple[House, Published]:
    """The answer to a dry run; nothing was sent and nothing is stored, whatever it was."""
    acme = provider(auth=[OAUTH2, {"kind": "bearer"}])
    here = House(ScriptedSender(()), {"acme": acme}, apps=Apps(Files(apps)))
    await here.worker.start()
    reply = await here.ask("sidecar.admin.default.alice.acme.import", msgspec.json.encode(payload | {"dry_run": True}))
    assert CANARY not in reply.payload.decode()
    assert (await here.ask("sidecar.admin.default.-.-.list", b"")).body == []
    return here, reply


@pytest.mark.parametrize(
    "payload",
    [
        {"kind": "oauth2", "fields": {"refresh_token": CANARY}},
        {"kind": "oauth2", "fields": {"refresh_token": CANARY}, "client_id": "ours"},
    ],
)
async def test_a_refresh_token_of_the_app_that_is_set_up(payload: dict[str, Any]) -> None:
    """It could be stored, and the answer says with which app it would be renewed."""
    _, reply = await dry(payload)
    assert (reply.body["status"], reply.body["client_id"], reply.body["verified"]) == ("active", "ours", None)


async def test_a_refresh_token_that_brings_its_app() -> None:
    """The credential's own app counts, not the one that is set up."""
    fields = {"refresh_token": CANARY, "client_id": "theirs", "client_secret": CANARY}
    _, reply = await dry({"kind": "oauth2", "fields": fields, "client_id": "theirs"})
    assert reply.body["client_id"] == "theirs"


@pytest.mark.parametrize(
    ("payload", "apps", "told"),
    [
        ({"client_id": "theirs"}, AN_APP, "the tokens belong to the app theirs"),
        ({}, {}, "no app of Acme is set up here"),
        ({}, {"acme.json": b"{"}, "app file acme.json"),
    ],
)
async def test_a_refresh_token_of_another_app(payload: dict[str, Any], apps: dict[str, bytes], told: str) -> None:
    """A refresh token is bound to the app that it was issued to: no other can use it (RFC 6749 section 6)."""
    _, reply = await dry({"kind": "oauth2", "fields": {"refresh_token": CANARY}} | payload, apps)
    assert reply.body["reason"] == "NOT_SET_UP"
    assert told in reply.body["detail"]


async def test_fields_that_are_wrong() -> None:
    """Everything that an import would refuse without asking the provider is refused."""
    _, reply = await dry({"kind": "oauth2", "fields": {"token": CANARY}})
    assert {item["pointer"] for item in reply.body["errors"]} == {"/fields/refresh_token", "/fields"}


async def test_a_key_is_not_tried() -> None:
    """A kind without tokens needs no app."""
    _, reply = await dry({"kind": "bearer", "fields": {"token": CANARY}}, {})
    assert (reply.body["status"], reply.body["verified"]) == ("active", None)
