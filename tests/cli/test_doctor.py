"""`sidecar doctor`: each thing that can be wrong is told with its mending, and only what does not work FAILs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar.adapters.key_file import create_key_file
from sidecar.cli.account import Connection
from sidecar.cli.doctor_here import Here, key_lines, reply_lines
from sidecar.cli.doctor_line import Level, Line, fail, lines_text, ok
from sidecar.cli.doctor_nats import Sidecar, address_line, clock_line, connection_lines, sidecar_lines
from sidecar.core.egress import EgressAllow, parse_allow
from sidecar.model import VERSION
from sidecar.provider import Catalogue
from sidecar.settings import Settings
from tests.cli.conftest import Command, Served, said


def checks(result: Any) -> dict[str, str]:
    """The levels by what was looked at; the worst of each."""
    order = [Level.OK, Level.WARN, Level.FAIL]
    worst: dict[str, str] = {}
    for line in sorted(said(result)["checks"], key=lambda line: order.index(line["level"])):
        worst[line["what"]] = line["level"]
    return worst


def test_all_is_well(beside: Command, served: Served) -> None:
    """Beside a running sidecar every check is ok, and the exit code is 0."""
    result = beside("doctor", "--json", env={"SIDECAR_CONNECTORS": served.connectors})
    assert result.exit_code == 0
    assert said(result)["ok"] is True
    assert checks(result) == dict.fromkeys(
        ["settings", "key", "catalogue", "NATS", "JetStream", "room", "clock", "sidecars", "connections"], "ok"
    )


def test_it_reads_well(beside: Command) -> None:
    """One line for each thing, and below it what to do."""
    result = beside("doctor", env={"SIDECAR_MAX_INFLIGHT": "1"})
    lines = result.stdout.splitlines()
    assert lines[0] == "warn  settings    SIDECAR_MAX_INFLIGHT is no setting, and is ignored"
    assert lines[1] == "                  -> did you mean SIDECAR_MAX_IN_FLIGHT?"
    assert any(line.startswith("ok    NATS        2.") for line in lines)
    assert any(line.startswith("ok    JetStream   streams and buckets are as they must be") for line in lines)


def test_a_catalogue_other_than_the_sidecar_s_is_told(beside: Command) -> None:
    """Here one provider less would be served than there."""
    assert checks(beside("doctor", "--json"))["sidecars"] == "warn"


def test_nothing_runs(sidecar: Command) -> None:
    """What can be known without NATS is told, then that there is none; exit code 1."""
    result = sidecar("doctor", "--json")
    assert result.exit_code == 1
    assert checks(result) == {"settings": "ok", "key": "warn", "catalogue": "ok", "NATS": "FAIL"}


def test_a_wrong_setting_ends_it(sidecar: Command) -> None:
    """Nothing else can be looked at."""
    result = sidecar("doctor", "--json", env={"SIDECAR_REPLICAS": "many"})
    assert result.exit_code == 1
    assert checks(result) == {"settings": "FAIL"}


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("SIDECAR_CONNECTORS", "/nowhere", "catalogue"),
        ("SIDECAR_EGRESS_ALLOW", "https://x", "egress"),
        ("SIDECAR_KEK_FILE", "/nowhere/kek", "key"),
        ("SIDECAR_PREFIX", "other", "connections"),
        ("SIDECAR_PREFIX", "other", "JetStream"),
    ],
)
def test_what_does_not_work_fails(beside: Command, variable: str, value: str, what: str) -> None:
    """Each thing that keeps a sidecar from working FAILs under its own name."""
    result = beside("doctor", "--json", env={variable: value})
    assert result.exit_code == 1
    assert checks(result)[what] == "FAIL"


def test_a_bare_server(sidecar: Command, nats_url: str) -> None:
    """NATS alone is not enough: what is missing is told, with what makes it, and that no sidecar answers."""
    result = sidecar("doctor", env={"SIDECAR_NATS_URL": nats_url, "SIDECAR_PREFIX": "bare"})
    assert result.exit_code == 1
    assert "FAIL  JetStream" in result.stdout
    assert "run: sidecar setup" in result.stdout
    assert "FAIL  sidecars    none answers: no call can be made" in result.stdout


def seen(digest: str, version: str = VERSION) -> Sidecar:
    return Sidecar("id", version, {"catalog_hash": digest})


@pytest.mark.parametrize(
    ("sidecars", "level"),
    [
        ([seen("a")], Level.OK),
        ([seen("a"), seen("a")], Level.OK),
        ([seen("a"), seen("b")], Level.FAIL),
        ([seen("b")], Level.WARN),
        ([seen("a", "0.0.1")], Level.WARN),
    ],
)
def test_sidecars_must_serve_the_same(sidecars: list[Sidecar], level: Level) -> None:
    """Different catalogues in one queue group FAIL; another version, or another catalogue than here, is a warning."""
    assert [line.level for line in sidecar_lines(sidecars, Here(catalogue=Catalogue({}, "a")))] == [level]


@pytest.mark.parametrize(
    ("one", "other", "level"),
    [
        ({"catalog_hash": "a", "tenant": "acme"}, {"catalog_hash": "b", "tenant": "evil"}, Level.OK),
        ({"catalog_hash": "a", "tenant": "acme"}, {"catalog_hash": "b", "tenant": "acme"}, Level.FAIL),
        ({"catalog_hash": "a", "tenant": "acme"}, {"catalog_hash": "b"}, Level.FAIL),
        ({"catalog_hash": "a", "providers": "x"}, {"catalog_hash": "b", "providers": "x,y"}, Level.WARN),
    ],
)
def test_sidecars_of_different_scopes(one: dict[str, str], other: dict[str, str], level: Level) -> None:
    """They may differ where no call can come to either of them."""
    sidecars = [Sidecar(id=str(number), version=VERSION, metadata=facts) for number, facts in enumerate((one, other))]
    assert [line.level for line in sidecar_lines(sidecars, Here())] == [level]


@pytest.mark.parametrize(
    ("offset", "level", "words"),
    [
        (0.012, Level.OK, "12 ms behind NATS"),
        (-0.5, Level.OK, "500 ms ahead of NATS"),
        (0.0001, Level.OK, "within 1 ms of NATS"),
        (-90.0, Level.WARN, "90.00 s ahead of NATS"),
    ],
)
def test_the_clock(offset: float, level: Level, words: str) -> None:
    """A second is borne; more is told."""
    line = clock_line(offset, 0.001)
    assert (line.level, line.seen) == (level, words)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("url", "allowed", "mend"),
    [
        ("https://93.184.215.14", (), None),
        ("https://10.0.0.7:3000/tracker", (), "add 10.0.0.7:3000 to SIDECAR_EGRESS_ALLOW"),
        ("https://10.0.0.7:3000/tracker", ("10.0.0.0/8",), None),
        ("http://93.184.215.14", (), "add 93.184.215.14:80 to SIDECAR_EGRESS_ALLOW"),
        ("https://169.254.169.254", (), "correct the server of the connection"),
        ("http://169.254.170.2", (), "correct the server of the connection"),
        ("https://[fd00:ec2::254]", (), "correct the server of the connection"),
        ("https://[fe80::1]", (), "correct the server of the connection"),
        ("https://100.100.100.200", (), "correct the server of the connection"),
        ("https://[::ffff:169.254.169.254]", (), "correct the server of the connection"),
        ("https://localhost:8443", (), "add localhost:8443 to SIDECAR_EGRESS_ALLOW"),
        ("https://localhost:8443", ("localhost:8443",), None),
        ("https://tracker.invalid", (), None),
        ("https://server.example", (), None),
        ("acme", (), None),
    ],
)
async def test_private_servers_of_connections(url: str, allowed: tuple[str, ...], mend: str | None) -> None:
    """A connection's own server that no call may reach is told with the entry that would allow it."""
    line = await address_line(url, parse_allow(allowed) if allowed else EgressAllow())
    assert (line is None) if mend is None else (line is not None and line.mend.startswith(mend))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("problem", "mend"),
    [
        ("KEY_UNAVAILABLE: record cannot be opened: key 'k1' is not in the key file; put it back", "put the key back"),
        ("CREDENTIAL_CORRUPT: record cannot be opened: the record was changed", "import its credential again"),
    ],
)
async def test_what_mends_a_connection_fits_its_problem(problem: str, mend: str) -> None:
    """A key that is missing is put back: nothing has to be imported for it."""
    item = Connection(connection="shop", provider="acme", kind="unknown", status="unreadable", problem=problem)
    lines = await connection_lines("default", [item], EgressAllow())
    assert lines[1].mend.startswith(mend)


