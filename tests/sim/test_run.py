"""The seed runner says what it did, and how to see a broken promise again."""

from __future__ import annotations

import sys

import pytest

from tests.sim import run
from tests.sim.world import World


def at(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["run", *arguments])
    return run.main()


def broken_from_three(seed: int) -> World:
    world = World(seed)
    world.tell("something happened")
    world.check("less than three", seed < 3, seed)
    return world


def test_it_prints_what_was_done(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Seeds done, faults injected, invariants checked."""
    assert at(monkeypatch, "--seeds", "20") == 0
    said = capsys.readouterr().out
    assert "record: 20 seeds in" in said
    for words in (
        "no promise broken",
        "faults injected: ",
        "invariants checked: ",
        "an acknowledged write is never lost",
    ):
        assert words in said


def test_a_broken_promise_is_replayed_by_the_command_it_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first broken seed ends the run with its command, which fails again and shows the trace."""
    monkeypatch.setattr(run, "WORLDS", {"made": broken_from_three})
    assert at(monkeypatch, "--seeds", "10") == 1
    said = capsys.readouterr().out
    command = "python -m tests.sim.run --world made --seed 3 --trace"
    assert "BROKEN after 3 seeds: less than three: 3 (seed 3)" in said
    assert command in said
    assert at(monkeypatch, *command.split()[3:]) == 1
    assert "0.000000 something happened\nmade: BROKEN" in capsys.readouterr().out
    assert at(monkeypatch, "--seed", "2") == 0
