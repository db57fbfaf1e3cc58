"""Doctor: the workspace, the disk, the database, MLflow and the knowledge base."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from serm.cli.checks import Finding, Patient, Status
from serm.cli.format import size
from serm.core.discretion import discreet, without_login
from serm.core.settings import Settings
from serm.storage.workspace import ANNOTATE

TIGHT: Final = 2.0  # free space under so many times what a run is expected to take is warned of; chosen
FLOOR: Final = 500e6  # bytes that a run takes whatever the model: databases, scores, samples; chosen


def check_workspace(patient: Patient) -> Iterator[Finding]:
    folder = patient.settings.workspace_path
    if (folder / "config.json").is_file():
        yield _bound(folder, patient.settings)
    elif folder.exists() and (not folder.is_dir() or any(item.name != ANNOTATE for item in folder.iterdir())):
        yield Finding(
            "workspace",
            Status.FAIL,
            f"{folder} is not empty and no workspace.",
            "Choose another `workspace`.",
        )
        return
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not place.is_dir():
        yield Finding("workspace", Status.FAIL, f"{place} is a file.", "Choose another `workspace`.")
    elif os.access(place, os.W_OK | os.X_OK):
        yield Finding("workspace", Status.PASS, f"{folder} can be written.")
    else:
        yield Finding("workspace", Status.FAIL, f"{place} is read-only.", "Choose another `workspace`.")


def _bound(folder: Path, settings: Settings) -> Finding:
    from serm.storage.binding import compared
    from serm.storage.workspace import Workspace

    there, here = compared(Workspace.read(folder).identity, settings)
    different = sorted({key.split(".")[0] for key, _ in there.items() ^ here.items()})
    if different:
        return Finding(
            "workspace",
            Status.FAIL,
            f"{folder} was made with another config; these sections differ: {', '.join(different)}.",
            "Set them back, or name another `workspace`. `serm evolve` names the keys and both values.",
        )
    rounds = len(list((folder / "rounds").glob("*/round.json")))
    return Finding("workspace", Status.PASS, f"{folder} belongs to this config ({rounds} reports in it).")


def check_disk(patient: Patient) -> Iterator[Finding]:
    folder = patient.settings.workspace_path
    place = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(place).free
    rounds = patient.settings.evolution.rounds or len(patient.dataset.windows)
    need = FLOOR + (rounds + 2) * _weights(patient.settings)  # untrained, frozen, and one a round
    sentence = f"{size(free)} free at {place}, of which {rounds} rounds take about {size(need)}."
    if free < need:
        yield Finding("disk", Status.FAIL, sentence, "Free some space, or choose another `workspace`.")
    else:
        yield Finding("disk", Status.WARN if free < TIGHT * need else Status.PASS, sentence)


def _weights(settings: Settings) -> float:
    """Bytes of one saved model; 0 where the base is not on this disk."""
    from serm.core.errors import SermError
    from serm.relevance_model.loading import base_location

    try:
        folder = Path(base_location(settings.base_model.base))
    except SermError:
        return 0.0  # the check of the model says so
    return float(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()))


def check_database(patient: Patient) -> Iterator[Finding]:
    url = patient.settings.storage.database
    if url is None:
        yield Finding("database", Status.PASS, "judgments go to SQLite in the workspace.")
        return
    import sqlalchemy as sa

    from serm.storage.judgment_engine import open_engine, shown, try_writing
    from serm.storage.turns import TURNS

    engine = open_engine(url)  # as a run does, and with what it says of a URL that is none
    problem, remedy = "cannot be reached", "Start the server, or check the URL."
    try:
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
        problem, remedy = "cannot be written", "Let its user make tables and write to them."
        try_writing(engine, TURNS.metadata)  # which has the tables of judgments and calls, too
    except sa.exc.SQLAlchemyError as error:
        reason = discreet(str(error).splitlines()[0])
        yield Finding("database", Status.FAIL, f"`storage.database` {problem}: {reason}", remedy)
    else:
        yield Finding("database", Status.PASS, f"{shown(engine.url)} answers and can be written.")
    finally:
        engine.dispose()


def check_mlflow(patient: Patient) -> Iterator[Finding]:
    uri = patient.settings.storage.mlflow
    if uri is None:
        yield Finding("mlflow", Status.PASS, "models, runs and traces go to SQLite in the workspace.")
        return
    import mlflow

    from serm.core.errors import SermError
    from serm.relevance_model.registry import try_registering
    from serm.storage.mlflow_errors import is_server
    from serm.storage.traces_mlflow import quiet_mlflow

    for name, value in (("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"), ("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")):
        os.environ.setdefault(name, value)
    try:
        with quiet_mlflow():
            mlflow.MlflowClient(uri).search_experiments(max_results=1)
            if is_server(uri):  # a database takes what it is told; a server checks it
                try_registering(uri)
    except SermError as error:
        yield Finding("mlflow", Status.FAIL, f"`storage.mlflow`: {error.message}", error.remedy)
    except Exception as error:
        reason = discreet(str(error).splitlines()[0])
        yield Finding(
            "mlflow",
            Status.FAIL,
            f"`storage.mlflow` ({without_login(uri)}) cannot be reached: {reason}",
            "Start the server or check the URL; without the key, SQLite in the workspace is used.",
        )
    else:
        said = "answers and registers models." if is_server(uri) else "answers."
        yield Finding("mlflow", Status.PASS, f"{without_login(uri)} {said}")


def check_knowledge(patient: Patient) -> Iterator[Finding]:
    """Where judges search; nothing is said where none does."""
    settings = patient.settings
    searching = [judge.label for judge in settings.judges if judge.knowledge]
    if not searching:
        return
    url = settings.storage.chroma
    if url is None:
        sentence = f"{', '.join(searching)} may search; the knowledge base is filled in the workspace."
        yield Finding("knowledge", Status.PASS, sentence)
        return
    from serm.core.errors import SermError
    from serm.storage.chroma import Chroma

    try:
        Chroma(settings.workspace_path, url).close()
    except SermError as error:
        yield Finding("knowledge", Status.FAIL, f"`storage.chroma`: {error.message}", error.remedy)
    else:
        yield Finding(
            "knowledge", Status.PASS, f"{', '.join(searching)} may search; {without_login(url)} answers."
        )
