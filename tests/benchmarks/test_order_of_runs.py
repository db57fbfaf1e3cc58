"""Which runs of a protocol go at the same time."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from test_run_record import mark_done, write_protocol

from serm.benchmarks import runner
from serm.benchmarks.runner import run_protocol
from serm.benchmarks.runs import Run, runs_of

ARMS = ["ours", "other", "third"]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many runs went when each arm did: a run ends once another goes, or after a while."""
    together: Counter[str] = Counter()
    going: set[str] = set()
    changed = threading.Condition()

    def start(file: Path, out: Path, run: Run, *_: Any) -> int:
        with changed:
            going.add(run.arm)
            for arm in going:
                together[arm] = max(together[arm], len(going))
            changed.notify_all()
            changed.wait_for(lambda: together[run.arm] > 1, timeout=0.5 if run.arm == "ours" else 30)
            going.remove(run.arm)
        return 0

    monkeypatch.setattr(runner, "_start", start)
    return together


@pytest.mark.parametrize("begun", [False, True])
def test_the_first_run_of_a_seed_goes_alone_and_no_other_waits(
    tmp_path: Path, seen: Counter[str], begun: bool
) -> None:
    (tmp_path / "mlflow.db").touch()
    file, out = write_protocol(tmp_path, arms={name: {} for name in ARMS}), tmp_path / "out"
    if begun:
        mark_done(file, out)
    run_protocol(file, out, runs_of(out, ARMS, [1]), jobs=2, tell=lambda _: None)
    assert seen == ({} if begun else {"ours": 1}) | {"other": 2, "third": 2}
