"""MLflow's own database in a file: there whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from mlflow.store.db import utils

_SQLITE: Final = "sqlite:///"


def make_whole(uri: str) -> None:
    """Make the SQLite file of an MLflow that has none yet, with all its tables.

    MLflow makes it in place, in some fifty migrations: what a kill or a full disk leaves between two of them
    MLflow can never open again. Nothing for a server, and for a file that is there; where another process was
    first with it, its file stays, for it may have been written to.
    Raises SQLAlchemyError or OSError where it cannot be made; then there is no file.
    """
    file = Path(uri.removeprefix(_SQLITE))
    if not uri.startswith(_SQLITE) or file.exists():
        return
    with tempfile.TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent) as folder:
        temporary = Path(folder) / file.name
        engine = utils.create_sqlalchemy_engine(f"{_SQLITE}{temporary}")
        try:
            utils._initialize_tables(engine)
        finally:
            engine.dispose()
        with suppress(OSError):  # there is one by now, or the disk has no links: MLflow then makes it
            os.link(temporary, file)  # unlike a rename it never takes the place of a file
