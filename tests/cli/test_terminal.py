"""What a terminal is given of an output."""

from __future__ import annotations

import json

import pytest

from sidecar.cli.terminal import MAX_SHOWN, colours, put_json, readable


def test_json_is_indented() -> None:
    """A person reads JSON by its shape."""
    assert readable(b'{"a":1}', "application/json") == '{\n  "a": 1\n}'


def test_json_stays_json_without_controls() -> None:
    """Controls and bidi marks within strings become escapes that mean the same."""
    value = {"a": "x\x9b31m\u202e\u2028y"}
    shown = readable(json.dumps(value, ensure_ascii=False).encode(), "application/json")
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert json.loads(shown) == value


@pytest.mark.parametrize("text", ["x\x9b31m", "a\u202eb", "\x7f", "\u2028", "\U000e0041", "läufer 👍"])
def test_json_for_machines_steers_no_terminal(text: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """What others wrote is in it as escapes where it cannot be printed, and means the same; the rest is as it was."""
    for value in ({"name": text}, json.dumps({"name": text}, ensure_ascii=False).encode()):
        put_json(value)
        out = capsysbinary.readouterr().out
        assert out.decode().rstrip("\n").isprintable()
        assert json.loads(out) == {"name": text}


def test_json_keeps_its_lines_and_what_is_no_text(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """White space between values stays, and so do bytes that say nothing in UTF-8."""
    put_json(b'{\n\t"a": "\xff"\r\n}')
    assert capsysbinary.readouterr().out == b'{\n\t"a": "\xff"\r\n}\n'


@pytest.mark.parametrize(
    ("body", "content_type", "shown"),
    [
        (b"one\ntwo\t3\r\n", "text/plain", "one\ntwo\t3\\u000d\n"),
        (b"\x1b[31mred", "text/plain", "\\u001b[31mred"),
        (b"\x89PNG\r\n", "image/png", "(6 bytes of image/png: send them to a file with > FILE)"),
        (b"{not json", "application/json", "(9 bytes of application/json: send them to a file with > FILE)"),
    ],
)
def test_other_output(body: bytes, content_type: str, shown: str) -> None:
    """Text is shown without what could steer the terminal; bytes are not shown."""
    assert readable(body, content_type) == shown


def test_output_on_a_terminal_is_bounded() -> None:
    """A terminal gets the beginning, and is told of the rest."""
    shown = readable(b"x" * (MAX_SHOWN + 5), "text/plain")
    assert shown == "x" * MAX_SHOWN + "\n(5 characters more: send all to a file with > FILE)"


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [({}, None), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, None), ({"TERM": "dumb"}, False)],
)
def test_colours(environment: dict[str, str], wanted: object) -> None:
    """NO_COLOR and a dumb terminal switch them off; else it is whether there is a terminal."""
    assert colours(environment) is wanted
