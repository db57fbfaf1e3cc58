"""What TREC's files, whose columns stand between blanks, can hold."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from serm.core.columns import KEY
from serm.core.errors import DataError


def require_no_blanks(frame: pd.DataFrame, path: Path, what: str) -> None:
    """Raises DataError, naming the first, where an id (query_id, doc_id) has a blank in it."""
    for name in KEY:
        blanks = frame[name].str.contains(r"\s")
        if blanks.any():
            bad = frame.loc[blanks, name].iloc[0]
            raise DataError(
                f"the id `{bad}` has a blank in it, which TREC {what} cannot hold.",
                "Write .parquet, .jsonl or .csv.",
                file=path,
                field=name,
            )
