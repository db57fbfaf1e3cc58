"""What the stream was like before a round: the queries that drift is measured against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.graphs.resources import Resources
from serm.relevance_model.base import FloatArray, RelevanceModel
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
        outputs=_outputs(resources, number, champion, model),
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
    resources: Resources, number: int, champion: str, model: RelevanceModel
) -> Callable[[], FloatArray]:
    """Scores the window before (the seed before the first) by the model in use, when asked: no more of the
    stream, because that costs as much as scoring the window itself."""

    def make() -> FloatArray:
        if number == 1:
            frame, place = resources.dataset.seed(), resources.dataset.seed_id
        else:
            frame, place = resources.pairs(number - 1), resources.window(number - 1).id
        key = resources.score_key(place, champion)
        scores = stored_scores(resources.workspace.scores, key, model, frame)
        codes, distinct = pd.factorize(frame["query"])
        return query_means(scores.probabilities, codes.astype(np.int64), len(distinct))

    return make


def _drawn(count: int, seed: int) -> NDArray[np.int64]:
    if count <= MOST:
        return np.arange(count, dtype=np.int64)
    return np.sort(np.random.default_rng([seed, count]).choice(count, MOST, replace=False)).astype(np.int64)
