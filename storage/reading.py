"""Reading what serm wrote earlier: a file that is damaged is a sentence and a remedy, and no bug."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from serm.core.errors import WorkspaceError

if TYPE_CHECKING:
    import pandas as pd

A_COPY: Final = "Put a copy of the file back."
"""Of what can be had once: judgments that were paid for, what a round was made from."""
MADE_AGAIN: Final = "Remove the file; the same command makes it again."
"""Of what follows from other files of the workspace."""
_OF_THE_FILE = (None, errno.ENOENT)
"""The errno of what is wrong with a file itself: Arrow says of a damaged one without any."""


@contextmanager
def damage_errors(path: Path, remedy: str) -> Iterator[None]:
    """Turn what a reader says of a file that is gone, empty, cut short or of another kind into a
    WorkspaceError that names it. What the machine is at fault for, as too many open files, stays."""
    try:
        yield
    except (OSError, ValueError, EOFError) as error:
        if isinstance(error, OSError) and error.errno not in _OF_THE_FILE:
            raise
        raise WorkspaceError(f"{path} cannot be read: {error}.", remedy) from error


def read_json(path: Path, remedy: str = A_COPY) -> Any:
    """The value in a JSON file that serm wrote. Raises WorkspaceError where it is damaged."""
    with damage_errors(path, remedy):
        return json.loads(path.read_text(encoding="utf-8"))


def read_frame(path: Path, columns: Sequence[str] | None = None, remedy: str = A_COPY) -> pd.DataFrame:
    """A table in a Parquet file that serm wrote, or these columns of it. Raises WorkspaceError where it is
    damaged or gone."""
    import pyarrow.parquet as pq

    with damage_errors(path, remedy):
        frame: pd.DataFrame = pq.read_table(
            path, columns=None if columns is None else list(columns)
        ).to_pandas()
    return frame
