"""What a case proves of a request: a call's id is any call's, the parts of a multipart body are each compared."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec
import pytest

from sidecar.core.multipart import multipart
from sidecar.sandbox.case import CaseRequest
from sidecar.sandbox.compare import Seen, Standing, differences

CALL_ID = "018f0000-0000-7000-8000-000000000001"
BARE = CALL_ID.replace("-", "")


@pytest.mark.parametrize(
    ("expected", "sent", "same"),
    [
        ({"id": "{call_id}"}, {"id": CALL_ID}, True),
        ({"id": "{call_id}"}, {"id": BARE}, True),
        ({"id": "<{call_id}@acme>", "again": "{call_id}"}, {"id": f"<{CALL_ID}@acme>", "again": BARE}, True),
        ({"id": "{call_id}"}, {"id": "7"}, False),
        ({"id": "{call_id}"}, {"id": f"{CALL_ID}0"}, False),
        ({"id": "{call_id}", "a": "."}, {"id": CALL_ID, "a": "x"}, False),
        ({"id": CALL_ID}, {"id": BARE}, False),
    ],
)
def test_the_call_id_in_a_body_is_any_calls(expected: object, sent: object, same: bool) -> None:
    """`{call_id}` stands for a UUID with dashes or without, and for nothing else."""
    headers = {"content-type": "application/json"}
    request = Seen("POST", "/items", (), headers, msgspec.json.encode(sent))
    found = list(differences(CaseRequest(method="POST", path="/items", json=expected), request))
    assert (found == []) is same


PNG = b"\x89PNG"
PNG_TEXT = b64encode(PNG).decode()


def told(said: Any, texts: list[tuple[str, str]], files: list[tuple[str, str, bytes]]) -> list[str]:
    """In what a multipart body of these is not what the case says."""
    content, content_type = multipart(texts, files, call_id="call-1")
    expected = msgspec.convert({"method": "POST", "path": "/items", "multipart": said}, CaseRequest)
    return list(differences(expected, Seen("POST", "/items", (), {"content-type": content_type}, content)))


FILE = [("f", "a.png", PNG)]
SEVERAL = [("f", "a.png", PNG), ("f", "b.txt", b"hi")]


@pytest.mark.parametrize(
    ("said", "texts", "files"),
    [
        ({"f": "hi"}, [("f", "hi")], []),
        ({"f": "hi"}, [], [("f", "a.txt", b"hi")]),
        ({"f": ["hi"], "g": "x"}, [("g", "x"), ("f", "hi")], []),
        ({"f": ["a", "b"]}, [("f", "a"), ("f", "b")], []),
        ({"f": {"base64": PNG_TEXT}}, [], FILE),
        ({"f": {"base64": PNG_TEXT, "file_name": "a.png", "content_type": "image/png"}}, [], FILE),
        ({"f": {"text": "hi", "file_name": "ä b.txt"}}, [], [("f", "ä b.txt", b"hi")]),
        ({"f": {"base64": "aGk="}}, [], [("f", "a", b"hi")]),
        ({"f": [{"base64": PNG_TEXT}, "hi"]}, [], SEVERAL),
        ({"f": PNG_TEXT}, [("f", PNG_TEXT)], []),
        ({"f": "<{call_id}>"}, [("f", f"<{CALL_ID}>")], []),
        ({"f": {"text": "x", "file_name": 'a; filename="b'.replace('"', "%22")}}, [], [("f", 'a; filename="b', b"x")]),
    ],
)
def test_a_case_says_the_parts_of_a_body(said: Any, texts: list[Any], files: list[Any]) -> None:
    """Text, or content with what else is to be compared; several parts of one name are a list."""
    assert told(said, texts, files) == []


@pytest.mark.parametrize(
    ("said", "texts", "files", "sent"),
    [
        ({"f": PNG_TEXT}, [], FILE, {"f": {"base64": PNG_TEXT}}),
        ({"f": {"base64": PNG_TEXT}}, [("f", PNG_TEXT)], [], {"f": {"base64": b64encode(PNG_TEXT.encode()).decode()}}),
        ({"f": {"text": "hi", "file_name": "a"}}, [("f", "hi")], [], {"f": {"file_name": None, "text": "hi"}}),
        (
            {"f": {"base64": PNG_TEXT, "file_name": "b.png"}},
            [],
            FILE,
            {"f": {"base64": PNG_TEXT, "file_name": "a.png"}},
        ),
        (
            {"f": {"base64": PNG_TEXT, "content_type": "image/jpeg"}},
            [],
            FILE,
            {"f": {"base64": PNG_TEXT, "content_type": "image/png"}},
        ),
        ({"f": "b"}, [("f", "a"), ("f", "b")], [], {"f": ["a", "b"]}),
        ({"f": ["b", "a"]}, [("f", "a"), ("f", "b")], [], {"f": ["a", "b"]}),
        ({"f": ["a", "b"]}, [("f", "a")], [], {"f": "a"}),
        ({"f": "a"}, [("f", "a"), ("g", "b")], [], {"f": "a", "g": "b"}),
        ({}, [("f", "a")], [], {"f": "a"}),
    ],
)
def test_parts_that_differ_are_told(said: Any, texts: list[Any], files: list[Any], sent: Any) -> None:
    """Bytes are not their base64; no part is overlooked, in no other order, with no other name or type."""
    (line,) = told(said, texts, files)
    assert line.endswith(f", sent {msgspec.json.encode(sent, order='sorted').decode()}")


@pytest.mark.parametrize("part", [{}, {"text": "a", "base64": "aGk="}, {"base64": "no base64!"}, {"file_name": "a"}])
def test_a_part_has_one_content(part: dict[str, str]) -> None:
    """Text or bytes."""
    with pytest.raises(msgspec.ValidationError):
        told({"f": part}, [], [])


@pytest.mark.parametrize(
    ("listed", "sent", "wrong"),
    [
        ("/me", "/bottest-key/me", []),
        ("/bottest-key/me", "/bottest-key/me", []),
        ("/me", "/me", ["path: expected /bottest-key/me, sent /me"]),
        ("/bottest-key/me", "/me", ["path: expected /bottest-key/me, sent /me"]),
        ("/me", "/me/bottest-key", ["path: expected /bottest-key/me, sent /me/bottest-key"]),
        ("/botother/me", "/bottest-key/me", ["path: expected /bottest-key/botother/me, sent /bottest-key/me"]),
        ("/me", "/bottest-keys/me", ["path: expected /bottest-key/me, sent /bottest-keys/me"]),
    ],
)
def test_a_credential_in_the_path_is_there_listed_or_not(listed: str, sent: str, wrong: list[str]) -> None:
    """A case may leave it out; the request may not."""
    standing = Standing("path", "", "/bottest-key")
    assert list(differences(CaseRequest(method="GET", path=listed), Seen("GET", sent, (), {}, b""), standing)) == wrong
