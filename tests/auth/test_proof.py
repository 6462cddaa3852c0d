"""A credential in plain: made once, shown nowhere, and gone with the credential that it was made of."""

from __future__ import annotations

import copy
import pickle
import sys

import msgspec
import pytest

from sidecar.auth.proof import LONGEST_URL, Proof, authorise, proof_of
from sidecar.credential import Credential, Tokens
from sidecar.kinds import ApiKey, Basic, Bearer, KeyPart, OAuth2
from sidecar.model import Request
from sidecar.secret import Secret

LONG = "canary-canary-canary"
OAUTH = OAuth2(authorize_url="https://a.example", token_url="https://a.example/token")
KINDS = (Bearer(), OAUTH)


def credential(token: str = LONG) -> Credential:
    return Credential(kind="bearer", fields={"token": Secret(token)}, created=1.0, changed=1.0)


def proof(known: Credential) -> Proof:
    found = proof_of(KINDS, known)
    assert found is not None
    return found


def test_it_is_made_once() -> None:
    """Every call of a connection uses the same one."""
    known = credential()
    assert proof(known) is proof(known)
    assert proof(known).secrets == (LONG,)


def test_it_shows_itself_nowhere() -> None:
    """Neither it nor the credential that it hangs on, however they are written, copied or stored."""
    known = credential()
    made = proof(known)
    authorise(Request("GET", "https://api.acme.example/"), made, "agent")
    for shown in (repr(made), f"{made}", repr(made.secrets), repr(known), repr(vars(known))):
        assert LONG not in shown
    assert "proof" not in vars(copy.copy(known))
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="not pickled"):
            copied(made)


def test_a_changed_credential_has_its_own() -> None:
    """Nothing of an old secret goes on with what came in its place."""
    known = credential()
    proof(known)
    renewed = msgspec.structs.replace(known, fields={"token": Secret("other")})
    assert proof(renewed).secrets == ("other",)


def test_two_credentials_that_are_alike_are_equal() -> None:
    """What was made of one does not tell it from another."""
    known = credential()
    proof(known)
    assert known == credential()


def test_a_kind_that_is_taken_no_more() -> None:
    """A manifest without the kind has no use for it, whatever was made of it before."""
    known = credential()
    proof(known)
    assert proof_of((OAUTH,), known) is None


def test_a_kind_described_anew_is_made_anew() -> None:
    """What is carried where is the manifest's to say: another description, another proof."""
    known = Credential(kind="api_key", fields={"key": Secret("k")}, created=1.0, changed=1.0)
    one, other = (ApiKey(place="header", name="x-one"),), (ApiKey(place="header", name="x-other"),)
    request = Request("GET", "https://api.acme.example/")
    for kinds, name in ((one, "x-one"), (other, "x-other"), (one, "x-one")):
        made = proof_of(kinds, known)
        assert made is not None
        assert authorise(request, made, "agent").headers[name] == "k"


def test_a_token_that_was_not_issued_yet_is_missed_when_it_is_used() -> None:
    """What a call may not say is known before its first token is there."""
    known = Credential(kind="oauth2", fields={"refresh_token": Secret(LONG)}, created=1.0, changed=1.0)
    assert proof(known).secrets == (LONG,)
    with pytest.raises(KeyError):
        proof(known).carried()
    issued = msgspec.structs.replace(known, tokens=Tokens(access=Secret("t1")))
    assert proof(issued).carried() == ("", "", [(b"authorization", b"Bearer t1")])


@pytest.mark.parametrize(
    ("fields", "proofs"),
    [
        ({"username": LONG, "password": "short"}, ("Y2FuYXJ5LWNhbmFyeS1jYW5hcnk6c2hvcnQ=",)),
        ({"username": LONG, "password": ""}, (LONG, "Y2FuYXJ5LWNhbmFyeS1jYW5hcnk6")),
    ],
)
def test_what_no_answer_may_hold(fields: dict[str, str], proofs: tuple[str, ...]) -> None:
    """What makes anybody the account, but no word that answers hold."""
    assert Proof(Basic(), fields).proofs == proofs


def test_a_request_with_a_key_in_its_url_does_not_show_it() -> None:
    """Nor the header that holds one."""
    kind = ApiKey(place="query", name="key", more=(KeyPart(place="header", name="x-app", field="app"),))
    made = Proof(kind, {"key": LONG, "app": LONG})
    request = authorise(Request("GET", "https://api.acme.example/items"), made, "agent")
    assert LONG in str(request.url)
    assert repr(request) == "Authorised(GET api.acme.example)"


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        (ApiKey(place="path", prefix="bot"), False),
        (ApiKey(place="query", name="key"), False),
        (ApiKey(place="header", name="key"), True),
    ],
)
def test_a_url_with_a_key_in_it_is_not_remembered(kind: ApiKey, *, kept: bool) -> None:
    """It is made anew for each request, and gone with it."""
    made, request = (
        Proof(kind, {"key": LONG}),
        Request("GET", "https://api.acme.example/items", base="https://api.acme.example"),
    )
    first, second = (authorise(request, made, "agent") for _ in range(2))
    assert (first.url is second.url) is kept
    assert LONG not in f"{first!r} {made.carried()!r} {made.carried()}"


def test_the_body_is_there_at_once() -> None:
    """Whoever sends it need not read a stream; who reads it all the same gets it too."""
    request = authorise(Request("POST", "https://api.acme.example/", (), b"body"), proof(credential()), "agent")
    assert request.content == b"body"
    assert request.read() == b"body"


@pytest.mark.parametrize(("longer", "remembered"), [(0, True), (1, False)])
def test_a_long_url_is_not_remembered(longer: int, *, remembered: bool) -> None:
    """URLs that callers and providers make as long as they like are gone from memory with their calls."""
    url = "https://api.acme.example/".ljust(LONGEST_URL + longer, "x")
    before = sys.getrefcount(url)
    authorise(Request("GET", url), proof(credential()), "agent")
    assert (sys.getrefcount(url) > before) is remembered
