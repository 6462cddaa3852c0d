"""What Gmail's hooks write is a message that a mail reader reads back; what they read may be anything at all."""

from __future__ import annotations

import base64
import email
import email.policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from sidecar.adapters.json_schema import compile_schema
from sidecar.adapters.yaml_file import read_yaml
from sidecar.catalogue.load import load_provider
from sidecar.ports import Formats
from sidecar.provider import Explained

GMAIL = load_provider(Path(__file__).parents[2] / "connectors" / "gmail", Formats(read_yaml, compile_schema))
SEND, READ = GMAIL.operations["messages.send"], GMAIL.operations["messages.get"]
CALL_ID = "018f0000-0000-7000-8000-000000000001"
PLAIN: dict[str, Any] = {"to": ["anna@example.com"], "subject": "Lunch", "text": "At twelve?"}
LONG_ID = f"<{'x' * 180}@mail.example.com>"


def written(**given: Any) -> bytes:
    """The bytes of the message that a call with this input sends."""
    values = PLAIN | given
    assert not list(SEND.problems(values))
    assert SEND.input_hook is not None
    raw = SEND.input_hook({**values, "call_id": CALL_ID})["text"]
    return base64.b64decode(raw, altchars=b"-_", validate=True)


def read_back(**given: Any) -> EmailMessage:
    message = email.message_from_bytes(written(**given), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def text_of(part: Any) -> str:
    """A text part's text, its lines ending as Python's do."""
    return str(part.get_content()).replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("anna@example.com", "anna@example.com"),
        ("Anna Lind <anna@example.com>", "Anna Lind <anna@example.com>"),
        ('"Lind, Anna" <anna@example.com>', '"Lind, Anna" <anna@example.com>'),
        ("Lind, Anna <anna@example.com>", '"Lind, Anna" <anna@example.com>'),
        ("Jörg Ek <jorg@example.com>", "Jörg Ek <jorg@example.com>"),
        ("<anna@example.com>", "anna@example.com"),
        ("Anna <anna@example.com", "Anna <anna@example.com>"),
        ("anna+o'neill=x@mail.example.com>", "anna+o'neill=x@mail.example.com"),
        ("A\u2028Bcc: eve@example.com <anna@example.com>", '"A Bcc: eve@example.com" <anna@example.com>'),
        ("Ĝ" * 80 + " <g@example.com>", "Ĝ" * 80 + " <g@example.com>"),
    ],
)
def test_an_address_is_one_recipient_with_its_name(given: str, shown: str) -> None:
    """Names of any letters and signs arrive; no name makes a second recipient or header."""
    message = read_back(to=[given], reply_to=given)
    assert [str(address) for address in message["to"].addresses] == [shown]
    assert [str(address) for address in message["reply-to"].addresses] == [shown]
    assert message["bcc"] is None


@pytest.mark.parametrize(
    "address",
    [
        "anna",
        "anna@",
        "anna@example.com, bo@example.com",
        "Anna anna@example.com",
        "Anna <anna@example.com> <bo@example.com>",
        "Anna <anna@example.com>>",
        "Anna\r\nBcc: eve@example.com <anna@example.com>",
        "Anna <anna@example.com\r\n>",
        "jörg@example.com",
        "a b@example.com",
        "Team: anna@example.com;",
        "",
    ],
)
def test_what_is_not_one_address_is_refused(address: str) -> None:
    """Refused before anything is composed: two in one, none, a group, or a line of its own."""
    for field in ("to", "cc", "bcc"):
        assert list(SEND.problems(PLAIN | {field: [address]}))
    for field in ("from", "reply_to"):
        assert list(SEND.problems(PLAIN | {field: address}))


@pytest.mark.parametrize("subject", ["", "Lunch", "Grüße, 昼食 🍜", "long words " * 60, "ü" * 800, "a=?utf-8?q?b?="])
def test_a_subject_arrives_as_it_was_written(subject: str) -> None:
    """However long, and in whatever script; its lines are folded within what RFC 5322 allows."""
    assert str(read_back(subject=subject)["subject"]).strip() == subject.strip()
    assert max(len(line) for line in written(subject=subject).split(b"\r\n")) <= 998


