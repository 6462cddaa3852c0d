"""`connectors/README.md` is true: its example passes the check and serves calls, its tables are the structs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import anyio
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sidecar import kinds, manifest
from sidecar.adapters.address import bind
from sidecar.adapters.http1_sender import Http1Sender
from sidecar.adapters.json_schema import compile_schema
from sidecar.adapters.system import SystemClock, SystemRandom
from sidecar.adapters.uvicorn_listener import listener
from sidecar.adapters.yaml_file import read_yaml
from sidecar.app import provider_folders_of
from sidecar.catalogue.load import load_catalogue
from sidecar.core.egress import parse_allow
from sidecar.credential import Credential
from sidecar.execute import Executor
from sidecar.model import Access, Call, Failure, Reason, Success, TraceContext
from sidecar.ports import Formats
from sidecar.run import Limits, Name
from sidecar.sandbox import case
from sidecar.sandbox.check import check_provider
from sidecar.sandbox.lone import lone_quotas
from sidecar.sandbox.play import Stored
from sidecar.sandbox.scripted import EventLog, FixedRandom
from sidecar.secret import Secret
from sidecar.settings import load_settings
from sidecar.wire.request import call_id_at, decode_cursor

README = Path(__file__).parents[2] / "connectors" / "README.md"
FORMATS = Formats(read_yaml, compile_schema)
FILE = re.compile(r"^`(my-connectors/[^`]+)`\n\n```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TABLE = re.compile(
    r"^<!-- (\w+) -->\n\n\| key \| default \| meaning \|\n\|---\|---\|---\|\n((?:\|.*\n)+)", re.MULTILINE
)
ROW = re.compile(r"^\| `(\w+)` \| (.*?) ?\| (.+) \|$")
EVERYWHERE = {"docs", "checked"}
STRUCTS: dict[str, type[msgspec.Struct]] = {
    name: value
    for module in (kinds, manifest, case)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == module.__name__
}


def rows() -> dict[str, dict[str, tuple[str, str]]]:
    """Of each table the keys, with default and meaning."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for name, table in TABLE.findall(README.read_text(encoding="utf-8")):
        matches = [ROW.match(line) for line in table.splitlines()]
        found[name] = {match[1]: (match[2], match[3]) for match in matches if match}
        assert len(found[name]) == len(matches), f"{name}: a row that is none"
    return found


