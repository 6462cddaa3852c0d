"""A key in the path: it is in the request that needs it, and in no URL that anybody is shown or that is kept."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import msgspec
import pytest

from sidecar.model import Failure, Reason, SideEffect
from sidecar.wire.request import decode_cursor
from tests.build import BASE, GET_ITEM, provider
from tests.execute.house import OK, Connections, House, credential
from tests.execute.test_secret import shown

pytestmark = pytest.mark.anyio

KEY = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"
URL = f"{BASE}/bot{KEY}/items/7"
PATH: dict[str, Any] = {"kind": "api_key", "place": "path", "prefix": "bot"}
ERRORS = {"code": ["code"], "message": ["message"], "request_id": ["x-request-id"]}
LIST = {key: GET_ITEM[key] for key in ("access", "summary", "method", "docs")} | {"path": "/items"}
PAGED = {"items.get": GET_ITEM, "items.list": LIST | {"paging": {"kind": "link"}}}


def house(*answers: httpx.Response | Failure, key: str = KEY, **facts: Any) -> House:
    made = provider(**({"auth": [PATH], "errors": ERRORS, "raw": {}} | facts))
    return House(answers, {"acme": made}, Connections(credential("api_key", key=key)))


def sent(here: House) -> list[str]:
    return [str(request.url) for request in here.sender.sent]


async def test_the_trace_shows_the_url_without_it() -> None:
    """What was asked for is told as before the credential is added."""
    here = house(OK)
    ended = await here.run("items.get")
    assert sent(here) == [URL]
    assert [attempt.url for attempt in here.attempts] == [f"{BASE}/items/7"]
    assert KEY not in shown(here, ended)


async def test_a_rehearsal_says_where_it_would_stand() -> None:
    """And not what would stand there."""
    here = house()
    told = msgspec.json.decode((await here.success("items.get", dry_run=True)).body)
    assert told["request"]["url"] == f"{BASE}/items/7"
    assert told["credential"] == "API key in path, right below the base URL: bot<key>"
    assert KEY not in str(told)


@pytest.mark.parametrize(
    "echo",
    [
        URL,
        quote(URL, safe=""),
        quote(URL, safe="/"),
        quote(quote(URL, safe=""), safe=""),
        URL.replace(":", "%3a").replace("-", "%2D"),
        URL.replace("/", "\\/").replace(":", "&#58;"),
        base64.b64encode(URL.encode()).decode(),
        URL.encode().hex(),
    ],
)
@pytest.mark.parametrize("status", [302, 401, 404, 429, 500])
async def test_a_provider_that_repeats_the_url_gives_nothing_away(echo: str, status: int) -> None:
    """Where it stands in an answer, in whatever spelling: message, code, id, headers, the place of a redirect."""
    headers = {"x-request-id": echo, "www-authenticate": f'X realm="{echo}"', "location": echo, "x-ratelimit-of": echo}
    here = house(*[httpx.Response(status, json={"code": echo, "message": f"no {echo} here"}, headers=headers)] * 3)
    text = shown(here, await here.run("items.get"))
    for form in (KEY, KEY[7:], base64.b64encode(URL.encode()).decode()[48:80], URL.encode().hex()[80:120]):
        assert form not in text
    assert quote(KEY, safe="") not in text


@pytest.mark.parametrize("key", ["12:ab", "abc", "a/b"])
async def test_a_short_key_is_known_behind_its_prefix(key: str) -> None:
    """A word of few letters is a secret only where it stands alone; in a path it stands behind the prefix."""
    segment = quote(f"bot{key}", safe=":")
    here = house(httpx.Response(404, json={"message": f"nothing at /v1/{segment}/items"}), key=key)
    text = shown(here, await here.run("items.get"))
    assert "nothing at /v1/[redacted]/items" in text
    assert segment not in text


async def test_an_answer_that_holds_it_is_no_answer() -> None:
    """A link of the provider's own to what was asked for would hand the key to the agent."""
    failure = await house(httpx.Response(200, json={"self": URL})).failure("items.get")
    assert (failure.reason, failure.detail) == (
        Reason.BAD_PROVIDER_RESPONSE,
        "Acme wrote the credential into its answer",
    )


async def test_the_link_to_the_next_page_gives_its_query_alone() -> None:
    """Its path holds the key; the next page is asked for where the first one was."""
    link = {"link": f'<{BASE}/bot{KEY}/items?page=2>; rel="next"'}
    here = house(httpx.Response(200, json=[], headers=link), OK, operations=PAGED)
    first = await here.success("items.list", payload=b"")
    assert decode_cursor(first.next_cursor or "") == "page=2"
    await here.success("items.list", payload=b"", cursor="page=2")
    assert sent(here) == [f"{BASE}/bot{KEY}/items", f"{BASE}/bot{KEY}/items?page=2"]


