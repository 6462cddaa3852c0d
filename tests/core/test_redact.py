"""Redaction: a secret is cut out however it is written, an explanation stays readable, and both take no time."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.redact import (
    MAX_SAID,
    REDACTED,
    Hidden,
    redact_failure,
    redact_headers,
    redact_text,
    redact_url,
    said,
)
from sidecar.model import Failure, Problem, Reason

CANARY = 'ca"nary/+ sec&ret=\\é'
PLAIN_CANARY = "canary-5d41402abc4b2a76"


@pytest.mark.parametrize(
    "written",
    [
        CANARY,
        quote(CANARY, safe=""),
        quote_plus(CANARY),
        msgspec.json.encode(CANARY).decode()[1:-1],
    ],
    ids=["plain", "in a path", "in a form", "in JSON"],
)
def test_a_secret_is_cut_out_however_it_is_written(written: str) -> None:
    """A provider that echoes the credential, plain or encoded, does not bring it into a trace or a reply."""
    assert redact_text(f"key <{written}> is wrong", [CANARY]) == f"key <{REDACTED}> is wrong"


def test_secrets_whose_forms_are_kept_are_cut_out_alike() -> None:
    """However often, and however they are written."""
    secrets, text = (CANARY, PLAIN_CANARY, "short"), f"{quote(CANARY, safe='')} {PLAIN_CANARY} {CANARY} short shorter"
    hidden = Hidden(secrets)
    for _ in range(2):
        assert redact_text(text, hidden) == redact_text(text, secrets)
        assert CANARY not in redact_text(text, hidden)


def test_a_secret_in_ascii_json_is_cut_out() -> None:
    r"""Servers that write `\u00e9` for é echo a secret in a third form."""
    written = CANARY.replace("\\", "\\\\").replace('"', '\\"').replace("é", "\\u00e9")
    assert "nary" not in redact_text(f'{{"error": "no such key {written}"}}', [CANARY])


@pytest.mark.parametrize("secret", ["", "a", "me", "ok"])
def test_a_short_secret_does_not_tear_words_apart(secret: str) -> None:
    """A user name of two letters is cut out where it stands alone; the rest stays readable."""
    text = redact_text(f"some message about me: ok, name <{secret}>", [secret])
    assert text.startswith("some message about ")
    if secret:
        assert f"<{secret}>" not in text


@given(st.text(min_size=8, max_size=40), st.text(max_size=30), st.text(max_size=30))
def test_no_secret_survives(secret: str, before: str, after: str) -> None:
    """Whatever stands around it."""
    text = redact_text(f"{before}{secret}{after}", [secret])
    assert secret in REDACTED or secret not in text


@pytest.mark.parametrize(
    "text",
    [
        '{"access_token": "%s"}',
        '{"accessToken":"%s"}',
        '{"apiKey": "%s", "a": 1}',
        "{'client_secret': '%s'}",
        '{"password":"%s',
        "token=%s&x=1",
        "refresh_token : %s",
        "X-Api-Key: %s",
        "Set-Cookie: %s",
        "Authorization: Bearer %s",
        "authorization: basic %s",
        "the header was Bearer %s, which has expired",
        '{"session_id": "\\"%s"}',
        '{"headers": {"Authorization": "Token %s"}}',
        '{"message": "got token=%s"}',
    ],
)
def test_values_of_secret_names_are_cut_out(text: str) -> None:
    """Also secrets that are not ours: tokens of others in what a provider says."""
    assert PLAIN_CANARY not in redact_text(text % PLAIN_CANARY)


@pytest.mark.parametrize(
    "token",
    [
        "ghp_0123456789abcdefghij",
        "github_pat_11ABCDEFG0_abcdefgh",
        "xoxb-1234567890-abcdef",
        "syt_YWxpY2U_abcdefgh",
        "sk_live_0123456789abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ],
)
def test_known_shapes_of_tokens_are_cut_out(token: str) -> None:
    """Where no name stands beside them."""
    assert redact_text(f"hello {token} world") == f"hello {REDACTED} world"


@pytest.mark.parametrize(
    "text",
    ["Not Found", "issue 42 is closed", '{"message":"Validation Failed","errors":[{"field":"title"}]}', "a: b, c=d"],
)
def test_what_is_no_secret_is_left(text: str) -> None:
    """An explanation that is cut to pieces explains nothing."""
    assert redact_text(text, [CANARY]) == text


# --- headers and URLs ------------------------------------------------------------------------------------------------


def test_headers_are_shown_by_an_allow_list() -> None:
    """What is not known to be harmless is left out, name and value."""
    shown = redact_headers(
        [
            ("Content-Type", "application/json"),
            ("X-RateLimit-Remaining", "3"),
            ("Authorization", PLAIN_CANARY),
            ("X-Api-Key", PLAIN_CANARY),
            ("Set-Cookie", PLAIN_CANARY),
            ("Location", f"https://x/?code={PLAIN_CANARY}"),
            ("X-Unknown", PLAIN_CANARY),
        ]
    )
    assert shown == {"content-type": "application/json", "x-ratelimit-remaining": "3"}


def test_a_harmless_header_that_echoes_the_credential_is_cut() -> None:
    """`WWW-Authenticate` may repeat what was sent; and no header is longer than 512 characters."""
    shown = redact_headers([("WWW-Authenticate", f"Bearer error={PLAIN_CANARY}"), ("Via", "v" * 2_000)], [PLAIN_CANARY])
    assert PLAIN_CANARY not in str(shown)
    assert len(shown["via"]) == 512


@pytest.mark.parametrize("write", [str, str.lower, quote])
def test_a_name_of_a_header_is_cut_as_its_value_is(write: Callable[[str], str]) -> None:
    """Where a name tells the rest of it, that may be the credential, in any case."""
    secret = "Canary-5D41+402abc4b2a76"
    shown = redact_headers([(f"X-RateLimit-{write(secret)}", "1"), ("X-RateLimit-Limit", "2")], [secret])
    assert shown == {f"x-ratelimit-{REDACTED}": "1", "x-ratelimit-limit": "2"}


def test_a_known_name_is_shown_though_a_secret_is_called_so() -> None:
    """A user name may be a word that every answer has."""
    assert redact_headers([("Date", "today"), ("Via", "a date")], ["date"]) == {"date": "today", "via": f"a {REDACTED}"}


def test_headers_are_shown_as_they_came() -> None:
    """An answer's are bytes, in any encoding; no name is too strange to be left out."""
    raw = [(b"Server", "caf\u00e9".encode()), (b"Via", b"caf\xe9"), (b"\xff" * 9, b"x"), (b"ratelimit" * 99, b"x")]
    assert redact_headers(raw) == {"server": "caf\u00e9", "via": "caf\u00e9"}
    assert redact_headers([(b"Server", PLAIN_CANARY.encode())], [PLAIN_CANARY]) == {"server": REDACTED}


