"""How far the drift takes a model that does not move: NDCG@4 by window and by what the query asks for.

python -m serm.benchmarks.marketplace.gap --preset harsh --seed 11
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from serm.benchmarks.marketplace.__main__ import arguments, market_of
from serm.benchmarks.marketplace.generate import Simulation, simulate
from serm.core.settings_loop import ModelSettings
from serm.evals.measures import ndcg_column, per_query

CUTOFF = 4


def gap_table(simulation: Simulation, expected: ArrayLike) -> pd.DataFrame:
    """A row a window and set: queries, NDCG@4 of all, of old words, of invented words and of each language.

    `expected` (n,): a score for each row of the pairs, higher is better.
    """
    scores = np.asarray(expected, dtype=np.float64)
    facts = simulation.queries
    windows = facts.set_index(["query_id", "window"])
    pairs = simulation.pairs.assign(window=_windows(simulation))
    rows = []
    for key, part in pairs.groupby(["window", "split"]):
        window, name = key if isinstance(key, tuple) else (key, "")
        measured = per_query(part, scores[part.index], cutoffs=(CUTOFF,)).set_index("query_id")
        of_query = windows.xs(window, level="window").loc[measured.index]
        ndcg = measured[ndcg_column(CUTOFF)]
        invented = of_query["invented"].astype(bool)
        rows.append(
            {
                "window": window,
                "set": name,
                "queries": len(ndcg),
                "all": ndcg.mean(),
                "old words": ndcg[~invented].mean(),
                "invented": ndcg[invented].mean(),
                "n invented": int(invented.sum()),
                **{language: group.mean() for language, group in ndcg.groupby(of_query["language"])},
            }
        )
    return pd.DataFrame(rows)


def _windows(simulation: Simulation) -> pd.Series[int]:
    """The window of each pair: a query's rows of one window follow each other in time."""
    days = simulation.pairs["timestamp"] - pd.Timestamp(simulation.settings.start)
    return (days // pd.Timedelta(days=simulation.settings.window_days)).astype(int)


def main() -> None:
    from serm.relevance_model.loading import open_base
    from serm.relevance_model.scoring import score_frame

    simulation = simulate(market_of(arguments().parse_args()))
    model = open_base(ModelSettings(max_length=96), cache=None)
    table = gap_table(simulation, score_frame(model, simulation.pairs).expected)
    print("NDCG@4 of the untrained base model")
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
