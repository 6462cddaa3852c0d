"""The offline provider over real HTTP: cases answer in order, other requests are checked, what is wrong is said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from sidecar.adapters.http1_sender import Http1Sender
from sidecar.adapters.json_schema import compile_schema
from sidecar.adapters.yaml_file import read_yaml
from sidecar.catalogue.load import load_catalogue
from sidecar.core.egress import parse_allow
from sidecar.credential import Credential
from sidecar.model import Failure, Outcome, Reason, SideEffect, Success
from sidecar.ports import Formats
from sidecar.sandbox.read import all_cases
from sidecar.sandbox.server import Sandbox, base_urls, sandbox, store_credentials
from sidecar.wire.subject import AdminAddress
from tests.sandbox.acme import CREATE, DOCS, MILK, Acme, by_path

pytestmark = pytest.mark.anyio

FORMATS = Formats(read_yaml, compile_schema)
TOKEN = {"authorization": "Bearer test-token"}
ITEMS = "/lists/home%20work/items"
EGGS = {"title": "Eggs"}


def exchange(request: dict[str, Any], **answer: Any) -> dict[str, Any]:
    return {"request": request, **answer}


def acme() -> Acme:
    """The small provider with more cases: refused, lost in both ways, a page by Link, a form."""
    made = Acme()
    made.operations["items.search"] = {
        "access": "read",
        "summary": "Search the items.",
        "docs": DOCS,
        "method": "GET",
        "path": "/search/{folder}",
        "input": {"folder": {"in": "path", "style": "segments", "type": "string", "description": "Where."}},
        "required": ["folder"],
        "paging": {"kind": "link"},
    }
    made.operations["items.rename"] = {
        "access": "write",
        "summary": "Rename an item.",
        "docs": DOCS,
        "method": "PUT",
        "path": "/items/{id}",
        "encoding": "form",
        "input": {
            "id": {"in": "path", "type": "integer", "description": "Its number."},
            "title": {"in": "body", "type": "string", "description": "What it is called."},
        },
        "required": ["id", "title"],
    }
    create = {**CREATE, "json": {"title": "Lost"}}
    made.cases += [
        {
            "name": "a token that nobody knows",
            "operation": "account.get",
            "exchanges": [
                exchange(
                    {"method": "GET", "path": "/account"},
                    response={"status": 401, "headers": {"www-authenticate": "Bearer"}, "json": {"error": "who"}},
                )
            ],
            "expect": {"reason": "CREDENTIAL_REJECTED"},
        },
        {
            "name": "lost twice, then made",
            "operation": "items.create",
            "input": {**MILK, "title": "Lost"},
            "exchanges": [
                exchange(create, lost="before_send"),
                exchange(create, lost="after_send"),
                exchange(create, lost="truncated"),
                exchange(create, response={"status": 201, "json": {"ok": True, "id": 9}}),
            ],
            "expect": {"output": {"ok": True, "id": 9}},
        },
        {
            "name": "found in a folder",
            "operation": "items.search",
            "input": {"folder": "a/b"},
            "exchanges": [
                exchange(
                    {"method": "GET", "path": "/search/a/b"},
                    response={
                        "status": 200,
                        "json": {"ok": True},
                        "headers": {"date": "Sat, 21 Nov 2026 10:00:00 GMT"},
                    },
                )
            ],
            "expect": {"output": {"ok": True}, "next_cursor": "page=2"},
        },
        {
            "name": "renamed",
            "operation": "items.rename",
            "input": {"id": 1, "title": "Bread"},
            "exchanges": [
                exchange({"method": "PUT", "path": "/items/1", "form": {"title": "Bread"}}, response={"status": 204})
            ],
            "expect": {"output": None},
        },
    ]
    return made


@pytest.fixture
def made(tmp_path: Path) -> Sandbox:
    acme().write(tmp_path)
    return Sandbox(load_catalogue([tmp_path], FORMATS), all_cases([tmp_path], read_yaml))


@pytest.fixture
async def client(made: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    async with to(made, TOKEN) as client:
        yield client


def to(made: Sandbox, headers: dict[str, str], path: str = "/acme") -> httpx.AsyncClient:
    """A client without a network between; where the network matters a test serves the sandbox."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url=f"http://127.0.0.1{path}", headers=headers)


