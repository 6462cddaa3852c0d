"""Loading is strict: a mistake is told before anything is served, with the file, the key and the rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar.catalogue.load import load_catalogue, load_provider
from sidecar.catalogue.read import ManifestError
from sidecar.model import Access
from tests.build import CREATE_ITEM, FORMATS, GET_ITEM, OPERATIONS, provider, write_provider


def mistake(folder: Path, **made: Any) -> str:
    """What the loader says about a provider made so."""
    place = write_provider(folder, **made)
    with pytest.raises(ManifestError) as told:
        load_provider(place, FORMATS)
    text = str(told.value)
    assert str(place) in text
    return text.replace(f"{place}/", "")


def test_a_provider_is_loaded_whole(tmp_path: Path) -> None:
    """Operations with their parameters, schema and hooks; the raw request where the manifest says so."""
    code = "def shape(values):\n    return values\n\ndef told(status, headers, body):\n    return None\n"
    operations = {"items.get": GET_ITEM | {"hooks": {"input": "shape"}}, "items.create": CREATE_ITEM}
    place = write_provider(tmp_path, operations=operations, code=code, raw={}, hooks={"explain": "told"})
    loaded = load_provider(place, FORMATS)
    assert list(loaded.operations) == ["items.get", "items.create", "http.get", "http.request"]
    assert loaded.operations["items.get"].access is Access.READ
    assert loaded.operations["items.get"].input_hook is not None
    assert loaded.operations["http.request"].raw
    assert loaded.explain is not None
    assert loaded.operations["items.create"].input_schema == {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "additionalProperties": False,
        "required": ["title"],
    }


def test_without_raw_there_is_no_raw_request() -> None:
    """It is switched on, not off."""
    assert set(provider().operations) == set(OPERATIONS)


def test_objects_that_list_their_properties_are_closed() -> None:
    """At every depth, unless they say otherwise: a misspelt field is found wherever it stands."""
    inner = {"type": "object", "properties": {"a": {"type": "string"}}}
    fields = {
        "one": {"in": "body", **inner},
        "many": {"in": "body", "type": "array", "items": inner},
        "either": {"in": "body", "anyOf": [inner, {"type": "string"}]},
        "open": {"in": "body", **inner, "additionalProperties": True},
        "map": {"in": "body", "type": "object", "additionalProperties": inner},
        "free": {"in": "body", "type": "object"},
    }
    made = provider(operations={"items.do": CREATE_ITEM | {"input": fields, "required": []}}).operations["items.do"]
    assert not list(made.problems({"open": {"b": 1}, "free": {"b": 1}, "map": {"x": {"a": ""}}}))
    for wrong in ({"one": {"b": 1}}, {"many": [{"b": 1}]}, {"either": {"b": 1}}, {"map": {"x": {"b": 1}}}):
        assert list(made.problems(wrong))


# --- the digest ------------------------------------------------------------------------------------------------------


def test_the_digest_is_of_every_byte_that_was_read(tmp_path: Path) -> None:
    """The same files anywhere give the same digest; a space more gives another."""
    here = load_provider(write_provider(tmp_path / "a", code="x = 1\n"), FORMATS).digest
    place = write_provider(tmp_path / "b", code="x = 1\n")
    assert load_provider(place, FORMATS).digest == here
    for file in ("provider.yaml", "operations/all.yaml", "hooks.py"):
        before = (place / file).read_text()
        (place / file).write_text(before + " \n")
        assert load_provider(place, FORMATS).digest != here
        (place / file).write_text(before)
    assert load_provider(place, FORMATS).digest == here


def test_a_catalogue_has_one_digest_whatever_the_order_of_folders(tmp_path: Path) -> None:
    """Two sidecars that serve the same say the same."""
    one, two = tmp_path / "1", tmp_path / "2"
    write_provider(one, name="one")
    write_provider(two, name="two")
    assert load_catalogue([one, two], FORMATS).digest == load_catalogue([two, one], FORMATS).digest
    assert load_catalogue([one], FORMATS).digest != load_catalogue([two], FORMATS).digest


def test_a_name_in_two_folders_is_a_mistake(tmp_path: Path) -> None:
    """Nobody could say which one serves; both places are named."""
    first, second = write_provider(tmp_path / "1"), write_provider(tmp_path / "2")
    with pytest.raises(ManifestError) as told:
        load_catalogue([tmp_path / "1", tmp_path / "2"], FORMATS)
    assert str(first) in str(told.value)
    assert str(second) in str(told.value)


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    """A misspelt SIDECAR_CONNECTORS does not serve less in silence."""
    with pytest.raises(ManifestError, match="nowhere: is not a folder of providers"):
        load_catalogue([tmp_path / "nowhere"], FORMATS)


def test_a_folder_without_providers_is_told(tmp_path: Path) -> None:
    """Also when it is the folder of one provider: then its parent was meant."""
    with pytest.raises(ManifestError, match=r"holds no <name>/provider.yaml$"):
        load_catalogue([tmp_path], FORMATS)
    with pytest.raises(ManifestError, match="name its parent"):
        load_catalogue([write_provider(tmp_path)], FORMATS)


# --- reading ---------------------------------------------------------------------------------------------------------


OAUTH = {"kind": "oauth2", "authorize_url": "https://acme.example/a", "token_url": "https://acme.example/t"}


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"quota": []}, "provider.yaml: Object contains unknown field `quota`"),
        ({"format": 2}, "provider.yaml: format: Invalid enum value 2"),
        ({"auth": [{"kind": "magic"}]}, "provider.yaml: auth[0].kind: Invalid value 'magic'"),
        (
            {"auth": [{"kind": "bearer", "prefix": "x"}]},
            "provider.yaml: auth[0]: Object contains unknown field `prefix`",
        ),
        ({"auth": [{"kind": "api_key", "place": "body", "name": "x"}]}, "provider.yaml: auth[0].place: Invalid enum"),
        ({"base_url": {"url": "https://x.example"}}, "provider.yaml: base_url: Object missing required field `kind`"),
        (
            {"auth": [OAUTH | {"scopes": {"a": ["x"], "https://acme.example/b.c": ["x", 1], "d": [2]}}]},
            "provider.yaml: auth[0].scopes.https://acme.example/b.c[1]: Expected `str`, got `int`",
        ),
        ({"headers": {"a": "b", "c": 1}}, "provider.yaml: headers.c: Expected `str`, got `int`"),
        ({"verify_as": {"bearer": {"op": 1}}}, "provider.yaml: verify_as.bearer: Object contains unknown field `op`"),
        ({"version": 1}, "provider.yaml: version: Expected `str`, got `int`"),
        (
            {"quotas": [{"name": "a", "scope": "app", "concurrency": "1"}]},
            "provider.yaml: quotas[0].concurrency: Expected",
        ),
        ({"errors": {"rules": [{"reason": "NO_SUCH"}]}}, "provider.yaml: errors.rules[0].reason: Invalid enum value"),
        ({"retry_after": [{"unit": "weeks", "header": "x"}]}, "provider.yaml: retry_after[0].unit: Invalid enum value"),
    ],
)
def test_a_wrong_manifest_names_its_key(tmp_path: Path, facts: dict[str, Any], told: str) -> None:
    """Unknown key, wrong type, wrong word, missing key: the path to it, as it is written in the file."""
    assert told in mistake(tmp_path, **facts)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"acess": "read"}, "items.do: Object contains unknown field `acess`"),
        ({"access": "both"}, "items.do.access: Invalid enum value 'both'"),
        ({"method": "FETCH"}, "items.do.method: Invalid enum value 'FETCH'"),
        ({"input": {"id": {"in": "cookie"}}}, "items.do.input.id.in: Invalid enum value 'cookie'"),
        ({"input": {"id": {"in": "path", "typ": "string"}}}, "items.do.input.id: Object contains unknown field `typ`"),
        ({"input": {"id": {"type": "string"}}}, "items.do.input.id: Object missing required field `in`"),
        ({"input": {"id": {"in": "path", "items": {"typo": 1}}}}, "items.do.input.id.items: Object contains unknown"),
        (
            {
                "input": {
                    "a": {"in": "query"},
                    "b": {"in": "query", "anyOf": [{"properties": {"c": {}, "d": {"x": 1}}}]},
                }
            },
            "items.do.input.b.anyOf[0].properties.d: Object contains unknown field `x`",
        ),
        (
            {"fixed": {"query": {"a": 1, "b": {}}}},
            "items.do.fixed.query.b: Expected `bool | int | float | str | array`",
        ),
        ({"fixed": {"query": {"a": [1, []]}}}, "items.do.fixed.query.a[1]: Expected `bool | int | float | str`, got"),
        ({"input": {"id": None}}, "items.do.input.id: Expected `object`, got `null`"),
        ({"input": []}, "items.do.input: Expected `object`, got `array`"),
        ({"paging": {"kind": "guess"}}, "items.do.paging.kind: Invalid value 'guess'"),
        ({"returns": "xml"}, "items.do.returns: Invalid enum value 'xml'"),
    ],
)
def test_a_wrong_operation_names_its_key(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    """Operation, input, key."""
    text = mistake(tmp_path, operations={"items.do": GET_ITEM | change})
    assert text.startswith("operations/all.yaml: ")
    assert told in text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x {k: [1, 1.5]}\nb: *x\n", {"a": {"k": [1, 1.5]}, "b": {"k": [1, 1.5]}}),
        ("a: no\nb: 2026-11-21\nc: true\nd: 'true'\n", {"a": "no", "b": "2026-11-21", "c": True, "d": "true"}),
        ("<<: {a: 1}\n=: 1\n", {"<<": {"a": 1}, "=": 1}),
        ("a:\nb: ''\nc: ~\nd: |\n  x\n", {"a": None, "b": "", "c": None, "d": "x\n"}),
    ],
    ids=["an alias", "words", "merge", "nothing"],
)
def test_yaml_says_what_stands_there(text: str, value: object) -> None:
    """None of YAML 1.1's surprises, and what stands there once may be meant again."""
    assert FORMATS.read_yaml(text) == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1\n", "line 2:"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "line 4: key 'c' stands twice"),
        ("\tformat: 1\n", "line 1:"),
        ("a: !!python/object:os.system {}\n", "line 1:"),
        ("? [a, b]\n: 1\n", "line 1:"),
        ("? {a: b}\n: 1\n", "line 1:"),
        ("a: *nobody\n", "line 1:"),
        ("a: &a [*a]\n", "line 1: is nested more than 100 levels deep, or holds itself"),
        ("a: !!map [1]\n", "line 1: !!map is no tag for a list"),
        ("- a\n", "Expected `object`, got `array`"),
        ("", "Expected `object`, got `null`"),
        ("just text\n", "Expected `object`, got `str`"),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_a_manifest_that_is_no_yaml_names_the_line(tmp_path: Path, text: str, told: str) -> None:
    """Whatever stands in the file: one kind of error, with the place."""
    place = write_provider(tmp_path)
    (place / "provider.yaml").write_text(text)
    with pytest.raises(ManifestError) as error:
        load_provider(place, FORMATS)
    assert str(error.value).startswith(f"{place}/provider.yaml: ")
    assert told in str(error.value)


