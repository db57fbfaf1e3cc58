"""What MLflow cannot do, or will not, is a sentence for the user, in which its address bears no login."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from serm.core.discretion import discreet, without_login
from serm.core.errors import WorkspaceError

_LONGEST: Final = 300  # characters of MLflow's own words; chosen
_NO_ENTRY: Final = (401, 403)  # HTTP: who asks is not known, or may not
_LOGIN_REMEDY: Final = (
    "Check the login in `storage.mlflow` and what it may do there, and that the server answers to this "
    "address (`mlflow server --allowed-hosts`); the same command goes on."
)
_REFUSED_REMEDY: Final = (
    "The server runs, but does not take this: check that `storage.mlflow` is the address of an MLflow server "
    "as new as the MLflow here, and its settings; the same command goes on. Without the key, SQLite in the "
    "workspace is used."
)


def is_server(uri: str) -> bool:
    """Whether MLflow is asked over HTTP, where a server checks what it is sent, and not in its database."""
    return uri.lower().startswith(("http://", "https://"))


@contextmanager
def mlflow_errors(uri: str, failed: str, remedy: str, asked: str = "what it was asked for") -> Iterator[None]:
    """Turn MLflow's errors inside into a WorkspaceError: "MLflow at URI did not take the trace: ...".

    Where a server answered, and refused (HTTP 4xx), it says what was `asked` of it in place of `failed`, and
    the remedy is another: "MLflow at URI refused to register a model (HTTP 400): ...".
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:  # its database's and its network's, too
        said = discreet(" ".join(str(error).split())).rstrip(".")[:_LONGEST]
        if status := refusal(uri, error):
            failed = f"refused {asked} (HTTP {status})"
            remedy = _LOGIN_REMEDY if status in _NO_ENTRY else _REFUSED_REMEDY
        raise WorkspaceError(f"MLflow at {without_login(uri)} {failed}: {said}.", remedy) from error


def refusal(uri: str, error: Exception) -> int | None:
    """The HTTP status with which a server refused a request, 400 to 499; None where it did not."""
    if not is_server(uri) or not isinstance(error, MlflowException):
        return None
    status = int(error.get_http_status_code())
    return status if 400 <= status < 500 else None