@pytest.mark.parametrize("sign", ["\x85", "\u2028", "\u2029"])
def test_a_subject_stays_one_line(sign: str) -> None:
    """Signs that some readers take for the end of a line become a space."""
    assert str(read_back(subject=f"Lunch{sign}Bcc: eve@example.com")["subject"]) == "Lunch Bcc: eve@example.com"


@pytest.mark.parametrize("text", ["", "At twelve?", "a\nb\n", "a\r\nb\rc", "✓\n.\nFrom me", "x" * 5000, "\x00"])
def test_text_and_html_arrive_as_they_were_written(text: str) -> None:
    """In any script, with any line; only the ends of lines are made alike."""
    wanted = text.replace("\r\n", "\n").replace("\r", "\n")
    assert text_of(read_back(text=text)) == wanted
    both = read_back(text=text, html=f"<p>{text}</p>")
    assert both.get_content_type() == "multipart/alternative"
    assert [text_of(part) for part in both.iter_parts()] == [wanted, f"<p>{wanted}</p>"]


@pytest.mark.parametrize("name", ["a.txt", "Übersicht 1.pdf", 'x"; name="y.exe', "a\u2028b", "%41", "ü" * 200])
def test_a_file_arrives_with_its_name_and_bytes(name: str) -> None:
    """Every byte, and a name that cannot leave its place."""
    content = bytes(range(256)) * 20
    given = {"file_name": name, "content": base64.b64encode(content).decode(), "content_type": "image/png"}
    message = read_back(html="<p>Hi</p>", attachments=[given, {"file_name": "empty", "content": ""}])
    first, second = message.iter_attachments()
    assert (first.get_filename(), first.get_content_type(), first.get_content()) == (name, "image/png", content)
    assert (second.get_content_type(), second.get_content()) == ("application/octet-stream", b"")
    assert next(message.iter_parts()).get_content_type() == "multipart/alternative"


@pytest.mark.parametrize("bad", [{"content": "QQ"}, {"content": "Q=Q="}, {"content_type": "multipart/mixed"}])
def test_a_file_that_is_none_is_refused(bad: dict[str, str]) -> None:
    """Base64 that does not add up, and types whose content would be read as parts."""
    assert list(SEND.problems(PLAIN | {"attachments": [{"file_name": "a", "content": ""} | bad]}))


def test_no_text_ends_a_part() -> None:
    """Whoever knows the call's id could write the boundary into the text; it is not found there."""
    line = f"--=_mixed_{CALL_ID}"
    message = read_back(text=f"a\n{line}--\n{line}\nb", attachments=[{"file_name": "a", "content": "QQ=="}])
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "application/octet-stream"]


def test_the_same_call_writes_the_same_bytes_under_an_id_of_its_own() -> None:
    """Sent again it is the same message; another call's is another."""
    given = {"html": "<p>Hi</p>", "attachments": [{"file_name": "a", "content": "QQ=="}]}
    assert written(**given) == written(**given)
    assert read_back()["message-id"] == f"<{CALL_ID}@gmail.com>"
    assert read_back(**{"from": "Team <team@acme.example>"})["message-id"] == f"<{CALL_ID}@acme.example>"


def test_a_reply_names_the_whole_conversation() -> None:
    """The message replied to comes last of the references, once; ids are never broken, however long."""
    message = read_back(in_reply_to=LONG_ID, references=["<a@example.com>", LONG_ID])
    assert message["references"].split() == ["<a@example.com>", LONG_ID]
    assert message["in-reply-to"].strip() == LONG_ID


def shown(body: object) -> Any:
    assert READ.output_hook is not None
    return READ.output_hook(body)


def part(text: bytes, content_type: str = "text/plain; charset=utf-8", **also: Any) -> dict[str, Any]:
    data = base64.urlsafe_b64encode(text).decode().rstrip("=")
    headers = [{"name": "Content-Type", "value": content_type}]
    return {"mimeType": content_type.partition(";")[0], "headers": headers, "body": {"data": data}} | also