async def test_a_request_that_equals_a_case_gets_its_answers_in_order_and_then_again(client: httpx.AsyncClient) -> None:
    """Limited, then done; the next two requests see the same story."""
    answers = [await client.post(ITEMS, json={"title": "Milk"}) for _ in range(4)]
    assert [answer.json()["ok"] for answer in answers] == [False, True, False, True]


async def test_of_equal_cases_the_plain_success_answers(client: httpx.AsyncClient) -> None:
    """The 401 of the same request is not given while the credential is right."""
    answer = await client.get("/account")
    assert (answer.status_code, answer.json()["login"]) == (200, "anna")


async def test_every_answer_is_marked(client: httpx.AsyncClient) -> None:
    """Nobody takes an answer of the sandbox for a real one."""
    answers = [await client.get("/account"), await client.get("/nothing"), await client.get("/account?a=1")]
    assert [answer.headers["x-sandbox"] for answer in answers] == ["true"] * 3


@pytest.mark.parametrize(
    ("method", "path", "given", "expected"),
    [
        ("GET", "/items?limit=7", {}, {"ok": True, "items": [1], "next": "b"}),
        ("GET", "/items?after=zz", {}, {"ok": True, "items": [2]}),
        ("GET", "/search/c/d/e?page=2", {}, {"ok": True}),
        ("POST", "/lists/other/items", {"json": EGGS}, {"ok": True, "id": 1}),
    ],
)
async def test_any_other_good_request_gets_the_first_success_of_its_operation(
    client: httpx.AsyncClient, method: str, path: str, given: dict[str, Any], expected: object
) -> None:
    """What no case foresees is answered too, when it is well formed; of a further page the last, so that it ends."""
    answer = await client.request(method, path, **given)
    assert answer.json() == expected


@pytest.mark.parametrize(
    ("method", "path", "given", "status", "said"),
    [
        ("GET", "/things", {}, 404, "no operation of acme is a GET of /things"),
        ("DELETE", "/items", {}, 404, "no operation of acme is a DELETE of /items"),
        ("GET", "/items?colour=red", {}, 400, "items.list: query parameter 'colour' is not one of it"),
        ("GET", "/items?page=2", {}, 400, "query parameter 'page' is not one of it"),
        ("POST", "/lists/a/items", {"data": EGGS}, 400, "its body is json, this one is form"),
        ("POST", "/lists/a/items", {"json": {"titel": "Eggs"}}, 400, "'titel' is not a field of its body"),
        ("POST", "/lists/a/items", {"json": {}}, 400, "'title' is required in its body"),
        ("POST", "/lists/a/items", {"json": [1]}, 400, "its body is a JSON object"),
        ("POST", "/lists/a/items", {}, 400, "'title' is required in its body"),
        ("PUT", "/items/2", {"json": EGGS}, 400, "its body is form, this one is json"),
        ("GET", "/items", {"json": EGGS}, 400, "its body is none, this one is json"),
    ],
)
async def test_a_request_that_is_wrong_is_told_what_is_wrong(
    client: httpx.AsyncClient, method: str, path: str, given: dict[str, Any], status: int, said: str
) -> None:
    """Strict: an agent's test that passes here sends what the provider takes."""
    answer = await client.request(method, path, **given)
    assert answer.status_code == status
    assert said in answer.json()["message"]


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer other"}, {"authorization": "test-token"}])
async def test_without_the_sandbox_credential_the_provider_refuses_in_its_own_words(
    made: Sandbox, headers: dict[str, str]
) -> None:
    """No answer, not even of a case, without a credential."""
    async with to(made, headers) as client:
        answer = await client.get("/account")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json() == {"error": "who"}


