"""`sidecar call` against a real sidecar: output on stdout, one line about it on stderr."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Served, said

MILK = '{"list": "home work", "title": "Milk"}'


def test_the_output_alone_is_on_stdout(beside: Command) -> None:
    """The output pipes into any program; what is said about it does not."""
    result = beside("call", "acme.account.get", "-c", "alice")
    assert result.exit_code == 0
    assert result.stdout == '{"ok":true,"login":"anna"}\n'
    assert re.fullmatch(r"acme\.account\.get  alice  200 in [0-9.]+ m?s, 1 attempt  call [0-9a-f]{8}\n", result.stderr)


def test_a_machine_gets_both_as_json(beside: Command) -> None:
    """With --json the output is on stdout and the facts about it are one JSON line on stderr."""
    result = beside("call", "acme.account.get", "--json")
    assert said(result) == {"ok": True, "login": "anna"}
    facts = json.loads(result.stderr)
    assert (facts["provider_status"], facts["attempts"], facts["next_cursor"]) == (200, 1, None)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-.+", facts["call_id"])


@pytest.mark.parametrize("how", ["argument", "file", "stdin"])
def test_the_input_may_come_from_three_places(beside: Command, tmp_path: Path, how: str) -> None:
    """As JSON, as @FILE, or from stdin."""
    (tmp_path / "item.json").write_text(MILK)
    given = {"argument": MILK, "file": f"@{tmp_path}/item.json", "stdin": "-"}[how]
    result = beside("call", "acme.items.create", given, "--dry-run", input=MILK)
    assert said(result)["request"]["body"] == '{"title":"Milk"}'


def test_a_dry_run_sends_nothing(beside: Command, served: Served) -> None:
    """It shows the request, and says that nothing was sent."""
    before = len(served.offline.received)
    result = beside("call", "acme.items.create", MILK, "--dry-run")
    assert said(result)["dry_run"] is True
    assert said(result)["request"]["method"] == "POST"
    assert "dry run: nothing was sent" in result.stderr
    assert len(served.offline.received) == before


@pytest.mark.parametrize("words", [["--idempotency-key", "k1"], ["--run", "4711", "--step", "buy"]])
def test_the_same_step_is_done_once(beside: Command, served: Served, words: list[str]) -> None:
    """Sent twice it is sent to the provider once, and both get the answer; the second one is told so."""
    first = beside("call", "acme.items.create", MILK, *words)
    sent = len(served.offline.received)
    again = beside("call", "acme.items.create", MILK, *words, "--json")
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert said(again) == json.loads(first.stdout)
    assert json.loads(again.stderr)["replayed"] is True
    assert len(json.loads(again.stderr)["idempotency_key"]) in {2, 64}
    told = beside("call", "acme.items.create", MILK, *words).stderr
    assert "answered from the record of its key, nothing sent" in told
    assert len(served.offline.received) == sent


def test_a_key_used_for_another_input_is_refused(beside: Command, served: Served) -> None:
    """Nothing is sent, and it says what keys are made of."""
    beside("call", "acme.items.create", MILK, "--idempotency-key", "k2")
    before = len(served.offline.received)
    result = beside("call", "acme.items.create", MILK.replace("Milk", "Tea"), "--idempotency-key", "k2")
    assert result.exit_code == 64
    assert "IDEMPOTENCY_MISMATCH" in result.stderr
    assert len(served.offline.received) == before


def test_a_page_names_the_next_one(beside: Command) -> None:
    """The word for --cursor is told, and leads to the next page, which is the last."""
    first = beside("call", "acme.items.list", '{"limit": 1}')
    assert said(first)["items"] == [1]
    cursor = re.search(r"^next page: --cursor (\S+)$", first.stderr, re.MULTILINE)
    assert cursor is not None
    second = beside("call", "acme.items.list", "--cursor", cursor[1])
    assert said(second)["items"] == [2]
    assert "next page" not in second.stderr


def test_a_misspelt_field_is_told_with_the_right_one(beside: Command) -> None:
    """Refused before sending: each problem on a line, the nearest name, and where to look."""
    result = beside("call", "acme.items.create", '{"list": "home", "titel": "Milk"}')
    assert result.exit_code == 64
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "refused   INVALID_ARGUMENT / VALIDATION            nothing was sent",
        "  /titel  is not a field; did you mean `title`?",
        "  /title  is required",
        "  see       the input of acme.items.create: sidecar provider show acme.items.create",
    ]


def test_a_failure_is_the_sidecar_s_own_json(beside: Command) -> None:
    """With --json the reply's failure stands on stdout unchanged."""
    result = beside("call", "acme.items.create", "{}", "--json")
    assert result.exit_code == 64
    assert said(result)["type"] == "urn:connector-sidecar:failure:VALIDATION"
    assert [item["pointer"] for item in said(result)["errors"]] == ["/list", "/title"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["acne.items.list"], 66, "provider acne is not served here; did you mean acme?"),
        (["acme.item.list"], 66, "acme has no operation item.list; did you mean items.list?"),
        (["acme.account.get", "-c", "nobody"], 77, "there is no connection nobody of acme"),
        (["acme.account.get", "--tenant", "other"], 77, "there is no connection default of acme"),
        (["acme.items.list", "--cursor", "not one of ours"], 64, "Cursor must be the Next-Cursor"),
        (["acme.items.list", "@nowhere.json"], 66, "nowhere.json: No such file or directory"),
    ],
)
def test_what_is_not_there(beside: Command, words: list[str], code: int, told: str) -> None:
    """Provider, operation, connection, page and file: each is named, with the nearest where there is one."""
    result = beside("call", *words)
    assert result.exit_code == code
    assert told in result.stderr
    assert "nothing was sent" in result.stderr


def test_a_file_name_without_its_sign_is_understood(beside: Command, tmp_path: Path) -> None:
    """Whoever forgets the @ is told."""
    (tmp_path / "item.json").write_text(MILK)
    result = beside("call", "acme.items.create", "item.json")
    assert result.exit_code == 64
    assert "give      the file's content with @item.json" in result.stderr


def test_what_is_too_large_for_a_message_is_refused(beside: Command, tmp_path: Path) -> None:
    """It is told before anything is sent, with both figures."""
    (tmp_path / "large.json").write_text(json.dumps({"title": "x" * 2_000_000}))
    result = beside("call", "acme.items.create", "@large.json")
    assert result.exit_code == 64
    assert "the input has 2,000,013 bytes; one NATS message here holds 1,048,576" in result.stderr


def test_no_sidecar_is_told_at_once(served: Served, sidecar: Command) -> None:
    """Nobody serves this prefix: known at once, without the server's password."""
    result = sidecar("call", "acme.account.get", env={"SIDECAR_NATS_URL": served.url, "SIDECAR_PREFIX": "other"})
    assert result.exit_code == 69
    assert "no sidecar answers at nats://127.0.0.1:" in result.stderr
    assert served.url.partition("@")[0] not in result.stderr
    assert "sidecar dev" in result.stderr
