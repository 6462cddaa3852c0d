"""What a browser is shown and sent, and what it can do wrong; every end has a page, and no page says a secret."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import anyio
import anyio.lowlevel
import httpx
import pytest

from sidecar.auth.flow import Ended, Ending
from sidecar.connect import Site
from sidecar.consent import Arrived, Going, Offer
from sidecar.credential import OwnLimit
from sidecar.model import Failure, Reason, SideEffect
from sidecar.pages.html import arrived_page, going_page, offer_page
from sidecar.pages.listener import unhurried
from sidecar.sandbox.scripted import ScriptedSender
from sidecar.wire.event import encoder
from tests.connect.house import ALICE, AUTH, CANARY, TOKENS, Script, heading, place

pytestmark = pytest.mark.anyio

INJECTED = "<script>alert(1)</script>\"'&"
LOST = Failure(reason=Reason.OUTCOME_UNKNOWN, detail="no answer came", side_effect=SideEffect.UNKNOWN)
REJECTED = httpx.Response(401, json={"message": CANARY})
REFUSED = httpx.Response(400, json={"error": "invalid_grant", "error_description": "no s3cret c0de"})


async def test_what_the_provider_is_asked() -> None:
    """Code, state, PKCE's challenge, the app, the redirect URI and the scopes; then the code with the verifier."""
    async with place() as here:
        sent = await here.begin((await here.start())["link"])
        assert {name: sent[name] for name in ("response_type", "client_id", "scope", "code_challenge_method")} == {
            "response_type": "code",
            "client_id": "the-app",
            "scope": "offline items me",
            "code_challenge_method": "S256",
        }
        assert sent["redirect_uri"] == "https://connect.acme.example/callback"
        await here.back(state=sent["state"], code="c0de", realmId="4620")
        token, me = here.sender.sent
        form = dict(httpx.QueryParams(token.content.decode()))
        assert (form["grant_type"], form["code"], form["redirect_uri"]) == (
            "authorization_code",
            "c0de",
            sent["redirect_uri"],
        )
        assert len(form["code_verifier"]) >= 43
        assert me.headers["authorization"] == f"Bearer {CANARY}"


async def test_what_is_stored() -> None:
    """The tokens, the account, the app that they belong to, and what the redirect brought along."""
    async with place() as here:
        sent = await here.begin((await here.start())["link"])
        page = await here.back(state=sent["state"], code="c0de", realmId="4620")
        assert (page.status_code, heading(page)) == (200, "Connected")
        stored = await here.stored()
        assert stored is not None
        assert stored.tokens is not None
        assert (stored.account, stored.client_id, stored.kept) == ("alice", "the-app", {"realmId": "4620"})
        assert stored.tokens.access.reveal() == CANARY
        assert CANARY not in encoder.encode(here.house.trace.events).decode() + page.text


async def test_what_a_redirect_brings_says_where_the_api_is() -> None:
    """From a provider's parameter, as it spells it, to the URL of the first call."""
    url = {"kind": "kept", "url": "https://api.acme.example/v3/company/{realmId}"}
    async with place(Script(facts={"base_url": url})) as here:
        sent = await here.begin((await here.start())["link"])
        assert heading(await here.back(state=sent["state"], code="c0de", realmId="4620")) == "Connected"
        assert str(here.sender.sent[1].url) == "https://api.acme.example/v3/company/4620/me"


@pytest.mark.parametrize(
    ("answers", "title"),
    [
        ([REFUSED], "Acme refused to complete this"),
        ([httpx.Response(500)], "Acme refused to complete this"),
        ([LOST], "Acme does not answer"),
        ([TOKENS, REJECTED], "The account could not be checked"),
        ([TOKENS, httpx.Response(200, json={"login": "bob"})], "This is another account"),
        ([TOKENS, httpx.Response(200, json={})], "This is another account"),
    ],
)
async def test_what_goes_wrong_after_consent(answers: list[httpx.Response | Failure], title: str) -> None:
    """Nothing is stored; page, status and trace tell it without the code, the secret or the token."""
    async with place(Script(answers=answers)) as here:
        link = await here.start(expected_account="alice")
        sent = await here.begin(link["link"])
        page = await here.back(state=sent["state"], code="c0de")
        assert heading(page) == title
        assert page.status_code >= 400
        assert await here.stored() is None
        status = (await here.ask("status", {"flow": link["flow"]})).body
        assert status["flow"] == "failed"
        told = f"{page.text}{status}{encoder.encode(here.house.trace.events).decode()}"
        for secret in (CANARY, "s3cret", "c0de", sent["state"]):
            assert secret not in told