def own_fields(struct: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The fields by their name in a file, without those that every mapping has, and those of the struct it extends."""
    inherited = set(manifest.Schema.__struct_fields__) if struct is manifest.Field else EVERYWHERE
    return {field.encode_name: field for field in msgspec.structs.fields(struct) if field.name not in inherited}


def test_there_is_a_table_for_every_struct() -> None:
    """Nothing that a folder may say is left out, and nothing is made up."""
    assert rows().keys() == STRUCTS.keys() - {"Fact"}


@pytest.mark.parametrize("name", sorted(STRUCTS.keys() - {"Fact"}))
def test_a_table_names_every_key_with_its_default(name: str) -> None:
    """No key undocumented, none invented, no default that is another."""
    struct, table = STRUCTS[name], rows()[name]
    fields = own_fields(struct)
    tag = struct.__struct_config__.tag
    assert table.keys() == fields.keys() | ({"kind"} if tag else set())
    if tag:
        assert table["kind"] == ("required", f"`{tag}`")
    for key, field in fields.items():
        assert table[key][0] == default_of(field), key


def default_of(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    if field.default is msgspec.NODEFAULT or isinstance(field.default, msgspec.Struct):
        return ""
    if isinstance(field.default, tuple):
        return ", ".join(f"`{value}`" for value in field.default)
    return str(field.default) if field.default not in (None, msgspec.UNSET, (), "", {}) else ""


@pytest.mark.parametrize("name", sorted(STRUCTS.keys() - {"Fact"}))
def test_a_table_names_every_choice(name: str) -> None:
    """Where a key has a few values, each is named."""
    hints = get_type_hints(STRUCTS[name])
    for key, field in own_fields(STRUCTS[name]).items():
        for choice in choices(hints[field.name]):
            assert f"`{choice}`" in rows()[name][key][1], (key, choice)


def choices(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(choice) for choice in get_args(kind)]
    if isinstance(kind, type) and issubclass(kind, Access):
        return [str(access) for access in Access]
    return [choice for part in get_args(kind) for choice in choices(part)]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The folder of providers that a reader has who wrote down every block of the example."""
    blocks = FILE.findall(README.read_text(encoding="utf-8"))
    for name, text in blocks:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert [name.rpartition("/")[2] for name, _ in blocks] == ["provider.yaml", "notes.yaml", "notes.yaml"]
    return tmp_path / "my-connectors"


def test_the_example_passes_the_check(example: Path) -> None:
    """What the page teaches conforms."""
    assert check_provider(example / "acme", FORMATS) == []


def test_the_command_that_the_page_names_checks_it(example: Path) -> None:
    """`sidecar provider check ./my-connectors/acme`, word for word; it fails when a case does."""
    command = next(line for line in README.read_text(encoding="utf-8").splitlines() if "provider check ./" in line)
    arguments = [sys.executable, "-c", "from sidecar.cli import main; main()", *command.split()[1:]]
    checked = subprocess.run(arguments, cwd=example.parent, capture_output=True, text=True, timeout=50, check=False)
    assert (checked.returncode, checked.stderr.strip()) == (0, "1 provider checked, none to mend")
    cases = example / "acme" / "cases" / "notes.yaml"
    cases.write_text(cases.read_text(encoding="utf-8").replace("waits: [2.5]", "waits: [2]"), encoding="utf-8")
    checked = subprocess.run(arguments, cwd=example.parent, capture_output=True, text=True, timeout=50, check=False)
    assert checked.returncode == 1
    assert "waits: expected [2.0], slept [2.5]" in checked.stdout


class Notes:
    """Acme Notes, as the page describes it."""

    def __init__(self) -> None:
        self.notes: list[dict[str, Any]] = [{"id": number, "title": f"Note {number}"} for number in (1, 2, 3)]
        self.waits = ["40"]
        self.app = Starlette(
            routes=[
                Route("/team/api/v1/me", self.me),
                Route("/team/api/v1/notes", self.list, methods=["GET"]),
                Route("/team/api/v1/notes", self.create, methods=["POST"]),
            ]
        )

    def refused(self, request: Request) -> Response | None:
        if request.headers.get("x-api-key") != "s3cret":
            return JSONResponse({"error": {"code": "no_key", "message": "Who are you?"}}, 401)
        if self.waits:
            return Response(status_code=429, headers={"x-wait-ms": self.waits.pop()})
        return None

    async def me(self, request: Request) -> Response:
        return self.refused(request) or JSONResponse({"login": "anna"})

    async def list(self, request: Request) -> Response:
        page = int(request.query_params.get("page", "1"))
        found = {"notes": self.notes[2 * page - 2 : 2 * page], "page": page, "pages": 2}
        return self.refused(request) or JSONResponse(found)

    async def create(self, request: Request) -> Response:
        refused, note = self.refused(request), (await request.json())["note"]
        if refused is None and note["title"] in {other["title"] for other in self.notes}:
            return JSONResponse({"error": {"code": "title_taken", "message": "There is such a note."}}, 409)
        if refused is None:
            self.notes.append({"id": 4, **note})
        return refused or JSONResponse({"note": self.notes[-1]}, 201)


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """The address of a running Acme Notes."""
    async with listener(Notes().app, bind("127.0.0.1:0")) as address:
        yield address


@pytest.mark.anyio
async def test_the_example_serves_calls_against_a_real_server(example: Path, server: str) -> None:
    """The folder beside our own providers, over HTTP: a limit waited out, pages, a write, a conflict, a wrong key."""
    environment = {"SIDECAR_CONNECTORS": str(example), "SIDECAR_EGRESS_ALLOW": server}
    settings = load_settings(environment, example)
    catalogue = load_catalogue(provider_folders_of(settings), FORMATS)
    assert {"acme", "github"} <= catalogue.providers.keys()
    sender = Http1Sender(allow=parse_allow(settings.egress_allow))
    clock, log = SystemClock(), EventLog()
    credential = Credential(
        kind="api_key", fields={"key": Secret("s3cret")}, base_url=f"http://{server}/team", created=0, changed=0
    )

    async def call(operation: str, given: dict[str, Any], cursor: str | None = None, key: str = "s3cret") -> Any:
        now = clock.now()
        executor = Executor(
            catalogue=catalogue,
            credentials=Stored(msgspec.structs.replace(credential, fields={"key": Secret(key)})),
            sender=sender,
            clock=clock,
            random=SystemRandom(),
            observer=log,
            name=Name("sidecar", "test", "test"),
            limits=Limits(),
            quotas=lone_quotas(clock, FixedRandom()),
        )
        asked = Call(
            call_id=call_id_at(clock.wall(), b"0123456789"),
            access=catalogue.providers["acme"].operations[operation].access,
            tenant="default",
            connection="alice",
            provider="acme",
            operation=operation,
            payload=json.dumps(given).encode(),
            accepted=now,
            deadline=now + 10,
            trace=TraceContext("1" * 32, "1" * 16),
            cursor=cursor,
        )
        return await executor.run(asked)

    began = anyio.current_time()
    me = await call("me.get", {})
    assert (me.outcome.body, me.attempts) == (b'{"login":"anna"}', 2)
    assert anyio.current_time() - began >= 0.04
    first = (await call("notes.list", {})).outcome
    assert isinstance(first, Success)
    assert [note["id"] for note in json.loads(first.body)["notes"]] == [1, 2]
    second = (await call("notes.list", {}, cursor=decode_cursor(first.next_cursor or ""))).outcome
    assert [note["id"] for note in json.loads(second.body)["notes"]] == [3]
    assert second.next_cursor is None
    assert json.loads((await call("notes.create", {"title": "Milk"})).outcome.body) == {"id": 4, "title": "Milk"}
    taken, stranger = (
        (await call("notes.create", {"title": "Milk"})).outcome,
        (await call("me.get", {}, key="x")).outcome,
    )
    await sender.aclose()
    assert isinstance(taken, Failure)
    assert (taken.reason, taken.provider_code) == (Reason.PROVIDER_CONFLICT, "title_taken")
    assert isinstance(stranger, Failure)
    assert stranger.reason is Reason.CREDENTIAL_REJECTED
