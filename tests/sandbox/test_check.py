"""Each conformance check finds what it is for: a good folder passes, and one mistake is one finding that names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.adapters.json_schema import compile_schema
from sidecar.adapters.yaml_file import read_yaml
from sidecar.ports import Formats
from sidecar.sandbox.check import Finding, check_provider
from tests.sandbox.acme import ACCOUNT, DOCS, Acme, by_path

FORMATS = Formats(read_yaml, compile_schema)
OAUTH = {
    "kind": "oauth2",
    "authorize_url": "https://id.acme.example/authorize",
    "token_url": "https://id.acme.example/token",
    "docs": DOCS,
}
FAULTS: dict[str, object] = {"path": "faults", "equals": None}


def findings(acme: Acme, folder: Path) -> list[Finding]:
    return check_provider(acme.write(folder), FORMATS)


def test_a_good_folder_has_no_finding_but_what_its_author_could_not_verify(tmp_path: Path) -> None:
    """What stands under `unverified` is told as a note."""
    assert findings(Acme(), tmp_path) == [Finding("unverified", "that nobody else uses this name", note=True)]


@pytest.mark.parametrize(
    ("base_url", "keeps"),
    [
        ({"url": "https://api.acme.example/v3/company/{realmId}"}, {"callback": ["realmId"]}),
        (
            {"url": "{base_uri}/accounts/{account_id}", "suffixes": [".acme.example"]},
            {"answer": {"keep": {"base_uri": "uri", "account_id": "id"}}},
        ),
    ],
)
def test_cases_know_the_values_of_an_account(tmp_path: Path, base_url: dict[str, Any], keeps: dict[str, Any]) -> None:
    """A provider whose URL is made of them passes the check: its paths stand below that URL, as everywhere."""
    acme = Acme()
    acme.provider["base_url"] = {"kind": "kept", "docs": DOCS} | base_url
    acme.provider["auth"][0] = OAUTH | keeps
    assert [finding for finding in findings(acme, tmp_path) if not finding.note] == []


def drop_docs(acme: Acme, *places: str) -> None:
    for place in places:
        part = acme.provider[place]
        for fact in part if isinstance(part, list) else [part]:
            del fact["docs"]


def rename_case(acme: Acme) -> None:
    acme.cases[1]["name"] = acme.cases[0]["name"]


def unlist_credential(acme: Acme, case: str, what: str) -> None:
    acme.case(case)["exchanges"][0]["request"].pop(what)


STRUCTURE: dict[str, tuple[Callable[[Acme], object], str, str]] = {
    "an unknown key": (lambda a: a.provider.update(colour="red"), "provider.yaml", "unknown field `colour`"),
    "a case of another form": (
        lambda a: a.case("the account").update(expects={}),
        "cases/all.yaml",
        "case 'the account': Object contains unknown field `expects`",
    ),
    "two bodies": (
        lambda a: a.case("a list that is gone")["exchanges"][0]["request"].update(text="Milk"),
        "cases/all.yaml",
        "one body at most, not json and text",
    ),
    "an answer that is given and lost": (
        lambda a: a.case("an item whose answer was lost")["exchanges"][0].update(response={"status": 200}),
        "cases/all.yaml",
        "a response or `lost`",
    ),
    "a success with a side effect": (
        lambda a: a.case("the account")["expect"].update(side_effect="none"),
        "cases/all.yaml",
        "belong to a failure",
    ),
    "a failure with an output": (
        lambda a: a.case("a list that is gone")["expect"].update(output=None),
        "cases/all.yaml",
        "a failure has no output",
    ),
    "a base URL without docs": (lambda a: drop_docs(a, "base_url"), "base_url", "has no docs"),
    "a kind of credential without docs": (lambda a: a.provider["auth"][1].pop("docs"), "auth.1", "has no docs"),
    "a quota without docs": (lambda a: drop_docs(a, "quotas"), "quotas.0", "has no docs"),
    "a success test without docs": (lambda a: drop_docs(a, "success"), "success", "has no docs"),
    "errors without docs": (lambda a: drop_docs(a, "errors"), "errors", "has no docs"),
    "a wait without docs": (lambda a: drop_docs(a, "retry_after"), "retry_after.0", "has no docs"),
    "docs that are no https URL": (
        lambda a: a.provider["quotas"][0].update(docs="http://acme.example"),
        "quotas.0",
        "not an https URL",
    ),
    "docs of an operation that are no URL": (
        lambda a: a.operations["items.list"]["paging"].update(docs="the wiki"),
        "paging",
        "not an https URL",
    ),
    "an operation without docs": (
        lambda a: a.operations["items.list"].pop("docs"),
        "operations/all.yaml",
        "items.list: docs: the URL of the provider's page is required",
    ),
    "a summary of two sentences": (
        lambda a: a.operations["items.list"].update(summary="List the items. All of them."),
        "items.list.summary",
        "is not one sentence",
    ),
    "a summary that does not end": (
        lambda a: a.operations["items.list"].update(summary="List the items"),
        "items.list.summary",
        "is not one sentence",
    ),
    "an input without description": (
        lambda a: a.operations["items.list"]["input"]["limit"].pop("description"),
        "items.list.input.limit",
        "has no description",
    ),
    "two cases of one name": (rename_case, "case 'the account'", "stands 2 times"),
    "an operation without a success": (
        lambda a: a.cases.remove(a.case("a new item, once the provider lets it")),
        "items.create",
        "no case of it succeeds",
    ),
    "a success without output": (
        lambda a: a.case("the last page").update(expect={}),
        "case 'the last page'",
        "says no output",
    ),
    "a rule that no answer meets": (
        lambda a: a.provider["errors"]["rules"].append({"reason": "PROVIDER_CONFLICT", "code": ["taken"]}),
        "errors.rules.2",
        "PROVIDER_CONFLICT",
    ),
    "a rule behind one that takes its answers": (
        lambda a: a.provider["errors"]["rules"].insert(0, {"reason": "PROVIDER_NOT_FOUND", "status": [404]}),
        "errors.rules.1",
        "before an earlier rule does",
    ),
    "a success test that nothing fails": (
        lambda a: a.case("a new item, once the provider lets it")["exchanges"][0].update(
            response={"status": 429, "json": {"error": "slow", "wait": 2500}}
        ),
        "success",
        "whose ok is not true",
    ),
    "an operation's own test that nothing fails": (
        lambda a: a.operations["items.create"].update(success={"path": "id", "equals": 1}),
        "items.create.success",
        "whose id is not 1",
    ),
    "a test that only another one's answer fails": (
        lambda a: a.operations["items.create"].update(success=[{"path": "ok", "equals": True}, FAULTS]),
        "items.create.success",
        "whose faults is not null",
    ),
    "a wait that no answer tells": (
        lambda a: a.provider["retry_after"].append({"unit": "seconds", "header": "x-wait", "docs": ACCOUNT_DOCS}),
        "retry_after.1",
        "x-wait in seconds",
    ),
    "pages without a next one": (
        lambda a: a.cases.remove(a.case("the first page")),
        "items.list.paging",
        "no case's answer tells a next page",
    ),
    "pages of which none is asked for": (
        lambda a: a.case("the last page").pop("cursor"),
        "items.list.paging",
        "no case asks for a further page",
    ),
    "pages that never end": (
        lambda a: a.cases.remove(a.case("the last page")),
        "items.list.paging",
        "no case's answer is the last page",
    ),
    "a bearer token that no case shows": (
        lambda a: unlist_credential(a, "the account", "headers"),
        "auth.0",
        "no case shows how bearer is sent",
    ),
    "a key that no case shows": (
        lambda a: unlist_credential(a, "the account by key", "query"),
        "auth.1",
        "no case shows how api_key is sent",
    ),
    "no verification": (lambda a: a.provider.pop("verify"), "verify", "no call shows"),
    "a verification that no case calls": (
        lambda a: a.provider["verify"].update(operation="items.list", input={"limit": 50}),
        "verify",
        "no case calls items.list",
    ),
    "a verification of a kind that no case calls with it": (
        lambda a: a.provider.update(verify_as={"api_key": {"operation": "items.list"}}),
        "verify_as.api_key",
        "no case calls items.list",
    ),
    "an account of a kind that no output names": (
        lambda a: a.provider.update(verify_as={"api_key": {"operation": "account.get", "account": "login"}}),
        "verify_as.api_key.account",
        "has login",
    ),
    "an account that no output names": (
        lambda a: a.provider["verify"].update(account="user"),
        "verify.account",
        "has user",
    ),
}
ACCOUNT_DOCS = "https://docs.acme.example/limits"


@pytest.mark.parametrize("name", STRUCTURE)
def test_a_mistake_in_the_folder_is_found_where_it_is(name: str, tmp_path: Path) -> None:
    """One mistake, one place, its rule, and what to do."""
    change, where, wrong = STRUCTURE[name]
    acme = Acme()
    change(acme)
    found = [finding for finding in findings(acme, tmp_path) if finding.where == where and not finding.note]
    assert any(wrong in finding.wrong and finding.todo for finding in found), findings(acme, tmp_path)


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ("/bottest-key/account", None),
        ("/account", "in a case with `auth: api_key` list path: /bottest-key/..."),
    ],
)
def test_a_key_in_the_path_is_shown_by_a_case(listed: str, told: str | None, tmp_path: Path) -> None:
    """Where it stands in what is sent; the other cases need not list it."""
    made = by_path()
    request_of(made, "the account by key").update(path=listed)
    assert [finding.todo for finding in findings(made, tmp_path) if not finding.note] == ([told] if told else [])


def fault(acme: Acme, operation: str, faults: object) -> None:
    """A case of the operation whose answer lists faults."""
    request = {"method": "GET", "path": acme.operations[operation]["path"]}
    answer = {"status": 200, "json": {"ok": True, "faults": faults}}
    exchange = {"request": request, "response": answer}
    told = {"reason": "PROVIDER_REJECTED"}
    acme.cases.append({"name": "faults", "operation": operation, "exchanges": [exchange], "expect": told})


def test_a_test_that_several_operations_have_is_proved_by_one_answer(tmp_path: Path) -> None:
    """Of the same path and value, whatever page says it of each; an empty list of faults proves nothing."""
    acme = Acme()
    acme.operations["account.get"]["success"] = FAULTS | {"docs": ACCOUNT_DOCS}
    acme.operations["items.list"]["success"] = [FAULTS]
    assert [finding.where for finding in findings(acme, tmp_path / "none") if not finding.note] == [
        "account.get.success"
    ]
    fault(acme, "items.list", ["no"])
    assert [finding for finding in findings(acme, tmp_path / "one") if not finding.note] == []
    acme.cases.pop()
    fault(acme, "items.list", [])
    wheres = [finding.where for finding in findings(acme, tmp_path / "empty") if not finding.note]
    assert wheres == ["cases/all.yaml: faults", "account.get.success"]


def test_a_rule_is_met_by_what_an_operations_own_test_says(tmp_path: Path) -> None:
    """Its code is at the paths of that test."""
    acme = Acme()
    acme.operations["items.list"]["success"] = FAULTS | {"code": ["faults.0"]}
    acme.provider["errors"]["rules"].append({"reason": "PROVIDER_CONFLICT", "code": ["odd"]})
    fault(acme, "items.list", ["odd"])
    acme.cases[-1]["expect"] = {"reason": "PROVIDER_CONFLICT", "provider_code": "odd"}
    assert [finding for finding in findings(acme, tmp_path) if not finding.note] == []


def request_of(acme: Acme, case: str = "a list that is gone") -> dict[str, object]:
    request: dict[str, object] = acme.case(case)["exchanges"][0]["request"]
    return request


def lead_away(acme: Acme, place: str) -> None:
    acme.operations["account.get"]["returns"] = "location"
    answer_of(acme, "the account", {"status": 302, "headers": {"Location": place}})


def answer_of(acme: Acme, case: str, response: dict[str, object]) -> None:
    acme.case(case)["exchanges"][0]["response"] = response


PLAYED: dict[str, tuple[str, Callable[[Acme], object], str]] = {
    "another method": ("a list that is gone", lambda a: request_of(a).update(method="PUT"), "method: expected PUT"),
    "another path": (
        "a list that is gone",
        lambda a: request_of(a).update(path="/lists/home work/items"),
        "path: expected /lists/home work/items, sent /lists/home%20work/items",
    ),
    "a query that is not sent": (
        "the account",
        lambda a: request_of(a, "the account").update(query={"full": "1"}),
        'query: expected {"full":"1"}, sent {}',
    ),
    "a query that is not expected": (
        "the first page",
        lambda a: request_of(a, "the first page").pop("query"),
        'query: expected {}, sent {"limit":"1"}',
    ),
    "another key in the query": (
        "the account by key",
        lambda a: request_of(a, "the account by key").update(query={"key": "other"}),
        "query: expected",
    ),
    "another header": (
        "the account",
        lambda a: request_of(a, "the account").update(headers={"Authorization": "Token test-token"}),
        "header authorization: expected Token test-token, sent Bearer test-token",
    ),
    "another body": (
        "a list that is gone",
        lambda a: request_of(a).update(json={"title": True}),
        'body: expected {"title":true}, sent {"title":"Milk"}',
    ),
    "a body of another kind": (
        "a list that is gone",
        lambda a: request_of(a).update(form={"json": str(request_of(a).pop("json"))}),
        "body: expected form, sent json",
    ),
    "a body that is not sent": (
        "the account",
        lambda a: request_of(a, "the account").update(json={}),
        "body: expected json, sent none",
    ),
    "an exchange left over": (
        "the account",
        lambda a: a.case("the account")["exchanges"].append({"request": ACCOUNT, "response": {"status": 200}}),
        "exchanges: 2 expected, only 1 sent",
    ),
    "an exchange too many": (
        "a new item, once the provider lets it",
        lambda a: a.case("a new item, once the provider lets it")["exchanges"].pop(),
        "exchanges: 1 expected, another was sent: POST",
    ),
    "another output": (
        "the last page",
        lambda a: a.case("the last page")["expect"].update(output={"ok": True, "items": []}),
        "output: expected",
    ),
    "success in place of a failure": (
        "the account",
        lambda a: a.case("the account").update(expect={"reason": "BUG"}),
        "outcome: expected BUG, got success",
    ),
    "a failure in place of success": (
        "a list that is gone",
        lambda a: a.case("a list that is gone").update(expect={}),
        "outcome: expected success, got PROVIDER_NOT_FOUND",
    ),
    "a redirect in place of success": (
        "the account",
        lambda a: answer_of(a, "the account", {"status": 302, "headers": {"location": "/a.zip"}}),
        "it is not followed; an operation that is answered so says `returns: location`",
    ),
    "an empty answer in place of success": (
        "the account",
        lambda a: answer_of(a, "the account", {"status": 200}),
        "the answer is empty; an operation that is answered so says `returns: nothing`",
    ),
    "a page in place of success": (
        "the account",
        lambda a: answer_of(a, "the account", {"status": 200, "text": "<html>"}),
        "but its body is not JSON",
    ),
    "another place": (
        "the account",
        lambda a: lead_away(a, "/a.zip"),
        'output: expected {"login":"anna","ok":true}, got {"location":"https://server.example/a.zip"}',
    ),
    "another cursor": (
        "the first page",
        lambda a: a.case("the first page")["expect"].update(next_cursor="c"),
        "next_cursor: expected c, got b",
    ),
    "a cursor that is not expected": (
        "the first page",
        lambda a: a.case("the first page")["expect"].pop("next_cursor"),
        "next_cursor: expected None, got b",
    ),
    "a wait that is not slept": (
        "a new item, once the provider lets it",
        lambda a: a.case("a new item, once the provider lets it")["expect"].update(waits=[2]),
        "waits: expected [2.0], slept [2.5]",
    ),
    "an operation that is not there": (
        "the last page",
        lambda a: a.case("the last page").update(operation="items.all"),
        "there is no operation 'items.all'",
    ),
    "a kind of credential that is not there": (
        "the last page",
        lambda a: a.case("the last page").update(auth="basic"),
        "the manifest has no auth kind 'basic'",
    ),
    **{
        f"another {name}": (
            "a list that is gone",
            lambda a, name=name, value=value: a.case("a list that is gone")["expect"].update({name: value}),  # type: ignore[misc]  # a default binds the loop's value
            f"{name}: expected",
        )
        for name, value in {
            "reason": "PROVIDER_CONFLICT",
            "side_effect": "done",
            "provider_code": "missing",
            "retry_after_ms": 1000,
            "detail": "no such words",
            "hint": "no such words",
        }.items()
    },
}


@pytest.mark.parametrize("name", PLAYED)
def test_a_case_that_does_not_come_out_as_it_says_is_found(name: str, tmp_path: Path) -> None:
    """The case is named, with what was expected and what was got."""
    case, change, wrong = PLAYED[name]
    acme = Acme()
    change(acme)
    found = [finding.wrong for finding in findings(acme, tmp_path) if finding.where == f"cases/all.yaml: {case}"]
    assert any(wrong in text for text in found), found


@pytest.mark.parametrize(
    ("returns", "response"),
    [
        ("json", {"status": 301, "headers": {"location": "/account/"}}),
        ("location", {"status": 308, "headers": {"location": "/account/"}}),
        ("json", {"status": 302}),
        ("nothing", {"status": 200}),
        ("json", {"status": 403}),
    ],
)
def test_no_case_is_told_what_would_not_help(tmp_path: Path, returns: str, response: dict[str, object]) -> None:
    """What has moved is no answer, whatever the operation says; one that says it already need not be told."""
    acme = Acme()
    acme.operations["account.get"]["returns"] = returns
    answer_of(acme, "the account", response)
    (found,) = [finding.wrong for finding in findings(acme, tmp_path) if finding.where.endswith(": the account")]
    assert "expected success, got" in found
    assert "`returns:" not in found


def test_a_case_proves_where_an_answer_leads(tmp_path: Path) -> None:
    """A redirect that is the documented answer, as the output tells it; the folder has no other finding for it."""
    acme = Acme()
    acme.operations["items.zip"] = acme.operations["account.get"] | {"path": "/zip", "returns": "location"}
    exchange = {
        "request": {"method": "GET", "path": "/zip"},
        "response": {"status": 302, "headers": {"Location": "../a.zip?sig=1"}},
    }
    output = {"location": "https://server.example/a.zip?sig=1"}
    acme.cases.append(
        {"name": "a zip", "operation": "items.zip", "exchanges": [exchange], "expect": {"output": output}}
    )
    assert [finding for finding in findings(acme, tmp_path) if not finding.note] == []


def test_a_hook_that_raises_is_found_by_its_case(tmp_path: Path) -> None:
    """A defect of a hook is a failure of the case, not of the check: told with its place and what it raised."""
    acme = Acme()
    acme.operations["account.get"]["hooks"] = {"output": "shape"}
    place = acme.write(tmp_path)
    (place / "hooks.py").write_text("def shape(body):\n    return body['nothing']\n")
    found = [finding.wrong for finding in check_provider(place, FORMATS) if "the account" in finding.where]
    assert f"hook shape of provider acme failed: KeyError: 'nothing' ({place}/hooks.py, line 2)" in found
    assert not any("its log" in wrong for wrong in found)


def test_what_an_output_hook_gives_must_be_json(tmp_path: Path) -> None:
    """Else the case says what cannot be written."""
    acme = Acme()
    acme.operations["account.get"]["hooks"] = {"output": "shape"}
    place = acme.write(tmp_path)
    (place / "hooks.py").write_text("def shape(body):\n    return object()\n")
    found = [finding.wrong for finding in check_provider(place, FORMATS) if "the account" in finding.where]
    assert any("got BUG: TypeError: Encoding objects of type object is unsupported" in wrong for wrong in found)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def told(status, headers, body):\n    return body['nothing']\n", "KeyError: 'nothing'"),
        (
            "from sidecar.provider import Explained\ndef told(status, headers, body):\n    return Explained(code=5)\n",
            "ValidationError: Expected `str | null`, got `int` - at `$.code`",
        ),
    ],
)
def test_an_explain_hook_that_fails_is_found_by_its_case(tmp_path: Path, code: str, told: str) -> None:
    """Also where the manifest's paths say the same: its author meant it to be asked."""
    acme = Acme()
    acme.provider["hooks"] = {"explain": "told"}
    place = acme.write(tmp_path)
    (place / "hooks.py").write_text(code)
    found = [finding.wrong for finding in check_provider(place, FORMATS) if "a list that is gone" in finding.where]
    assert [
        wrong for wrong in found if wrong.startswith(f"hook told of provider acme failed: {told} ({place}/hooks.py")
    ]


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    """A wrong path is a finding with the path, not an exception."""
    (found,) = check_provider(tmp_path / "nothing", FORMATS)
    assert found.where == "provider.yaml"
    assert "cannot be read" in found.wrong
