"""Scores of pairs as other programs read them: a table, or a ranking in TREC's form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from serm.core.columns import DISTRIBUTION, KEY
from serm.core.errors import ConfigError
from serm.core.records import Reject
from serm.storage.artifacts import write_file
from serm.storage.embeddings import pair_hash
from serm.storage.ingest import DUPLICATE
from serm.storage.rejects import RejectLog
from serm.storage.trec_ids import require_no_blanks

COLUMNS: Final = (*KEY, "score", *DISTRIBUTION)
RUN: Final = ".run"
Add = Callable[[pd.DataFrame], None]

_SCHEMA: Final = pa.schema(
    [*((name, pa.string()) for name in KEY), *((name, pa.float32()) for name in COLUMNS[len(KEY) :])]
)


def check_scores_path(path: Path) -> None:
    """Raises ConfigError where scores are not written with this ending, or a folder is in their place: before
    anything is scored."""
    if path.suffix.lower() not in (*_TABLES, RUN):
        raise ConfigError(
            f"{path}: scores are not written as `{path.suffix}`.",
            f"Use one of {', '.join((*_TABLES, RUN))}.",
        )
    if path.is_dir():
        raise ConfigError(f"{path} is a folder.", "Name a file, in it or elsewhere.")


def writable(chunks: Iterable[pd.DataFrame], path: Path) -> Iterator[pd.DataFrame]:
    """Chunks of a pairs frame whose ids the file can hold. Raises DataError for a blank in one that goes into
    a run: before the chunk is scored."""
    for chunk in chunks:
        if path.suffix.lower() == RUN:
            require_no_blanks(chunk, path, "runs")
        yield chunk


def each_once(chunks: Iterable[pd.DataFrame], rejects: RejectLog) -> Iterator[pd.DataFrame]:
    """Chunks of a pairs frame without the rows of pairs that came before, which go to `rejects`. Of what came
    before a hash of each pair's ids is kept, 16 bytes."""
    seen: set[bytes] = set()
    for chunk in chunks:
        twice = np.zeros(len(chunk), dtype=bool)
        for place, (query, document) in enumerate(chunk[[*KEY]].itertuples(index=False, name=None)):
            pair = pair_hash(query, document)
            twice[place] = pair in seen
            seen.add(pair)
        rejects.extend(
            Reject(file, int(row), "doc_id", DUPLICATE)
            for file, row in chunk.loc[twice, ["file", "row"]].itertuples(index=False, name=None)
        )
        if not twice.all():
            yield chunk[~twice]


def write_scores(parts: Iterable[pd.DataFrame], path: Path, tag: str) -> None:
    """Write query_id, doc_id, score, p0 to p3 by the file's ending, whole or not at all.

    A table is written part by part, and none stays in memory. A run has a query's documents together, the
    best first, by `tag`: of all parts the ids and the scores are kept until its end. Raises ConfigError for
    another ending, DataError for an id with a blank in it, which a run cannot hold.
    """
    check_scores_path(path)
    form = path.suffix.lower()

    def write(place: Path) -> None:
        if form == RUN:
            kept = [part[[*KEY, "score"]] for part in writable(parts, path)]
            _write_run(pd.concat(kept, ignore_index=True), place, tag)
            return
        with _TABLES[form](place) as add:
            for part in parts:
                add(part[[*COLUMNS]])

    write_file(path, write)


@contextmanager
def _parquet(path: Path) -> Iterator[Add]:
    with pq.ParquetWriter(path, _SCHEMA) as writer:
        yield lambda part: writer.write_table(
            pa.Table.from_pandas(part, schema=_SCHEMA, preserve_index=False)
        )


@contextmanager
def _csv(path: Path) -> Iterator[Add]:
    with path.open("w", encoding="utf-8", newline="") as file:
        # Lines end as in storage/csv_file.py.
        yield lambda part: part.to_csv(file, index=False, header=not file.tell(), lineterminator="\r\n")


@contextmanager
def _jsonl(path: Path) -> Iterator[Add]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda part: part.to_json(file, orient="records", lines=True, force_ascii=False)


_TABLES: Final[Mapping[str, Callable[[Path], AbstractContextManager[Add]]]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".jsonl": _jsonl,
}


def _write_run(scores: pd.DataFrame, path: Path, tag: str) -> None:
    order = pd.Series(pd.factorize(scores["query_id"])[0], index=scores.index)  # as they came
    ranked = scores.assign(order=order).sort_values(
        ["order", "score", "doc_id"], ascending=[True, False, True], kind="stable"
    )
    ranks = ranked.groupby("order").cumcount() + 1
    with path.open("w", encoding="utf-8") as file:
        for query, document, rank, score in zip(
            ranked["query_id"], ranked["doc_id"], ranks, ranked["score"], strict=True
        ):
            file.write(f"{query} Q0 {document} {rank} {score:.9g} {tag}\n")  # nine digits hold a float32
