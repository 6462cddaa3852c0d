"""A connect flow: one link, one browser, one answer; and what anybody else's try leaves as it is."""

from __future__ import annotations

import msgspec
import pytest

from sidecar.auth.flow import (
    Browser,
    Ended,
    Ending,
    Link,
    Returned,
    account_fits,
    answered,
    begun,
    browser_of,
    cookie_name,
    cookie_value,
    ends,
    link_code,
    link_of,
    may_return,
    offered,
    over,
    returned,
    scopes_for,
    short,
)
from sidecar.consent import Going
from sidecar.kinds import OAuth2
from sidecar.store.flow import Flow, Place, Stage, flow_id
from sidecar.wire.connect import ConnectLink

AUTH = OAuth2(
    authorize_url="https://id.acme.example/auth",
    token_url="https://id.acme.example/token",
    issuer="https://id.acme.example",
    issuer_always=True,
    scopes={"items:read": ("items.get", "items.list"), "items:write": ("items.create", "http.request"), "x": ("no.*",)},
    always=("offline",),
    callback=("realmId",),
)
NEW = Flow(kind="oauth2", scopes=("offline",), valid_seconds=600)
BEGUN = begun(
    NEW, state="the-state", browser="the-browser", verifier="v", client_id="app", redirect_uri="http://127.0.0.1/cb"
)
GOOD = Returned(state="the-state", code="c0de", issuer="https://id.acme.example")
PLACE = Place("acme", "alice@example.com", "gmail", "0" * 32)


def test_a_link_is_used_once() -> None:
    """A flow that is new may be opened; one that was begun, is over, or is not there may not."""
    assert offered(NEW) is NEW
    assert offered(None) == Ended(Ending.LINK_GONE)
    for stage in set(Stage) - {Stage.OFFERED}:
        assert offered(msgspec.structs.replace(NEW, stage=stage)) == Ended(Ending.LINK_USED)


def test_the_right_browser_with_the_right_state_goes_on() -> None:
    """Its code may be exchanged, with the verifier that was kept for it."""
    flow = answered(BEGUN, AUTH, GOOD, "the-browser")
    assert isinstance(flow, Flow)
    assert (flow.stage, flow.verifier) == (Stage.ANSWERED, "v")


@pytest.mark.parametrize(
    ("changes", "browser", "ending", "final"),
    [
        pytest.param({}, "another", Ending.NO_COOKIE, False, id="another browser"),
        pytest.param({"state": "guess"}, "the-browser", Ending.WRONG_STATE, False, id="state"),
        pytest.param({"issuer": "https://evil.example"}, "the-browser", Ending.WRONG_ISSUER, True, id="issuer"),
        pytest.param({"issuer": None}, "the-browser", Ending.WRONG_ISSUER, True, id="no issuer"),
        pytest.param({"error": "access_denied"}, "the-browser", Ending.ACCESS_DENIED, True, id="denied"),
        pytest.param({"error": "server_error"}, "the-browser", Ending.PROVIDER_ERROR, True, id="error"),
        pytest.param({"code": None}, "the-browser", Ending.PROVIDER_ERROR, True, id="no code"),
        pytest.param(
            {"issuer": "https://evil.example", "error": "access_denied"},
            "the-browser",
            Ending.WRONG_ISSUER,
            True,
            id="an error is believed of the right issuer only",
        ),
    ],
)
def test_what_is_refused(changes: dict[str, str | None], browser: str, ending: Ending, final: bool) -> None:
    """Each mistake has its own ending; only an answer in the right browser ends the flow."""
    refused = answered(BEGUN, AUTH, msgspec.structs.replace(GOOD, **changes), browser)
    assert isinstance(refused, Ended)
    assert refused.ending is ending
    assert ends(refused) is final


@pytest.mark.parametrize("stage", [Stage.ANSWERED, Stage.CONNECTED, Stage.FAILED])
def test_an_answer_counts_once(stage: Stage) -> None:
    """The same answer again is told as such, and nothing is exchanged for it."""
    refused = answered(msgspec.structs.replace(BEGUN, stage=stage), AUTH, GOOD, "the-browser")
    assert isinstance(refused, Ended)
    assert refused.ending is Ending.ALREADY_ANSWERED


