"""Windows made up for the tests of the miner: `make_desk` builds one from a few numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from serm.core.records import PairKey
from serm.core.settings_miner import MinerSettings
from serm.relevance_model.base import Scores, expected_grade
from serm.tools.desk import MiningDesk
from serm.tools.query_sample import QuerySample


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def topics(rng: np.random.Generator, n: int, centres: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """n unit vectors around `centres`, by their shares of the traffic."""
    chosen = centres[rng.choice(len(centres), n, p=shares)]
    return unit(chosen + 0.5 * rng.normal(size=chosen.shape) / np.sqrt(centres.shape[1]))


def make_desk(
    *,
    queries: int = 30,
    per_query: int = 8,
    seed: int = 0,
    logged: bool = True,
    drifted: bool = True,
    labelled: frozenset[PairKey] = frozenset(),
    text: str = "query",
    **settings: Any,
) -> MiningDesk:
    """A window of queries x per_query pairs with random scores; a third of its queries are of a new topic
    where it has `drifted`, and low-scored pairs are clicked here and there where it is `logged`."""
    rng = np.random.default_rng(seed)
    n = queries * per_query
    centres = unit(rng.normal(size=(6, 24)))
    old, new = np.r_[np.ones(5) / 5, 0.0], np.r_[np.ones(5) * 2 / 15, 1 / 3]
    probabilities = rng.dirichlet([1.0, 0.5, 0.3, 0.3], n).astype(np.float32)
    query_index = np.repeat(np.arange(queries), per_query)
    window = pd.DataFrame(
        {
            "query_id": [f"q{i}" for i in query_index],
            "doc_id": [f"d{i}" for i in range(n)],
            "query": [f"{text} {i}" for i in query_index],
            "title": "",
            "text": [f"document {i}" for i in range(n)],
            "language": rng.choice(["en", "de"], n),
            "source": "made up",
            "timestamp": pd.NaT,
            "impressions": rng.integers(20, 200, n).astype(float) if logged else np.nan,
            "clicks": np.nan,
            "dwell_seconds": rng.exponential(40.0, n) if logged else np.nan,
            "position": rng.integers(1, 11, n).astype(float) if logged else np.nan,
        }
    )
    if logged:
        attractive = rng.beta(1, 2, n)
        window["clicks"] = rng.binomial(
            window["impressions"].astype(int), attractive / window["position"]
        ).astype(float)
    return MiningDesk(
        window=window,
        scores=Scores(probabilities, expected_grade(probabilities)),
        query_embeddings=topics(rng, queries, centres, new if drifted else old),
        query_index=query_index,
        document_embeddings=unit(rng.normal(size=(n, 24))),
        document_index=np.arange(n),
        reference=QuerySample(
            topics(rng, max(queries, 60), centres, old),
            names=[f"{text} {i}" for i in range(max(queries, 60))],
            languages=rng.choice(["en", "de"], max(queries, 60)).tolist(),
        ),
        stochastic=lambda rows: (
            np.random.default_rng([seed, 9]).dirichlet(np.ones(4), (4, len(rows))).astype(np.float32)
        ),
        committee=lambda rows: np.random.default_rng([seed, 8]).random((3, len(rows)), dtype=np.float32),
        labelled=labelled,
        settings=MinerSettings(**settings),
        seed=seed,
    )