@pytest.mark.parametrize(
    ("text", "content_type"),
    [
        ("grün".encode(), "text/plain"),
        ("grün".encode(), "text/plain; charset=iso-8859-1"),  # Gmail made it UTF-8, and kept what the sender said
        ("grün".encode("latin-1"), 'text/plain; charset="ISO-8859-1"'),
        ("grün".encode("latin-1"), "text/plain; charset=no-such"),
        ("grün".encode("latin-1"), "text/plain"),
    ],
)
def test_text_is_read_in_its_charset(text: bytes, content_type: str) -> None:
    """UTF-8 first, then the charset that the part names, then one that reads everything."""
    assert shown({"payload": part(text, content_type)})["text"] == "grün"


def test_japanese_mail_is_read() -> None:
    """ISO-2022-JP is made of bytes that are UTF-8 as well."""
    assert shown({"payload": part("昼食".encode("iso-2022-jp"), "text/plain; charset=iso-2022-jp")})["text"] == "昼食"


def test_html_alone_is_read_as_text_too() -> None:
    """Words and lines as a reader sees them; no script, no style."""
    page = "<head><style>p{}</style></head><p>Hi&nbsp;Anna,</p>\n<ul><li>one<li>two  2</ul><script>x()</script>"
    found = shown({"payload": part(page.encode(), "text/html")})
    assert found["text"] == "Hi Anna,\n\none\ntwo 2"
    assert found["html"] == page


def test_a_forwarded_message_is_a_file() -> None:
    """Its text is not taken for the text of the message that bears it."""
    inner = part(b"old", filename="")
    forwarded = {
        "mimeType": "message/rfc822",
        "filename": "old.eml",
        "body": {"attachmentId": "A1", "size": 3},
        "parts": [inner],
    }
    found = shown({"payload": {"mimeType": "multipart/mixed", "parts": [part(b"new"), forwarded]}})
    assert found["text"] == "new"
    assert [file["file_name"] for file in found["attachments"]] == ["old.eml"]


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = part(b"deep")
    for _ in range(depth):
        found = {"mimeType": "multipart/mixed", "parts": [found]}
    return found


ODD: list[Any] = [
    None,
    [],
    "text",
    {},
    {"payload": []},
    {"payload": {"headers": {}, "parts": 7, "body": "x"}},
    {"payload": {"headers": [None, {"name": 7}, {"name": "To"}], "parts": [None, 7, {}]}},
    {"payload": {"mimeType": "text/plain", "body": {"data": "!"}}},
    {"payload": {"mimeType": "text/html", "body": {"data": "PCFbPCE"}}},
    {"payload": {"mimeType": "text/html", "body": {"data": "A"}}},
    {"payload": {"mimeType": ["text/plain"], "filename": 7, "body": {"attachmentId": 7}}},
    {"internalDate": "9" * 30},
    {"internalDate": "soon", "labelIds": "INBOX"},
    {"payload": nested(200)},
    {"messages": [None, {}, []]},
    {"messages": 7, "id": None},
    {"data": 7},
    {"data": "ä"},
]


@pytest.mark.parametrize("body", ODD)
@pytest.mark.parametrize("name", ["messages.get", "threads.get", "attachments.get"])
def test_whatever_comes_is_shown_as_far_as_it_goes(name: str, body: object) -> None:
    """No answer, however odd, makes a hook fail."""
    hook = GMAIL.operations[name].output_hook
    assert hook is not None
    assert isinstance(hook(body), dict)


@pytest.mark.parametrize(
    ("body", "explained"),
    [
        (None, Explained()),
        ([], Explained()),
        ({"error": "invalid_grant"}, Explained()),
        ({"error": {"errors": 7, "message": 7, "status": "ABORTED"}}, Explained(code="ABORTED")),
        ({"error": {"errors": [7, {"reason": "quotaExceeded"}]}}, Explained(code="quotaExceeded")),
        (
            {"error": {"message": "Retry after 2026-13-41T99:00:00Z"}},
            Explained(message="Retry after 2026-13-41T99:00:00Z"),
        ),
        (
            {"error": {"message": "Retry after 1970-01-01T00:00:07.250Z"}},
            Explained(message="Retry after 1970-01-01T00:00:07.250Z", retry_at=7.25),
        ),
    ],
)
def test_a_failed_answer_is_explained_as_far_as_it_goes(body: object, explained: Explained) -> None:
    """Google's word, its sentence, and the moment to come back where the sentence names one that there is."""
    assert GMAIL.explain is not None
    assert GMAIL.explain(403, {}, body) == explained
