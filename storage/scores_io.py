"""Scores of pairs as other programs read them: a table, or a ranking in TREC's form."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from serm.core.columns import DISTRIBUTION, KEY
from serm.core.errors import ConfigError
from serm.storage.artifacts import write_file
from serm.storage.table_files import TABLES
from serm.storage.trec_ids import require_no_blanks

COLUMNS: Final = (*KEY, "score", *DISTRIBUTION)
RUN: Final = ".run"


def check_scores_path(path: Path) -> None:
    """Raises ConfigError where scores are not written with this ending: before anything is scored."""
    if path.suffix.lower() not in (*TABLES, RUN):
        raise ConfigError(
            f"{path}: scores are not written as `{path.suffix}`.", f"Use one of {', '.join((*TABLES, RUN))}."
        )


def write_scores(scores: pd.DataFrame, path: Path, tag: str) -> None:
    """Write query_id, doc_id, score, p0 to p3 by the file's ending, whole or not at all.

    A run has a query's documents together, the best first, by `tag`. Raises ConfigError for another ending,
    DataError for an id with a blank in it, which a run cannot hold.
    """
    check_scores_path(path)
    form = path.suffix.lower()
    if form != RUN:
        write_file(path, lambda place: TABLES[form](scores[[*COLUMNS]], place))
        return
    require_no_blanks(scores, path, "runs")
    write_file(path, lambda place: _write_run(scores, place, tag))


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
