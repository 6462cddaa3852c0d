"""The table of rights: complete, as NATS compares subjects, and what the shipped files were made from."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest

from sidecar.adapters.nats_streams import required
from sidecar.nats_config import FOLDER, drift, files, main
from sidecar.nats_server_config import config_text
from sidecar.permissions import (
    BUCKETS,
    CALLS,
    FLOWS,
    KEYED,
    LATER_STREAM,
    QUEUE_STREAM,
    QUOTAS,
    SIDECARS,
    TABLE,
    TRACE_STREAM,
    Holder,
    Kind,
    Role,
    checks,
    matches,
    may_publish,
    may_subscribe,
    rights,
)
from sidecar.scope import Scope
from sidecar.wire import interest, subject
from sidecar.wire.interest import interests
from tests.permissions.cells import EXPECTED

SCHEMAS = Path(__file__).parent.parent.parent / "schemas"
DESIGNED = {"read", "write", "submit", "cancel", "catalog", "connect", "admin", "result", "trace", "quota"}


def served_kinds() -> set[str]:
    """The second tokens of all subjects that the code names and the AsyncAPI document describes."""
    document = json.loads((SCHEMAS / "asyncapi.json").read_text())
    addresses = [channel["address"] for channel in document["channels"].values() if channel["address"]]
    named = {address.split(".")[1] for address in addresses if address.startswith("sidecar.")}
    source = inspect.getsource(subject) + inspect.getsource(interest)
    return named | set(re.findall(r"\{prefix\}\.([a-z]+)\.", source)) | set(subject.CALL_KINDS)


def test_every_kind_has_a_row() -> None:
    """A kind of subject that is served, described or designed and has no row in the table is a mistake of ours."""
    ours = {kind.value for kind in TABLE if any("{prefix}." in template for template in _templates(kind))}
    assert served_kinds() | DESIGNED == ours & (served_kinds() | DESIGNED)
    assert {"read", "write", "catalog", "admin", "trace"} <= served_kinds()


def test_every_row_is_in_the_matrix() -> None:
    """The matrix tries each kind that the table has, and the table each that there is."""
    assert set(EXPECTED) == set(TABLE) == set(Kind)


def test_every_stream_is_in_the_table() -> None:
    """A bucket or stream that is made and that nobody may use would be found in production only."""
    names = {spec.name for spec in required("sidecar")}
    buckets = {f"KV_{bucket}" for bucket in (*BUCKETS, FLOWS, QUOTAS, KEYED, CALLS)}
    assert names == {*buckets, QUEUE_STREAM, LATER_STREAM, TRACE_STREAM}


@pytest.mark.parametrize("role", list(Role))
def test_nobody_is_given_a_kind_by_wildcard(role: Role) -> None:
    """No right spans kinds, or streams, and nobody may answer whatever reply subject it is sent."""
    granted = rights(holder(role))
    for right in (*granted.publish, *granted.subscribe):
        tokens = right.split(".")
        assert tokens[0] not in ("*", ">")
        assert tokens[1] not in ("*", ">") or tokens[0] in ("$SRV", "_INBOX", "_R_")
    assert "allow_responses" not in "".join(files().values())


@pytest.mark.parametrize("role", sorted(set(Role) - SIDECARS - {Role.ADMIN}))
def test_a_role_names_its_tenant_everywhere(role: Role) -> None:
    """Whatever somebody of a tenant may publish or hear holds the tenant's name, but for the service protocol."""
    granted = rights(holder(role))
    assert all(".acme." in right or right.startswith(("$SRV.", "$JS.FC.")) for right in granted.publish)
    assert all(".acme." in right for right in granted.subscribe)


def test_a_scoped_sidecar_names_its_tenant_everywhere() -> None:
    """Also in keys of records and in what it asks of JetStream; the service protocol and flow control name nobody."""
    granted = rights(holder(Role.SCOPED_SIDECAR))
    spanning = [right for right in (*granted.publish, *granted.subscribe) if ".acme." not in f"{right}."]
    assert [right for right in spanning if not right.startswith(("$SRV.", "$JS.FC."))] == []


def test_inboxes_are_apart() -> None:
    """No role hears what is sent to another's inbox."""
    everybody = [holder(role, f"n{number}") for number, role in enumerate(Role)]
    everybody += [holder(Role.AGENT, "other"), holder(Role.AGENT, "n0", tenant="globex")]
    for one in everybody:
        heard = [other for other in everybody if may_subscribe(one, f"{other.inbox}.x")]
        assert heard == [one]


@pytest.mark.parametrize(
    "scope",
    [
        Scope(),
        Scope("acme"),
        Scope("acme", ("alice", "bob@example.com")),
        Scope("acme", (), ("github",)),
        Scope("a cme", ("alice",), ("github", "slack")),
    ],
)
def test_a_sidecar_may_subscribe_to_all_that_its_scope_wants(scope: Scope) -> None:
    """Every subscription of the worker is within the rights of the role that its scope makes it."""
    role = Role.SHARED_SIDECAR if scope.tenant is None else Role.SCOPED_SIDECAR
    who = Holder(role=role, name="s", tenant=scope.tenant, connections=scope.connections, providers=scope.providers)
    for wanted in interests("sidecar", scope, ["github", "slack"]):
        assert may_subscribe(who, wanted.subject), wanted


