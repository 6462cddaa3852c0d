"""Subjects: one legal form for every name, and everything else refused with the rule."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model import Access, Failure, Reason
from sidecar.wire import subject as subjects
from sidecar.wire.subject import (
    MAX_TOKEN,
    Address,
    AdminAddress,
    CancelAddress,
    CatalogAddress,
    admin_subject,
    call_subject,
    cancel_subject,
    catalog_subject,
    decode_token,
    encode_token,
    parse_admin,
    parse_call,
    parse_cancel,
    parse_catalog,
    parse_submit,
    trace_subject,
)

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(lambda name: name != "-")
WORDS = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
OPERATIONS = st.lists(WORDS, min_size=1, max_size=4).map(".".join)
LEGAL = re.compile(r"([A-Za-z0-9_-]|%[0-9A-F]{2})+")


@given(NAMES)
def test_a_token_round_trips(name: str) -> None:
    """Every name has a token of legal characters, which stands for that name and no other."""
    token = encode_token(name)
    assert LEGAL.fullmatch(token)
    if len(token) <= MAX_TOKEN:
        assert decode_token(token) == name


@given(st.text(max_size=30))
def test_only_the_canonical_form_decodes(token: str) -> None:
    """A token that does not re-encode to itself is refused, so that no two subjects name one connection."""
    name = decode_token(token)
    assert name is None or encode_token(name) == token


@given(NAMES, NAMES)
def test_two_names_never_share_a_token(one: str, other: str) -> None:
    """Names are told apart byte by byte: no folding of case, no Unicode normal form."""
    assert (encode_token(one) == encode_token(other)) is (one == other)


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("alice@example.com", "alice%40example%2Ecom"),
        ("default", "default"),
        ("A-b_9", "A-b_9"),
        ("a.b", "a%2Eb"),
        ("*", "%2A"),
        (">", "%3E"),
        ("%", "%25"),
        ("%2E", "%252E"),
        ("zoë", "zo%C3%AB"),
        (" ", "%20"),
    ],
)
def test_names_have_one_token(name: str, token: str) -> None:
    """The encoding is the one of the contract: upper-case hex of every byte outside [A-Za-z0-9_-]."""
    assert encode_token(name) == token
    assert decode_token(token) == name


@pytest.mark.parametrize(
    "token",
    [
        "",
        "*",
        ">",
        "a.b",
        "a b",
        "a\tb",
        "alice@example",
        "%2e",  # lower-case hex
        "%41",  # a plain letter, encoded
        "%2D",  # a plain hyphen, encoded
        "%",
        "%4",
        "%GG",
        "a%",
        "%C3",  # half a character
        "%FF",  # no UTF-8
        "%ED%A0%80",  # a surrogate
        "%C0%AE",  # an overlong dot
        "zoë",
        "é",
        "\ud800",
        "\n",
        "a" * (MAX_TOKEN + 1),
    ],
)
def test_what_is_not_canonical_is_refused(token: str) -> None:
    """No other spelling of a name is a token."""
    assert decode_token(token) is None


@given(st.sampled_from(Access), NAMES, NAMES, WORDS, OPERATIONS)
def test_a_call_subject_round_trips(
    access: Access, tenant: str, connection: str, provider: str, operation: str
) -> None:
    """Whatever the names, the subject parses to exactly the address it was made of."""
    address = Address(access, tenant, connection, provider, operation)
    subject = call_subject("sidecar", address)
    parsed = parse_call("sidecar", subject)
    if max(len(encode_token(tenant)), len(encode_token(connection))) <= MAX_TOKEN:
        assert parsed == address
    else:
        assert isinstance(parsed, Failure)


@given(NAMES, NAMES, WORDS, OPERATIONS)
def test_no_name_adds_a_token_to_a_subject(tenant: str, connection: str, provider: str, operation: str) -> None:
    """A name cannot reach into the tokens beside it, and never is a wildcard."""
    subject = call_subject("sidecar", Address(Access.READ, tenant, connection, provider, operation))
    tokens = subject.split(".")
    assert len(tokens) == 5 + len(operation.split("."))
    assert not {"*", ">", ""} & set(tokens)
    assert subject.isascii()
    assert subject.isprintable()
    assert " " not in subject


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "sidecar",
        "sidecar.read",
        "sidecar.read.acme.bob.github",  # no operation
        "other.read.acme.bob.github.issues.list",
        "sidecarx.read.acme.bob.github.issues.list",
        "sidecar.READ.acme.bob.github.issues.list",
        "sidecar.submit.acme.bob.github.issues.list",
        "sidecar.trace.acme.bob.github.started",
        "sidecar.admin.acme.bob.github.import",
        "sidecar.read.acme.bob.GitHub.issues.list",
        "sidecar.read.acme.bob.git-hub.issues.list",
        "sidecar.read.acme.bob.github.Issues.list",
        "sidecar.read.acme.bob.github.issues..list",
        "sidecar.read.acme.bob.github.issues.list.",
        "sidecar.read.acme.bob..issues.list",
        "sidecar.read..bob.github.issues.list",
        "sidecar.read.acme..github.issues.list",
        "sidecar.read.-.bob.github.issues.list",
        "sidecar.read.acme.-.github.issues.list",
        "sidecar.read.acme.alice@example.github.issues.list",
        "sidecar.read.acme.%2e.github.issues.list",
        "sidecar.read.*.bob.github.issues.list",
        "sidecar.read.acme.bob.github.>",
    ],
)
def test_a_wrong_call_subject_is_told(subject: str) -> None:
    """What is no call is refused as malformed, and the text names the subject."""
    failure = parse_call("sidecar", subject)
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.MALFORMED
    assert repr(subject[:200]) in failure.detail


def test_a_dash_is_never_a_name() -> None:
    """`-` spans, so a call can never be for the connection `-`."""
    failure = parse_call("sidecar", "sidecar.write.acme.-.github.issues.create")
    assert isinstance(failure, Failure)
    assert "`-` is not a connection" in failure.detail


def test_a_long_subject_is_not_repeated_whole() -> None:
    """The text of a refusal stays short, whatever was sent."""
    failure = parse_call("sidecar", "sidecar.read." + "x" * 100_000)
    assert isinstance(failure, Failure)
    assert len(failure.detail) < 500


@pytest.mark.parametrize(
    "address",
    [
        AdminAddress("acme", "alice@example.com", "github", "import"),
        AdminAddress("acme", "-", "github", "list"),
        AdminAddress("acme", "alice", "-", "list"),
        AdminAddress("acme", "-", "-", "list"),
    ],
)
def test_an_admin_subject_round_trips(address: AdminAddress) -> None:
    """Connection and provider may be `-`, meaning every one."""
    assert parse_admin("sidecar", admin_subject("sidecar", address)) == address


@pytest.mark.parametrize(
    "subject",
    [
        "sidecar.admin.acme.alice.github",
        "sidecar.admin.acme.alice.github.import.more",
        "sidecar.admin.-.alice.github.import",
        "sidecar.admin.acme.alice.GitHub.import",
        "sidecar.admin.acme.%2e.github.import",
        "sidecar.admin.acme..github.import",
        "sidecar.read.acme.alice.github.import",
    ],
)
def test_a_wrong_admin_subject_is_told(subject: str) -> None:
    """A tenant is always named; provider and connection in their one legal form."""
    failure = parse_admin("sidecar", subject)
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    "address",
    [
        CatalogAddress("acme", "providers"),
        CatalogAddress("acme", "operations", "github"),
        CatalogAddress("a.b", "describe", "github", "issues.create"),
    ],
)
def test_a_catalogue_subject_round_trips(address: CatalogAddress) -> None:
    """A verb, then as much of provider and operation as the verb takes."""
    assert parse_catalog("sidecar", catalog_subject("sidecar", address)) == address


@pytest.mark.parametrize(
    "subject",
    ["sidecar.catalog.acme", "sidecar.catalog.-.providers", "sidecar.catalog.a@b.providers", "sidecar.read.a.b.c.d"],
)
def test_a_wrong_catalogue_subject_is_told(subject: str) -> None:
    """The tenant stands in its one legal form here too."""
    failure = parse_catalog("sidecar", subject)
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.MALFORMED


CALL_ID = "0190a8b0-1234-7abc-8def-0123456789ab"


@given(NAMES, NAMES)
def test_a_cancel_subject_round_trips(tenant: str, connection: str) -> None:
    """Tenant and connection as in a call's subject, and the call's id."""
    address = CancelAddress(tenant, connection, CALL_ID)
    subject = cancel_subject("sidecar", address)
    assert len(subject.split(".")) == 5
    parsed = parse_cancel("sidecar", subject)
    assert parsed == address or (isinstance(parsed, Failure) and len(subject) > MAX_TOKEN)


@pytest.mark.parametrize(
    "subject",
    [
        f"sidecar.cancel.a.{CALL_ID}",
        f"sidecar.cancel.a.b.c.{CALL_ID}",
        f"sidecar.cancel.-.b.{CALL_ID}",
        f"sidecar.cancel.a.-.{CALL_ID}",
        f"sidecar.cancel.a.b%2e.{CALL_ID}",
        "sidecar.cancel.a.b.*",
        "sidecar.cancel.a.b.",
        f"sidecar.cancel.a.b.{CALL_ID.replace('-', '')}",
        f"sidecar.cancel.a.b.{CALL_ID} ",
        f"sidecar.read.a.b.{CALL_ID}",
        f"other.cancel.a.b.{CALL_ID}",
    ],
)
def test_a_wrong_cancel_subject_is_told(subject: str) -> None:
    """A call id is a UUID; everything else is as in a call's subject."""
    failure = parse_cancel("sidecar", subject)
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.MALFORMED


