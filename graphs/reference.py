"""What the stream was like before a round: the queries that drift is measured against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serm.graphs.resources import Resources
from serm.relevance_model.base import RelevanceModel
from serm.relevance_model.scoring import stored_scores
from serm.storage.artifacts import find_or_create
from serm.storage.reading import read_frame
from serm.tools.exposure import stretches
from serm.tools.language import identify, read_languages, read_with, spoken_in
from serm.tools.query_sample import Asked, Outputs, QuerySample, query_means
from serm.tools.strata import logged_frequencies

MOST: Final = 20_000
"""Earlier queries, at most; of more so many are drawn at random. Chosen: tests gain little from more."""

_QUERIES = "queries.parquet"


def earlier_queries(resources: Resources, number: int, champion: str) -> QuerySample:
    """The queries of the seed and of the windows before round `number`, or of the last of them alone
    (`miner.drift_reference`). A query that came in several windows counts in each that is a stretch by itself
    (tools/exposure.py)."""
    model = resources.models.open(champion)
    tables = [queries_of(resources, place) for place in _places(resources, number)]
    now = queries_of(resources, number)
    spoken = frozenset[str]().union(*(spoken_in(table["language"].tolist()) for table in [*tables, now]))
    counts, requests = stretches(
        [asked_in(table) for table in tables],
        asked_in(now),
        seed=resources.settings.random_seed,
    )
    table = pd.concat(tables, ignore_index=True)
    kept = _drawn(len(table), resources.settings.random_seed)
    some = table.iloc[kept]
    return QuerySample(
        embeddings=model.embed_queries(some["query"].tolist()),
        names=some["query"].tolist(),
        languages=_languages(some, spoken),
        spoken=spoken,
        outputs=_outputs(resources, number, champion, model),
        counts=None if requests is None else np.concatenate(counts)[kept],
        requests=requests,
        every=None if len(some) == len(table) else lambda: frozenset(table["query"]),
    )


def queries_of(resources: Resources, place: int) -> pd.DataFrame:
    """`distinct_queries` of a window, or of the seed (0). Read from the stream once in the life of a
    workspace, and small from then on."""
    scores, dataset = resources.workspace.scores, resources.dataset
    name = dataset.seed_id if place == 0 else resources.window(place).id

    def make(folder: Path) -> None:
        frame = dataset.seed() if place == 0 else dataset.coded_window(place - 1)
        distinct_queries(frame).to_parquet(folder / _QUERIES, index=False)

    folder = find_or_create(scores, f"asked-with-{name}", make)
    return read_frame(
        folder / _QUERIES, remedy=f"Remove the folder {folder}; the same command makes it again."
    )


def distinct_queries(frame: pd.DataFrame) -> pd.DataFrame:
    """Of a pairs frame, in its order: query, language, `named` (whether the log says it), `guess` (what the
    text itself reads like, also where hardly anybody speaks it here), `documents`, what it is read with where
    the log names no language, and `asked`, how often; NaN where the log has no impressions."""
    codes, _ = pd.factorize(frame["query"])
    index = codes.astype(np.int64)
    texts = read_with(frame)
    told, guesses = read_languages(frame, texts=texts)
    first = told.drop_duplicates("query")
    times = logged_frequencies(frame, index, len(first))
    return pd.DataFrame(
        {
            "query": first["query"].astype(str).to_numpy(),
            "documents": [" ".join(texts.get(query, ())) for query in first["query"].astype(str)],
            "language": first["language"].astype(str).to_numpy(),
            "named": frame.loc[first.index, "language"].fillna("").astype(str).ne("").to_numpy(),
            "guess": guesses[first.index].astype(str).to_numpy(),
            "asked": np.full(len(first), np.nan) if times is None else times,
        }
    )


def _languages(table: pd.DataFrame, spoken: frozenset[str]) -> list[str]:
    """Those of earlier queries, once it is known which are `spoken` before and now: chosen as the window's
    own are, for of one text in both the languages may not differ."""
    found = table["language"].where(table["named"] | ~table["guess"].isin(spoken), table["guess"])
    if spoken:
        rare = ~table["named"] & ~table["guess"].isin(spoken)
        texts = table.loc[rare, ["query", "documents"]].itertuples(index=False, name=None)
        found[rare] = [identify(query, [documents], among=spoken) for query, documents in texts]
    return [str(name) for name in found]


def asked_in(table: pd.DataFrame) -> Asked:
    """A table of `distinct_queries` as stretches are cut of it."""
    times = table["asked"].to_numpy(dtype=np.float64)
    return Asked(table["query"].tolist(), None if np.isnan(times).all() else times)


def _places(resources: Resources, number: int) -> list[int]:
    """The seed is window 0."""
    if resources.settings.miner.drift_reference == "last":
        return [number - 1]
    return list(range(number))


def _outputs(
    resources: Resources, number: int, champion: str, model: RelevanceModel
) -> Callable[[], Outputs]:
    """Scores the window before (the seed before the first) by the model in use, when asked: no more of the
    stream, because that costs as much as scoring the window itself."""

    def make() -> Outputs:
        if number == 1:
            frame, place = resources.dataset.seed(), resources.dataset.seed_id
        else:
            frame, place = resources.pairs(number - 1), resources.window(number - 1).id
        key = resources.score_key(place, champion)
        scores = stored_scores(resources.workspace.scores, key, model, frame)
        codes, distinct = pd.factorize(frame["query"])
        index = codes.astype(np.int64)
        return Outputs(
            query_means(scores.probabilities, index, len(distinct)),
            logged_frequencies(frame, index, len(distinct)),
        )

    return make


def _drawn(count: int, seed: int) -> NDArray[np.int64]:
    if count <= MOST:
        return np.arange(count, dtype=np.int64)
    return np.sort(np.random.default_rng([seed, count]).choice(count, MOST, replace=False)).astype(np.int64)