def test_a_file_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    """By its name."""
    place = write_provider(tmp_path)
    (place / "operations" / "more.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ManifestError, match=r"more\.yaml: cannot be read: .*utf-8"):
        load_provider(place, FORMATS)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("cases/more.yml", "rename to more.yaml"),
        ("operations/all.yml", "rename to all.yaml"),
        ("operations/more.YAML", "rename to more.yaml"),
        ("operations/more.json", "rename to more.yaml"),
        ("operations/items/more.yaml", "operations stand in operations/*.yaml, cases in cases/*.yaml"),
        ("more.yaml", "operations stand in operations/*.yaml, cases in cases/*.yaml"),
        ("case/more.yaml", "operations stand in operations/*.yaml, cases in cases/*.yaml"),
        ("provider.yml", "rename to provider.yaml"),
    ],
)
def test_a_file_that_would_not_be_read_is_told(tmp_path: Path, file: str, told: str) -> None:
    """What its author wrote there would be missing in silence."""
    place = write_provider(tmp_path)
    (place / file).parent.mkdir(parents=True, exist_ok=True)
    (place / file).write_text("{}")
    with pytest.raises(ManifestError) as error:
        load_provider(place, FORMATS)
    assert str(error.value) == f"{place}/{file}: is not read: {told}"


