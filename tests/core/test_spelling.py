"""Spelling: whoever writes a secret, and through how many hands it goes, it is found; and no text takes long."""

from __future__ import annotations

import base64
import html
import json
import re
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.redact import REDACTED, Hidden, without_secrets

SECRETS = [
    "ab/cd+ef==GHIJ0123456789xy",
    "p+ss/word (1)!",
    'ca"nary/+ sec&ret=\\\u00e9',
    "-----BEGIN KEY-----\nMIIE/vQ+IB==\n-----END KEY-----\n",
    "!@#$%^&*()_+{}|:<>?`~[];',./\\\U0001f600",
    "100%25 \\\\ &amp; more",
]
Writer = Callable[[str], str]


def plain(text: str) -> str:
    return text


def in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def in_ascii_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def in_json_of_php(text: str) -> str:
    return re.sub(r"\\u....", lambda code: f"\\u{code[0][2:].upper()}", in_ascii_json(text)).replace("/", "\\/")


def in_json_of_go(text: str) -> str:
    return in_json(text).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003E")


def in_json_as_codes(text: str) -> str:
    units = [text[i].encode("utf-16-be").hex() for i in range(len(text))]
    codes = ["".join(f"\\u{unit[i : i + 4].upper()}" for i in range(0, len(unit), 4)) for unit in units]
    return "".join(one if one.isascii() and one.isalnum() else code for one, code in zip(text, codes, strict=True))


def in_url(text: str) -> str:
    return quote(text, safe="")


def in_path(text: str) -> str:
    return quote(text)


def in_form(text: str) -> str:
    return quote_plus(text)


def in_url_in_lower_case(text: str) -> str:
    return re.sub("%..", lambda code: code[0].lower(), in_url(text))


def in_url_component(text: str) -> str:
    return quote(text, safe="()!*'")


def in_html_as_codes(text: str) -> str:
    return "".join(one if one.isascii() and one.isalnum() else f"&#{ord(one)};" for one in text)


def in_html_as_hex(text: str) -> str:
    return "".join(one if one.isascii() and one.isalnum() else f"&#x{ord(one):02X};" for one in text)


JSON: list[Writer] = [in_json, in_ascii_json, in_json_of_php, in_json_of_go, in_json_as_codes]
URL: list[Writer] = [in_url, in_path, in_url_in_lower_case, in_url_component]
HTML: list[Writer] = [html.escape, in_html_as_codes, in_html_as_hex]
HANDS: list[tuple[Writer, ...]] = [
    *((one,) for one in (plain, in_form, *JSON, *URL, *HTML)),
    *((one, other) for one in (*JSON, *URL, *HTML) for other in JSON[:4]),
    *((one, other, last) for one in (*JSON, *HTML) for other in JSON[:4] for last in JSON[1:4]),
    *((one, in_url) for one in (*JSON[:4], *URL)),
    (in_url, in_url, in_url),
    *((one, html.escape) for one in (*JSON, *URL, *HTML)),
    (html.escape, html.escape, html.escape),
]


def written(secret: str, hands: tuple[Writer, ...]) -> str:
    for write in hands:
        secret = write(secret)
    return secret


@pytest.mark.parametrize("hands", HANDS, ids=lambda hands: "-".join(write.__name__ for write in hands))
@pytest.mark.parametrize("secret", SECRETS)
def test_it_is_found_whoever_wrote_it(secret: str, hands: tuple[Writer, ...]) -> None:
    """Escaped for JSON, a URL or HTML, or that again: all of it is cut out of text, and it is seen in bytes."""
    text = f"<{written(secret, hands)}>"
    assert without_secrets(text, [secret]) == f"<{REDACTED}>"
    assert Hidden([secret]).stand_in(text.encode())


@given(st.text(min_size=8, max_size=30), st.sampled_from([plain, *JSON, *URL, *HTML]), st.sampled_from(JSON[:4]))
def test_any_secret_is_found_whoever_wrote_it(secret: str, one: Writer, other: Writer) -> None:
    """Of whatever characters it is."""
    assert Hidden([secret]).stand_in(f"<{other(one(secret))}>".encode())


@pytest.mark.parametrize("before", [b"", b"a", b"ab", b"alice:"])
@pytest.mark.parametrize("after", [b"", b"z", b"zz"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("write", [plain, in_url, in_json_of_php, lambda code: code.rstrip("=")])
@pytest.mark.parametrize("secret", ["p+ss/word (1)!>~?>~?", "p+ss/word (1)!>~?>~?1", "p+ss/word (1)!>~?>~?12"])
def test_base64_is_no_disguise(
    secret: str, before: bytes, after: bytes, encode: Callable[[bytes], bytes], write: Writer
) -> None:
    """Alone or in the middle of more, in either alphabet, with or without padding."""
    text = write(encode(before + secret.encode() + after).decode())
    shown = without_secrets(text, [secret])
    assert REDACTED in shown
    assert len(shown) <= len(REDACTED) + 4 * (len(before) + len(after) + 2)
    assert Hidden([secret]).stand_in(text.encode())
    if not before and not after:
        assert shown == REDACTED


@pytest.mark.parametrize("write", [str.lower, str.upper])
def test_hex_is_no_disguise(write: Writer) -> None:
    """In either case."""
    secret = SECRETS[0]
    assert without_secrets(f"<{write(secret.encode().hex())}>", [secret]) == f"<{REDACTED}>"


@pytest.mark.parametrize("text", ["k=abc", "k=YWJj", "k=616263", "x%20y", "a-b_c"])
def test_a_short_secret_is_not_looked_for_in_disguise(text: str) -> None:
    """Three characters in base64 are four that may mean anything."""
    assert without_secrets(text, ["ab", "+", "/", "bc"]) == text


NASTY = ["\\", "%", "%25", "&amp;", "&", "&#0", "u0026amp;", "\\u005c", "%255C", "/", "-", "=", "%3D", "\\" * 8 + "/"]


@pytest.mark.parametrize("secret", [*SECRETS, "//////////", "a" * 30 + "!", "&&&&&&&&&&", "==========", "%%%%%%%%%%"])
def test_no_text_takes_long(secret: str) -> None:
    """Time grows with the text, not faster: a megabyte of what spellings begin with, or of nearly the secret."""
    hidden = Hidden([secret])
    for unit in (*NASTY, secret[:-1], in_json_as_codes(secret[:-1])):
        content = (unit * (200_000 // len(unit))).encode() + "".join(hidden.kept).encode()
        began = time.perf_counter()
        hidden.stand_in(content)
        assert time.perf_counter() - began < 1
