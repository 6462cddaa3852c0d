"""The static kinds: what each asks for, and what it adds to a request and to nothing else."""

from __future__ import annotations

import base64
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.auth.kind import auth_of, check_fields, fields_of, kind_of, secrets_of, shown
from sidecar.auth.proof import Proof, authorise
from sidecar.kinds import ApiKey, Auth, Basic, Bearer, KeyPart
from sidecar.model import Failure, Reason, Request

HEADER = ApiKey(place="header", name="x-thing")
PREFIXED = ApiKey(place="header", name="authorization", prefix="Token ")
QUERY = ApiKey(place="query", name="the key")
PATH = ApiKey(place="path", prefix="bot")
ACCOUNT = KeyPart(field="account", place="header", name="x-account", secret=False)
NAMED = ApiKey(place="header", name="x-key", more=(ACCOUNT, KeyPart(field="pin", place="header", name="x-pin")))
BASE = "https://api.acme.example/v1"
REQUEST = Request("POST", "https://api.acme.example/v1/items", (("accept", "application/json"),), b'{"a":1}', BASE)
KEY = {"key": "k/e y+&=#%"}
PAIR = {"username": "Åsa", "password": "p:w ✓"}


def sent(auth: Auth, fields: dict[str, str], request: Request = REQUEST) -> httpx.Request:
    return authorise(request, Proof(auth, fields), "connector-sidecar/1")


@pytest.mark.parametrize(
    ("auth", "fields", "name", "value"),
    [
        (HEADER, {"key": "abc"}, "x-thing", "abc"),
        (PREFIXED, {"key": "abc"}, "authorization", "Token abc"),
        (Bearer(), {"token": "abc"}, "authorization", "Bearer abc"),
        (Basic(), PAIR, "authorization", "Basic " + base64.b64encode("Åsa:p:w ✓".encode()).decode()),
    ],
)
def test_what_a_header_kind_adds(auth: Auth, fields: dict[str, str], name: str, value: str) -> None:
    """One header; method, URL, body and the other headers stay."""
    request = sent(auth, fields)
    assert request.headers.get_list(name) == [value]
    assert (request.method, str(request.url), request.content) == ("POST", REQUEST.url, REQUEST.content)
    assert request.headers["accept"] == "application/json"
    assert request.headers["user-agent"] == "connector-sidecar/1"
    assert set(request.headers) <= {name, "accept", "user-agent", "host", "content-length"}


@pytest.mark.parametrize("query", ["", "?a=1&b=%26", "?a="])
def test_a_key_in_the_query_is_encoded(query: str) -> None:
    """It cannot become a parameter or a fragment of its own; the other parameters stay as they are."""
    url = f"https://api.acme.example/v1/items{query}"
    request = sent(QUERY, KEY, Request("GET", url))
    assert request.url.params["the key"] == KEY["key"]
    assert str(request.url).startswith(url)
    assert request.url.fragment == ""
    assert len(request.url.params) == (len(httpx.URL(url).params) + 1)
    assert "authorization" not in request.headers
    assert KEY["key"] not in str(request.url)


@pytest.mark.parametrize(
    ("key", "segment"),
    [
        ("123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11", "bot123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"),
        ("a.b_c~d!$&'()*+,;=:@", "bota.b_c~d!$&'()*+,;=:@"),
        ("../a/b", "bot..%2Fa%2Fb"),
        ('a?b#c%2F d\\\\"<>[]^`{|}', "bota%3Fb%23c%252F%20d%5C%5C%22%3C%3E%5B%5D%5E%60%7B%7C%7D"),
    ],
)
@pytest.mark.parametrize("rest", ["/items/7", "/", "/a//b/", "/items?a=1&b=%26", "/v1/items"])
def test_a_key_in_the_path_is_one_segment(key: str, segment: str, rest: str) -> None:
    """Right below the base URL, as RFC 3986 writes a segment: it ends neither path nor segment, and leads nowhere."""
    request = sent(PATH, {"key": key}, Request("GET", f"{BASE}{rest}", base=BASE))
    assert request.url.raw_path.decode() == f"/v1/{segment}{rest}"
    assert (request.url.host, request.url.fragment) == ("api.acme.example", "")
    assert "authorization" not in request.headers


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1))
def test_any_key_in_the_path_comes_out_as_it_is(key: str) -> None:
    """Whatever a key may hold, whoever takes the path apart finds it whole."""
    request = sent(PATH, {"key": key}, Request("GET", f"{BASE}/items", base=BASE))
    version, segment, rest = request.url.raw_path.decode().removeprefix("/").split("/")
    assert (version, unquote(segment), rest) == ("v1", f"bot{key}", "items")


def test_a_key_in_the_path_may_have_a_part_in_the_query() -> None:
    """Each part stands in its own place."""
    kind = ApiKey(place="path", more=(KeyPart(place="query", name="pin", field="pin"),))
    request = sent(kind, {"key": "k", "pin": "&"}, Request("GET", f"{BASE}/items?a=1", base=BASE))
    assert str(request.url) == f"{BASE}/k/items?a=1&pin=%26"


@pytest.mark.parametrize(("prefix", "key"), [("", "."), ("", ".."), (".", ".")])
def test_a_key_that_is_no_segment_is_not_taken(prefix: str, key: str) -> None:
    """It would be resolved away, and the request go elsewhere. Anywhere else it is a key like any other."""
    refused = check_fields((ApiKey(place="path", prefix=prefix),), None, {"key": key})
    assert isinstance(refused, Failure)
    assert [(problem.pointer, problem.detail) for problem in refused.problems] == [
        ("/fields/key", "cannot be a segment of a path")
    ]
    for fine in (ApiKey(place="path", prefix="bot"), QUERY, HEADER):
        assert check_fields((fine,), None, {"key": key}) is fine


