"""BEIR folders: corpus.jsonl, queries.jsonl and qrels/*.tsv, one file of judged pairs a split."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import pandas as pd

from serm.core.errors import DataError
from serm.core.records import Reject
from serm.storage.checks import NOT_UTF8
from serm.storage.documents import RawRow, Texts
from serm.storage.rejects import RejectLog

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels"
_HEADER: Final = "query-id"


def is_beir(folder: Path) -> bool:
    return all((folder / name).exists() for name in (CORPUS, QUERIES, QRELS))


def beir_files(folder: Path) -> list[Path]:
    """Corpus, queries and the qrels files in the order of their names.

    Raises DataError where one is missing.
    """
    for name in (CORPUS, QUERIES, QRELS):
        if not (folder / name).exists():
            raise DataError(
                f"`{name}` is missing in this BEIR folder.",
                f"It needs {CORPUS}, {QUERIES} and {QRELS}/*.tsv.",
                file=folder,
            )
    qrels = sorted((folder / QRELS).glob("*.tsv"))
    if not qrels:
        raise DataError("it holds no *.tsv.", "Put one of judged pairs a split there.", file=folder / QRELS)
    return [folder / CORPUS, folder / QUERIES, *qrels]


def read_beir(folder: Path, rejects: RejectLog, chunk: int) -> Iterator[tuple[Path, pd.DataFrame]]:
    """(qrels file, raw chunk); the column `split` is the file's name without its ending."""
    corpus, queries, *qrels = beir_files(folder)
    with RejectLog(Path(os.devnull)) as unheard:  # the second reading tells of broken lines
        wanted = {row.doc_id for file in qrels for row in _rows(file, unheard)}
    with Texts.load(queries, corpus, wanted, rejects) as texts:
        for file in qrels:
            rows = _rows(file, rejects)
            while part := list(islice(rows, chunk)):
                yield file, texts.join(part, file, file.stem, rejects)


def _rows(file: Path, rejects: RejectLog) -> Iterator[RawRow]:
    with file.open("rb") as lines:
        number = 0
        for index, raw in enumerate(lines):
            try:
                cells = raw.decode("utf-8-sig").rstrip("\r\n").split("\t")
            except UnicodeDecodeError:
                cells, undecoded = [], True
            else:
                undecoded = False
            if cells == [""] or (index == 0 and cells and cells[0] == _HEADER):
                continue
            number += 1
            if len(cells) == 3:
                yield RawRow(number, cells[0], cells[1], cells[2], None)
            else:
                reason = NOT_UTF8 if undecoded else "not three fields with tabs between them"
                rejects.add(Reject(str(file), number, "", reason))
