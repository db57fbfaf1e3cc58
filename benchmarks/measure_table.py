"""The other measures of models, after the last round: NDCG at other ranks, and how their grades match."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import pandas as pd

from serm.benchmarks.arm_tables import models
from serm.benchmarks.arms import CHAMPION, FROZEN, LEVEL, RESAMPLES, Model, Results
from serm.benchmarks.figures import NONE, bounded
from serm.core.records import Interval
from serm.evals.bootstrap import Floats
from serm.evals.evaluate import SUMS, sums_of
from serm.evals.grades import MEASURES, always_commonest
from serm.evals.seeds import statistics_intervals
from serm.evals.tables import NOTHING, Cells, difference, estimate, points

RANKING: Final = {"ndcg@1": "NDCG@1", "ndcg@10": "NDCG@10"}
HEADLINE: Final = "ndcg@1"
OVER_FROZEN: Final = "NDCG@1 over frozen"
"""What the SERM paper reports: +2.5 to +3.0 points in three rounds, +0.04 by self-training alone."""
GRADES: Final = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "qwk": "kappa",
    "brier": "Brier",
    "ece": "ECE",
}
_ENDS: Final = {"qwk": (-1.0, 1.0), "brier": (0.0, 2.0)}
"""Of a measure that does not go from 0 to 1."""
COMMONEST: Final = "always the commonest grade"
_NO_ORDER: Final = (NOTHING,) * (len(RANKING) + 1)
"""Its figures of ranking, NDCG@1 over frozen among them."""


def other_measures(results: Results) -> Cells:
    """A row a model and test, each figure in points with its interval; kappa is weighted by squares.

    NDCG is the mean over the queries that have several grades. Those with one grade are counted apart; they
    are part of accuracy, balanced accuracy, kappa, Brier and the calibration error. Beside these stands, for
    each test, what one answer for all pairs would have: most of a pool may be of one grade."""
    first, *others = RANKING.values()
    headers = ("arm", "set", "queries", "of one grade", first, OVER_FROZEN, *others, *GRADES.values())
    rows = []
    for label, model in models(results):
        for name in results.sets:
            level, *levels = map(estimate, _figures(results, model, name))
            gain = difference(_over_frozen(results, model, name))
            rows.append((label, name, *_counts(results, model, name), level, gain, *levels))
    rows += [row for name in results.sets for row in _commonest(results, name)]
    return Cells(headers, tuple(rows), frozenset({"arm", "set", *headers[4:]}))


def _over_frozen(results: Results, model: Model, name: str) -> Interval:
    """Of NDCG@1, paired under the seeds that both have; an arm's over its own frozen model, another's over
    that of ours."""
    frozen = Model(model.arm if model.role == CHAMPION else results.ours, FROZEN)
    seeds = results.seeds_of(model.arm, None if model.arm == frozen.arm else frozen.arm)
    of_model, of_frozen = (results.last_tables(side, name, seeds) for side in (model, frozen))
    if model == frozen or not of_model or not all(HEADLINE in table for table in (*of_model, *of_frozen)):
        return NONE
    pairs = zip(of_model, of_frozen, strict=True)
    return results.interval(results.stacked([one[HEADLINE] - two[HEADLINE] for one, two in pairs]))


def _counts(results: Results, model: Model, name: str) -> tuple[str, str]:
    """Queries with several grades and with one, a seed on average."""
    values = results.of(model.arm, name, role=model.role)
    tables = results.last_tables(model, name)
    measured = results.queries(values)
    whole = round(np.mean([len(table) for table in tables])) if tables else 0
    return str(measured), str(whole - measured)


def _figures(results: Results, model: Model, name: str) -> list[Interval]:
    tables = results.last_tables(model, name)
    there = set(tables[0].columns) if tables else set()
    ranking = [_ranking(results, tables, measure) if measure in there else NONE for measure in RANKING]
    grades = _grades(results, tables) if set(SUMS) <= there else {}
    shown = [bounded(grades.get(measure, NONE), *_ENDS.get(measure, (0.0, 1.0))) for measure in GRADES]
    return [*map(bounded, ranking), *shown]


def _commonest(results: Results, name: str) -> Iterator[tuple[str, ...]]:
    """A test's row of always the commonest human grade, over the seeds of the first arm that has measured it;
    its order of documents is none. No row where an earlier version's table has no sums of grades."""
    for _, model in models(results):
        tables = results.last_tables(model, name)
        kept = [_measured(table) for table in tables if set(SUMS) <= set(table.columns)]
        if found := [always_commonest(sums_of(table))[1] for table in kept if len(table)]:
            told = [points(float(np.mean([of_seed[measure] for of_seed in found]))) for measure in GRADES]
            yield (COMMONEST, name, *_counts(results, model, name), *_NO_ORDER, *told)
            return


def _ranking(results: Results, tables: Sequence[pd.DataFrame], measure: str) -> Interval:
    return results.interval(results.stacked([table[measure] for table in tables]))


def _grades(results: Results, tables: Sequence[pd.DataFrame]) -> dict[str, Interval]:
    """By measure; queries that were not measured under every seed they belong to are no part of it."""
    kept = [_measured(table) for table in tables]
    found = statistics_intervals(
        [_statistic(table) for table in kept],
        [len(table) for table in kept],
        LEVEL,
        RESAMPLES,
        seed=0,
        common=results.same_queries,
    )
    return dict(zip(GRADES, found, strict=False))


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    return table[table[list(SUMS)].notna().all(axis=1)]


def _statistic(table: pd.DataFrame) -> Callable[[Floats], Floats]:
    """(b, queries) counts -> (b, measures), in the order of GRADES."""
    sums = sums_of(table)
    return lambda counts: np.stack([MEASURES[name](sums, counts) for name in GRADES], axis=1)