def test_the_request_itself_is_left_alone() -> None:
    """What is shown, hashed and traced never held the credential."""
    before = repr(REQUEST)
    kinds: list[tuple[Auth, dict[str, str]]] = [(kind, {"key": "canary"}) for kind in (QUERY, HEADER, PATH)]
    for auth, fields in (*kinds, (Bearer(), {"token": "canary"})):
        sent(auth, fields)
        assert repr(REQUEST) == before
        assert "canary" not in shown(auth)


def test_two_connections_do_not_mix() -> None:
    """The same request with another credential has the other credential only."""
    for auth, name in ((QUERY, "key"), (HEADER, "key"), (PATH, "key"), (Bearer(), "token")):
        first, second = sent(auth, {name: "first"}), sent(auth, {name: "second"})
        for request, own, other in ((first, "first", "second"), (second, "second", "first")):
            text = f"{request.url} {request.headers.multi_items()}"
            assert own in text
            assert other not in text


@pytest.mark.parametrize(
    ("auth", "fields", "words"),
    [
        (QUERY, {"key": "abc"}, ["abc"]),
        (PATH, {"key": "abc"}, ["abc", "botabc"]),
        (Bearer(), {"token": "abc"}, ["abc"]),
        (NAMED, {"key": "k", "account": "a", "pin": "p"}, ["k", "p"]),
        (Basic(), {"username": "u", "password": "p"}, ["u", "p", "dTpw"]),
        (Basic(), {"username": "u", "password": ""}, ["u", "dTo="]),
    ],
)
def test_what_nobody_is_shown(auth: Auth, fields: dict[str, str], words: list[str]) -> None:
    """Every field but those that are said to be none, and what a header or a path says in their place."""
    assert secrets_of(auth, fields) == words


@pytest.mark.parametrize(
    ("auth", "fields"),
    [
        (HEADER, {"key": "abc"}),
        (QUERY, KEY),
        (Bearer(), {"token": "a.b-c_d~e+f/g="}),
        (Basic(), PAIR),
        (Basic(), {"username": "u", "password": "a:b"}),
        (Basic(), {"username": "key", "password": ""}),
        (Basic(), {"username": "", "password": "key"}),
    ],
)
def test_what_is_taken(auth: Auth, fields: dict[str, str]) -> None:
    """The kind is found by its name, or is the provider's first."""
    assert check_fields((auth,), None, fields) is auth
    assert check_fields((auth,), kind_of(auth), fields) is auth
    assert set(fields_of(auth)) == set(fields)


@pytest.mark.parametrize("bad", ["a\r\nb", "a\nb", "a\0b", "\x1b[31m", "é", "✓", " a", "a ", "a\t", "a\x7f", "", " "])
@pytest.mark.parametrize("auth", [HEADER, QUERY, PATH, Bearer()])
def test_what_no_header_can_carry(auth: Auth, bad: str) -> None:
    """Refused at import, by the field's name and never by its value."""
    [name] = fields_of(auth)
    refused = check_fields((auth,), None, {name: bad})
    assert isinstance(refused, Failure)
    assert refused.reason is Reason.VALIDATION
    assert [problem.pointer for problem in refused.problems] == [f"/fields/{name}"]
    assert len(bad.strip()) < 2 or bad not in repr(refused)


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"username": "a:b", "password": "p"}, ["/fields/username"]),
        ({"username": "u\n", "password": "p"}, ["/fields/username"]),
        ({"username": "u\nv", "password": "p"}, ["/fields/username"]),
        ({"username": "u", "password": "p\0q"}, ["/fields/password"]),
        ({"username": "u"}, ["/fields/password"]),
        ({"password": "p"}, ["/fields/username"]),
        ({"username": "", "password": ""}, ["/fields/username", "/fields/password"]),
        ({}, ["/fields/username", "/fields/password"]),
        ({"username": "u", "password": "p", "token": "t"}, ["/fields"]),
    ],
)
def test_what_basic_does_not_take(fields: dict[str, str], pointers: list[str]) -> None:
    """No colon in the user name, no control characters (RFC 7617 section 2), no field missing or too many."""
    refused = check_fields((Basic(),), "basic", fields)
    assert isinstance(refused, Failure)
    assert [problem.pointer for problem in refused.problems] == pointers


def test_a_key_alone_is_a_basic_credential() -> None:
    """As user name or as password, the other one empty: the colon is there all the same (RFC 7617 section 2)."""
    pairs = [({"username": "key", "password": ""}, b"key:"), ({"username": "", "password": "key"}, b":key")]
    for fields, plain in pairs:
        assert sent(Basic(), fields).headers["authorization"] == f"Basic {base64.b64encode(plain).decode()}"


def test_a_kind_that_the_provider_does_not_take() -> None:
    """Told with the kinds that it takes."""
    refused = check_fields((Bearer(), Basic()), "api_key", {"key": "canary"})
    assert isinstance(refused, Failure)
    assert refused.problems[0].allowed == ("bearer", "basic")
    assert "canary" not in repr(refused)
    assert auth_of((Bearer(), Basic()), "api_key") is None