@pytest.mark.parametrize(
    "path", ["/../items", "/..", "/./x", "/%2e%2e/items", "/%2E./x", "/..%2Fitems", "//x", "items"]
)
@pytest.mark.parametrize("method", ["http.get", "http.request"])
async def test_a_raw_path_cannot_climb_out_of_the_segment(path: str, method: str) -> None:
    """Above it there are other people's keys, and this one would be sent to who knows where."""
    here = house(OK)
    failure = await here.failure(method, payload=msgspec.json.encode({"path": path, "method": "POST"}))
    assert (failure.reason, sent(here)) == (Reason.VALIDATION, [])


@pytest.mark.parametrize("path", ["/", "/getMe", "/a//b", f"/bot{KEY}/x", "/v1/items"])
async def test_a_raw_path_goes_below_the_segment(path: str) -> None:
    """Whatever it says, it stands behind the key."""
    here = house(OK)
    await here.success("http.get", payload=msgspec.json.encode({"path": path, "query": {"a": "/../"}}))
    assert [request.url.raw_path.decode() for request in here.sender.sent] == [
        f"/v1/bot{KEY}{path}?a=%2F..%2F",
    ]


async def test_a_credential_that_changes_between_attempts_stands_in_its_own_place() -> None:
    """A token first and a key then, or the other way round: each is sent as its kind says."""
    token, key = credential(token="a-token-of-somebody"), credential("api_key", key=KEY)
    for known in ([token, key], [key, token]):
        made = provider(auth=[PATH, {"kind": "bearer"}])
        here = House([httpx.Response(429), OK], {"acme": made}, Connections(*known))
        await here.success("items.get")
        urls = {"bearer": f"{BASE}/items/7", "api_key": URL}
        assert sent(here) == [urls[one.kind] for one in known]
        headers = ["authorization" in request.headers for request in here.sender.sent]
        assert headers == [one.kind == "bearer" for one in known]


async def test_no_url_of_an_answer_is_kept() -> None:
    """The standard library remembers what it has split last: not what a provider said of our own request."""
    link = {"link": f'<{BASE}/bot{KEY}/items?page=77>; rel="next"', "location": f"{BASE}/bot{KEY}/elsewhere"}
    here = house(
        httpx.Response(200, json=[], headers=link), httpx.Response(307, headers=link), operations=PAGED, key=KEY
    )
    await here.success("items.list", payload=b"")
    await here.failure("items.get")
    known = urlsplit.cache_info().hits  # type: ignore[attr-defined]
    for url in (f"{BASE}/bot{KEY}/items?page=77", f"{BASE}/bot{KEY}/elsewhere"):
        urlsplit(url)
    assert urlsplit.cache_info().hits == known  # type: ignore[attr-defined]


@pytest.mark.parametrize("place", [f"{BASE}/botk3y-9f8e7d6c/items/7", "../../botk3y-9f8e7d6c/file"])
async def test_a_short_key_is_in_no_place_that_is_told(place: str) -> None:
    """Where all that is told is a URL nothing of a credential belongs, however short it is."""
    taken = GET_ITEM | {"returns": "location"}
    here = house(httpx.Response(201, headers={"location": place}), operations={"items.get": taken}, key="k3y-9f8e7d6c")
    ended = await here.run("items.get")
    assert isinstance(ended.outcome, Failure)
    assert ended.outcome.reason is Reason.BAD_PROVIDER_RESPONSE
    assert "k3y-9f8e7d6c" not in shown(here, ended)


async def test_a_key_in_a_content_type_is_not_handed_on() -> None:
    """It goes with the reply as the body does."""
    taken = GET_ITEM | {"returns": "bytes"}
    answer = httpx.Response(200, content=b"x", headers={"content-type": f"text/{KEY}"})
    ended = await house(answer, operations={"items.get": taken}).run("items.get")
    assert isinstance(ended.outcome, Failure)


async def test_a_url_that_is_too_long_with_its_key_was_not_sent() -> None:
    """A key that makes of every character three: a defect of ours perhaps, but nothing was done."""
    here = house(OK, key="/" * 30_000)
    failure = await here.failure("items.get")
    assert (failure.side_effect, sent(here)) == (SideEffect.NONE, [])