async def test_a_key_in_the_query_is_a_credential_and_no_stray_parameter(made: Sandbox) -> None:
    """Each kind of credential of the manifest is taken."""
    async with to(made, {}) as client:
        known = await client.get("/items?limit=3&key=test-key")
        unknown = await client.get("/items?limit=3&key=other")
    assert (known.status_code, unknown.status_code) == (200, 401)


async def test_a_key_in_the_path_is_a_credential_and_no_part_of_the_operation(tmp_path: Path) -> None:
    """A request with it is answered as one by header is; one with somebody's own key is refused, and not repeated."""
    by_path().write(tmp_path)
    served = Sandbox(load_catalogue([tmp_path], FORMATS), all_cases([tmp_path], read_yaml))
    async with to(served, {}) as client:
        known = await client.get("/bottest-key/account")
        operation = await client.get("/bottest-key/items?limit=3")
        unknown = await client.get("/bottest-key/things")
        own = await client.get("/bot123456:ABC-DEF1234ghIkl/account")
        without = await client.get("/account")
    assert [answer.status_code for answer in (known, operation, unknown, own, without)] == [200, 200, 404, 401, 401]
    assert unknown.json()["message"] == "sandbox: no operation of acme is a GET of /things"
    assert "ABC" not in f"{own.text} {own.headers} {served.received}"


async def test_over_the_network_exchanges_are_lost_as_named_and_dates_are_the_cases_own(tmp_path: Path) -> None:
    """After the request nothing, then half a body, then the answer; what was lost before sending never arrives."""
    acme().write(tmp_path)
    catalogue = load_catalogue([tmp_path], FORMATS)
    results: list[httpx.Response | Failure] = []
    async with sandbox(catalogue, all_cases([tmp_path], read_yaml)) as served:
        assert served.base_urls == base_urls(served.port, catalogue)
        sender = Http1Sender(allow=parse_allow(served.egress_allow))
        for method, path in [("POST", ITEMS), ("POST", ITEMS), ("POST", ITEMS), ("GET", "/search/a/b")]:
            url, body = f"{served.base_urls['acme']}{path}", {"title": "Lost"} if method == "POST" else None
            request = httpx.Request(method, url, json=body, headers=TOKEN)
            results.append(await sender.send(request, deadline=anyio.current_time() + 10, max_body=1000))
        await sender.aclose()
    lost, cut, done, dated = results
    assert isinstance(lost, Failure)
    assert (lost.reason, lost.side_effect) == (Reason.OUTCOME_UNKNOWN, SideEffect.UNKNOWN)
    assert isinstance(cut, Failure)
    assert (cut.reason, cut.side_effect) == (Reason.RESPONSE_TRUNCATED, SideEffect.DONE)
    assert isinstance(done, httpx.Response)
    assert done.json()["id"] == 9
    assert isinstance(dated, httpx.Response)
    assert dated.headers.get_list("date") == ["Sat, 21 Nov 2026 10:00:00 GMT"]


async def test_what_was_received_is_kept(made: Sandbox, client: httpx.AsyncClient) -> None:
    """For tests and demonstrations: which operation, which case, how answered."""
    await client.get("/items", params={"limit": "1"})
    await client.get("/things")
    first, second = made.received
    assert (first.provider, first.operation, first.case, first.status) == ("acme", "items.list", "the first page", 200)
    assert (second.wrong, second.operation, second.status) == (
        "no operation of acme is a GET of /things",
        None,
        404,
    )
    assert first.at <= second.at


async def test_a_provider_that_is_not_served_is_told(made: Sandbox) -> None:
    """A wrong base URL says which there are."""
    async with to(made, {}, "/other") as client:
        answer = await client.get("/items")
    assert (answer.status_code, answer.json()["message"]) == (
        404,
        "sandbox: there is no provider 'other'; providers: acme",
    )


async def test_credentials_of_the_sandbox_never_replace_one_that_is_there(made: Sandbox, tmp_path: Path) -> None:
    """Every connection of the sandbox gets what cases use; alice's own stays."""
    operator = Remembered({("alice", "acme")})
    assert await store_credentials(operator, load_catalogue([tmp_path], FORMATS)) is None
    ((connection, credential),) = operator.kept
    assert (connection, credential.kind, credential.revealed()) == ("default", "bearer", {"token": "test-token"})


