"""kill -9 and Ctrl-C of `serm annotate`, and the same command again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from annotating import asked, number, write_config, write_pairs
from chat_stub import ChatStub, Say

from serm.cli.main import run
from serm.storage.judgments import JudgmentStore
from serm.storage.labels_io import read_labels_any

PROGRAM = "from serm.cli.main import main; main()"
PAIRS, CONCURRENCY = 30, 4


def slow(body: dict[str, Any], times: int) -> Say:
    """The second judge disagrees on every fifth pair, so that the third is not asked of all."""
    value = 1 if body["model"] == "two" and number(body) % 5 == 0 else 2
    return Say(json.dumps({"grade": value, "reason": ""}), after=0.03)


def start(arguments: list[str], **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], env=environment, text=True, **options
    )


def wait_for(stub: ChatStub, calls: int) -> None:
    deadline = time.monotonic() + 90
    while len(asked(stub)) < calls and time.monotonic() < deadline:
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_after_kill_9_nothing_recorded_is_asked_again_and_the_labels_are_those_of_a_calm_run(
    stub: ChatStub, tmp_path: Path
) -> None:
    stub.play = slow
    pairs, out = write_pairs(tmp_path, PAIRS), tmp_path / "labels.csv"
    agreement = {"paths": 3, "rule": "unanimous"}
    models = ("one", "two", "three")
    config = write_config(tmp_path, stub, *models, agreement=agreement, llm={"concurrency": CONCURRENCY})
    arguments = ["annotate", str(pairs), "--config", str(config), "--out", str(out)]
    url = f"sqlite:///{tmp_path / '.serm' / 'annotate' / 'judgments.sqlite'}"

    for kill, calls in enumerate((20, 130), start=1):  # in the first wave, and in the second
        process = start(arguments)
        wait_for(stub, calls)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not out.exists()
        with JudgmentStore(url) as store:
            assert 1 <= store.lost_calls() <= kill * CONCURRENCY * len(models)
            done = {
                (judgment.judge, judgment.doc_id): len(judgment.paths)
                for n in range(PAIRS)
                for judgment in store.for_pair(f"q{n // 4}", f"d{n}")
            }
        before = Counter((body["model"], number(body)) for body in stub.bodies)

    assert run(arguments) == 0
    after = Counter((body["model"], number(body)) for body in stub.bodies)
    assert all(
        after[judge, int(doc[1:])] == before[judge, int(doc[1:])] for judge, doc in done if doc != "d0"
    )
    with JudgmentStore(url) as store:
        lost = store.lost_calls()
    needed = 2 * (2 * PAIRS + PAIRS - PAIRS // 5)  # two of three paths are enough, and two of three judges
    assert len(asked(stub)) <= needed + lost, "only what was lost is asked twice"

    calm = tmp_path / "calm.csv"
    config = write_config(tmp_path, stub, *models, agreement=agreement, workspace="calm")
    assert run(["annotate", str(pairs), "--config", str(config), "--out", str(calm)]) == 0
    assert read_labels_any(out).equals(read_labels_any(calm))


def test_ctrl_c_ends_the_calls_in_flight_and_leaves_with_130(stub: ChatStub, tmp_path: Path) -> None:
    stub.play = slow
    pairs, out = write_pairs(tmp_path, PAIRS), tmp_path / "labels.csv"
    config = write_config(tmp_path, stub, "one", "two", llm={"concurrency": 2})
    arguments = ["annotate", str(pairs), "--config", str(config), "--out", str(out)]
    with start(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        wait_for(stub, 10)
        process.send_signal(signal.SIGINT)
        shown = process.stdout.read()
    assert process.returncode == 130, shown
    assert "Stopped; what was judged is kept." in shown
    assert "Traceback" not in shown
    assert not out.exists()
    with JudgmentStore(f"sqlite:///{tmp_path / '.serm' / 'annotate' / 'judgments.sqlite'}") as store:
        assert store.lost_calls() == 0, "calls in flight are waited for"
        assert store.totals().judgments == len(asked(stub)) < 2 * PAIRS
    assert run(arguments) == 0
    assert max(Counter(asked(stub, "one")).values()) == 1


def test_a_second_ctrl_c_does_not_wait_for_a_server_that_hangs(stub: ChatStub, tmp_path: Path) -> None:
    stub.play = lambda body, times: Say('{"grade": 1}', after=30.0 if number(body) else 0.0)
    pairs, out = write_pairs(tmp_path, 8), tmp_path / "labels.csv"
    config = write_config(tmp_path, stub, "one", "two", llm={"timeout": 60})
    arguments = ["annotate", str(pairs), "--config", str(config), "--out", str(out)]
    with start(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        wait_for(stub, 4)
        process.send_signal(signal.SIGINT)
        shown = ""
        while "once more stops now" not in shown:
            line = process.stdout.readline()
            assert line, shown
            shown += line
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        shown += process.stdout.read()
    assert process.returncode == 130, shown
    assert time.monotonic() - began < 20, "well under the server's thirty seconds"
    assert "Traceback" not in shown
