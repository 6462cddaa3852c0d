"""What stands in a file is read as YAML 1.2 says, and no file, whatever it holds, ends the process."""

from __future__ import annotations

import pytest

from sidecar.ports import FormatError
from tests.build import FORMATS


def deep(opening: str, closing: str, levels: int) -> str:
    return f"a: {opening * levels}{closing * levels}\n"


def block(levels: int) -> str:
    """A mapping in a mapping, each on a line of its own."""
    return "".join(f"{' ' * level}a:\n" for level in range(levels))


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("+7", 7),
        ("18446744073709551615", 2**64 - 1),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("-1.5E-3", -0.0015),
        ("!!float 1", 1.0),
        ("!!str 1", "1"),
        ("!!null ''", None),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("-0x1F", "-0x1F"),
        ("1.2.3", "1.2.3"),
        ("e3", "e3"),
        (".", "."),
        ("~x", "~x"),
        ("NULL", None),
    ],
)
def test_a_word_is_what_the_core_schema_of_yaml_1_2_says(word: str, value: object) -> None:
    """No octal by a leading zero, no minutes, no underscores; what is text is refused where a number is due."""
    read = FORMATS.read_yaml(f"a: {word}\n")
    assert read == {"a": value}
    assert type(read["a"]) is type(value)


@pytest.mark.parametrize(
    "tag",
    ['!!int "abc"', "!!float abc", "!!bool abc", "!!bool yes", "!!timestamp abc", "!!timestamp 2026-11-21", "!!int []",
     "!!binary YQ==", "!!set {a}", "!!python/name:os.system", "!mine a", '!!int "1\\n"'],
)  # fmt: skip
def test_a_tag_that_does_not_fit_is_told_with_its_line(tag: str) -> None:
    """Nobody means one in a manifest; it is never a traceback."""
    with pytest.raises(FormatError, match=r"^line 2: \S+ is no tag for (text|a list|a mapping)$"):
        FORMATS.read_yaml(f"a: 1\nb: {tag}\n")


@pytest.mark.parametrize("number", [".nan", ".NaN", ".inf", "-.Inf", "+.INF", "1e999", "-1e999", "!!float .nan"])
def test_a_number_that_is_none_is_told_with_its_line(number: str) -> None:
    """A window of .inf seconds would never pass, and nothing is above .nan."""
    with pytest.raises(FormatError, match=r"^line 2: \S+ is not a finite number$"):
        FORMATS.read_yaml(f"a: 1\nb: [{number}]\n")


@pytest.mark.parametrize("number", ["18446744073709551616", "-9223372036854775809", "9" * 5_000, f"0x{'f' * 17}"])
def test_a_number_that_json_libraries_cannot_hold_is_told(number: str) -> None:
    """64 bits, as everywhere a request or an answer is written."""
    with pytest.raises(FormatError, match=r"^line 1: \S+ is more than 64 bits hold$"):
        FORMATS.read_yaml(f"a: {number}\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\n1: x\n", "line 2: a key is text: put 1 into quotes"),
        ("~: x\n", "line 1: a key is text: put ~ into quotes"),
        ("true: x\n", "line 1: a key is text: put true into quotes"),
        ("a: {1.5: x}\n", "line 1: a key is text: put 1.5 into quotes"),
    ],
)
def test_a_key_is_text(text: str, told: str) -> None:
    """Which one is not, and what to do, with its line."""
    with pytest.raises(FormatError) as error:
        FORMATS.read_yaml(text)
    assert str(error.value) == told


@pytest.mark.parametrize(
    "text",
    [
        deep("[", "]", 101),
        deep("[", "]", 20_000),
        deep("[", "]", 100_000),
        deep("[", "", 100_000),
        deep("{a: ", "}", 3_000),
        block(3_000),
        "- " * 20_000 + "x",
        "items: &a {type: array, items: *a}\n",
        "fixed: &a {body: [1, *a]}\n",
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 3_000)),
    ],
    ids=["list", "many", "more", "open", "mapping", "block", "dashes", "schema", "body", "chain"],
)
def test_what_is_nested_without_end_is_told(text: str) -> None:
    """By aliases too. It is no recursion that fails somewhere, and does not end the process."""
    with pytest.raises(FormatError, match=r"^line \d+: is nested more than 100 levels deep"):
        FORMATS.read_yaml(text)


def test_few_aliases_do_not_make_a_huge_value() -> None:
    """Ten times ten, nine times over, is a gigabyte in 400 bytes."""
    text = "a0: &a0 x\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    with pytest.raises(FormatError, match="makes more than 1,000,000 values"):
        FORMATS.read_yaml(text)


def test_a_hundred_levels_are_read() -> None:
    """Far more than any manifest has."""
    assert FORMATS.read_yaml(deep("[", "]", 98))