async def test_a_plain_success_answers_before_one_after_a_failure(tmp_path: Path) -> None:
    """Of an operation's successes the shortest story is what a request that no case knows gets."""
    made = Acme()
    lost = exchange({**CREATE, "json": {"title": "Lost"}}, lost="after_send")
    again = exchange({**CREATE, "json": {"title": "Lost"}}, response={"status": 201, "json": {"ok": True, "id": 99}})
    story = {"name": "sent again", "operation": "items.create", "input": {**MILK, "title": "Lost"}}
    made.cases.insert(0, {**story, "exchanges": [lost, again], "expect": {"output": {"ok": True, "id": 99}}})
    plain = exchange(CREATE, response={"status": 201, "json": {"ok": True, "id": 5}})
    made.cases.append({**story, "name": "sent", "exchanges": [plain], "expect": {"output": {"ok": True, "id": 5}}})
    made.write(tmp_path)
    served = Sandbox(load_catalogue([tmp_path], FORMATS), all_cases([tmp_path], read_yaml))
    async with to(served, TOKEN) as client:
        answer = await client.post("/lists/other/items", json={"title": "Any"})
    assert answer.json() == {"ok": True, "id": 5}


GRAPHQL = {"access": "read", "docs": DOCS, "method": "POST", "path": "/graphql"}
SIZE = {"size": {"in": "body", "name": "variables.size", "type": "integer", "description": "How many."}}


def told_apart_by_fixed_values() -> Acme:
    """Two operations that POST to one path, told apart by a fixed body, and two that GET one, by a fixed query."""
    made = Acme()
    for number, (name, summary) in enumerate({"users": "List the users.", "teams": "List the teams."}.items()):
        by_body = {"query": f"query {name}", "variables": {"flat": True}}
        made.operations[f"{name}.list"] = {**GRAPHQL, "summary": summary, "fixed": {"body": by_body}, "input": SIZE}
        by_query = {**GRAPHQL, "method": "GET", "path": "/search", "summary": summary}
        made.operations[f"{name}.search"] = {**by_query, "fixed": {"query": {"kind": number}}}
        sent = {"method": "POST", "path": "/graphql", "json": by_body | {"variables": {"flat": True, "size": 1}}}
        for verb, values, request in [
            ("list", {"size": 1}, sent),
            ("search", {}, {"method": "GET", "path": "/search", "query": {"kind": str(number)}}),
        ]:
            answered = exchange(request, response={"status": 200, "json": {"ok": True, "of": f"{name}.{verb}"}})
            case = {"name": f"{name} {verb}", "operation": f"{name}.{verb}", "input": values, "exchanges": [answered]}
            made.cases.append(case | {"expect": {"output": {"ok": True, "of": f"{name}.{verb}"}}})
    return made


async def test_operations_of_one_path_are_told_apart_by_their_fixed_values(tmp_path: Path) -> None:
    """A request that no case knows gets the answer of its own operation, or is told what its operation sends."""
    told_apart_by_fixed_values().write(tmp_path)
    served = Sandbox(load_catalogue([tmp_path], FORMATS), all_cases([tmp_path], read_yaml))
    async with to(served, TOKEN) as client:
        for name in ("users", "teams"):
            body = {"query": f"query {name}", "variables": {"size": 7, "flat": True}}
            assert (await client.post("/graphql", json=body)).json()["of"] == f"{name}.list"
        assert (await client.get("/search?kind=1")).json()["of"] == "teams.search"
        neither = await client.post("/graphql", json={"query": "query all", "variables": {"flat": 1}})
        missing = await client.get("/search")
    assert (neither.status_code, missing.status_code) == (400, 400)
    assert "users.list: 'query' is \"query users\" in its body" in neither.json()["message"]
    assert "users.list: 'variables.flat' is true in its body" in neither.json()["message"]
    assert "teams.search: query parameter 'kind' is '1' in it" in missing.json()["message"]


