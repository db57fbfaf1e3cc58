"""Pairs that somebody wants labelled, from a file or a frame: checked as those of a data set are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from serm.core.columns import KEY
from serm.core.errors import DataError
from serm.core.records import Reject
from serm.core.settings import Settings
from serm.core.settings_data import Source
from serm.storage.checks import checked
from serm.storage.ingest import DUPLICATE
from serm.storage.read_table import our_columns
from serm.storage.readers import read_source
from serm.storage.rejects import RejectLog

COLUMNS: Final = (*KEY, "query", "title", "text", "language", "source", "grade")
"""Of a pairs frame to be labelled; `grade`, a human's, may be missing row by row (Int8)."""


def read_pairs(source: Source, settings: Settings, rejects: RejectLog) -> pd.DataFrame:
    """The good rows of any input that a config's source may name, each pair once; the others go to `rejects`.

    Raises DataError where the file as a whole cannot be used, ConfigError for an ending that tells no format.
    """
    frame = pd.concat(read_source(source, settings, rejects), ignore_index=True)
    return first_of_each(frame, rejects)[[*COLUMNS]]


def first_of_each(frame: pd.DataFrame, rejects: RejectLog) -> pd.DataFrame:
    """The frame's rows (with `file` and `row`, where each stood) but for those of a pair that came before."""
    twice = frame.duplicated([*KEY])
    rejects.extend(
        Reject(file, int(row), "doc_id", DUPLICATE)
        for file, row in frame.loc[twice, ["file", "row"]].itertuples(index=False, name=None)
    )
    return frame[~twice].reset_index(drop=True)


def check_pairs(frame: pd.DataFrame, name: str = "pairs") -> pd.DataFrame:
    """A frame of one's own as `read_pairs` gives it; a column `source` is kept, and else is `name`.

    Rows count from 1. Raises DataError, naming row and field, where one is bad or a pair stands twice.
    """
    ours = list(our_columns([str(column) for column in frame.columns], {}, Path(name)))
    raw = frame[ours].reset_index(drop=True).assign(row=np.arange(1, len(frame) + 1))
    source = Source(pairs=Path(name), name=name)
    with RejectLog(Path(os.devnull)) as rejects:
        good = checked(raw, source, name, rejects)
        bad = rejects.latest
    if bad is not None:
        raise DataError(f"{bad.reason}.", "Mend the row.", file=name, row=bad.row, field=bad.field)
    twice = good.duplicated([*KEY])
    if twice.any():
        row = int(good.loc[twice, "row"].iloc[0])
        raise DataError(DUPLICATE + ".", "Keep one row a pair.", file=name, row=row, field="doc_id")
    if "source" in frame:
        good["source"] = frame["source"].astype(str).to_numpy()
    return good[[*COLUMNS]]
