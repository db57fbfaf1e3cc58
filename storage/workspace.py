"""One folder holds a run: locked by one process at a time, bound to one configuration."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import IO, Any, Self

from serm.core.errors import WorkspaceError, WorkspaceLockedError
from serm.core.settings import Settings
from serm.storage.artifacts import storage_errors
from serm.storage.binding import bind, rebind, recorded
from serm.storage.identity import recorded_id, workspace_id
from serm.storage.rounds import read_rounds
from serm.storage.windows_used import windows_used

CONFIG, LOCK, JUDGMENTS = "config.json", "lock", "judgments.sqlite"
CURRENT = "current.json"
"""In data/: the data set that is in use."""
_SQLITE = "sqlite:///"
MODELS = "serm-relevance"
"""What its models and runs are called in MLflow."""
ANNOTATE = "annotate"
"""The part of a workspace that `serm annotate` works in: a workspace of its own, bound to no configuration,
as everything in it is named by what it was made from."""
FOLDERS = (
    "data",
    "scores",
    "samples",
    "reliability",
    "labels",
    "reviews",
    "questions",
    "snapshots",
    "models",
    "rounds",
    "reports",
    "embeddings",
    "states",
)

SHARED = ("scores", "models", "embeddings", "states", "reports")
"""Folders that workspaces may have in common (`storage.shared`): all in them is named by its content."""


class Workspace:
    """Open one with `Workspace.open(settings)` to work in it, or `Workspace.read(path)` to look at it."""

    def __init__(self, folder: Path, settings: Settings | None, lock: IO[str] | None) -> None:
        self.folder = folder
        self._settings, self._lock = settings, lock
        self.data = folder / "data"
        self.scores = folder / "scores"
        self.samples = folder / "samples"
        self.reliability = folder / "reliability"
        self.labels = folder / "labels"
        self.reviews = folder / "reviews"
        self.questions = folder / "questions"
        self.snapshots = folder / "snapshots"
        self.models = folder / "models"
        self.rounds = folder / "rounds"
        self.reports = folder / "reports"
        self.embeddings = folder / "embeddings"
        self.states = folder / "states"
        self.knowledge = folder / "knowledge"
        self.traces = folder / "traces.sqlite"
        self.checkpoints = folder / "checkpoints.sqlite"

    @classmethod
    def open(cls, settings: Settings, part: str = "") -> Self:
        """Create the folder where it is missing, lock it, and check that it belongs to these settings.

        `part` names a workspace inside of the workspace, which may be used under any settings. Raises
        WorkspaceLockedError where another process works in it, WorkspaceMismatchError where another
        configuration made it, StorageError where it cannot be written.
        """
        folder = settings.workspace_path / part
        with storage_errors(folder):
            _refuse_a_strangers_folder(folder)
            folder.mkdir(parents=True, exist_ok=True)
            lock = _lock(folder)
        try:
            with storage_errors(folder):
                bind(folder / CONFIG, settings, again=bool(part) or not _begun(folder))
                if settings.storage.shared is not None:
                    _share(folder, settings.resolve(settings.storage.shared))
                _link_judgments(folder / JUDGMENTS, settings.storage.database)
                for name in FOLDERS:
                    _make(folder / name)
                _sweep(folder)
        except BaseException:
            lock.close()
            raise
        return cls(folder, settings, lock)

    @classmethod
    def accept(cls, settings: Settings) -> list[str]:
        """Bind the workspace of these settings to them, and return what changed (see `rebind`); [] where
        there is no workspace yet. Raises WorkspaceLockedError where a process works in it."""
        folder = settings.workspace_path
        if not (folder / CONFIG).is_file():
            return []
        with storage_errors(folder), _lock(folder):
            if not _begun(folder):  # it is free to be bound to any
                return []
            return rebind(folder / CONFIG, settings, under_way=_under_way(folder))

    @classmethod
    def read(cls, path: Path | str, settings: Settings | None = None) -> Self:
        """Look at a workspace without a lock, also while another process works in it. Write nothing.

        `settings` matter only where judgments or MLflow runs are kept outside the folder.
        """
        folder = Path(path).resolve()
        if not (folder / CONFIG).is_file():
            raise WorkspaceError(
                f"there is no workspace at {folder}.",
                "`serm evolve` makes one; `workspace:` in the config names it.",
            )
        return cls(folder, settings, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the lock. Safe to call twice."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def judgments_url(self) -> str:
        """SQLAlchemy URL of the judgments."""
        given = self._settings.storage.database if self._settings else None
        return given or self._own_judgments

    @property
    def payer(self) -> str | None:
        """Who pays for calls, in a database that others may use too; None: it is the workspace's own."""
        own = self.judgments_url == self._own_judgments and not (self.folder / JUDGMENTS).is_symlink()
        return None if own else self._id

    @property
    def mlflow_uri(self) -> str:
        """MLflow's tracking and registry URI."""
        given = self._settings.storage.mlflow if self._settings else None
        return given or self._own_mlflow

    def found_mlflow(self) -> str:
        """The same when one looks at a workspace without its config. Raises WorkspaceError where it has
        none of its own: nothing is made there that would be shown as empty."""
        if self._settings is None and not (self.folder / "mlflow.db").exists():
            raise WorkspaceError(
                f"{self.folder} has no models yet, or its config keeps them elsewhere (`storage.mlflow`).",
                "Give the config in place of the workspace.",
            )
        return self.mlflow_uri

    @property
    def registered_as(self) -> str:
        """What its models and runs are called there. On a server that others may use too it is a name of its
        own: what they call champion is not this workspace's."""
        name = None if self.mlflow_uri == self._own_mlflow else self._id
        return MODELS if name is None else f"{MODELS}-{name}"

    @property
    def _own_judgments(self) -> str:
        return f"sqlite:///{self.folder / JUDGMENTS}"

    @property
    def _own_mlflow(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def _id(self) -> str | None:
        """None where it has no name yet and this only looks at it."""
        return recorded_id(self.folder) if self._lock is None else workspace_id(self.folder)

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that the workspace is bound to, as `Settings.identity()` gives them."""
        return recorded(self.folder / CONFIG)


def _refuse_a_strangers_folder(folder: Path) -> None:
    """A folder of other people's files is never taken over: sweeping would delete some of them."""
    if folder.exists() and not folder.is_dir():
        raise WorkspaceError(f"{folder} is a file, not a folder.", "Name another `workspace:` in the config.")
    if not folder.is_dir() or (folder / CONFIG).is_file():
        return
    other = sorted(item.name for item in folder.iterdir() if item.name not in (LOCK, ANNOTATE, *FOLDERS))
    if any(not name.startswith(f".{CONFIG}-") for name in other):
        raise WorkspaceError(
            f"{folder} is no workspace and not empty (it holds {other[0]}).",
            "Name an empty or a new folder with `workspace:` in the config.",
        )


def _begun(folder: Path) -> bool:
    """Whether a run has come as far as its data: before that nothing hangs on the config, and a first run
    that failed, as by a column that is missing, leaves it free to be mended."""
    return (folder / "data" / CURRENT).is_file() or any((folder / "rounds").glob("*"))


def _under_way(folder: Path) -> bool:
    """Whether a round has begun and not ended."""
    ended = [int(report["round"]) for report in read_rounds(folder / "rounds")]
    used = windows_used(folder)
    return used is not None and used > max(ended, default=-1)


def _lock(folder: Path) -> IO[str]:
    """Take the lock; the operating system frees it when the process ends, however it ends."""
    path = folder / LOCK
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        if holder == str(os.getpid()):
            raise WorkspaceLockedError(
                f"this process itself already works in {folder}.",
                "End the block that works in it (`with open_supervisor_graph(settings) as graph:`), or drop "
                "the graph that holds it (`del graph; gc.collect()`).",
            ) from None
        raise WorkspaceLockedError(
            f"process {holder} already works in {folder}.",
            "Wait until it ends, end it, or choose another `workspace:`.",
        ) from None
    try:
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _make(folder: Path) -> None:
    if folder.is_symlink() and not folder.exists():
        raise WorkspaceError(
            f"{folder} is a link to {folder.readlink()}, which is gone.",
            "Put the folder of `storage.shared` back, or name a new `workspace:`.",
        )
    folder.mkdir(exist_ok=True)


def _share(folder: Path, shared: Path) -> None:
    """Have links to the shared folders in place of own ones; a folder that is there already stays."""
    for name in SHARED:
        (shared / name).mkdir(parents=True, exist_ok=True)
        own = folder / name
        if own.is_symlink() and own.resolve() != (shared / name).resolve():
            raise WorkspaceError(
                f"{own} is a link to {own.readlink()}, and `storage.shared` is {shared}.",
                "Set `storage.shared` back to where the workspace began, or name a new `workspace:`.",
            )
        if not own.exists():
            own.symlink_to(shared / name, target_is_directory=True)


def _link_judgments(own: Path, database: str | None) -> None:
    """Have a link to a SQLite file elsewhere in place of the own one, so that whoever looks at the folder
    alone finds its judgments; an own one that is there stays."""
    path = Path((database or "").removeprefix(_SQLITE))
    if database is None or not database.startswith(_SQLITE) or own.exists() or own.is_symlink():
        return
    if path.is_absolute() and path.parent.is_dir() and path != own:
        own.symlink_to(os.path.relpath(path.resolve(), own.parent))


def _sweep(folder: Path) -> None:
    """Remove what killed runs left half-written: every name in our folders that starts with a dot.

    Shared folders are left alone: another process may be writing there.
    """
    own = [folder / name for name in FOLDERS if not (folder / name).is_symlink()]
    left = [item for place in own for item in place.glob(".*")]
    for item in (*left, *folder.glob(f".{CONFIG}-*")):
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item, ignore_errors=True)
        else:
            item.unlink(missing_ok=True)
