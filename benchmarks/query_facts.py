"""What is known of test queries: their language, and how often they are asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from serm.benchmarks.collect import data_folder
from serm.benchmarks.runs import Run
from serm.storage.dataset import DataSet
from serm.tools.strata import frequencies, strata

KEYS = ["set", "seed", "query_id"]


def query_facts(runs: Iterable[Run]) -> pd.DataFrame:
    """`language` and `stratum` (head, torso or tail; "" where the log has no impressions) of the queries of
    every test, by set, seed and query_id."""
    tables = [table for run in runs for table in _tables(run)]
    return pd.concat(tables).drop_duplicates(KEYS).set_index(KEYS).sort_index()


def _tables(run: Run) -> Iterator[pd.DataFrame]:
    dataset = DataSet.load(data_folder(run))
    for test in dataset.tests:
        frame = dataset.test(test.name)
        first = frame.drop_duplicates("query_id")
        yield pd.DataFrame(
            {
                "set": test.name,
                "seed": run.seed,
                "query_id": first["query_id"].to_numpy(),
                "language": first["language"].fillna("").to_numpy(),
                "stratum": _strata(frame),
            }
        )


def _strata(frame: pd.DataFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.str_]]:
    """By query in the order in which they first appear."""
    codes, distinct = pd.factorize(frame["query_id"])
    if not (pd.to_numeric(frame["impressions"], errors="coerce") > 0).any():
        return np.full(len(distinct), "")
    return strata(frequencies(frame, codes.astype(np.int64), len(distinct)))
