"""What a run shows: the rounds, the steps that took long, and how far a long step is."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from serm.cli import progress
from serm.cli.progress import RunProgress
from serm.graphs.events import Event


def shown(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=80)


def test_rounds_are_announced_once_and_long_steps_with_their_time(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "WORTH_A_LINE", 0.01)
    with RunProgress(console) as watch:
        watch(Event(0, "prepare"))
        watch(Event(1, "mine"))
        watch(Event(1, "open_window"))
        time.sleep(0.02)
        watch(Event(1, "train", done=1, total=2))
    lines = shown(console)
    assert lines[:2] == ["First models", "Round 1"]
    assert any(line.startswith("open window") and line.endswith("ms") for line in lines)
    assert not any("mine" in line for line in lines)


def test_a_long_step_says_how_far_it_is_where_nothing_moves(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SILENCE", 0.0)
    with RunProgress(console) as watch:
        watch(Event(1, "train", done=1, total=1200))
        time.sleep(0.001)
        watch(Event(1, "train", done=600, total=1200))
    assert "train 600 of 1,200" in shown(console)


def test_a_message_of_a_step_is_shown_as_it_stands(console: Console) -> None:
    with RunProgress(console) as watch:
        watch(Event(1, "gate", message="rolled back [bold]"))
    assert "rolled back [bold]" in shown(console)


def test_the_moving_line_is_gone_in_the_end() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with RunProgress(console) as watch:
        watch(Event(1, "train", done=1, total=2))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().endswith(("\x1b[2K", "\x1b[?25h"))
