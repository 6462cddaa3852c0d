"""Settings: the environment over the file, each checked where it was set, none misread in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sidecar.scope import Scope
from sidecar.settings import FILE, Settings, SettingsError, load_settings, table, unknown_names


def test_nothing_set_is_the_defaults(tmp_path: Path) -> None:
    """Other variables are nobody's business."""
    assert load_settings({"HOME": "/root", "SIDECARS": "x"}, tmp_path) == Settings()


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    """What is set in both is the environment's; an empty variable sets nothing."""
    (tmp_path / FILE).write_text('prefix = "file"\nmax_in_flight = 7\nconnectors = ["a", "b"]\n')
    found = load_settings({"SIDECAR_PREFIX": "env", "SIDECAR_MAX_IN_FLIGHT": ""}, tmp_path)
    assert (found.prefix, found.max_in_flight, found.connectors) == ("env", 7, ("a", "b"))


def test_lists_and_numbers_are_read_from_text(tmp_path: Path) -> None:
    """Separated as in PATH, or by commas; spaces around do not count."""
    environment = {
        "SIDECAR_CONNECTORS": f"/a{os.pathsep}/b c",
        "SIDECAR_EGRESS_ALLOW": " redmine.internal:3000, 10.1.0.0/16 ,",
        "SIDECAR_GRACE_SECONDS": "2.5",
    }
    found = load_settings(environment, tmp_path)
    assert found.connectors == ("/a", "/b c")
    assert found.egress_allow == ("redmine.internal:3000", "10.1.0.0/16")
    assert found.grace_seconds == 2.5


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SIDECAR_MAX_IN_FLIGHT", "0"),
        ("SIDECAR_MAX_IN_FLIGHT", "many"),
        ("SIDECAR_MAX_IN_FLIGHT", "1.5"),
        ("SIDECAR_PREFIX", "a.b"),
        ("SIDECAR_PREFIX", "*"),
        ("SIDECAR_REPLICAS", "9"),
        ("SIDECAR_GRACE_SECONDS", "-1"),
        ("SIDECAR_LOG_FORMAT", "xml"),
        ("SIDECAR_LOG_LEVEL", "INFO"),
        ("SIDECAR_TRACE_MAX_AGE_HOURS", "0"),
        ("SIDECAR_INBOX_PREFIX", "_INBOX."),
        ("SIDECAR_INBOX_PREFIX", "_INBOX.*"),
        ("SIDECAR_INBOX_PREFIX", "a..b"),
    ],
)
def test_a_wrong_value_names_its_variable(tmp_path: Path, name: str, text: str) -> None:
    """And the table; the value itself is not repeated, it may be a secret in the wrong place."""
    with pytest.raises(SettingsError) as told:
        load_settings({name: text + "canary" if text == "many" else text}, tmp_path)
    assert f"environment variable {name} " in str(told.value)
    assert "canary" not in str(told.value)


def test_what_one_sidecar_serves(tmp_path: Path) -> None:
    """A tenant, and connections and providers of it, separated by commas; without them, everything."""
    environment = {
        "SIDECAR_TENANT": "acme",
        "SIDECAR_CONNECTIONS": "alice@example.com, bob",
        "SIDECAR_PROVIDERS": "github,slack",
    }
    found = load_settings(environment, tmp_path).scope
    assert found == Scope("acme", ("alice@example.com", "bob"), ("github", "slack"))
    assert Settings().scope == Scope()


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"SIDECAR_CONNECTIONS": "alice"}, "SIDECAR_CONNECTIONS says what of one tenant is served: set SIDECAR_TENANT"),
        ({"SIDECAR_PROVIDERS": "github"}, "SIDECAR_PROVIDERS says what of one tenant is served: set SIDECAR_TENANT"),
        ({"SIDECAR_TENANT": "-"}, "SIDECAR_TENANT: a name is not empty, is not `-`"),
        ({"SIDECAR_TENANT": "é" * 43}, "SIDECAR_TENANT: a name"),
        ({"SIDECAR_TENANT": "\udc80"}, "SIDECAR_TENANT: a name"),
        ({"SIDECAR_TENANT": "acme", "SIDECAR_CONNECTIONS": "alice,-"}, "SIDECAR_CONNECTIONS: a name"),
        ({"SIDECAR_TENANT": "acme", "SIDECAR_PROVIDERS": "GitHub"}, "SIDECAR_PROVIDERS: a provider is a lower-case"),
        *(
            ({"SIDECAR_REPLY_PREFIXES": text}, "SIDECAR_REPLY_PREFIXES: beginnings of subjects without wildcards")
            for text in (">", "*.", "_INBOX.>", "_INBOX", "_INBOX.,x", "a..", ".", "a b.", "_INBOX.x{tenant}.", ",")
        ),
        *(
            (
                {f"SIDECAR_{name}_ADDRESS": text, "SIDECAR_PUBLIC_URL": "https://a.example"},
                f"SIDECAR_{name}_ADDRESS: host",
            )
            for name in ("OPERATIONS", "CONNECT")
            for text in ("foo", "127.0.0.1:99999", "127.0.0.1:", "127.0.0.1:-1", ":http")
        ),
        ({"SIDECAR_KEK_FILE": "/a", "SIDECAR_KEK_DIR": "/b"}, "SIDECAR_KEK_FILE and SIDECAR_KEK_DIR are both set"),
    ],
)
def test_settings_that_do_not_fit_together(tmp_path: Path, environment: dict[str, str], told: str) -> None:
    """Each by its variable, with what to do."""
    with pytest.raises(SettingsError) as refused:
        load_settings(environment, tmp_path)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["https://connect.acme.example", "https://connect.acme.example:8443/", "http://127.0.0.1:8077", "http://[::1]:1"],
)
def test_where_browsers_reach_the_pages(tmp_path: Path, url: str) -> None:
    """Over TLS, or on this machine alone."""
    found = load_settings(
        {"SIDECAR_PUBLIC_URL": url, "SIDECAR_RETURN_URLS": "https://a.example/b, http://localhost:1"}, tmp_path
    )
    assert (found.public_url, found.return_urls) == (url, ("https://a.example/b", "http://localhost:1"))


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"SIDECAR_CONNECT_ADDRESS": "0.0.0.0:80"}, "set SIDECAR_PUBLIC_URL too"),
        ({"SIDECAR_PUBLIC_URL": "http://connect.acme.example"}, "SIDECAR_PUBLIC_URL: an https URL without a path"),
        ({"SIDECAR_PUBLIC_URL": "https://acme.example/connect"}, "SIDECAR_PUBLIC_URL: an https URL without a path"),
        ({"SIDECAR_PUBLIC_URL": "https://me@acme.example"}, "SIDECAR_PUBLIC_URL: an https URL"),
        ({"SIDECAR_PUBLIC_URL": "https://acme.example?x=1"}, "SIDECAR_PUBLIC_URL: an https URL"),
        ({"SIDECAR_PUBLIC_URL": "https://acme.example:x"}, "SIDECAR_PUBLIC_URL: an https URL"),
        ({"SIDECAR_PUBLIC_URL": "acme.example"}, "SIDECAR_PUBLIC_URL: an https URL"),
        ({"SIDECAR_RETURN_URLS": "https://a.example,http://b.example"}, "SIDECAR_RETURN_URLS: an https URL"),
    ],
)
def test_addresses_that_others_could_read_along(tmp_path: Path, environment: dict[str, str], told: str) -> None:
    """Links and codes travel there: each wrong one is told by its variable."""
    with pytest.raises(SettingsError) as refused:
        load_settings(environment, tmp_path)
    assert told in str(refused.value)