@pytest.mark.parametrize("file", ["README.md", "hooks.py", ".vscode/settings.json", "operations/.all.yaml.swp"])
def test_other_files_are_nobodys_business(tmp_path: Path, file: str) -> None:
    """Notes, and what an editor keeps for itself."""
    place = write_provider(tmp_path)
    (place / file).parent.mkdir(parents=True, exist_ok=True)
    (place / file).write_text("")
    assert load_provider(place, FORMATS).name == "acme"


@pytest.mark.parametrize("file", ["provider.yml", "provider.json"])
def test_a_provider_that_would_not_be_served_is_told(tmp_path: Path, file: str) -> None:
    """Also among others that are: it is not left out in silence."""
    write_provider(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / file).write_text("{}")
    with pytest.raises(ManifestError, match=rf"other/{file}: is not read: rename to provider\.yaml"):
        load_catalogue([tmp_path], FORMATS)


def test_operations_are_a_mapping(tmp_path: Path) -> None:
    """A list of operations has no names."""
    place = write_provider(tmp_path)
    (place / "operations" / "more.yaml").write_text("- access: read\n")
    with pytest.raises(ManifestError, match=r"more\.yaml: must be a mapping of operation name to operation"):
        load_provider(place, FORMATS)


def test_an_operation_in_two_files_is_a_mistake(tmp_path: Path) -> None:
    """Both files are named."""
    place = write_provider(tmp_path)
    (place / "operations" / "more.yaml").write_text((place / "operations" / "all.yaml").read_text())
    with pytest.raises(ManifestError, match=r"more\.yaml: items\.get: stands in all\.yaml too"):
        load_provider(place, FORMATS)


