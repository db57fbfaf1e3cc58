"""The benchmark of early stops: it counts what is asked, and the exact stops change no label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from serm.benchmarks.judging.calls_saved import JUDGES, calls_saved


def write_recorded(folder: Path) -> None:
    """Two years of 120 pairs each, and five judges who are right in two of three cases."""
    rng = np.random.default_rng(2)
    rows = [
        {
            "query_id": f"{year}-{n // 4}",
            "doc_id": f"d{year}-{n}",
            "grade": int(rng.integers(0, 4)),
            "timestamp": pd.Timestamp(f"{year}-06-01"),
        }
        for year in (2019, 2020)
        for n in range(240)
    ]
    pairs = pd.DataFrame(rows)
    said = []
    for judge in JUDGES:
        right = rng.random(len(pairs)) < 0.67
        label = np.where(right, pairs["grade"], rng.integers(0, 4, len(pairs)))
        said.append(pairs[["query_id", "doc_id"]].assign(judge=judge, label=label))
    pairs.to_parquet(folder / "pairs.parquet")
    pd.concat(said).to_parquet(folder / "judgments.parquet")


def test_the_exact_stops_save_calls_and_change_no_label_and_a_risk_saves_more(tmp_path: Path) -> None:
    write_recorded(tmp_path)
    exact, risky = (calls_saved(tmp_path, 20, 0.5, risk) for risk in (0.0, 0.15))
    assert [row[:2] for row in exact.rows] == [
        (rule, judges) for judges in ("3", "5") for rule in ("unanimous", "majority", "reliability")
    ]
    for row, other in zip(exact.rows, risky.rows, strict=True):
        cells = dict(zip(exact.headers, row, strict=True))
        assert cells["same label"] == "100.0%"
        full, made = (int(cells[name].replace(",", "")) for name in ("calls, all paths", "calls made"))
        assert full == 20 * 7 * int(cells["judges"])
        assert 0 < made < full
        assert int(other[3].replace(",", "")) < made