@pytest.mark.parametrize("text", ["_INBOX.", "_INBOX.{tenant}.,_R_.", "{tenant}.replies.,$SRV-x."])
def test_where_replies_may_go(tmp_path: Path, text: str) -> None:
    """Whole words of subjects, of which one may be the caller's tenant."""
    assert load_settings({"SIDECAR_REPLY_PREFIXES": text}, tmp_path).reply_prefixes == tuple(text.split(","))


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("LOG_LEVEL", "INFO", "environment variable SIDECAR_LOG_LEVEL must be one of debug, info, warning, error;"),
        ("LOG_FORMAT", "xml", "environment variable SIDECAR_LOG_FORMAT must be one of json, text, auto;"),
        ("REPLICAS", "9", "environment variable SIDECAR_REPLICAS must be a whole number from 1 to 5;"),
        ("GRACE_SECONDS", "soon", "environment variable SIDECAR_GRACE_SECONDS must be a number from 0 to 600;"),
        (
            "TRACE_MAX_AGE_HOURS",
            "0",
            "environment variable SIDECAR_TRACE_MAX_AGE_HOURS must be a number above 0 to 8760;",
        ),
        ("PREFIX", "a.b", "environment variable SIDECAR_PREFIX must be 1 to 32 letters, digits, `-` and `_`;"),
    ],
)
def test_what_a_setting_may_be_is_told_in_words(tmp_path: Path, name: str, text: str, told: str) -> None:
    """The values, not the types and patterns of the program."""
    with pytest.raises(SettingsError) as refused:
        load_settings({f"SIDECAR_{name}": text}, tmp_path)
    assert str(refused.value).startswith(told)


def test_a_misspelt_setting_of_the_file_is_told_with_the_nearest(tmp_path: Path) -> None:
    """As one of the environment is by the doctor."""
    (tmp_path / FILE).write_text("max_inflight = 7\n")
    with pytest.raises(SettingsError, match=r"toml: max_inflight is no setting; did you mean max_in_flight\?"):
        load_settings({}, tmp_path)
    (tmp_path / FILE).write_text("connectors = 7\n")
    with pytest.raises(SettingsError, match=r"toml: connectors must be a list of texts;"):
        load_settings({}, tmp_path)


def test_an_empty_tenant_in_the_file_is_refused(tmp_path: Path) -> None:
    """It would serve nobody."""
    (tmp_path / FILE).write_text('tenant = ""\n')
    with pytest.raises(SettingsError, match="SIDECAR_TENANT: a name is not empty"):
        load_settings({}, tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_in_flight = 0\n", "max_in_flight"),
        ("max_in_flght = 5\n", "max_in_flght"),
        ("prefix = [\n", "sidecar.toml: "),
        ('prefix = 3\nnats_url = "nats://user:canary@nats"\n', "prefix"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    """With the setting; an unknown one is an error there."""
    (tmp_path / FILE).write_text(text)
    with pytest.raises(SettingsError) as told:
        load_settings({}, tmp_path)
    assert str(tmp_path / FILE) in str(told.value)
    assert words in str(told.value)
    assert "canary" not in str(told.value)


def test_a_misspelt_variable_is_found() -> None:
    """It would be ignored in silence."""
    assert unknown_names({"SIDECAR_PREFFIX": "x", "SIDECAR_PREFIX": "y", "PATH": "z"}) == ["SIDECAR_PREFFIX"]


def test_every_setting_is_in_the_table() -> None:
    """With its variable, its default and what it does."""
    rows = table().splitlines()
    assert len(rows) == 2 + len(Settings.__struct_fields__)
    assert "| `SIDECAR_MAX_IN_FLIGHT` | `1024` | calls at once; more wait for a moment |" in rows
    assert all(row.count("|") == 4 for row in rows)