def test_a_flow_that_was_never_begun_takes_no_answer() -> None:
    """Nobody has a cookie for it."""
    assert answered(NEW, AUTH, GOOD, "") == Ended(Ending.NO_COOKIE)
    assert answered(None, AUTH, GOOD, "the-browser") == Ended(Ending.LINK_GONE)


def test_a_provider_that_names_itself_at_times() -> None:
    """Silence is no lie; a wrong name is."""
    auth = msgspec.structs.replace(AUTH, issuer_always=False)
    assert isinstance(answered(BEGUN, auth, msgspec.structs.replace(GOOD, issuer=None), "the-browser"), Flow)
    refused = answered(BEGUN, auth, msgspec.structs.replace(GOOD, issuer="https://evil.example"), "the-browser")
    assert refused == Ended(Ending.WRONG_ISSUER, "https://evil.example")


def test_a_provider_that_names_no_issuer_needs_none() -> None:
    """Where the manifest names no issuer, what the answer says of it decides nothing."""
    auth = msgspec.structs.replace(AUTH, issuer=None)
    for issuer in (None, "https://id.acme.example"):
        assert isinstance(answered(BEGUN, auth, msgspec.structs.replace(GOOD, issuer=issuer), "the-browser"), Flow)


def test_what_is_left_of_a_flow_holds_no_secret() -> None:
    """At its end it tells how it went; the verifier is gone."""
    done = over(BEGUN, Ended(Ending.CONNECTED), "alice@example.com")
    assert (done.stage, done.account, done.verifier) == (Stage.CONNECTED, "alice@example.com", None)
    failed = over(BEGUN, Ended(Ending.OTHER_ACCOUNT, "bob"))
    assert (failed.stage, failed.ending, failed.detail) == (Stage.FAILED, "other_account", "bob")
    assert "v'" not in repr(BEGUN)


@pytest.mark.parametrize(
    ("expected", "account", "fits"),
    [
        (None, None, True),
        (None, "bob", True),
        ("Alice@Example.com", "alice@example.com", True),
        ("alice@example.com", "alice@example.org", False),
        ("alice", None, False),
    ],
)
def test_the_account_that_is_expected(expected: str | None, account: str | None, fits: bool) -> None:
    """Any account where none is expected; else that one, and not one that nobody knows."""
    assert account_fits(expected, account) is fits


@pytest.mark.parametrize("secure", [True, False])
def test_a_browser_is_known_by_its_cookie(secure: bool) -> None:
    """The state finds the cookie, and the cookie the flow: nothing is looked up for a browser without one."""
    browser = Browser(PLACE, "the-browser")
    mine = {cookie_name("the-state", secure=secure): cookie_value(browser)}
    assert browser_of("the-state", mine, secure=secure) == browser
    assert browser_of("the-state", {}, secure=secure) == Ended(Ending.NO_COOKIE)
    assert browser_of("the-state", {"session": "1"}, secure=secure) == Ended(Ending.NO_COOKIE)
    assert browser_of("another", mine, secure=secure) == Ended(Ending.WRONG_STATE)
    assert browser_of(None, mine, secure=secure) == Ended(Ending.WRONG_STATE)
    assert cookie_name("the-state", secure=True).startswith("__Host-")


@pytest.mark.parametrize("value", ["", "%", "e30", "bm90IGpzb24", "é", "e" * 5_000])
def test_a_cookie_of_nonsense_is_none(value: str) -> None:
    """What is no cookie of ours is refused as if it were not there."""
    assert browser_of("s", {cookie_name("s", secure=True): value}, secure=True) == Ended(Ending.NO_COOKIE)


@pytest.mark.parametrize(
    "value",
    [
        Link("acme", "alice", "github", "canary"),
        Browser(Place("acme", "alice", "github", "0" * 32), "canary"),
        Returned(state="canary", code="canary"),
        Going(provider="GitHub", url="https://x?state=canary", cookie="c", value="canary", seconds=1),
        ConnectLink(
            link="https://x/connect/canary",
            flow="f",
            valid_seconds=60,
            kind="oauth2",
            scopes=(),
            redirect_uri="https://x",
        ),
    ],
)
def test_what_opens_a_flow_is_not_printed(value: object) -> None:
    """Neither a link nor what a browser carries shows in a log line that names the value."""
    assert "canary" not in f"{value!r} {value}"


