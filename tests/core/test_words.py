"""What a failed answer says to people where it is no JSON document: a short plain text, and nothing that is none."""

from __future__ import annotations

import json

import pytest

from sidecar.model import Reason
from tests.build import provider
from tests.core.test_outcome import OPERATIONS, RULES, failed

PLAIN = {"content-type": "text/plain"}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"no such file", "text/plain"),
        (b"\xef\xbb\xbf no such file\r\n", "Text/Plain; charset=utf-8"),
        (b'"no such file"', "application/json"),
        (b'" no such file "', "text/html"),
    ],
)
@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_text_is_its_own_message(status: int, content: bytes, kind: str) -> None:
    """Of type text/plain, or JSON that is a text, whatever its type."""
    assert failed(status, content, {"content-type": kind}).detail == f"Acme answered {status}: no such file"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<html>no</html>", "text/html"),
        (b"no such file", "text/html"),
        (b"no such file", "text/plainer"),
        (b"no such file", "application/octet-stream"),
        (b" <!DOCTYPE html><p>no", "text/plain"),
        (b'"<p>no</p>"', "application/json"),
        (b"", "text/plain"),
        (b" \n", "text/plain"),
        (b'""', "application/json"),
        (b"\x89PNG", "text/plain"),
        (b"a\x1b[31mred", "text/plain"),
        (b'"a\\u001b[31mred"', "application/json"),
        ("no such file".encode("utf-16"), "text/plain; charset=utf-16"),
        ("no such file".encode("utf-16-le"), "text/plain"),
        ("\u0085".encode(), "text/plain"),
        (b"x" * 100_000, "text/plain"),
        (b'"' + b"x" * 100_000 + b'"', "application/json"),
    ],
    ids=lambda value: repr(value[:16]),
)
def test_what_is_no_sentence_is_not_told(content: bytes, kind: str) -> None:
    """Markup, whatever its type says, bytes, what could steer a terminal, and what is no short text."""
    assert failed(400, content, {"content-type": kind}).detail == "Acme answered 400"


def test_what_the_paths_say_comes_first() -> None:
    """JSON that is called a text is read as JSON; where its paths lead nowhere it is no text either."""
    assert failed(400, b'{"message": "no"}', PLAIN).detail == "Acme answered 400: no"
    assert failed(400, b'{"other": "no"}', PLAIN).detail == "Acme answered 400"


def test_a_text_is_shown_without_secrets() -> None:
    """Ours in whatever spelling, also on the edge of what is shown, and anybody's that looks like one."""
    secret = "s3cr3t/canary+0123456789"
    for before in (0, 380, 390, 399, 790, 800):
        text = f"{'-' * before} {secret} {json.dumps(secret)}, token=another-0123456789"
        for content, kind in ((text.encode(), "text/plain"), (json.dumps(text).encode(), "application/json")):
            detail = failed(400, content, {"content-type": kind}, secrets=(secret,)).detail
            assert "s3cr3t" not in detail
            assert "another" not in detail
            assert len(detail) < 500


def test_a_rule_meets_the_words_of_a_text() -> None:
    """A message is a message."""
    assert failed(403, b"Resource not accessible by token", PLAIN, of=RULES).reason is Reason.SCOPE_MISSING


def test_what_a_hook_says_comes_before_the_text() -> None:
    """Its code alone leaves the message to the text."""
    code = (
        "from sidecar.provider import Explained\n\n"
        "def explain(status, headers, body):\n    return Explained(headers.get('x-code'), headers.get('x-said'))\n"
    )
    made = provider(operations=OPERATIONS, code=code, hooks={"explain": "explain"})
    assert failed(400, b"no", PLAIN | {"x-code": "E1"}, of=made).detail == "Acme answered 400: E1: no"
    assert failed(400, b"no", PLAIN | {"x-said": "never"}, of=made).detail == "Acme answered 400: never"


def test_a_text_with_a_status_of_success_stays_what_it_is() -> None:
    """No message: an answer that is not JSON."""
    assert failed(200, b"all well", PLAIN).detail == "Acme answered 200, but text/plain where JSON is due"