# --- a provider as a whole -------------------------------------------------------------------------------------------

RULE = {"reason": "PROVIDER_NOT_FOUND", "status": [400]}


def login(url: str) -> dict[str, Any]:
    """A manifest whose logins are sent to this URL."""
    request = {"url": url, "body": {"user": "user", "password": "password"}}
    return {"auth": [{"kind": "login", "fields": ["user", "password"], "secret": ["password"], "login": request}]}


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (login("/in/{nobody}"), "auth.login.login.url: {nobody} must be one of fields, and no secret"),
        (login("/in/{password}"), "auth.login.login.url: {password} must be one of fields, and no secret"),
        (login("https://{user}.acme.example/in"), "auth.login.login.url: a credential does not say which host"),
        ({"docs": None}, "docs: the provider's documentation URL is required"),
        ({"auth": []}, "auth: name at least one kind"),
        ({"auth": [{"kind": "bearer"}, {"kind": "bearer"}]}, "auth: kind bearer stands twice"),
        ({"auth": [{"kind": "api_key", "place": "header", "name": "X Key"}]}, "auth.api_key: 'X Key' is not a"),
        ({"auth": [{"kind": "api_key", "place": "header", "name": "Host"}]}, "auth.api_key: the header host is ours"),
        ({"base_url": {"kind": "fixed", "url": "api.acme.example"}}, "base_url.url: "),
        ({"base_url": {"kind": "fixed", "url": "https://x.example/?a=b"}}, "base_url.url: "),
        ({"base_url": {"kind": "self_hosted", "default": "https://u:p@x.example"}}, "base_url.default: "),
        (
            {"base_url": {"kind": "self_hosted", "path": "api"}},
            "base_url.path: 'api' must be empty, or start with / and",
        ),
        ({"base_url": {"kind": "self_hosted", "path": "/api/"}}, "base_url.path: '/api/' must be empty, or start"),
        # Without the dot, `evil` and `zendesk.com` make evilzendesk.com, which is somebody else's.
        (
            {"base_url": {"kind": "subdomain", "suffix": "zendesk.com"}},
            "base_url.suffix: 'zendesk.com' must start with a dot",
        ),
        ({"base_url": {"kind": "subdomain", "suffix": ".com"}}, "base_url.suffix: '.com' must start with a dot"),
        (
            {"base_url": {"kind": "subdomain", "suffix": ".a.com/x"}},
            "base_url.suffix: '.a.com/x' must start with a dot",
        ),
        ({"base_url": {"kind": "subdomain", "suffix": ".a.com", "path": "x"}}, "base_url.path: 'x' must be empty, or"),
        ({"headers": {"Authorization": "x"}}, "headers: the header authorization is ours"),
        ({"headers": {"X-A": "a\nb"}}, "headers: the value of X-A is not printable ASCII"),
        ({"headers": {"X A": "b"}}, "headers: 'X A' is not a header's name"),
        ({"idempotency": {}}, "idempotency: name a header or a query parameter, one of them"),
        ({"idempotency": {"header": "K", "query": "k"}}, "idempotency: name a header or a query parameter"),
        ({"idempotency": {"header": "Authorization"}}, "idempotency.header: the header authorization is ours"),
        ({"idempotency": {"query": "a&b"}}, "idempotency.query: 'a&b' is not a parameter's name"),
        (
            {"idempotency": {"header": "K", "operations": ["items.get"]}},
            "idempotency.operations: 'items.get' fits no write operation",
        ),
        ({"raw": {"headers": ["Accept"]}}, "raw.headers: 'Accept' must be in lower case"),
        ({"raw": {"headers": ["host"]}}, "raw.headers: the header host is ours"),
        ({"raw": {"headers": ["cookie"]}}, "raw.headers: the header cookie is ours"),
        ({"raw": {"headers": ["transfer-encoding"]}}, "raw.headers: the header transfer-encoding is ours"),
        ({"raw": {"closed": ["login"]}}, "raw.closed: 'login' must start with / or *"),
        ({"verify": {"operation": "nobody"}}, "verify.operation: there is no operation 'nobody'"),
        ({"verify": {"operation": "items.create"}}, "verify.operation: items.create is a write"),
        (
            {"verify_as": {"bearer": {"operation": "nobody"}}},
            "verify_as.bearer.operation: there is no operation 'nobody'",
        ),
        ({"verify_as": {"login": {"operation": "items.list"}}}, "verify_as.login: auth has no such kind"),
        ({"verify": {"operation": "items.get"}}, "verify.input: /id is required"),
        ({"verify": {"operation": "items.get", "input": {"id": "1", "di": 1}}}, "verify.input: /di is not a field"),
        ({"quotas": [{"name": "a", "scope": "app"}]}, "quotas.a: says no figure"),
        ({"retry_after": [{"unit": "seconds"}]}, "retry_after.0: name a header or a path, one of them"),
        ({"retry_after": [{"unit": "seconds", "header": "a", "path": "b"}]}, "retry_after.0: name a header or a path"),
        ({"success": {"path": "a..b", "equals": 1}}, "success.path: 'a..b' is no path: a name in it is empty"),
        (
            {"success": {"path": "a.*.b", "equals": 1}},
            "success.equals: at a path with * stands a list, which equals no",
        ),
        ({"errors": {"rules": [{"reason": "PROVIDER_NOT_FOUND"}]}}, "errors.rules.0: matches every answer"),
        # A failure before sending is retried for writes too: an answer must not be called one.
        ({"errors": {"rules": [RULE | {"reason": "CONNECT_FAILED"}]}}, "errors.rules.0.reason: CONNECT_FAILED is not"),
        (
            {"errors": {"rules": [RULE | {"reason": "BUG"}]}},
            "errors.rules.0.reason: BUG is not what an answer can mean",
        ),
        ({"max_response_bytes": 0}, "max_response_bytes: must be above 0"),
        ({"hooks": {"explain": "nobody"}}, "hooks: there is no function 'nobody' in hooks.py"),
    ],
)
def test_a_provider_that_makes_no_sense_is_told(tmp_path: Path, facts: dict[str, Any], told: str) -> None:
    """What the form allows and no provider can mean, with the key and the rule."""
    text = mistake(tmp_path, **facts)
    assert text.startswith("provider.yaml: ")
    assert told in text


