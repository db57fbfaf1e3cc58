"""What was measured is on disk before anything is made of it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from made_up_results import made_up

from serm.benchmarks import report


def test_results_are_written_before_the_tables_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = made_up(tmp_path, marketplace=False)
    monkeypatch.setattr(report, "collect", lambda runs: results.table)

    def broken(*given: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(report, "results_markdown", broken)
    with pytest.raises(ZeroDivisionError):
        report.write_report(results.protocol, tmp_path, results.runs)
    assert len(pd.read_parquet(tmp_path / "results.parquet")) == len(results.table)