@pytest.mark.parametrize("name", ["token", "api_key", "access_token", "key_secret", "X-Signature", "accessToken"])
def test_secret_parameters_of_a_url_are_cut_out(name: str) -> None:
    """The others stay, so that the call can be recognised."""
    shown = redact_url(f"https://x.example/a?q=1&{name}={PLAIN_CANARY}&z=2")
    assert shown == f"https://x.example/a?q=1&{name}=[redacted]&z=2"


@pytest.mark.parametrize(
    "url", ["https://x.example/token/a", "https://x.example/a?q=token", "https://x.example/a?%zz=%"]
)
def test_a_url_without_secret_parameters_is_unchanged(url: str) -> None:
    """Byte for byte: it says what was asked."""
    assert redact_url(url) == url


# --- what a provider said --------------------------------------------------------------------------------------------


STARTS = [0, 10, MAX_SAID - 30, MAX_SAID - 1, MAX_SAID, 2 * MAX_SAID - 30, 2 * MAX_SAID - 15, 2 * MAX_SAID - 3]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("filler", ["x", " ", 'token="aaaaaaaaaaaaaaaaaaaaaaaa", ', f"{PLAIN_CANARY} "])
def test_no_part_of_a_secret_shows_on_an_edge(start: int, filler: str) -> None:
    """Wherever the text is cut, also when what stands before shrinks: not the first ten characters of a secret."""
    text = (filler * (start // len(filler))).ljust(start) + PLAIN_CANARY + "y" * MAX_SAID
    shown = said(text.encode(), [PLAIN_CANARY]) or ""
    assert PLAIN_CANARY[:10] not in shown.removesuffix("...")
    assert len(shown) <= MAX_SAID + 3


def test_a_short_answer_is_shown_whole() -> None:
    """Nothing is added, nothing is lost."""
    assert said(b"short and \xff broken") == "short and \ufffd broken"
    assert said(b"") is None
    assert said(b"x" * MAX_SAID) == "x" * MAX_SAID


def test_a_long_answer_says_that_it_was_cut() -> None:
    """4 KiB and three dots."""
    assert said(b"x" * 100_000) == "x" * MAX_SAID + "..."


@pytest.mark.parametrize(
    "text",
    ["a-" * 4096, "a" * 8192, "-_" * 4096, "token" * 1640, "eyJ-" * 2048, "eyJ" * 2700, "bearer " * 1200,
     "bearer" + " " * 8000, 'token="' + "\\a" * 4000, "token =" * 1200, "'\"" * 4000, "xoxb-" * 1640, ":=" * 4096,
     "a" + " " * 8000, "a_" * 4096],
    ids=lambda text: repr(text[:10]),
)  # fmt: skip
def test_no_text_holds_up_the_loop(text: str) -> None:
    """Whatever a provider answers or a caller asks is redacted in a few milliseconds: nobody else waits for it."""
    began = time.perf_counter()
    said(text.encode(), [PLAIN_CANARY])
    redact_url(f"https://x.example/?q={text}")
    redact_url(f"https://x.example/?{text}=1")
    assert time.perf_counter() - began < 0.2


# --- failures --------------------------------------------------------------------------------------------------------


def test_no_part_of_a_failure_repeats_the_credential() -> None:
    """What a provider says reaches the agent and the trace without the key it was called with."""
    failure = Failure(
        reason=Reason.PROVIDER_REJECTED,
        detail=f"Acme answered 400: key {PLAIN_CANARY} is wrong",
        hint=f"try another than {PLAIN_CANARY}",
        problems=(Problem(f"/{PLAIN_CANARY}", f"is {PLAIN_CANARY}", (PLAIN_CANARY,), PLAIN_CANARY),),
        provider_code=PLAIN_CANARY,
        provider_request_id=PLAIN_CANARY,
    )
    redacted = redact_failure(failure, [PLAIN_CANARY])
    assert PLAIN_CANARY not in str(redacted)
    assert redacted.detail == f"Acme answered 400: key {REDACTED} is wrong"


def test_a_failure_without_secrets_is_left() -> None:
    """A code such as `invalid_token` is a word, not a secret."""
    failure = Failure(reason=Reason.CREDENTIAL_REJECTED, detail="401: invalid_token: expired", provider_code="token")
    assert redact_failure(failure, [PLAIN_CANARY]) == failure


def test_a_basic_credential_is_known_in_its_wire_form() -> None:
    """A pair is one secret more when it is given in base64."""
    wire = base64.b64encode(b"alice:canary-password").decode()
    assert redact_text(f"sent {wire}", ["alice", "canary-password", wire]) == f"sent {REDACTED}"
