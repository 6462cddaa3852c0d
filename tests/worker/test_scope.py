"""A scoped sidecar listens to its tenant, connections and providers alone, and refuses what reaches it all the same."""

from __future__ import annotations

import httpx
import pytest

from sidecar.micro import metadata
from sidecar.sandbox.scripted import ScriptedSender
from sidecar.scope import Scope
from sidecar.wire.interest import interests
from tests.build import provider
from tests.worker.house import House, Letter, StuckSender

pytestmark = pytest.mark.anyio

ID = "0190a8b0-1234-7abc-8def-0123456789ab"
BOTH = {"acme": provider(), "globex": provider(name="globex", title="Globex")}
TEAM = Scope("team.a")
ONE_USER = Scope("team.a", ("alice@example.com", "bob"), ("acme",))


def listened(scope: Scope) -> set[str]:
    return {interest.subject for interest in interests("sidecar", scope, BOTH)}


def test_every_tenant() -> None:
    """Wildcards for tenants and connections; provider by provider."""
    assert listened(Scope()) == {
        *(f"sidecar.{kind}.*.*.{name}.>" for kind in ("read", "write") for name in BOTH),
        *(f"sidecar.admin.*.*.{name}.*" for name in (*BOTH, "-")),
        *(f"sidecar.connect.*.*.{name}.*" for name in BOTH),
        *(f"sidecar.submit.*.*.{name}.>" for name in BOTH),
        "sidecar.read.*.*.-.result.get",
        "sidecar.cancel.*.*.*",
        "sidecar.catalog.*.>",
    }


def test_one_tenant() -> None:
    """Its name, as the one legal token, in the place of every wildcard for a tenant."""
    assert listened(TEAM) == {subject.replace(".*", ".team%2Ea", 1) for subject in listened(Scope())}


def test_connections_and_providers() -> None:
    """Each by its name; what spans all of them is not asked of who serves some."""
    places = ("team%2Ea.alice%40example%2Ecom", "team%2Ea.bob")
    assert listened(ONE_USER) == {
        *(f"sidecar.{kind}.{place}.acme.>" for kind in ("read", "write") for place in places),
        *(f"sidecar.admin.{place}.acme.*" for place in places),
        *(f"sidecar.connect.{place}.acme.*" for place in places),
        *(f"sidecar.cancel.{place}.*" for place in places),
        "sidecar.catalog.team%2Ea.>",
    }


@pytest.mark.parametrize("scope", [Scope(), TEAM, ONE_USER])
def test_names_are_one_of_a_kind(scope: Scope) -> None:
    """`nats micro stats` tells the subscriptions apart."""
    names = [interest.name for interest in interests("sidecar", scope, BOTH)]
    assert len(names) == len(set(names))
    assert all(name.replace("_", "").isalnum() for name in names)


@pytest.mark.parametrize(
    "subject",
    [
        "sidecar.read.default.bob.acme.items.get",
        "sidecar.read.team%2Ea.carol.acme.items.get",
        "sidecar.read.team%2Ea.bob.globex.items.get",
        "sidecar.cancel.default.bob.x",
        "sidecar.cancel.team%2Ea.carol.x",
        "sidecar.admin.team%2Ea.-.acme.list",
        "sidecar.admin.team%2Ea.bob.-.list",
        "sidecar.admin.default.bob.acme.import",
        "sidecar.connect.team%2Ea.carol.acme.start",
        "sidecar.catalog.default.providers",
    ],
)
async def test_what_is_outside_does_not_arrive(subject: str) -> None:
    """NATS hands over what is subscribed to, and that is the scope."""
    house = House(providers=BOTH, scope=ONE_USER)
    await house.start(connection="bob")
    assert house.bus.hand_in(Letter(subject)) == 0


