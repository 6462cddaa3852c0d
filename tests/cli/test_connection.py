"""`sidecar connection` against a real sidecar: secrets come in, and never out."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from sidecar.cli.account import Connection, chosen_kind, shown, table
from sidecar.cli.failure import Stopped
from sidecar.cli.provider_text import Kind, Served
from sidecar.cli.secret import KeyFile, Read, ask_fields
from tests.cli.conftest import Command, said

SERVER = "https://server.example"


@pytest.fixture
def token(tmp_path: Path) -> str:
    """A file with the bearer token that the offline provider takes."""
    file = tmp_path / "token.txt"
    file.write_text("test-token\n")
    return str(file)


def test_a_connection_s_whole_life(beside: Command, token: str) -> None:
    """Imported and verified, listed, disabled, enabled, revoked: and calls obey each."""
    who = ["acme", "-c", "life"]
    imported = beside("connection", "import", *who, "--base-url", SERVER, "--from-file", token)
    assert imported.stdout == "acme  life  bearer  active  verified: anna\n"
    assert beside("connection", "verify", *who).stdout == "acme  life  bearer  active  verified: anna\n"
    assert beside("call", "acme.account.get", "-c", "life").exit_code == 0
    assert beside("connection", "disable", *who).stdout == "acme  life  bearer  disabled\n"
    refused = beside("call", "acme.account.get", "-c", "life")
    assert refused.exit_code == 77
    assert "sidecar connection enable acme -c life" in refused.stderr
    assert beside("connection", "enable", *who).exit_code == 0
    assert beside("call", "acme.account.get", "-c", "life").exit_code == 0
    assert beside("connection", "revoke", *who).exit_code == 0
    assert beside("connection", "enable", *who).exit_code == 77
    assert "was revoked" in beside("call", "acme.account.get", "-c", "life").stderr


def test_limits_of_a_server(beside: Command, token: str) -> None:
    """Given with the import or later, shown in lists, and taken back by naming none."""
    who = ["acme", "-c", "limited"]
    words = ["--base-url", SERVER, "--from-file", token, "--limit", "posts=10/50", "--limit", "posts=4"]
    imported = beside("connection", "import", *who, *words)
    assert imported.stdout == "acme  limited  bearer  active  limits posts=10/50, posts=4  verified: anna\n"
    assert "limited acme: limits posts=10/50, posts=4" in beside("connection", "list", "acme", "-c", "limited").stdout
    changed = beside("connection", "limit", *who, "posts=3/1.5")
    assert changed.stdout == "acme  limited  bearer  active  limits posts=3/1.5\n"
    assert beside("connection", "limit", *who).stdout == "acme  limited  bearer  active\n"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("posts", "'posts' is no limit"),
        ("=10/50", "'=10/50' is no limit"),
        ("post=10/50", "--limit post  is not a quota of this provider"),
        ("posts=often", "--limit posts  'often' is no limit"),
    ],
)
def test_a_limit_that_makes_no_sense(beside: Command, token: str, given: str, told: str) -> None:
    """Told with the option's name, before anything is stored."""
    words = ["--base-url", SERVER, "--from-file", token, "--limit", given]
    refused = beside("connection", "import", "acme", "-c", "senseless", *words)
    assert refused.exit_code != 0
    assert told in refused.stderr
    assert "no such connection" in beside("connection", "list", "acme", "-c", "senseless").stderr


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["--from-env", "ACME_TOKEN"], None),
        (["--from-file", "-"], "test-token\n"),
        (["--from-file", "-"], '{"fields": {"token": "test-token"}}'),
        (["--from-file", "-", "--kind", "api_key"], "test-key"),
        (["--from-file", "-"], '{"fields": {"key": "test-key"}}'),
    ],
)
def test_a_secret_may_come_from(beside: Command, words: list[str], given: str | None) -> None:
    """A variable, stdin, bare or as JSON; the fields choose the kind where none is named."""
    words = ["import", "acme", "-c", "ways", "--base-url", SERVER, *words]
    result = beside("connection", *words, input=given, env={"ACME_TOKEN": "test-token"})
    assert result.exit_code == 0, result.output
    assert beside("call", "acme.account.get", "-c", "ways").exit_code == 0