def test_a_call_id_has_no_case() -> None:
    """RFC 9562 section 4: hexadecimal digits are read in either case."""
    assert parse_cancel("sidecar", f"sidecar.cancel.a.b.{CALL_ID.upper()}") == CancelAddress("a", "b", CALL_ID)


@given(NAMES, NAMES)
def test_a_trace_subject_has_six_tokens(tenant: str, connection: str) -> None:
    """Whoever is named, an event is found under `sidecar.trace.<tenant>.<connection>.<provider>.<event>`."""
    tokens = trace_subject("sidecar", tenant, connection, "github", "started").split(".")
    assert len(tokens) == 6
    assert decode_token(tokens[2]) in {tenant, None}
    assert tokens[4:] == ["github", "started"]


def test_what_is_remembered_of_calls_is_bounded() -> None:
    """Anybody may publish, so subjects are remembered by number and by length: a stranger's fill no memory."""
    remembered = subjects._known_call.cache_info
    for number in range(4_106):
        parse_call("sidecar", f"sidecar.read.acme.alice{number}.github.issues.list")
    assert remembered().currsize == 4_096
    long = f"sidecar.read.acme.{'a' * MAX_TOKEN}.github.issues.list"
    before = remembered().misses + remembered().hits
    found = parse_call("sidecar", long)
    assert isinstance(found, Address)
    assert found.connection == "a" * MAX_TOKEN
    assert remembered().misses + remembered().hits == before


@pytest.mark.parametrize(
    "subject",
    [
        "sidecar.submit.acme.alice@example.github.issues.create",
        "sidecar.submit.acme.-.github.issues.create",
        "sidecar.submit.acme.bob.GitHub.issues.create",
        "sidecar.submit.acme.bob.github",
        "sidecar.write.acme.bob.github.issues.create",
    ],
)
def test_a_refusal_names_the_subject_that_was_used(subject: str) -> None:
    """A caller finds the line of its own that is wrong."""
    refused = parse_submit("sidecar", subject)
    assert isinstance(refused, Failure)
    assert refused.detail.startswith(f"subject '{subject}': ")