async def test_an_old_credential_stays_when_a_new_one_is_not_had() -> None:
    """Who fails to connect again keeps what there was."""
    async with place(Script(answers=[TOKENS, ALICE, REFUSED])) as here:
        await here.whole()
        before = await here.stored()
        assert heading(await here.whole()) == "Acme refused to complete this"
        assert await here.stored() == before


async def test_what_the_server_s_owner_allows_stays() -> None:
    """Who connects again changes nothing about the limits of the connection."""
    async with place(Script(answers=[TOKENS, ALICE, TOKENS, ALICE])) as here:
        await here.whole()
        limits = (OwnLimit("requests", 10, 60.0),)
        await here.house.credentials.set_limits("default", "alice", "acme", limits)
        assert heading(await here.whole()) == "Connected"
        stored = await here.stored()
        assert stored is not None
        assert stored.limits == limits


async def test_a_link_is_looked_at_without_being_used() -> None:
    """A chat program's preview, or a HEAD, leaves it as it is; the button uses it, once."""
    async with place() as here:
        link = (await here.start())["link"]
        for _ in range(3):
            assert heading(await here.browser.get(link)) == "Connect your Acme account"
        await here.browser.head(link)
        await here.begin(link)
        assert heading(await here.browser.get(link)) == "This link was used before"
        assert heading(await here.browser.post(link)) == "This link was used before"


async def test_two_press_the_button_at_once() -> None:
    """One goes on; the other is told that the link was used."""
    async with place() as here:
        link = (await here.start())["link"]
        pages: list[httpx.Response] = []

        async def press() -> None:
            pages.append(await here.browser.post(link))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(press)
            tasks.start_soon(press)
        assert sorted(map(heading, pages)) == ["On the way to Acme", "This link was used before"]


async def test_an_answer_is_not_used_up_by_a_look() -> None:
    """HEAD is refused; what follows from the browser itself counts."""
    async with place() as here:
        sent = await here.begin((await here.start())["link"])
        looked = await here.browser.head("/callback", params={"state": sent["state"], "code": "c0de"})
        assert looked.status_code >= 400
        assert heading(await here.back(state=sent["state"], code="c0de")) == "Connected"


async def test_an_answer_that_comes_twice_at_once() -> None:
    """The code is exchanged once."""
    async with place() as here:
        sent = await here.begin((await here.start())["link"])
        pages: list[str] = []

        async def answer() -> None:
            pages.append(heading(await here.back(state=sent["state"], code="c0de")))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer)
            tasks.start_soon(answer)
        assert sorted(pages) == ["Connected", "This step was taken before"]
        assert len(here.sender.sent) == 2


async def test_parameters_that_stand_twice() -> None:
    """Nobody guesses which is meant."""
    async with place() as here:
        sent = await here.begin((await here.start())["link"])
        page = await here.browser.get(f"/callback?state={sent['state']}&code=a&code=b")
        assert heading(page) == "This address cannot be understood"
        assert heading(await here.back(state=sent["state"], code="c0de")) == "Connected"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
async def test_another_site_presses_no_button(site: str) -> None:
    """Only our own page begins a flow."""
    async with place() as here:
        page = await here.browser.post((await here.start())["link"], headers={"sec-fetch-site": site})
        assert heading(page) == "Not begun from this page"


async def test_the_store_away_has_a_page() -> None:
    """At each step; nothing is exchanged that could not be kept."""
    async with place() as here:
        link = (await here.start())["link"]
        sent = await here.begin((await here.start())["link"])
        here.house.memory.away = "refusing"
        for page in (
            await here.browser.get(link),
            await here.browser.post(link),
            await here.back(state=sent["state"], code="c0de"),
        ):
            assert (page.status_code, heading(page)) == (503, "Not possible at the moment")
        assert here.sender.sent == []


class Slow(ScriptedSender):
    """Answers when the test lets it."""

    def __init__(self) -> None:
        super().__init__([TOKENS, ALICE])
        self.asked, self.gate = anyio.Event(), anyio.Event()

    async def send(self, request: httpx.Request, *, deadline: float, max_body: int) -> httpx.Response | Failure:
        self.asked.set()
        await self.gate.wait()
        return await super().send(request, deadline=deadline, max_body=max_body)


async def test_a_browser_that_goes_away_loses_nothing() -> None:
    """A code that is being exchanged is exchanged to the end, and its tokens are stored."""
    slow = Slow()
    async with place(Script(sender=slow)) as here:
        sent = await here.begin((await here.start())["link"])
        async with anyio.create_task_group() as browser:
            browser.start_soon(lambda: here.back(state=sent["state"], code="c0de"))
            await slow.asked.wait()
            browser.cancel_scope.cancel()
        slow.gate.set()
        await here.house.settled()
        assert await here.stored() is not None