def test_a_secret_is_asked_for_on_a_terminal(beside: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hidden prompt where there is a terminal; what is typed is not shown."""
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    result = beside("connection", "import", "acme", "-c", "typed", "--base-url", SERVER, input="test-token\n")
    assert result.exit_code == 0, result.output
    assert "Acme token: " in result.stderr
    assert "test-token" not in result.output


@pytest.mark.parametrize(
    ("typed", "fields"),
    [
        ("u\np\n", {"username": "u", "password": "p"}),
        ("key\n\n", {"username": "key", "password": ""}),
        ("\n\nkey\n", {"username": "", "password": "key"}),
    ],
)
def test_a_key_alone_can_be_typed_for_basic(
    monkeypatch: pytest.MonkeyPatch, typed: str, fields: dict[str, str]
) -> None:
    """Enter leaves one of the two empty, as its question says; the second one then has to be there."""
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    with CliRunner().isolation(input=typed) as (_, stderr, _):
        assert ask_fields("Acme", "basic", ("username", "password"), {}, None) == fields
        assert b"Acme username (empty: Enter): " in stderr.getvalue()


def test_only_basic_has_an_empty_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter is no answer where a key is asked for: the question comes again."""
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    with CliRunner().isolation(input="\nkey\n") as (_, stderr, _):
        assert ask_fields("Acme", "api_key", ("key",), {}, None) == {"key": "key"}
        assert stderr.getvalue().count(b"Acme key: ") == 2


@pytest.mark.parametrize("provider", ["acme", "github"])
def test_a_connection_that_is_there_keeps_its_server(beside: Command, provider: str) -> None:
    """A new secret for it is given as a hint says, without naming again where it is: it goes to no other server, also
    where the provider has one of its own.
    """
    words = ["connection", "import", provider, "-c", "moved-in", "--no-verify", "--from-env", "ACME", "--json"]
    words += ["--kind", "bearer"]
    named = beside(*words, "--base-url", "https://acme.example/team", env={"ACME": "one"})
    assert (named.exit_code, said(named)["base_url"]) == (0, "https://acme.example/team")
    again = beside(*words, env={"ACME": "two"})
    assert (again.exit_code, said(again)["base_url"]) == (0, "https://acme.example/team")


@pytest.mark.parametrize("words", [["connection", "import", "acme"], ["connect", "acme"]])
def test_a_server_that_is_missing_is_told_before_a_secret_is_asked_for(
    beside: Command, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """Nobody types a secret for nothing."""
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    refused = beside(*words, "-c", "not-there", input="test-token\n")
    assert refused.exit_code == 64
    assert "a connection to Acme names its server" in refused.stderr
    assert "give      --base-url URL" in refused.stderr
    assert "Acme token: " not in refused.stderr


def test_without_a_terminal_nobody_is_asked(beside: Command) -> None:
    """A script that forgot the secret is told how to give it."""
    result = beside("connection", "import", "acme", "--base-url", SERVER)
    assert result.exit_code == 64
    assert "give      --from-file FILE or --from-env NAME" in result.stderr


@pytest.mark.parametrize(
    ("words", "given", "code", "told"),
    [
        (["acme", "--from-file", "nowhere"], None, 66, "nowhere: No such file or directory"),
        (["acme", "--from-env", "NOWHERE"], None, 66, "no variable 'NOWHERE'"),
        (["acme", "--from-file", "-"], " \n", 64, "- is empty"),
        (["acme", "--from-file", "-"], b"\xff", 64, "does not hold text in UTF-8"),
        (["acme", "--from-file", "-"], '{"hunter2": 1}', 64, "starts like JSON and is not"),
        (["acme", "--from-file", "-"], '{"token": "hunter2"', 64, "starts like JSON and is not"),
        (["acme", "--from-file", "-"], "x" * 300_000, 64, "too large for a secret"),
        (["acme", "--from-file", "-", "--kind", "oauth"], "hunter2", 64, "kinds are: bearer, api_key"),
        (["acme", "--from-file", "-"], "hunter2", 64, "--base-url  the connection must name its server"),
        (["acme", "--from-file", "-", "--base-url", SERVER], "hunter2", 77, "nothing was stored"),
        (["acne", "--from-file", "-"], "hunter2", 66, "did you mean acme?"),
        (["redmine", "--from-file", "-", "--kind", "basic"], "hunter2", 64, "has 2 fields: username, password"),
    ],
)
def test_what_is_wrong_is_told_without_the_secret(
    beside: Command, words: list[str], given: str | bytes | None, code: int, told: str
) -> None:
    """The message names the file, the variable, the option or the rule; never what was read."""
    result = beside("connection", "import", "-c", "wrong", *words, input=given)
    assert result.exit_code == code
    assert told in result.stderr
    assert "hunter2" not in result.output
    assert "Traceback" not in result.stderr


def test_an_unverified_import_asks_nobody(beside: Command) -> None:
    """With --no-verify it is stored as it is; it may be wrong, and nobody says it is right."""
    words = ["import", "acme", "-c", "unsure", "--base-url", SERVER, "--no-verify", "--from-file", "-"]
    result = beside("connection", *words, input="wrong")
    assert result.stdout == "acme  unsure  bearer  active\n"
    assert beside("connection", "verify", "acme", "-c", "unsure").exit_code == 77


def test_the_list_shows_everything_but_secrets(beside: Command) -> None:
    """A table for people, and the same as JSON for machines."""
    result = beside("connection", "list", "acme", "-c", "alice")
    heading, line = result.stdout.splitlines()
    assert heading.split() == ["connection", "provider", "kind", "status", "token", "account", "server", "changed"]
    assert line.split()[:4] == ["alice", "acme", "bearer", "active"]
    listed = said(beside("connection", "list", "--json"))
    assert {"alice", "default"} <= {item["connection"] for item in listed}
    assert "test-token" not in beside("connection", "list", "--json").stdout


def test_an_empty_list_says_how_to_begin(beside: Command) -> None:
    """Nothing on stdout, and the next step on stderr."""
    result = beside("connection", "list", "--tenant", "empty")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "sidecar connect PROVIDER -c NAME" in result.stderr


def test_a_name_of_any_characters_is_one_connection(beside: Command, token: str) -> None:
    """`alice@example.com` is a name like any other."""
    who = ["acme", "-c", "alice@example.com"]
    assert beside("connection", "import", *who, "--base-url", SERVER, "--from-file", token).exit_code == 0
    assert beside("call", "acme.account.get", "-c", "alice@example.com").exit_code == 0
    assert said(beside("connection", "list", *who, "--json"))[0]["connection"] == "alice@example.com"


SERVICE = {"issuer": "client_email", "private_key": "private_key", "key_id": "private_key_id"}
TWO = Served(
    "acme",
    (
        Kind("oauth2", ("refresh_token",), ("client_id", "client_secret")),
        Kind("bearer", ("token",)),
        Kind("basic", ("username", "password")),
        Kind("jwt_bearer", ("issuer", "private_key"), ("subject", "key_id"), SERVICE),
    ),
)


@pytest.mark.parametrize(
    ("kind", "read", "chosen"),
    [
        (None, None, "bearer"),
        (None, "a secret", "bearer"),
        ("basic", None, "basic"),
        (None, {"password": "p", "username": "u"}, "basic"),
        (None, {"refresh_token": "r", "client_id": "c"}, "oauth2"),
        (None, KeyFile({"client_email": "a@b", "private_key": "k", "type": "service_account"}), "jwt_bearer"),
        (None, {"unknown": "u"}, "oauth2"),
    ],
)
def test_the_kind(kind: str | None, read: Read, chosen: str) -> None:
    """The one named, else the one that what was read fits; nobody is asked for the refresh token of a consent."""
    assert chosen_kind(TWO, kind, read).kind == chosen


def test_a_key_file_of_the_provider() -> None:
    """Its fields are found by the names that the provider gives them; what else it holds stays there."""
    whole = KeyFile({"client_email": "a@b", "private_key": "k", "private_key_id": "1", "type": "service_account"})
    fields = ask_fields("Acme", "jwt_bearer", ("issuer", "private_key"), SERVICE, whole)
    assert fields == {"issuer": "a@b", "private_key": "k", "key_id": "1"}
    with pytest.raises(Stopped, match="hands out no key file"):
        ask_fields("Acme", "bearer", ("token",), {}, whole)


def test_a_kind_that_is_not_taken() -> None:
    """It is refused with those that are."""
    with pytest.raises(Stopped, match="kinds are: oauth2, bearer, basic"):
        chosen_kind(TWO, "oauth", None)


def test_a_table_tells_how_tokens_stand() -> None:
    """Beside whether a connection may be used stands how its access token does; a key has none."""
    issued = Connection("alice", "gmail", "oauth2", "active", token="expiring", account="alice@example.com")
    lines = [line.split() for line in table([issued, Connection("bob", "github", "bearer", "active")])]
    assert lines[0][3:6] == ["status", "token", "account"]
    assert lines[1][3:6] == ["active", "expiring", "alice@example.com"]
    assert lines[2][3:6] == ["active", "-", "-"]


EVIL = "\x1b[2J\nx"


def test_nothing_from_outside_steers_the_terminal() -> None:
    """Names and accounts that others chose add no line and no control."""
    item = Connection(
        EVIL, EVIL, EVIL, EVIL, account=EVIL, base_url=EVIL, changed=EVIL, problem=EVIL, verified=False, token=EVIL
    )
    assert all("\x1b[2J" not in line and "\n" not in line for line in [*table([item]), shown(item)])
