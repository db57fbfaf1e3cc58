"""Which labels moved the gate: an influence estimate for each, and what it says of the agents.

The encoder is thought of as free to stretch its space a little: cosines under a metric I + E, E symmetric.
A label asks for the step that lowers its own loss, and the gate's grades for the one that lowers theirs; the
label's credit is how far the two agree, their inner product (TracIn, Pruthi et al. 2020, with one checkpoint
and these d x d parameters in the place of all weights). To first order

    d cos(q, d) / d E = (q d' + d q') / 2 - cos (q q' + d d') / 2

so that nothing is trained, nothing d x d is kept but the gate's own step, and n labels take n d^2 operations.
It is an estimate: of one small step, of the metric alone. benchmarks/mining/credit_check.py compares it with
training without an agent's labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.floating]

SURE: Final = 2.0
"""Standard errors from the average of all pairs at which an agent's share is doubled or halved; chosen."""
CEILING: Final = 2.0
FLOOR: Final = 1 / CEILING


def wanted_step(queries: Floats, documents: Floats, slopes: Floats) -> NDArray[np.float64]:
    """The gradient over E, (d, d), of a loss with these slopes over the cosines of n pairs of unit vectors
    (n, d): the sum of slope times the derivative above. Symmetric."""
    left, right = _doubles(queries), _doubles(documents)
    weights = np.asarray(slopes, dtype=np.float64)[:, None]
    cosines = np.einsum("nd,nd->n", left, right)[:, None]
    crossed = left.T @ (weights * right)
    alone = left.T @ (weights * cosines * left) + right.T @ (weights * cosines * right)
    return np.asarray((crossed + crossed.T - alone) / 2)


def credits(
    queries: Floats, documents: Floats, slopes: Floats, step: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The credit of n labels, (n,): above 0 where what a label asks for lowers the loss of `step`.

    `slopes` are those of the labels' own loss, `step` is `wanted_step` of the gate.
    """
    left, right = _doubles(queries), _doubles(documents)
    moved, cosines = left @ step, np.einsum("nd,nd->n", left, right)
    alone = np.einsum("nd,nd->n", moved, left) + np.einsum("nd,nd->n", right @ step, right)
    return np.asarray(slopes * (np.einsum("nd,nd->n", moved, right) - cosines * alone / 2))


def by_agent(pairs: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """What each agent's share of the budget brought: the table of a round's report.

    `pairs` has a row a pair that was sent to the panel: query_id, agent, labelled, credit (0 where no label
    came of it: it was paid for all the same). Of each agent: `pairs`, `labels`, `credit` (the sum, as a share
    of all agents' absolute sums, so that two rounds can be compared), `t` (how many standard errors its mean
    is from that of all pairs, errors clustered by query), and `factor`, what `miner.credit` multiplies its
    share by.
    """
    table = pairs.groupby("agent", sort=True)
    sums = table["credit"].sum()
    scale = float(sums.abs().sum()) or 1.0
    told: dict[str, dict[str, Any]] = {}
    for agent, rows in table:
        distance = _errors_from(rows, pairs)
        told[str(agent)] = {
            "pairs": len(rows),
            "labels": int(rows["labelled"].sum()),
            "credit": float(sums[agent]) / scale,
            "t": distance,
            "factor": factor(distance),
        }
    return told


def factor(distance: float) -> float:
    """What a share is multiplied by: 1 at the average, up to `CEILING` and down to `FLOOR` at `SURE`."""
    return float(CEILING ** np.clip(distance / SURE, -1.0, 1.0))


def credited(shares: Mapping[str, float], table: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The shares of the next round: those of the config, each times its agent's factor; 1 for one untold."""
    return {name: share * float(table.get(name, {}).get("factor", 1.0)) for name, share in shares.items()}


def _errors_from(rows: pd.DataFrame, pairs: pd.DataFrame) -> float:
    """How far the mean credit of an agent's rows is from that of all, in standard errors; 0 where there are
    no two queries. Where its credits are all alike (every pair was dropped) they are taken to spread as all
    pairs' do."""
    queries = rows["query_id"].nunique()
    if queries < 2:
        return 0.0
    alike = bool(rows["credit"].max() == rows["credit"].min())
    error = _spread(pairs if alike else rows) / math.sqrt(queries)
    return float(rows["credit"].mean() - pairs["credit"].mean()) / error if error > 0 else 0.0


def _spread(rows: pd.DataFrame) -> float:
    """The standard error of the mean credit of rows times the root of the number of their queries: the rows
    of a query share lists and texts, so that queries and not rows are what is independent."""
    by_query = (rows["credit"] - rows["credit"].mean()).groupby(rows["query_id"]).sum()
    n = len(by_query)
    return math.sqrt(float((by_query**2).sum()) / (n - 1)) * n / len(rows)


def _doubles(vectors: Floats) -> NDArray[np.float64]:
    return np.asarray(vectors, dtype=np.float64)
