"""Files of a multipart body: each is a part, with its bytes, its name and its type."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any

import pytest

from sidecar.core.multipart import _types, type_of
from tests.core.test_render import encoded, operation, parts, refused, rendered

BYTES = {"type": "string", "contentEncoding": "base64"}
NAMES = {"in": "none", "type": "array", "items": {"type": "string"}}
PNG = b"\x89PNG\x00\xff"


def images(**facts: Any) -> dict[str, Any]:
    return {"in": "body", "name": "image[]", "type": "array", "items": BYTES, "fileName": "names", **facts}


FILES = operation(
    encoding="multipart", input={"prompt": {"in": "body", "type": "string"}, "images": images(), "names": NAMES}
)
TWO = [encoded(PNG), encoded(b"text")]


def test_a_list_of_files_is_a_part_each() -> None:
    """By the same name, each as its bytes, with the name that stands in its place."""
    request = rendered(FILES, {"prompt": "hi", "images": TWO, "names": ["a.png", "b.txt"]})
    assert parts(request) == [
        ("prompt", None, b"hi"),
        ("image[]", "a.png", PNG),
        ("image[]", "b.txt", b"text"),
    ]


def test_files_without_names_have_the_inputs() -> None:
    """A part without a file name would be read as text."""
    assert parts(rendered(FILES, {"images": TWO})) == [("image[]", "images", PNG), ("image[]", "images", b"text")]
    assert parts(rendered(FILES, {"images": TWO, "names": ["", "b"]}))[0] == ("image[]", "images", PNG)


def test_brackets_are_behind_the_name_of_files_too() -> None:
    """As in a form."""
    made = operation(encoding="multipart", input={"f": images(name="f", style="brackets"), "names": NAMES})
    assert [name for name, _, _ in parts(rendered(made, {"f": TWO}))] == ["f[]", "f[]"]


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"images": [encoded(PNG), "no base64!"]}, "/images/1"),
        ({"images": [None]}, "/images/0"),
        ({"images": TWO, "names": ["a"]}, "/names"),
        ({"images": TWO, "names": ["a", "b", "c"]}, "/names"),
        ({"images": TWO, "names": ["a", "b\r\nX: 1"]}, "/names/1"),
    ],
)
def test_what_is_wrong_with_files_is_told_by_its_place(values: dict[str, Any], pointer: str) -> None:
    """The item that is no base64, names that are too few or too many, a name that would break its line."""
    assert refused(FILES, values).problems[0].pointer == pointer


def test_a_list_of_texts_is_written_as_its_style_says() -> None:
    """As in a form: a part each, or one with commas, brackets or JSON."""
    styles = ("repeat", "comma", "brackets", "json")
    made = operation(encoding="multipart", input={style: {"in": "body", "style": style} for style in styles})
    assert [(name, content) for name, _, content in parts(rendered(made, {key: ["a", 1] for key in styles}))] == [
        ("repeat", b"a"),
        ("repeat", b"1"),
        ("comma", b"a,1"),
        ("brackets[]", b"a"),
        ("brackets[]", b"1"),
        ("json", b'["a",1]'),
    ]


@pytest.mark.parametrize(
    ("file_name", "content_type"),
    [
        ("a.png", "image/png"),
        ("A.PNG", "image/png"),
        ("a.jpg", "image/jpeg"),
        ("a.webp", "image/webp"),
        ("a.b.pdf", "application/pdf"),
        ("läufer b.csv", "text/csv"),
        ("a.m4a", "audio/mp4"),
        ("a.tar.gz", "application/gzip"),
        ("a", "application/octet-stream"),
        ("png", "application/octet-stream"),
        (".png", "application/octet-stream"),
        ("a.nobody", "application/octet-stream"),
        ("data:text/evil,x", "application/octet-stream"),
    ],
)
def test_a_file_has_the_type_that_its_name_says(file_name: str, content_type: str) -> None:
    """By the ending alone: nothing else in a name says what a part is."""
    request = rendered(FILES, {"images": [encoded(PNG)], "names": [file_name]})
    assert f"\r\nContent-Type: {content_type}\r\n\r\n".encode() in request.content


def test_no_file_of_the_machine_says_a_type(tmp_path: Path) -> None:
    """The same name has the same type on every machine."""
    types = tmp_path / "mime.types"
    types.write_text("image/x-here png here\n")
    _types.cache_clear()
    try:
        mimetypes.init([str(types)])
        assert mimetypes.guess_type("a.png")[0] == "image/x-here"
        assert [type_of(name) for name in ("a.png", "a.here")] == ["image/png", "application/octet-stream"]
    finally:
        mimetypes.init()
