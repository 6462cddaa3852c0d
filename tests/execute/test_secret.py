"""The canary: a secret is in the one request that needs it, and in nothing that anybody is shown."""

from __future__ import annotations

import base64
import logging
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from sidecar.auth.proof import IN_SEGMENT
from sidecar.credential import Credential
from sidecar.log import JsonLines, TextLines
from sidecar.model import Failure, Reason, SideEffect
from sidecar.provider import Provider
from sidecar.wire.reply import Asked, encode_reply
from tests.build import CREATE_ITEM, GET_ITEM, provider
from tests.execute.house import CALL_ID, OK, Connections, House, credential

pytestmark = pytest.mark.anyio

CANARY = 'canary/of "the" mine+42'
PLAIN = "canary-of-the-mine-42"

KINDS: dict[str, tuple[dict[str, Any], Credential]] = {
    "header": ({"kind": "api_key", "place": "header", "name": "X-Thing"}, credential("api_key", key=CANARY)),
    "query": ({"kind": "api_key", "place": "query", "name": "thing"}, credential("api_key", key=CANARY)),
    "path": ({"kind": "api_key", "place": "path", "prefix": "bot"}, credential("api_key", key=CANARY)),
    "bearer": ({"kind": "bearer"}, credential(token=CANARY)),
    "basic": ({"kind": "basic"}, credential("basic", username="somebody", password=CANARY)),
    "user name": ({"kind": "basic"}, credential("basic", username=CANARY, password="x")),
}
PAIRS = [base64.b64encode(pair.encode()).decode() for pair in (f"somebody:{CANARY}", f"{CANARY}:x")]
FORMS = [
    CANARY,
    quote(CANARY, safe=""),
    quote(CANARY, safe=IN_SEGMENT),
    msgspec.json.encode(CANARY).decode()[1:-1],
    *PAIRS,
]


def house(kind: str, *answers: httpx.Response | Failure, **facts: Any) -> House:
    auth, known = KINDS[kind]
    errors = {"code": ["code"], "message": ["message"], "request_id": ["x-request-id"]}
    return House(answers, {"acme": provider(auth=[auth], errors=errors, **facts)}, Connections(known))


def shown(here: House, ended: Any) -> str:
    """Everything that anybody could see of the call."""
    reply = encode_reply(Asked(call_id=CALL_ID), ended.outcome, 1_000_000)
    parts = [repr(ended), repr(here.trace.events), repr(here.executor), repr(here.connections.found[0])]
    parts += [reply.payload.decode(), repr(reply.headers), msgspec.json.encode(here.trace.events).decode()]
    return "\n".join(parts)


def assert_hidden(text: str) -> None:
    for form in FORMS:
        assert form not in text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dry_run", [False, True])
async def test_of_a_success(kind: str, dry_run: bool) -> None:
    """The request holds it, unless it is a rehearsal; nothing else does."""
    here = house(kind, OK)
    ended = await here.run("items.create", dry_run=dry_run)
    assert_hidden(shown(here, ended))
    seen = "\n".join(f"{request.url} {request.headers.multi_items()}" for request in here.sender.sent)
    assert any(form in seen for form in FORMS) is not dry_run


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 200])
@pytest.mark.parametrize("form", [CANARY, quote(CANARY, safe="")])
async def test_of_an_answer_that_echoes_it(kind: str, status: int, form: str) -> None:
    """In the body (the code, the message, elsewhere), in headers: what the provider repeats is not repeated by us."""
    body = {"code": form, "message": f"we do not know {form}, sorry", "sent": {"thing": form}}
    headers = {"x-request-id": form, "www-authenticate": f'X realm="{form}"', "retry-after": "86400"}
    answers = [httpx.Response(status, json=body, headers=headers)] * 3
    here = house(kind, *answers, success={"path": "code", "equals": "fine"})
    ended = await here.run("items.get")
    assert isinstance(ended.outcome, Failure)
    assert ended.outcome.provider_code == "[redacted]"
    assert "we do not know [redacted], sorry" in ended.outcome.detail
    assert_hidden(shown(here, ended))


async def test_of_a_basic_pair_that_is_echoed() -> None:
    """User name and password in the form of their header are as secret as they are."""
    here = house("basic", httpx.Response(401, json={"message": f"who is {PAIRS[0]}?"}))
    ended = await here.run("items.get")
    assert_hidden(shown(here, ended))
    assert "who is [redacted]?" in shown(here, ended)  # whole: the user name, too


@pytest.mark.parametrize("kind", KINDS)
async def test_of_a_failure_that_no_answer_told(kind: str) -> None:
    """What the wire or a hook says in place of an answer is looked through as an answer is."""
    detail = f"the request for {CANARY} was sent, and no answer came"
    here = house(kind, *[Failure(reason=Reason.OUTCOME_UNKNOWN, detail=detail, side_effect=SideEffect.UNKNOWN)] * 3)
    ended = await here.run("items.get")
    assert_hidden(shown(here, ended))
    assert "the request for [redacted] was sent" in shown(here, ended)


