"""A signal that stops a benchmark ends its runs: none goes on alone and holds a workspace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from test_run_record import write_protocol

from serm.benchmarks import runner
from serm.benchmarks.children import Children, EndedError
from serm.benchmarks.runner import RunFailedError, run_protocol
from serm.benchmarks.runs import runs_of

PARENT = """
import signal, sys
from serm.benchmarks import runner
from serm.cli.main import run
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may have been started without
child, number, file, out = sys.argv[1:]
runner._command = lambda file, out, run: [sys.executable, "-c", child, str(out), str(run.seed), number]
sys.exit(run(["benchmark", file, "--out", out, "--jobs", "2"]))
"""
CHILD = """
import os, pathlib, sys, time
out, seed, number = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
(out / f"new-{seed}").write_text(str(os.getpid()))
(out / f"new-{seed}").rename(out / f"pid-{seed}")
while not (out / "pid-2").exists():
    time.sleep(0.01)
if seed == "1":
    os.kill(os.getppid(), number)
time.sleep(30)
(out / f"whole-{seed}").touch()
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_benchmark_that_is_stopped_takes_its_runs_with_it(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out, file = tmp_path / "out", tmp_path / "small.yaml"
    (tmp_path / "serm.yaml").write_text("random_seed: 1\n", encoding="utf-8")
    stated = {"name": "small", "config": "serm.yaml", "seeds": [1, 2, 3], "baseline": "ours"}
    file.write_text(yaml.safe_dump({**stated, "arms": {"ours": {}}}), encoding="utf-8")
    given = [CHILD, str(int(number)), str(file), str(out)]
    done = subprocess.run([sys.executable, "-c", PARENT, *given], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "the same command goes on" in done.stdout
    assert "failed" not in done.stdout + done.stderr
    pids = {item.name: int(item.read_text(encoding="utf-8")) for item in out.glob("pid-*")}
    assert set(pids) == {"pid-1", "pid-2"}, "no further run was started"
    assert not list(out.glob("whole-*")), "nor waited for"
    assert not any(is_alive(pid) for pid in pids.values())


def test_what_does_not_end_is_killed_and_nothing_is_started_after(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); "
    command = [sys.executable, "-c", stubborn + "time.sleep(60)"]
    children, log = Children(), tmp_path / "log.txt"
    ended: list[bool] = []

    def one() -> None:
        with log.open("w", encoding="utf-8") as file:
            try:
                children.run(command, file, os.environ)
            except EndedError:
                ended.append(True)

    thread = threading.Thread(target=one)
    thread.start()
    while not (log.is_file() and log.read_text(encoding="utf-8")):
        time.sleep(0.01)
    children.end(grace=0.1)
    thread.join(20)
    assert ended == [True]
    one()
    assert ended == [True, True]


def test_a_run_ends_with_the_benchmark_that_was_killed(tmp_path: Path) -> None:
    child = (
        "import pathlib, sys, time; from serm.benchmarks.runner import _end_with_parent;"
        "_end_with_parent(int(sys.argv[1]));"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(__import__('os').getpid())); time.sleep(300)"
    )
    parent = (
        "import os, subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1], str(os.getpid())])"
    )
    process = subprocess.Popen([sys.executable, "-c", parent, child])
    until = time.monotonic() + 60
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    process.kill()
    process.wait()
    running = Path("/proc") / (tmp_path / "pid").read_text()
    while running.is_dir() and "Z" not in (running / "stat").read_text().split()[2]:
        assert time.monotonic() < until + 30
        time.sleep(0.1)


def test_a_run_whose_benchmark_is_killed_before_it_has_imported_anything_ends(tmp_path: Path) -> None:
    (one,) = runs_of(tmp_path / "out", ["ours"], [1])
    *command, parent = runner._command(write_protocol(tmp_path), tmp_path / "out", one)
    assert parent == str(os.getpid())
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    assert subprocess.run([*command, str(killed.pid)], check=False).returncode == 128 + signal.SIGTERM


def test_a_run_that_is_killed_without_a_word_is_not_told_by_what_it_had_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, told = tmp_path / "out", list[str]()
    file, runs = write_protocol(tmp_path), runs_of(out, ["ours"], [1])
    attempts = {
        "print('it broke'); raise SystemExit(1)": "it broke (",
        "import os; os.kill(os.getpid(), 9)": "ended by SIGKILL: it said nothing (",
        "import os; print('round 2', flush=True); os.kill(os.getpid(), 15)": "ended by SIGTERM: round 2 (",
    }
    for attempt, said in attempts.items():
        monkeypatch.setattr(runner, "_command", lambda *_, what=attempt: [sys.executable, "-c", what])
        with pytest.raises(RunFailedError, match="1 of 1 runs failed: ours"):
            run_protocol(file, out, runs, jobs=1, tell=told.append)
        assert f"seed 1: {said}" in told[-1]