async def test_what_is_under_way_is_waited_for_and_not_for_ever() -> None:
    """The listener's end lets it finish within its time."""
    done: list[str] = []

    async def soon() -> None:
        await anyio.lowlevel.checkpoint()
        done.append("soon")

    async with unhurried(30) as tasks:
        tasks.start_soon(soon)
    async with unhurried(0) as tasks:
        tasks.start_soon(anyio.sleep_forever)
    assert done == ["soon"]


@pytest.mark.parametrize("path", ["/callback/?state=a&code=b", "/connect/x/"])
async def test_nobody_is_sent_where_a_host_header_says(path: str) -> None:
    """A slash too many is no page: a redirect would repeat the code, to a host that the request names, over http."""
    async with place() as here:
        page = await here.browser.get(path, headers={"host": "evil.example"})
        assert (page.status_code, heading(page)) == (404, "There is nothing here")


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
async def test_other_methods_are_no_answer(method: str) -> None:
    """What is not a browser's navigation uses nothing up."""
    async with place() as here:
        sent = await here.begin((await here.start())["link"])
        page = await here.browser.request(method, "/callback", params={"state": sent["state"], "code": "c0de"})
        assert page.status_code == 404
        assert heading(await here.back(state=sent["state"], code="c0de")) == "Connected"


async def test_a_link_of_a_thousand_brackets() -> None:
    """It is no link of ours, and no defect."""
    async with place() as here:
        nested = '["a","b","c","d",' + "[" * 2000 + "]" * 2000 + "]"
        code = urlsafe_b64encode(nested.encode()).decode().rstrip("=")
        page = await here.browser.get(f"/connect/{code}")
        assert (page.status_code, heading(page)) == (410, "This link does not work any more")


async def test_headers_of_every_page() -> None:
    """Nothing is loaded, framed, cached or told on; and the style is the one that the policy names."""
    async with place() as here:
        link = (await here.start())["link"]
        for page in (await here.browser.get(link), await here.browser.get("/callback"), await here.browser.get("/x")):
            assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
            assert "unsafe" not in page.headers["content-security-policy"]
            assert page.headers["referrer-policy"] == "no-referrer"
            assert page.headers["cache-control"] == "no-store"
            assert page.headers["x-frame-options"] == "DENY"
            assert page.headers["x-content-type-options"] == "nosniff"
            assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
            assert "<script" not in page.text


@pytest.mark.parametrize("secure", [True, False])
async def test_the_cookie(secure: bool) -> None:
    """`__Host-` over TLS; on a laptop's loopback, where browsers differ in taking that, without it."""
    script = (
        Script()
        if secure
        else Script(site=Site("http://127.0.0.1:8077"), facts={"auth": [AUTH | {"redirect": "loopback"}]})
    )
    async with place(script) as here:
        page = await here.browser.post((await here.start())["link"])
        cookie = page.headers["set-cookie"]
        assert cookie.startswith("__Host-sidecar-connect-") is secure
        assert ("Secure" in cookie) is secure
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Path=/;" in cookie
        assert "Domain" not in cookie


def test_names_are_escaped() -> None:
    """Whatever a tenant, a connection, a scope, an account or a provider's words hold is text."""
    offer = Offer(
        tenant=INJECTED,
        connection=INJECTED,
        provider=INJECTED,
        scopes=(INJECTED,),
        expected_account=INJECTED,
        host=INJECTED,
    )
    going = Going(provider=INJECTED, url=f"https://x.example/?{INJECTED}", cookie="c", value="v", seconds=1)
    texts = [offer_page(offer), going_page(going)]
    for ending in Ending:
        arrived = Arrived(
            ended=Ended(ending, INJECTED),
            tenant=INJECTED,
            connection=INJECTED,
            provider=INJECTED,
            account=INJECTED,
            expected_account=INJECTED,
        )
        texts.append(arrived_page(arrived, f"https://app.acme.example/?{INJECTED}")[0])
    for text in texts:
        assert "<script" not in text


def test_every_ending_has_a_page_of_its_own() -> None:
    """No two say the same."""
    pages = {arrived_page(Arrived(ended=Ended(ending), provider="Acme"), None)[0] for ending in Ending}
    assert len(pages) == len(Ending)


def test_a_browser_goes_back_by_itself_only_after_a_success() -> None:
    """After a failure the person reads first."""
    good = arrived_page(Arrived(ended=Ended(Ending.CONNECTED)), "https://app.acme.example/settings")[0]
    bad = arrived_page(Arrived(ended=Ended(Ending.ACCESS_DENIED)), "https://app.acme.example/settings")[0]
    assert 'http-equiv="refresh"' in good
    assert 'http-equiv="refresh"' not in bad
    assert "Back to app.acme.example" in good
    assert "Back to app.acme.example" in bad
