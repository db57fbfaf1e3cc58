"""`serm evolve` shows what it does, stops when asked, goes on where it stopped, and says when it is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small_world import world

from serm.cli.main import run

PROGRAM = "from serm.cli.main import main; main()"


@pytest.fixture
def config(tmp_path: Path, tiny_encoder: Path) -> Path:
    path = tmp_path / "serm.yaml"
    path.write_text(yaml.safe_dump(world(tmp_path, tiny_encoder)), encoding="utf-8")
    return path


def test_a_run_shows_its_steps_ends_with_a_table_and_is_done_when_run_again(
    config: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["evolve", str(config), "--rounds", "1"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "First models" in out
    assert "Round 1" in out
    assert "SIMULATED" in out
    assert "Done: all 1 rounds are done." in out
    assert f"trace {config}" in out

    assert run(["evolve", str(config), "--rounds", "1"]) == 0
    again, err = capfd.readouterr()
    assert err == ""
    assert again[again.index("The model in use") :] == out[out.index("The model in use") :]

    assert run(["trace", str(config)]) == 0
    tree = capfd.readouterr().out
    for part in ("round 1", "agent drift", "tool detect_drift", "judge ann", "tool peer_vote", "gate"):
        assert part in tree

    assert run(["models", str(config)]) == 0
    assert "champion" in capfd.readouterr().out


@pytest.mark.slow
def test_ctrl_c_stops_at_a_steps_end_and_the_same_command_goes_on(config: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "evolve", str(config), "--rounds", "1"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        shown = ""
        while "First models" not in shown:
            line = process.stdout.readline()
            assert line, shown
            shown += line
        process.send_signal(signal.SIGINT)
        shown += process.stdout.read()
    assert process.returncode == 130, shown
    assert "Stopping at the end of this step, or once the calls in flight have ended; " in shown
    assert f"Stopped; nothing is lost. `serm evolve {config}` goes on from here." in shown
    assert "Traceback" not in shown
    assert run(command[3:]) == 0