def test_the_key_that_dev_made_is_found(tmp_path: Path) -> None:
    """Where no key file is named it is the one of the data directory, the sandbox's too."""
    settings = Settings(data_dir=str(tmp_path))
    assert key_lines(settings)[0].level is Level.WARN
    create_key_file(tmp_path / "sandbox" / "kek")
    assert key_lines(settings)[0].seen.startswith(f"{tmp_path}/sandbox/kek")
    create_key_file(tmp_path / "kek")
    assert key_lines(settings)[0].seen.startswith(f"{tmp_path}/kek")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (Settings(), False),
        (Settings(tenant="acme", inbox_prefix="_INBOX.acme.sidecar"), False),
        (Settings(inbox_prefix="_INBOX.-.sidecar"), True),
        (Settings(inbox_prefix="_INBOX.-.sidecar", reply_prefixes=("_INBOX.{tenant}.", "_R_.")), False),
    ],
)
def test_answers_into_inboxes_of_other_tenants(settings: Settings, told: bool) -> None:
    """Where inboxes name their tenant and answers are not held to it, the setting that does so is named."""
    mend = [line.mend for line in reply_lines(settings)]
    assert mend == (["set SIDECAR_REPLY_PREFIXES=_INBOX.{tenant}.,_R_. for sidecar run"] if told else [])


def test_a_key_that_others_can_read_fails(tmp_path: Path) -> None:
    """The permission is told with the command that mends it."""
    file = tmp_path / "kek"
    create_key_file(file)
    file.chmod(0o644)
    line = key_lines(Settings(kek_file=str(file)))[0]
    assert line.level is Level.FAIL
    assert f"chmod 600 {file}" in line.seen


def test_lines_are_aligned_and_harmless() -> None:
    """Levels and names stand below each other; what others wrote steers nothing."""
    text = lines_text([ok("NATS", "fine"), fail("connections", "\x1b[2J\nok", "import\nit")])
    assert text.splitlines() == [
        "ok    NATS        fine",
        r"FAIL  connections \x1b[2J\nok",
        r"                  -> import\nit",
    ]
    assert Line(Level.OK, "a", "b") == ok("a", "b")
