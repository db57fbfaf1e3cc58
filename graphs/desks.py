"""A mining desk over a window and its models: what is dear is computed when asked, and once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence, Set

import numpy as np
import pandas as pd

from serm.core.records import PairKey
from serm.core.settings_miner import MinerSettings
from serm.evals.leakage import WordSet, reads_like
from serm.relevance_model.base import FloatArray, RelevanceModel, Scores
from serm.relevance_model.pairs import CodedPairs
from serm.tools.desk import Ints, MiningDesk
from serm.tools.language import with_languages
from serm.tools.query_sample import QuerySample


def mining_desk(
    window: pd.DataFrame,
    model: RelevanceModel,
    scores: Scores,
    reference: QuerySample,
    *,
    others: Sequence[Callable[[], RelevanceModel]] = (),
    labelled: Set[PairKey] = frozenset(),
    held_out: Set[WordSet] = frozenset(),
    settings: MinerSettings,
    seed: int,
) -> MiningDesk:
    """The desk of one round.

    `window`: a pairs frame, its texts best coded (`DataSet.coded_window`); `scores`: of its rows by `model`;
    `others`: the committee beside it, opened when asked; `held_out`: what queries may not read like.
    """
    pairs = CodedPairs.of_frame(window)  # models know languages as the log names them, agents all of them

    def stochastic(rows: Ints) -> FloatArray:
        return model.stochastic(
            pairs.take(rows), passes=settings.passes, seed=seed, layers=settings.dropout_layers
        )

    def committee(rows: Ints) -> FloatArray:
        some = pairs.take(rows)
        return np.stack([scores.expected[rows], *(member().score_pairs(some).expected for member in others)])

    return MiningDesk(
        window=with_languages(window, reference.spoken),
        scores=scores,
        query_embeddings=model.embed_queries(pairs.queries),
        query_index=pairs.query,
        document_embeddings=model.embed_documents(pairs.documents),
        document_index=pairs.document,
        reference=reference,
        stochastic=_kept(stochastic),
        committee=_kept(committee) if others else None,
        labelled=frozenset(labelled),
        held_out=reads_like(pairs.queries, held_out),
        settings=settings,
        seed=seed,
    )


def _kept(make: Callable[[Ints], FloatArray]) -> Callable[[Ints], FloatArray]:
    """Keeps the latest answer: agents that ask of the same rows, in threads of their own, share one."""
    lock = threading.Lock()
    latest: dict[bytes, FloatArray] = {}

    def asked(rows: Ints) -> FloatArray:
        with lock:
            key = rows.tobytes()
            if key not in latest:
                made = make(rows)
                latest.clear()
                latest[key] = made
            return latest[key]

    return asked