def test_a_name_is_the_folders_name(tmp_path: Path) -> None:
    """And a word of a subject."""
    place = write_provider(tmp_path)
    place.rename(tmp_path / "other")
    with pytest.raises(ManifestError, match="name: 'acme' must be the folder's name, 'other'"):
        load_provider(tmp_path / "other", FORMATS)
    assert "name: 'Ac-me' must be a lower-case word" in mistake(tmp_path, name="Ac-me")


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """An author mends a file once."""
    lines = mistake(tmp_path, docs=None, auth=[], max_response_bytes=0).splitlines()
    assert len(lines) == 3
    assert all(line.startswith("provider.yaml: ") for line in lines)


# --- an operation ----------------------------------------------------------------------------------------------------

IN_PATH = {"in": "path", "type": "string"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"docs": None}, "docs: the URL of the provider's page is required"),
        ({"path": "items/{id}"}, "path: 'items/{id}' must start with /"),
        ({"path": "/items/{id}?x=1"}, "path: '/items/{id}?x=1' must start with /"),
        ({"path": "/items/{id}#x"}, "path: '/items/{id}#x' must start with /"),
        ({"path": "/items/{id}/../x"}, "path: '/items/{id}/../x' must start with /"),
        ({"path": "/items/{id} "}, "path: '/items/{id} ' must start with /"),
        ({"path": "//evil.example/{id}"}, "path: '//evil.example/{id}' must start with /"),
        ({"path": "/items//{id}"}, "no query, no segment that is empty, . or .."),
        ({"path": "/items/{id}/."}, "no query, no segment that is empty, . or .."),
        ({"path": "/items/{id}/{other}"}, "path: {other} has no input with `in: path`"),
        ({"path": "/items"}, "input.id: `in: path`, but the path has no {id}"),
        ({"required": []}, "required: must list id, which is part of the path"),
        ({"required": ["id", "nobody"]}, "required: there is no input 'nobody'"),
        ({"input": {"id": IN_PATH, "a": {"in": "header", "name": "Host"}}}, "input.a: the header host is ours"),
        ({"input": {"id": IN_PATH, "a": {"in": "header", "name": "a b"}}}, "input.a: 'a b' is not a header's name"),
        ({"fixed": {"header": {"Authorization": "x"}}}, "fixed.header: the header authorization is ours"),
        (
            {"input": {"id": IN_PATH, "a": {"in": "query", "style": "segments"}}},
            "input.a.style: segments is for a path",
        ),
        ({"input": {"id": IN_PATH | {"style": "json"}}}, "input.id.style: json is not for a path"),
        ({"input": {"id": IN_PATH, "a": {"in": "body"}}}, "method: GET carries no body"),
        ({"fixed": {"body": {"a": 1}}}, "method: GET carries no body"),
        ({"returns": "nothing", "output": "a"}, "output: an operation that returns nothing has none"),
        ({"returns": "bytes", "output": "a"}, "output: an operation that returns bytes has none"),
        ({"returns": "bytes", "paging": {"kind": "link"}}, "paging: an operation that returns bytes has none"),
        ({"returns": "nothing", "hooks": {"output": "x"}}, "hooks.output: an operation that returns nothing has none"),
        ({"look_up": "nobody"}, "look_up: 'nobody' is not a read operation of this provider"),
        ({"look_up": "items.create"}, "look_up: 'items.create' is not a read operation of this provider"),
        ({"hooks": {"output": "nobody"}}, "hooks: there is no function 'nobody' in hooks.py"),
        ({"input": {"id": IN_PATH | {"type": "strin"}}}, "items.do: input.id.type: 'strin' is none of string, integer"),
        ({"input": {"id": IN_PATH | {"pattern": "("}}}, "items.do.input.id.pattern: "),
        ({"input": {"id": IN_PATH | {"minLength": -1}}}, "items.do.input.id.minLength: -1 is less than"),
        ({"input": {"id": IN_PATH, "x": {"in": "none"}}}, "input.x: `in: none`, but no input hook and no other input"),
        (
            {"input": {"id": IN_PATH, "call_id": {"in": "query"}}, "hooks": {"input": "shape"}},
            "input.call_id: is the call's own id to the input hook",
        ),
    ],
)
def test_an_operation_that_makes_no_sense_is_told(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    """What would fail or be ignored when an agent calls it is told when it is loaded."""
    text = mistake(tmp_path, operations={"items.do": GET_ITEM | change, "items.create": CREATE_ITEM})
    assert told in text
    assert "items.do" in text


def test_a_placeholder_that_is_none_is_the_one_finding(tmp_path: Path) -> None:
    """The provider's own word is renamed, and that is all that is wrong with `/{AccountSid}.json`."""
    change = {"path": "/a/{AccountSid}.json", "input": {"AccountSid": IN_PATH}, "required": ["AccountSid"]}
    text = mistake(tmp_path, operations={"items.do": GET_ITEM | change})
    assert text == "operations/all.yaml: items.do: path: {AccountSid}: a placeholder is a word of [a-z0-9_]"


def test_a_path_may_have_a_dot() -> None:
    """`/items/{id}.json` is one, and a placeholder has the name that its input has for the provider."""
    change = {"path": "/items/{item}.json", "input": {"id": IN_PATH | {"name": "item"}}}
    assert "items.do" in provider(operations={"items.do": GET_ITEM | change}).operations


BODY = {"in": "body"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"input": {"a": {"in": "content"}, "b": {"in": "content"}}}, "input: one `in: content` is the whole body"),
        ({"input": {"a": {"in": "content"}, "b": BODY}}, "input: one `in: content` is the whole body"),
        (
            {"input": {"a": {"in": "content"}}, "fixed": {"body": {"x": 1}}},
            "input: one `in: content` is the whole body",
        ),
        ({"input": {"a": BODY}, "encoding": "form", "wrap": "x"}, "wrap: only a JSON body can be wrapped"),
        ({"input": {"a": BODY}, "encoding": "raw"}, "encoding: raw takes its body from one `in: content`"),
        ({"input": {"a": BODY | {"fileName": "b"}}}, "input.a.fileName: there is no input 'b'"),
        ({"input": {"a": BODY | {"nameFrom": "b"}, "b": {"in": "none"}}}, "input.a.nameFrom: 'b' must be a required"),
        ({"input": {"a": BODY | {"name": "x"}, "b": BODY | {"name": "x.y"}}}, "input.b: x.y lies inside of x"),
        ({"input": {"a": BODY | {"name": "x.y"}, "b": BODY | {"name": "x"}}}, "input.a: x.y lies inside of x"),
        ({"input": {"a": BODY | {"name": "x"}, "b": BODY | {"name": "x"}}}, "input.b: x is written by input.a too"),
        ({"input": {"a": BODY | {"name": "x.y"}}, "fixed": {"body": {"x": 1}}}, "input.a: x.y lies inside of x"),
        (
            {
                "access": "read",
                "input": {"a": BODY},
                "encoding": "form",
                "paging": {"kind": "cursor", "path": "n", "name": "c", "place": "body"},
            },
            "paging: a cursor goes into the body of a JSON request only",
        ),
    ],
)
def test_a_body_that_makes_no_sense_is_told(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    """Two values for one place, a part inside a value, an encoding that cannot hold it."""
    assert told in mistake(tmp_path, operations={"items.do": CREATE_ITEM | {"required": []} | change})


@pytest.mark.parametrize(
    "name",
    [
        "Items.do",
        "items-do",
        "items..do",
        ".do",
        "do.",
        "",
        "items.do it",
        "http.get",
        "body.put",
        "result.get",
        "1.do",
    ],
)
def test_an_operation_has_a_name_for_a_subject(tmp_path: Path, name: str) -> None:
    """Lower-case words and dots; what every provider has cannot be named again."""
    text = mistake(tmp_path, operations={name: GET_ITEM})
    assert "is not a name for an operation" in text


# --- hooks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def f(:\n", "hooks.py: SyntaxError"),
        ("1 / 0\n", "hooks.py: ZeroDivisionError"),
        ("import nobody_has_this\n", "hooks.py: ModuleNotFoundError"),
        ("raise SystemExit(3)\n", "hooks.py: SystemExit"),
        ("told = 1\n", "hooks: there is no function 'told' in hooks.py"),
    ],
)
def test_hooks_that_do_not_load_are_told(tmp_path: Path, code: str, told: str) -> None:
    """With the file and the error's own words; a hook cannot end the process."""
    assert told in mistake(tmp_path, code=code, hooks={"explain": "told"})


def test_hooks_of_two_providers_do_not_meet(tmp_path: Path) -> None:
    """Each has a module of its own, whatever its functions are called."""
    for name in ("one", "two"):
        operations = {"items.get": GET_ITEM | {"hooks": {"output": "shape"}}}
        write_provider(tmp_path, name=name, operations=operations, code=f"def shape(body):\n    return {name!r}\n")
    catalogue = load_catalogue([tmp_path], FORMATS)
    for name in ("one", "two"):
        hook = catalogue.providers[name].operations["items.get"].output_hook
        assert hook is not None
        assert hook(None) == name
