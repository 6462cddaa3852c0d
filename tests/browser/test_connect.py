"""A person connects an account: a real browser, a strict OAuth server, two sidecars behind TLS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest

from sidecar.credential import Credential
from tests.browser import driver, strict
from tests.browser.house import House, house

WHY_NOT = driver.why_not() or strict.why_not()
pytestmark = [
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
    pytest.mark.timeout(180),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, nats_url: str) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("connect"), nats_url) as made:
        yield made


@pytest.fixture
def here(whole: House) -> House:
    """With a browser that knows nothing."""
    whole.browser.forget()
    whole.front.went.clear()
    return whole


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of pages are put: the folder of PICTURES, for who wants to look at them."""
    folder = Path(os.environ.get("PICTURES") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def look(here: House, folder: Path, name: str) -> None:
    """The page on a desk, at night, and on a small phone, where nothing may be wider than the screen."""
    here.browser.look(folder / f"{name}-dark.png", width=1024, dark=True)
    here.browser.look(folder / f"{name}.png", width=1024)
    here.browser.look(folder / f"{name}-phone.png", width=320, height=568)
    assert here.browser.run("return document.documentElement.scrollWidth") <= 320


def stored(here: House, connection: str, provider: str = "strict") -> Credential | None:
    listed = here.portal.call(here.credentials.list, "acme", connection, provider)
    assert isinstance(listed, list)
    if not listed:
        return None
    assert isinstance(listed[0].credential, Credential)
    return listed[0].credential


def test_from_link_to_success(here: House, pictures: Path) -> None:
    """The page names who, what and which scopes; alice allows it; the account is verified, stored and told."""
    link = here.link("alice@example.com", operations=["account.*"])
    assert link["scopes"] == ["openid", "offline_access", "email"]
    assert here.status("alice@example.com", link["flow"])["flow"] == "offered"
    here.browser.go(link["link"])
    text = here.browser.text
    for named in ("Strict", "acme", "alice@example.com", "openid", "offline_access", "email", "127.0.0.1"):
        assert named in text
    look(here, pictures, "offer")
    here.browser.press("button")
    here.browser.until("Connected")
    assert "alice@example.test at Strict can now be used as “alice@example.com”." in here.browser.text
    look(here, pictures, "connected")
    status = here.status("alice@example.com", link["flow"])
    assert (status["flow"], status["status"], status["account"]) == ("connected", "active", "alice@example.test")
    credential = stored(here, "alice@example.com")
    assert credential is not None
    assert credential.tokens is not None
    assert credential.tokens.refresh is not None
    assert credential.client_id == strict.CLIENT_ID


def test_any_sidecar_goes_on_with_what_another_began(here: House) -> None:
    """The link, the button and the provider's answer reach one sidecar after the other."""
    here.browser.go(here.link("bob")["link"])
    here.browser.press("button")
    here.browser.until("Connected")
    steps = {request.split()[0] + request.split()[1][:9]: backend for backend, request in here.front.went}
    assert steps["POST/connect/"] != steps["GET/callback"]


def test_the_cookie_is_of_this_host_alone(here: House) -> None:
    """`__Host-`, over TLS, out of reach of scripts, and gone when the flow is."""
    here.away("carol")
    [cookie] = here.browser.cookies
    assert cookie["name"].startswith("__Host-sidecar-connect-")
    assert (cookie["secure"], cookie["httpOnly"], cookie["path"], cookie["sameSite"]) == (True, True, "/", "Lax")


def test_no_page_loads_or_tells_anything(here: House) -> None:
    """Nothing from another host, no script, and no referrer to the provider."""
    here.browser.go(here.link("dora")["link"])
    assert here.browser.run("return performance.getEntriesByType('resource').length") == 0
    assert here.browser.run("return document.scripts.length") == 0
    assert here.browser.run("return document.fonts.size") == 0


def test_access_denied(here: House, pictures: Path) -> None:
    """The provider says that she said no."""
    link = here.link("alice", "denying")
    here.browser.go(link["link"])
    here.browser.press("button")
    here.browser.until("Access was not allowed")
    look(here, pictures, "denied")
    status = here.status("alice", link["flow"], "denying")
    assert (status["flow"], status["ending"], status["status"]) == ("failed", "access_denied", "none")
    assert stored(here, "alice", "denying") is None


def test_wrong_state(here: House, pictures: Path) -> None:
    """An answer with a state that was not given here is refused, and does no harm to the flow."""
    url, link = here.away("erin")
    answer = here.consent(url)
    here.browser.go(here.callback(answer | {"state": "x" * 43}))
    assert here.browser.heading == "This answer belongs to no request"
    look(here, pictures, "wrong-state")
    assert here.status("erin", link["flow"])["flow"] == "begun"
    here.browser.go(here.callback(answer))
    assert here.browser.heading == "Connected"


def test_reused_state(here: House, pictures: Path) -> None:
    """The same answer again is told as such; nothing is exchanged again."""
    url, _ = here.away("frank")
    answer = here.callback(here.consent(url))
    here.browser.go(answer)
    assert here.browser.heading == "Connected"
    before = stored(here, "frank")
    here.browser.go(answer)
    assert here.browser.heading == "This step was taken before"
    look(here, pictures, "reused-state")
    assert stored(here, "frank") == before


def test_wrong_issuer(here: House, pictures: Path) -> None:
    """An answer of another issuer ends the flow: no code is exchanged that may be of somebody else."""
    url, link = here.away("grace")
    answer = here.consent(url)
    here.browser.go(here.callback(answer | {"iss": "https://evil.example"}))
    assert here.browser.heading == "The answer came from the wrong place"
    assert "https://evil.example" in here.browser.text
    look(here, pictures, "wrong-issuer")
    assert here.status("grace", link["flow"])["ending"] == "wrong_issuer"
    assert stored(here, "grace") is None


def test_wrong_verifier(here: House, pictures: Path) -> None:
    """Somebody changed the challenge on its way: the provider refuses the code, and says so."""
    url, link = here.away("heidi")
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query)) | {"code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}
    here.browser.go(urlunsplit(parts._replace(query=urlencode(query))))
    assert here.browser.heading == "Strict refused to complete this"
    look(here, pictures, "wrong-verifier")
    assert here.status("heidi", link["flow"])["ending"] == "code_refused"
    assert stored(here, "heidi") is None


def test_expired_link(here: House, pictures: Path) -> None:
    """A link whose time is over leads to nothing, whoever opens it."""
    link = here.link("ivan")
    here.vanish("ivan", link["flow"])
    here.browser.go(link["link"])
    assert here.browser.heading == "This link does not work any more"
    look(here, pictures, "expired")
    assert here.status("ivan", link["flow"])["flow"] == "gone"


def test_time_runs_out_at_the_provider(here: House) -> None:
    """Who comes back too late is told the same."""
    url, link = here.away("ivana")
    answer = here.consent(url)
    here.vanish("ivana", link["flow"])
    here.browser.go(here.callback(answer))
    assert here.browser.heading == "This link does not work any more"
    assert stored(here, "ivana") is None


def test_link_used_before(here: House, pictures: Path) -> None:
    """A link works once: whoever comes second does not see what the first began."""
    _, link = here.away("judy")
    here.browser.forget()
    here.browser.go(link["link"])
    assert here.browser.heading == "This link was used before"
    look(here, pictures, "used")


def test_missing_cookie(here: House, pictures: Path) -> None:
    """Another browser brings the answer: nothing is connected, and the right one can still bring it."""
    url, link = here.away("mallory")
    answer = here.consent(url)
    here.browser.forget()
    here.browser.go(here.callback(answer))
    assert here.browser.heading == "This browser did not begin this"
    look(here, pictures, "no-cookie")
    assert here.status("mallory", link["flow"])["flow"] == "begun"
    assert stored(here, "mallory") is None


def test_other_account(here: House, pictures: Path) -> None:
    """Somebody else signed in: what was expected is told, and nothing is stored."""
    link = here.link("oscar", expected_account="oscar@example.test")
    here.browser.go(link["link"])
    assert "oscar@example.test" in here.browser.text
    here.browser.press("button")
    here.browser.until("This is another account")
    assert "You signed in as alice@example.test" in here.browser.text
    look(here, pictures, "other-account")
    assert here.status("oscar", link["flow"])["ending"] == "other_account"
    assert stored(here, "oscar") is None


def test_connecting_again_expects_the_same_account(here: House) -> None:
    """A connection that has an account keeps it, whoever opens the link."""
    here.browser.go(here.link("peggy")["link"])
    here.browser.press("button")
    here.browser.until("Connected")
    assert here.link("peggy")["expected_account"] == "alice@example.test"


def test_back_to_where_it_began(here: House, pictures: Path) -> None:
    """After a success the browser goes on to an address of the list; another one is refused before there is a link."""
    back = f"{here.front.url}/settings/mail?tab=1"
    here.browser.go(here.link("rupert", return_to=back)["link"])
    here.browser.press("button")
    here.browser.until("Connected")
    look(here, pictures, "back")
    here.browser.until("There is nothing here")  # the front has no such page; it is the address that counts
    assert here.browser.url == back
    look(here, pictures, "nothing")
    refused = here.ask("rupert", "start", return_to="https://evil.example/settings")
    assert (refused["reason"], refused["errors"][0]["pointer"]) == ("VALIDATION", "/return_to")


def test_another_site_opens_no_link(here: House, pictures: Path) -> None:
    """A form of somebody else's page, sent by itself, begins nothing."""
    link = here.link("sybil")
    here.browser.go(f"data:text/html,<form method=post action='{link['link']}'><button>go</button></form>")
    here.browser.press("button")
    here.browser.until("Not begun from this page")
    look(here, pictures, "foreign")
    assert here.status("sybil", link["flow"])["flow"] == "offered"


def test_in_a_frame_nothing_is_shown(here: House) -> None:
    """No page of another site can have this one under its own."""
    link = here.link("trent")
    here.browser.go(f"data:text/html,<iframe src='{link['link']}'></iframe>")
    assert here.status("trent", link["flow"])["flow"] == "offered"
    assert here.browser.run("return window.frames[0].length") == 0