@pytest.mark.parametrize("before", [70, 90, 190, 390, 790])
@pytest.mark.parametrize("status", [200, 302, 403])
async def test_of_an_answer_that_is_shortened_within_it(before: int, status: int) -> None:
    """Where a message, code, id, type or host is longer than what is shown of it, no half of the credential is left."""
    form = "-" * before + PLAIN + "-" * 1_000
    headers = {"x-request-id": form, "content-type": f"text/{form}", "location": f"https://{form}/"}
    answer = httpx.Response(status, json={"code": form, "message": form}, headers=headers)
    if status == 200:
        answer = httpx.Response(status, content=b"[", headers=headers)
    errors = {"code": ["code"], "message": ["message"], "request_id": ["x-request-id"]}
    here = House([answer] * 3, {"acme": provider(errors=errors)}, Connections(credential(token=PLAIN)))
    ended = await here.run("items.get")
    assert isinstance(ended.outcome, Failure)
    assert PLAIN[:6] not in shown(here, ended)


RAISES_INPUT = "def shape(values):\n    raise KeyError('{}')\n"
RAISES_OUTPUT = "def shape(body):\n    raise KeyError(body['echo'])\n"


def hooked(kind: str, code: str) -> Provider:
    operations = {"items.get": GET_ITEM, "items.create": CREATE_ITEM}
    facts: dict[str, Any] = {}
    if kind == "explain":
        facts["hooks"] = {"explain": "explain"}
    else:
        operations = {name: fact | {"hooks": {kind: "shape"}} for name, fact in operations.items()}
    return provider(operations=operations, code=code, **facts)


@pytest.mark.parametrize(
    ("kind", "code", "status", "side_effect", "told"),
    [
        ("input", RAISES_INPUT, 200, SideEffect.NONE, ["started", "finished"]),
        ("output", RAISES_OUTPUT, 200, SideEffect.UNKNOWN, ["started", "attempt", "finished"]),
    ],
)
async def test_a_hook_that_raises(
    kind: str, code: str, status: int, side_effect: SideEffect, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """One failure with the call's id, the exchange told, the place in the log; the hook's words nowhere else."""
    answer = httpx.Response(status, json={"echo": PLAIN})
    here = House([answer], {"acme": hooked(kind, code)}, Connections(credential(token=PLAIN)))
    ended = await here.run("items.create")
    failure = ended.outcome
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.side_effect) == (Reason.BUG, side_effect)
    assert failure.detail == f"hook shape of provider acme failed; the sidecar's log names call {CALL_ID}"
    assert here.told == told
    assert "KeyError" not in shown(here, ended)
    assert PLAIN not in shown(here, ended)
    [record] = [record for record in caplog.records if record.name == "sidecar.attempt"]
    assert record.levelno == logging.ERROR
    for form in (JsonLines(), TextLines()):
        line = form.format(record)
        assert CALL_ID in line
        assert "hooks.py" in line
        assert "Error" in line
        assert PLAIN not in line


async def test_an_explain_hook_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """The refusal of a write stays one, and the log has the hook's place once, however many attempts there were."""
    answers = [httpx.Response(503, headers={"retry-after": "1"}), httpx.Response(404, json={"echo": PLAIN})]
    made = hooked("explain", "def explain(status, headers, body):\n    raise ValueError(f'no {body}')\n")
    here = House(answers, {"acme": made}, Connections(credential(token=PLAIN)))
    ended = await here.run("items.create")
    failure = ended.outcome
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.side_effect) == (Reason.PROVIDER_NOT_FOUND, SideEffect.NONE)
    assert ended.attempts == 2
    assert PLAIN not in shown(here, ended)
    [record] = [record for record in caplog.records if record.name == "sidecar.attempt"]
    line = JsonLines().format(record)
    assert CALL_ID in line
    assert "hook explain of provider acme failed" in line
    assert "hooks.py" in line
    assert PLAIN not in line


async def test_of_a_sender_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """A defect below us, with the secret in its words: a write's end is unknown, and the log does not say it."""
    here = house("bearer")

    def breaks() -> None:
        raise RuntimeError(f"Authorization: Bearer {CANARY}")

    here.before = breaks
    ended = await here.run("items.create")
    assert isinstance(ended.outcome, Failure)
    assert (ended.outcome.reason, ended.outcome.side_effect) == (Reason.BUG, SideEffect.UNKNOWN)
    assert here.told == ["started", "finished"]
    assert_hidden(shown(here, ended))
    assert_hidden(caplog.text)
