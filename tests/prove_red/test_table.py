"""The table fits the tree, and the runner tells every way in which a bug can fail to be caught."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.prove_red.__main__ import ROOT, report
from tests.prove_red.copy_of_tree import Copy, NotOurs
from tests.prove_red.proof import Told, Verdict, prove
from tests.prove_red.row import Row
from tests.prove_red.table import ROWS

ADDER = "sidecar/adder.py"
TESTS = "tests/test_adder.py"
TREE = {
    "sidecar/__init__.py": "",
    ADDER: "def add(left, right):\n    return left + right\n\n\ndef halved(number):\n    return number / 2\n",
    TESTS: (
        "import pytest\n"
        "\n"
        "from sidecar.adder import add\n"
        "\n"
        "@pytest.mark.parametrize('left', [0, 1])\n"
        "def test_adds(left):\n"
        "    assert add(left, 2) == left + 2\n"
        "\n"
        "def test_looks_away():\n"
        "    add(1, 2)\n"
        "\n"
        "def test_is_red():\n"
        "    assert add(1, 2) == 4\n"
        "\n"
        "@pytest.fixture\n"
        "def three():\n"
        "    number = add(1, 2)\n"
        "    assert number == 3\n"
        "    return number\n"
        "\n"
        "def test_by_a_fixture(three):\n"
        "    assert three\n"
        "\n"
        "def test_skipped():\n"
        "    pytest.skip('not here')\n"
    ),
    "tests/test_broken.py": "import nothing_there\n\n\ndef test_broken():\n    assert nothing_there\n",
}


def test_every_row_fits() -> None:
    """`good` stands in its file once, and each test is there: a change of the code takes its rows along."""
    assert {row.promise: why for row in ROWS if (why := row.stale(ROOT)) is not None} == {}


def test_every_bug_could_have_been_made() -> None:
    """It changes the file, and what is Python still is: a slip that nobody could commit proves nothing."""
    for row in ROWS:
        assert row.bad != row.good, row.promise
        if row.file.endswith(".py"):
            ast.parse((ROOT / row.file).read_text(encoding="utf-8").replace(row.good, row.bad))


def test_every_promise_is_told_once_and_held_by_a_test() -> None:
    """In one plain sentence."""
    promises = [row.promise for row in ROWS]
    assert len(set(promises)) == len(promises)
    assert [row.promise for row in ROWS if not row.tests or not row.promise.endswith(".")] == []


PROVED = {
    Row("caught", ADDER, "left + right", "left - right", (f"{TESTS}::test_adds",)): (Verdict.CAUGHT, ""),
    Row("same length", ADDER, "number / 2", "number / 3", (f"{TESTS}::test_adds",)): (Verdict.LIVED, "did not fail"),
    Row("looks away", ADDER, "left + right", "left - right", (f"{TESTS}::test_looks_away",)): (
        Verdict.LIVED,
        "test_looks_away did not fail",
    ),
    Row(
        "one of two looks away",
        ADDER,
        "left + right",
        "left - right",
        (f"{TESTS}::test_adds", f"{TESTS}::test_looks_away"),
    ): (Verdict.LIVED, "test_looks_away did not fail"),
    Row("a fixture is red", ADDER, "left + right", "left - right", (f"{TESTS}::test_by_a_fixture",)): (
        Verdict.LIVED,
        "did not fail",
    ),
    Row("no Python", ADDER, "left + right", "left +", (f"{TESTS}::test_adds",)): (Verdict.LIVED, "SyntaxError"),
    Row("a name that is none", ADDER, "left + right", "left + write", (f"{TESTS}::test_adds",)): (
        Verdict.LIVED,
        "did not fail",
    ),
    Row("gone", ADDER, "left * right", "left", (f"{TESTS}::test_adds",)): (Verdict.STALE, "stands 0 times"),
    Row("twice", ADDER, "return", "yield", (f"{TESTS}::test_adds",)): (Verdict.STALE, "stands 2 times"),
    Row("no file", "sidecar/gone.py", "a", "b", (f"{TESTS}::test_adds",)): (Verdict.STALE, "no sidecar/gone.py"),
    Row("no test", ADDER, "left + right", "left", (f"{TESTS}::test_gone",)): (Verdict.STALE, "no test"),
    Row("red before", ADDER, "left + right", "left", (f"{TESTS}::test_is_red",)): (
        Verdict.RED_BEFORE,
        "did not pass without the bug",
    ),
    Row("a file that does not load", ADDER, "left + right", "left", ("tests/test_broken.py::test_broken",)): (
        Verdict.RED_BEFORE,
        "did not pass without the bug",
    ),
    Row("skipped", ADDER, "left + right", "left", (f"{TESTS}::test_skipped",)): (
        Verdict.RED_BEFORE,
        "did not pass without the bug",
    ),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product of one file, in git."""
    root = tmp_path_factory.mktemp("tree")
    for name, text in TREE.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    if shutil.which("git") is None:
        pytest.skip("git says what is in the tree")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    return root


@pytest.fixture(scope="module")
def proved(tree: Path) -> dict[Row, Told]:
    return {told.row: told for told in prove(tree, list(PROVED), lambda _: None)}


@pytest.mark.parametrize("row", PROVED, ids=lambda row: row.promise)
def test_what_becomes_of_a_bug(row: Row, proved: dict[Row, Told]) -> None:
    """Caught by the test's own failure; anything else is told, with the reason."""
    verdict, why = PROVED[row]
    told = proved[row]
    assert told.verdict is verdict
    assert why in told.why


def test_the_tree_stays_as_it_is(tree: Path, proved: dict[Row, Told]) -> None:
    """Bugs are planted in copies."""
    assert {name: (tree / name).read_text() for name in TREE} == TREE


def test_a_bug_is_taken_out_again(tmp_path: Path) -> None:
    """Also when what is done with it fails."""
    code = tmp_path / "code.py"
    code.write_text("good\n")

    def fail() -> None:
        assert code.read_text() == "bad\n"
        raise LookupError

    with pytest.raises(LookupError), Copy(tmp_path).planted("code.py", "good", "bad"):
        fail()
    assert code.read_text() == "good\n"


def test_what_is_tested_is_the_copy(tmp_path: Path) -> None:
    """Where the package would come from elsewhere, such as from an editable install, nothing is proved."""
    with pytest.raises(NotOurs, match="not the copy's"):
        Copy(tmp_path).prove_ours("sidecar")


def test_what_is_not_caught_ends_it_with_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Each promise is named, with why."""
    caught, lived = (Row(promise, "f", "g", "b", ("t",)) for promise in ("It is kept.", "It is broken."))
    assert report([Told(caught, Verdict.CAUGHT)], 1.0) == 0
    assert "It is kept." not in capsys.readouterr().out
    assert report([Told(caught, Verdict.CAUGHT), Told(lived, Verdict.LIVED, why="t did not fail")], 1.0) == 1
    printed = capsys.readouterr().out
    assert "1 of 2 planted bugs" in printed
    assert "LIVED: It is broken.\n    t did not fail\n" in printed
