"""Every error that serm raises on purpose, in one tree.

    SermError
    |-- ConfigError            the config says something that cannot be
    |-- DataError              an input file, a row of it or a field of it is wrong
    |-- MissingDependencyError an optional package is not installed
    |-- JudgeError             a judge or another LLM cannot do its work at all
    |   `-- BudgetExceededError  the next call would pass the budget
    |-- ModelError             a relevance model cannot be loaded, trained or saved
    |-- AgentError             an agent broke a limit or handed in a plan that does not hold
    `-- WorkspaceError         the workspace cannot be used
        |-- WorkspaceLockedError    another process works in it
        |-- WorkspaceMismatchError  it belongs to another config
        `-- StorageError            the disk is full, or the folder is read-only

A call that failed for one pair is not an error: it is a `Judgment` with a failure (see `records`).
The command line prints `message` and `remedy` and leaves with `exit_code`; a traceback means a bug.
"""

from __future__ import annotations

from pathlib import Path


class SermError(Exception):
    """A sentence that says what is wrong, and a remedy that says what to do."""

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message if not remedy else f"{message} {remedy}")
        self.message = message
        self.remedy = remedy


class ConfigError(SermError):
    exit_code = 2


class DataError(SermError):
    """An input cannot be read; `file`, `row` (1-based data row) and `field` say where, as far as known."""

    exit_code = 3

    def __init__(
        self,
        message: str,
        remedy: str = "",
        *,
        file: Path | str | None = None,
        row: int | None = None,
        field: str | None = None,
    ) -> None:
        where = ", ".join(
            part
            for part in (
                f"file {file}" if file is not None else "",
                f"row {row}" if row is not None else "",
                f"field {field}" if field is not None else "",
            )
            if part
        )
        super().__init__(f"{where}: {message}" if where else message, remedy)
        self.file, self.row, self.field = file, row, field


class MissingDependencyError(SermError):
    exit_code = 4


class JudgeError(SermError):
    exit_code = 5


class BudgetExceededError(JudgeError):
    exit_code = 6


class ModelError(SermError):
    exit_code = 7


class AgentError(SermError):
    exit_code = 8


class WorkspaceError(SermError):
    exit_code = 9


class WorkspaceLockedError(WorkspaceError):
    exit_code = 10


class WorkspaceMismatchError(WorkspaceError):
    exit_code = 11


class StorageError(WorkspaceError):
    exit_code = 12