@pytest.mark.parametrize(
    "subject",
    [
        "sidecar.read.default.bob.acme.items.get",
        "sidecar.write.team%2Ea.carol.acme.items.create",
        "sidecar.read.team%2Ea.bob.globex.items.get",
        "sidecar.admin.default.bob.acme.list",
        "sidecar.connect.team%2Ea.carol.acme.start",
        "sidecar.admin.team%2Ea.-.acme.list",
        "sidecar.admin.team%2Ea.bob.-.list",
        "sidecar.catalog.default.providers",
    ],
)
async def test_what_arrives_all_the_same_is_refused(subject: str) -> None:
    """Whatever a nats-server does: nothing is looked up, opened or told of another tenant; it is counted."""
    house = House(providers=BOTH, scope=ONE_USER)
    await house.start(connection="bob")
    kind = subject.split(".")[1]
    line = next(line for line in house.bus.lines if line.subject.startswith(f"sidecar.{kind}."))
    line.callback(Letter(subject, b'{"id": "7"}'))
    await house.settled()
    [reply] = house.bus.published
    assert (reply.body["reason"], reply.body["code"]) == ("TENANT_DENIED", "PERMISSION_DENIED")
    assert (reply.body["side_effect"], reply.body["retryable"]) == ("none", False)
    assert house.counts.refusals == ["out_of_scope"]
    assert house.trace.events == []


async def test_a_cancel_from_outside_is_not_answered() -> None:
    """Every sidecar may hear it; none says anything to another tenant."""
    house = House(StuckSender([]), scope=TEAM)
    await house.start()
    line = next(line for line in house.bus.lines if line.subject.startswith("sidecar.cancel."))
    line.callback(Letter(f"sidecar.cancel.default.default.{ID}"))
    await house.settled()
    assert house.bus.published == []
    assert house.counts.refusals == ["out_of_scope"]


async def test_what_is_inside_is_served() -> None:
    """Calls, cancels, the catalogue and the operators of its tenant."""
    house = House(ScriptedSender([httpx.Response(200, json={"id": 1})]), BOTH, scope=ONE_USER)
    await house.start(connection="alice@example.com")
    place = "team%2Ea.alice%40example%2Ecom"
    assert (await house.ask(f"sidecar.read.{place}.acme.items.get", b'{"id": "7"}')).body == {"id": 1}
    assert (await house.ask(f"sidecar.admin.{place}.acme.list")).body[0]["connection"] == "alice@example.com"
    assert (await house.ask("sidecar.catalog.team%2Ea.providers")).body


async def test_a_scoped_operator_still_lists_everything() -> None:
    """Where all connections and providers of the tenant are served."""
    house = House(scope=TEAM)
    await house.start(connection="bob")
    [listed] = (await house.ask("sidecar.admin.team%2Ea.-.-.list")).body
    assert (listed["tenant"], listed["connection"]) == ("team.a", "bob")


async def test_info_shows_the_scope() -> None:
    """In the subjects, and in the metadata."""
    house = House(providers=BOTH, scope=ONE_USER)
    await house.start(connection="bob")
    body = (await house.ask("$SRV.INFO")).body
    assert {endpoint["subject"] for endpoint in body["endpoints"]} == listened(ONE_USER)


@pytest.mark.parametrize(
    ("scope", "shown"),
    [
        (Scope(), {"providers": "acme,globex"}),
        (TEAM, {"providers": "acme,globex", "tenant": "team%2Ea"}),
        (ONE_USER, {"providers": "acme", "tenant": "team%2Ea", "connections": "alice%40example%2Ecom,bob"}),
        (Scope("t", ("a,b",)), {"providers": "acme,globex", "tenant": "t", "connections": "a%2Cb"}),
    ],
)
def test_the_metadata(scope: Scope, shown: dict[str, str]) -> None:
    """Whose calls are served, in tokens; nothing where everybody's are."""
    assert metadata("digest", BOTH, scope) == {"catalog_hash": "digest"} | shown


def test_the_metadata_of_what_is_not_everywhere() -> None:
    """Where accounts are connected, and that the providers are the sandbox's."""
    told = metadata("digest", BOTH, Scope(), public_url="https://connect.example", sandbox=True)
    assert (told["public_url"], told["sandbox"]) == ("https://connect.example", "true")
    assert {"public_url", "sandbox"}.isdisjoint(metadata("digest", BOTH, Scope()))
