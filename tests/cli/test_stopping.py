"""Ctrl-C and SIGTERM stop a run at the end of its step; a second one stops it at once."""

from __future__ import annotations

import os
import signal

import pytest

from serm.cli.stopping import SIGNALS, stopping


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_asks_once_and_the_work_goes_on(number: signal.Signals, code: int) -> None:
    asked: list[str] = []
    with stopping(lambda: asked.append("stop")) as stop:
        os.kill(os.getpid(), number)
        asked.append("the step goes on")
    assert asked == ["stop", "the step goes on"]
    assert stop.exit_code == code


def test_the_second_signal_stops_at_once() -> None:
    asked: list[str] = []
    with stopping(lambda: asked.append("stop")) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert asked == ["stop"]
    assert stop.exit_code == 143


def test_the_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ValueError, match="anything"), stopping(lambda: None):
        raise ValueError("anything")
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_without_a_signal_the_exit_code_is_0() -> None:
    with stopping(lambda: None) as stop:
        pass
    assert stop.exit_code == 0


def test_a_second_signal_waits_until_the_first_one_is_said() -> None:
    """It came in the midst of the line that the first one prints, and nothing was printed from then on."""
    said: list[str] = []

    def ask() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        said.append("stopping")

    with stopping(ask, lambda: said.append("at once")), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert said == ["stopping", "at once"]
