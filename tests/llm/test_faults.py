"""The benchmark of faults, small: a server that fails a fifth of all calls, a kill -9, a resume."""

from __future__ import annotations

from pathlib import Path

import pytest

from serm.benchmarks.judging.chat_server import FAULTS, GOOD, played, serving
from serm.benchmarks.judging.faults import Plan, run
from serm.llm import retry


@pytest.mark.slow
def test_every_pair_ends_graded_or_failed_none_twice_none_shifted_whatever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.05)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with serving(faults=0.2, hang=10.0) as url:
        store = f"sqlite:///{tmp_path / 'judgments.sqlite'}"
        seen = dict(run(Plan(url, store, pairs=500, in_flight=32, timeout=2.0)).rows)
    assert all(int(seen[f"of these: {fault}"]) > 0 for fault in FAULTS)
    assert int(seen["graded after the resume"]) < 500


def test_the_server_fails_the_share_that_it_is_told_to_in_all_its_ways() -> None:
    plays = [played(f"pair-{number}", 0, 0.2) for number in range(20_000)]
    assert plays.count(GOOD) / len(plays) == pytest.approx(0.8, abs=0.01)
    for fault in FAULTS:
        assert plays.count(fault) / len(plays) == pytest.approx(0.2 / len(FAULTS), abs=0.005)
