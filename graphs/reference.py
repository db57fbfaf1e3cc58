"""What the stream was like before a round: the queries that drift is measured against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.core.hashing import digest
from serm.graphs.resources import Resources
from serm.relevance_model.base import FloatArray, RelevanceModel, Scores
from serm.relevance_model.scoring import stored_scores
from serm.tools.language import with_languages
from serm.tools.query_sample import QuerySample, query_means

MOST: Final = 20_000
"""Earlier queries, at most; of more so many are drawn at random. Chosen: tests gain little from more."""


def earlier_queries(resources: Resources, number: int, champion: str) -> QuerySample:
    """The queries of the seed and of the windows before round `number`, or of the last of them alone
    (`miner.drift_reference`). A query that came in several windows counts in each."""
    model = resources.models.open(champion)
    parts = [_queries_of(frame) for frame in _frames(resources, number)]
    names = [name for part in parts for name in part.names]
    languages = [name for part in parts for name in part.languages]
    kept = _drawn(len(names), resources.settings.random_seed)
    return QuerySample(
        embeddings=model.embed_queries([names[row] for row in kept]),
        names=[names[row] for row in kept],
        languages=[languages[row] for row in kept],
        outputs=_outputs(resources, number, champion, model, kept),
    )


@dataclass(frozen=True, slots=True)
class _Queries:
    names: list[str]
    languages: list[str]


def _queries_of(frame: pd.DataFrame) -> _Queries:
    first = with_languages(frame).drop_duplicates("query")
    return _Queries([str(text) for text in first["query"]], [str(name) for name in first["language"]])


def _frames(resources: Resources, number: int) -> Iterator[pd.DataFrame]:
    """The seed is window 0. One frame is in memory at a time."""
    last = resources.settings.miner.drift_reference == "last"
    if not last or number == 1:
        yield resources.dataset.seed()
    for earlier in range(max(1, number - 1) if last else 1, number):
        yield resources.pairs(earlier)


def _outputs(
    resources: Resources, number: int, champion: str, model: RelevanceModel, kept: NDArray[np.int64]
) -> Callable[[], FloatArray]:
    """Scores every earlier pair by the model in use, when asked."""

    def scores(frame: pd.DataFrame, place: str) -> Scores:
        return stored_scores(resources.workspace.scores, digest([place, champion]), model, frame)

    def make() -> FloatArray:
        places = [resources.dataset.seed_id, *(window.id for window in resources.dataset.windows)]
        last = resources.settings.miner.drift_reference == "last"
        chosen = places[number - 1 : number] if last else places[:number]
        means = []
        for frame, place in zip(_frames(resources, number), chosen, strict=True):
            codes, distinct = pd.factorize(frame["query"])
            means.append(query_means(scores(frame, place).probabilities, codes, len(distinct)))
        return np.concatenate(means)[kept]

    return make


def _drawn(count: int, seed: int) -> NDArray[np.int64]:
    if count <= MOST:
        return np.arange(count, dtype=np.int64)
    return np.sort(np.random.default_rng([seed, count]).choice(count, MOST, replace=False)).astype(np.int64)