def test_the_redirect_is_taken_apart() -> None:
    """What the manifest says stays with the connection is kept, where it is short and on one line."""
    parameters = {"state": "s", "code": "c", "iss": "i", "realmId": "4620", "other": "x"}
    assert returned(AUTH, parameters) == Returned(state="s", code="c", issuer="i", kept={"realmId": "4620"})
    assert returned(AUTH, {"code": "c"}) is None
    for wrong in ("a\nb", "x" * 513):
        assert returned(AUTH, parameters | {"realmId": wrong}) == Returned(state="s", code="c", issuer="i")


@pytest.mark.parametrize(
    ("wanted", "scopes"),
    [
        (("*",), ("offline", "items:read", "items:write")),
        (("items.get",), ("offline", "items:read")),
        (("items.*",), ("offline", "items:read", "items:write")),
        (("nothing.*",), ("offline",)),
        ((), ("offline",)),
    ],
)
def test_no_scope_is_asked_that_no_operation_needs(wanted: tuple[str, ...], scopes: tuple[str, ...]) -> None:
    """The scopes of the operations that are wanted, and those that are always asked."""
    assert scopes_for(AUTH, ["items.get", "items.list", "items.create"], wanted) == scopes


ALLOWED = ("https://app.acme.example/settings", "http://127.0.0.1:3000/")


@pytest.mark.parametrize(
    "url",
    [
        "https://app.acme.example/settings",
        "https://app.acme.example/settings/",
        "https://app.acme.example/settings/mail?tab=1#x",
        "http://127.0.0.1:3000/",
        "http://127.0.0.1:3000/any/where",
    ],
)
def test_a_browser_may_return_to_what_is_allowed(url: str) -> None:
    """The URL itself, and whatever is below it."""
    assert may_return(url, ALLOWED)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/settings",
        "//app.acme.example/settings",
        "javascript:alert(1)",
        "http://app.acme.example/settings",
        "https://app.acme.example/",
        "https://app.acme.example/settings2",
        "https://app.acme.example/settings/../admin",
        "https://app.acme.example/settings/%2e%2e/admin",
        "https://app.acme.example:8443/settings",
        "https://app.acme.example.evil.example/settings",
        "https://app.acme.example@evil.example/settings",
        "https://evil.example\\@app.acme.example/settings",
        "https://app.acme.example\n.evil.example/settings",
        "https://app.acme.example:x/settings",
        "http://127.0.0.1:3001/",
        "http://127.0.0.1/",
    ],
)
def test_a_browser_returns_nowhere_else(url: str) -> None:
    """No other scheme, host, port or path, however it is written."""
    assert not may_return(url, ALLOWED)


def test_what_others_say_is_shortened() -> None:
    """On one line, and not long."""
    assert short("a\x00b\n c") == "a b c"
    assert len(short("x" * 1_000)) == 300


def test_a_link_is_found_by_its_code() -> None:
    """Whose flow it is and the secret that opens it come back as they were."""
    link = Link("acme", "alice@example.com", "gmail", "s3cret")
    assert link_of(link_code(link)) == link
    assert link.place == msgspec.structs.replace(PLACE, id=flow_id("s3cret"))


@pytest.mark.parametrize(
    "code",
    [
        "",
        "%%",
        "bm90IGpzb24",
        link_code(Link("-", "alice", "gmail", "s")),
        link_code(Link("acme", "", "gmail", "s")),
        link_code(Link("acme", "alice", "Gmail.>", "s")),
    ],
)
def test_a_link_of_nonsense_is_none(code: str) -> None:
    """Names that nothing can be kept under never reach the store."""
    assert link_of(code) is None


def test_a_cookie_names_a_place_that_can_be() -> None:
    """As for links."""
    forged = cookie_value(Browser(msgspec.structs.replace(PLACE, id="*"), "x"))
    assert browser_of("s", {cookie_name("s", secure=True): forged}, secure=True) == Ended(Ending.NO_COOKIE)


def test_an_id_does_not_give_its_link_away() -> None:
    """The key of a record is a digest of the link's secret."""
    assert flow_id("secret") == flow_id("secret") != flow_id("secre")
    assert "secret" not in PLACE.key
    assert msgspec.structs.replace(PLACE, id=flow_id("secret")).key.startswith("acme.alice=40example=2Ecom.gmail.")
