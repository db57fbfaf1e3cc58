"""The tables of `labels_to_model`: labels by rule, and the models trained on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from serm.evals.seeds import seeds_interval, smallest_seen
from serm.evals.tables import NOTHING, Cells, difference, markdown, points

MEASURE = "ndcg@4"
BASELINE = "unanimous"
LEVEL, RESAMPLES = 0.95, 2_000


def rules_tables(
    folder: Path, seeds: int, arms: Sequence[str], *, pool: bool = False, suffix: str = ".parquet"
) -> str:
    """Markdown of what lies in `folder`: a folder a seed, a Parquet an arm, whose name ends with `suffix`.

    `pool` adds a column over all tests: for tests that share no queries or translations of them.
    """
    found = {
        arm: [pd.read_parquet(folder / f"seed-{seed}" / f"{arm}{suffix}") for seed in range(1, seeds + 1)]
        for arm in arms
    }
    tests = list(dict.fromkeys(found[arms[0]][0]["test"]))
    return "\n".join(
        (
            f"**Labels**, {seeds} seeds together\n\n" + markdown(_labels(folder, seeds, arms)),
            f"**Models**, NDCG@4 in points; in brackets what it adds to `{BASELINE}`, paired, with the "
            f"{LEVEL:.0%} bootstrap interval over queries and {seeds} seeds\n\n"
            + markdown(_models(found, [*tests, "all"] if pool else tests)),
        )
    )


def _labels(folder: Path, seeds: int, arms: Sequence[str]) -> Cells:
    rows = []
    for arm in arms:
        files = [folder / f"seed-{seed}" / f"{arm}.json" for seed in range(1, seeds + 1)]
        if not all(file.is_file() for file in files):
            continue
        figures = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        judged, kept, right = (sum(item[name] for item in figures) for name in ("judged", "kept", "right"))
        share = f"{right / kept:.1%}" if kept else NOTHING
        rows.append((arm, f"{judged:,}", f"{kept / judged:.1%}", share))
    return Cells(("rule", "pairs judged", "kept", "kept right"), tuple(rows), frozenset({"rule"}))


def _models(found: dict[str, list[pd.DataFrame]], tests: Sequence[str]) -> Cells:
    rows: list[tuple[str, ...]] = []
    reach: dict[str, list[float]] = {test: [] for test in tests}
    for arm, tables in found.items():
        cells = []
        for test in tests:
            values = _matrix(tables, test)
            level = f"{points(float(np.nanmean(values)))}"
            if arm == BASELINE or BASELINE not in found:
                cells.append(level)
                continue
            change = values - _matrix(found[BASELINE], test)
            interval = seeds_interval(change, LEVEL, RESAMPLES, seed=0)
            if arm != "frozen":
                reach[test].append(smallest_seen(interval))
            cells.append(f"{level} ({difference(interval)})")
        rows.append((arm, *cells))
    seen = (
        f"{points(float(np.median(found)))} (median over rules)" if found else NOTHING
        for found in reach.values()
    )
    headers = ("trained on", *tests)
    return Cells(headers, (*rows, ("smallest change seen", *seen)), frozenset(headers))


def _matrix(tables: Sequence[pd.DataFrame], test: str) -> np.ndarray:
    """(seeds, queries) of the measure on one test, or on `all` of them."""
    chosen = [table if test == "all" else table[table["test"] == test] for table in tables]
    indexed = [table.set_index(["test", "query_id"])[MEASURE] for table in chosen]
    return np.stack([table.reindex(indexed[0].index).to_numpy() for table in indexed])
