"""What MLflow cannot do is a sentence for the user, in which its address bears no login."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from serm.core.discretion import discreet, without_login
from serm.core.errors import WorkspaceError

_LONGEST: Final = 300  # characters of MLflow's own words; chosen


@contextmanager
def mlflow_errors(uri: str, failed: str, remedy: str) -> Iterator[None]:
    """Turn MLflow's errors inside into a WorkspaceError: "MLflow at URI did not take the trace: ..."."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:  # its database's and its network's, too
        said = discreet(" ".join(str(error).split())).rstrip(".")[:_LONGEST]
        raise WorkspaceError(f"MLflow at {without_login(uri)} {failed}: {said}.", remedy) from error