async def test_an_object_in_brackets_is_no_stray_parameter(tmp_path: Path) -> None:
    """Whatever is asked for within it."""
    made = acme()
    described = {
        "in": "query",
        "type": "object",
        "additionalProperties": True,
        "style": "brackets",
        "description": "By.",
    }
    made.operations["items.list"]["input"]["filter"] = described
    made.write(tmp_path)
    served = Sandbox(load_catalogue([tmp_path], FORMATS), all_cases([tmp_path], read_yaml))
    async with to(served, TOKEN) as client:
        assert (await client.get("/items?filter[title][_eq]=Milk")).json() == {"ok": True, "items": [1], "next": "b"}
        assert (await client.get("/items?filters[title]=Milk")).status_code == 400


async def test_a_further_page_that_is_asked_for_in_a_body_is_known(tmp_path: Path) -> None:
    """Also at a place within it, which no input names."""
    made = acme()
    made.operations["items.find"] = {
        "access": "read",
        "summary": "Find items.",
        "docs": DOCS,
        "method": "POST",
        "path": "/find",
        "input": {"text": {"in": "body", "type": "string", "description": "What to find."}},
        "paging": {"kind": "page", "name": "page.number", "place": "body", "items": "items"},
    }
    request = {"method": "POST", "path": "/find", "json": {"text": "milk"}}
    answer = {"status": 200, "json": {"ok": True, "items": []}}
    made.cases.append(
        {
            "name": "found",
            "operation": "items.find",
            "input": {"text": "milk"},
            "exchanges": [exchange(request, response=answer)],
            "expect": {"output": {"ok": True, "items": []}},
        }
    )
    made.write(tmp_path)
    served = Sandbox(load_catalogue([tmp_path], FORMATS), all_cases([tmp_path], read_yaml))
    async with to(served, TOKEN) as client:
        found = await client.post("/find", json={"text": "eggs", "page": {"number": 2}})
        assert (found.status_code, found.json()) == (200, {"ok": True, "items": []})
        wrong = await client.post("/find", json={"text": "eggs", "pages": {"number": 2}})
        assert (wrong.status_code, "'pages' is not a field of its body" in wrong.text) == (400, True)


async def test_a_credential_whose_token_is_issued_needs_no_token_endpoint(tmp_path: Path) -> None:
    """Offline there is none: the token is there already, and never has to be renewed."""
    made = Acme()
    oauth = {"kind": "oauth2", "authorize_url": "https://acme.example/a", "token_url": "https://acme.example/t"}
    made.provider["auth"] = [{**oauth, "docs": DOCS}]
    made.write(tmp_path)
    catalogue, cases = load_catalogue([tmp_path], FORMATS), all_cases([tmp_path], read_yaml)
    operator = Remembered({("alice", "acme")})
    assert await store_credentials(operator, catalogue) is None
    ((_, credential),) = operator.kept
    assert credential.tokens is not None
    assert credential.tokens.expires is None
    carried = {"authorization": f"Bearer {credential.tokens.access.reveal()}"}
    async with to(Sandbox(catalogue, cases), carried) as client:
        assert (await client.get("/account")).status_code == 200


async def test_a_store_that_is_away_is_told(made: Sandbox, tmp_path: Path) -> None:
    """The sandbox does not start without its credentials."""
    away = Failure(reason=Reason.STORE_UNAVAILABLE, detail="away")
    assert await store_credentials(Remembered(set(), away), load_catalogue([tmp_path], FORMATS)) is away


class Remembered:
    """An operator's side that knows some connections and keeps credentials; its store may be away."""

    def __init__(self, there: set[tuple[str, str]], away: Failure | None = None) -> None:
        self.kept: list[tuple[str, Credential]] = []
        self._there = there
        self._away = away

    async def answer(self, address: AdminAddress, payload: bytes) -> Outcome:
        listed = [{"provider": provider} for name, provider in self._there if name == address.connection]
        return Success(body=msgspec.json.encode(listed))

    async def keep(self, address: AdminAddress, credential: Credential) -> Failure | None:
        self.kept.append((address.connection, credential))
        return self._away