def test_names_are_encoded() -> None:
    """Rights hold the one legal form of a name, in subjects and in keys of records."""
    agent = Holder(role=Role.USER_AGENT, name="a", tenant="acme", connections=("alice@example.com",))
    assert may_publish(agent, "sidecar.read.acme.alice%40example%2Ecom.github.users.me")
    assert not may_publish(agent, "sidecar.read.acme.alice%40example%2ecom.github.users.me")
    whose = Holder(role=Role.SCOPED_SIDECAR, name="s", tenant="a cme", connections=("b c",), providers=("github",))
    assert may_publish(whose, "$KV.SIDECAR_CREDENTIALS.a=20cme.b=20c.github")
    assert not may_publish(whose, "$KV.SIDECAR_CREDENTIALS.a=20cme.other.github")
    assert may_publish(whose, "$KV.SIDECAR_CONNECT.a=20cme.b=20c.github.0")
    assert not may_publish(whose, "$KV.SIDECAR_CONNECT.a=20cme.other.github.0")
    assert may_publish(whose, "$KV.SIDECAR_IDEMPOTENCY.a=20cme.b=20c.github.issues=2Ecreate.0")
    assert not may_publish(whose, "$KV.SIDECAR_IDEMPOTENCY.a=20cme.other.github.issues=2Ecreate.0")
    assert may_publish(whose, "$KV.SIDECAR_QUOTA.a=20cme.own.31")
    assert not may_publish(whose, "$KV.SIDECAR_QUOTA.-.own.31")


def test_what_is_asked_to_check_is_allowed() -> None:
    """A scoped sidecar asks for one message of each stream, with no wildcard, within its rights."""
    for connections, providers in ((), ()), (("alice",), ()), (("alice", "bob"), ("github",)):
        who = Holder(role=Role.SCOPED_SIDECAR, name="s", tenant="acme", connections=connections, providers=providers)
        asked = checks(who)
        queue = [] if connections else [f"KV_{CALLS}", QUEUE_STREAM, LATER_STREAM]
        buckets = [f"KV_{bucket}" for bucket in (*BUCKETS, FLOWS, QUOTAS, KEYED)]
        assert [stream for stream, _ in asked] == [*buckets, *queue, TRACE_STREAM]
        assert all(may_publish(who, question) and not set("*>") & set(question) for _, question in asked)


@pytest.mark.parametrize(
    ("pattern", "given", "allowed"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.*.>", "a.*.b", True),
        ("a.>", "a", False),
        ("a.*", "a.b.c", False),
        ("a.*", "a.>", False),
        ("a.b", "a.*", False),
        ("a.*.c", "a.b", False),
    ],
)
def test_subjects_are_compared_as_nats_does(pattern: str, given: str, allowed: bool) -> None:
    """A subscription is allowed where every subject it stands for is."""
    assert matches(pattern, given) is allowed


@pytest.mark.parametrize(
    "names",
    [
        {"role": Role.AGENT},
        {"role": Role.AGENT, "tenant": "-"},
        {"role": Role.AGENT, "tenant": ""},
        {"role": Role.ADMIN, "tenant": "acme"},
        {"role": Role.USER_AGENT, "tenant": "acme"},
        {"role": Role.USER_AGENT, "tenant": "acme", "connections": ("-",)},
        {"role": Role.PROVIDER_AGENT, "tenant": "acme"},
        {"role": Role.PROVIDER_AGENT, "tenant": "acme", "providers": ("*",)},
        {"role": Role.PROVIDER_AGENT, "tenant": "acme", "providers": ("github",), "operations": "a.>.b"},
    ],
)
def test_names_that_would_widen_a_right_are_refused(names: dict[str, object]) -> None:
    """A missing, empty or wildcard name makes no rights at all."""
    with pytest.raises(ValueError, match=r"name|tenant|operations|provider"):
        Holder(**{"name": "x", **names})  # type: ignore[arg-type]  # wrong ones are what is tried


def test_shipped_files_are_what_the_table_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`deploy/nats` holds what the code makes; a file that was edited by hand is named."""
    assert drift(FOLDER) == []
    assert main(["--write", str(tmp_path)]) == 0
    assert main([str(tmp_path)]) == 0
    (tmp_path / "accounts.conf").write_text("accounts {}")
    assert main([str(tmp_path)]) == 1
    assert "accounts.conf is not what the table of rights says" in capsys.readouterr().err


def test_no_password_is_in_a_shipped_file() -> None:
    """Every password is a variable."""
    passwords = [value for text in files().values() for value in re.findall(r"(?m)^ *password: (.*)$", text)]
    assert len(passwords) > 30
    assert all(value.startswith("$NATS_") for value in passwords)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("$NAME", "$NAME"),
        ("$KV.x", '"$KV.x"'),
        ('say "x"\\', '"say \\"x\\"\\\\"'),
        (True, "true"),
        (5, "5"),
        ([], "[]"),
    ],
)
def test_values_of_a_configuration(value: object, text: str) -> None:
    """Variables stay bare; everything else is quoted, so that no name becomes syntax."""
    assert config_text({"key": value}) == f"key: {text}\n"


def test_a_control_character_makes_no_configuration() -> None:
    """A name with a line break could begin a setting of its own."""
    with pytest.raises(ValueError, match="control"):
        config_text({"key": "a\nb"})


def holder(role: Role, name: str = "somebody", tenant: str = "acme") -> Holder:
    if role in (Role.SHARED_SIDECAR, Role.ADMIN):
        return Holder(role=role, name=name)
    return Holder(role=role, name=name, tenant=tenant, connections=("alice",), providers=("github",))


def _templates(kind: Kind) -> list[str]:
    return [template for grant in TABLE[kind].values() for template in (*grant.publish, *grant.subscribe)]
