"""TREC qrels (query, iteration, document, grade) and runs (query, Q0, document, rank, score, tag)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import pandas as pd

from serm.core.errors import ConfigError
from serm.core.records import Reject
from serm.core.settings_data import Source
from serm.storage.checks import NOT_UTF8
from serm.storage.documents import RawRow, Texts
from serm.storage.rejects import RejectLog


def _qrel(number: int, cells: list[str]) -> RawRow:
    return RawRow(number, cells[0], cells[2], cells[3], None)


def _run_line(number: int, cells: list[str]) -> RawRow:
    return RawRow(number, cells[0], cells[2], None, cells[3])


_KINDS: Final[dict[int, Callable[[int, list[str]], RawRow]]] = {4: _qrel, 6: _run_line}  # by number of fields


def trec_side_files(source: Source, resolve: Callable[[Path], Path]) -> tuple[Path, Path]:
    """The files of queries and documents. Raises ConfigError where the config names none."""
    if source.queries is None or source.corpus is None:
        missing = "queries" if source.queries is None else "corpus"
        raise ConfigError(
            f"data.sources: {source.label} is a TREC file and has no texts, and `{missing}` is not set.",
            "Set `queries:` to a file of query_id and query, `corpus:` to one of doc_id, title and text.",
        )
    return resolve(source.queries), resolve(source.corpus)


def read_trec(
    file: Path, queries: Path, corpus: Path, rejects: RejectLog, chunk: int
) -> Iterator[pd.DataFrame]:
    """Raw chunks. A run's rank becomes the position of its row, which has no grade."""
    with RejectLog(Path(os.devnull)) as unheard:  # the second reading tells of broken lines
        wanted = {row.doc_id for row in _rows(file, unheard)}
    with Texts.load(queries, corpus, wanted, rejects) as texts:
        rows = _rows(file, rejects)
        while part := list(islice(rows, chunk)):
            yield texts.join(part, file, "", rejects)


def _rows(file: Path, rejects: RejectLog) -> Iterator[RawRow]:
    with file.open("rb") as lines:
        for number, raw in enumerate(lines, start=1):
            try:
                cells = raw.decode("utf-8-sig").split()
            except UnicodeDecodeError:
                rejects.add(Reject(str(file), number, "", NOT_UTF8))
                continue
            if not cells:
                continue
            kind = _KINDS.get(len(cells))
            if kind is None:
                rejects.add(Reject(str(file), number, "", "neither 4 fields (qrels) nor 6 (run)"))
            else:
                yield kind(number, cells)
