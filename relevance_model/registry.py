"""Model versions, aliases and runs in MLflow; every effect is find-or-create: a rerun adds nothing."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from mlflow.entities import Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from serm.core.discretion import discreet
from serm.core.errors import ModelError
from serm.storage.mlflow_errors import is_server, mlflow_errors
from serm.storage.mlflow_file import make_whole
from serm.storage.workspace import MODELS

MODEL_ID = "serm.model_id"
RUN_KEY = "serm.key"
ROLE = "serm.role"
FOLDER = "serm.folder"
"""The tag of a version on a server that says where its weights lie; elsewhere its source does."""
CHAMPION, CHALLENGER = "champion", "challenger"
"""Aliases: the version in use, and the one that the last round made."""
WEIGHTS, PRUNED = "serm.weights", "pruned"
"""The tag of a version whose weights were removed."""
_ARTIFACT: Final = "model"  # folder of a run that is the source of a version on a server
_NOTE: Final = "where_the_weights_are.json"
_PROXIED: Final = "mlflow-artifacts:"  # artifacts go through the server, as is its default
_MISSING: Final = "RESOURCE_DOES_NOT_EXIST"
_PAGE = 1_000
_BATCH = 1_000  # metrics that MLflow takes at a time
_REMEDY: Final = (
    "Check `storage.mlflow`, that its server runs and that the disk is not full; the same command goes on."
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One registered model. `version` counts from 1."""

    version: int
    model_id: str
    folder: str  # URI of the weights in the workspace
    tags: dict[str, str]
    aliases: tuple[str, ...]
    created: int  # ms since the epoch


class ModelRegistry:
    """Names models in MLflow's registry; the weights stay where they are. `name` is a workspace's own where
    the server is not (`Workspace.registered_as`). Raises WorkspaceError where MLflow fails."""

    def __init__(self, uri: str, name: str = MODELS) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self.name, self._uri = name, uri
        with self._errors(f"the registered model and the experiment {name}"):
            make_whole(uri)
            self._client = MlflowClient(uri, uri)
            try:
                self._client.get_registered_model(name)
            except MlflowException:
                self._client.create_registered_model(name)
            found = self._client.get_experiment_by_name(name)
            self._experiment = found.experiment_id if found else self._client.create_experiment(name)

    def _errors(self, asked: str) -> AbstractContextManager[None]:
        return mlflow_errors(self._uri, "cannot be used", _REMEDY, asked)

    def register(self, folder: Path, model_id: str, tags: Mapping[str, str]) -> int:
        """The version of `model_id`, made where there is none."""
        version = self.version_of(model_id)
        if version is not None:
            return version
        weights, named = folder.resolve().as_uri(), {**tags, MODEL_ID: model_id}
        with self._errors(f"to register the model {model_id}"):
            if is_server(self._uri):
                created = self._of_a_run(weights, {**named, FOLDER: weights})
            else:
                created = self._client.create_model_version(self.name, weights, tags=named)
        return int(created.version)

    def _of_a_run(self, weights: str, tags: Mapping[str, str]) -> Any:
        """A version whose source is a run of its own: a server refuses folders outside its artifact store.
        A run that a kill left without a version is found again."""
        run = self._run(f"model {tags[MODEL_ID]}", tags)
        run_id = str(run.info.run_id)
        if not _is_finished(run):
            self._leave_note(run, weights, tags)
            self._client.set_terminated(run_id)
        about = f"Its weights are in the workspace: {weights}. `serm models export` copies them."
        source = f"runs:/{run_id}/{_ARTIFACT}"
        return self._client.create_model_version(
            self.name, source, run_id, tags=dict(tags), description=about
        )

    def _leave_note(self, run: Any, weights: str, tags: Mapping[str, str]) -> None:
        """A file for whoever downloads the version; nothing here reads it, so that a run goes on without.
        None where artifacts do not go through the server: its store may not be for this machine to write."""
        if not run.info.artifact_uri.startswith(_PROXIED):
            return
        told = {"model_id": tags[MODEL_ID], "weights": weights, "export": "serm models export CONFIG FOLDER"}
        try:
            self._client.log_dict(run.info.run_id, told, f"{_ARTIFACT}/{_NOTE}")
        except (MlflowException, OSError) as error:  # requests' errors are OSErrors
            _log.warning("MLflow did not take the note of where the weights are: %s", discreet(str(error)))

    def version_of(self, model_id: str) -> int | None:
        return next((item.version for item in self.versions() if item.model_id == model_id), None)

    def versions(self) -> list[ModelVersion]:
        """All versions, the oldest first."""
        aliases: dict[str, list[str]] = {}
        with self._errors(f"to list the versions of {self.name}"):
            named = self._client.get_registered_model(self.name).aliases
            rows = list(self._rows())
        for alias, version in named.items():
            aliases.setdefault(str(version), []).append(alias)
        return sorted(
            (
                ModelVersion(
                    int(item.version),
                    item.tags.get(MODEL_ID, ""),
                    item.tags.get(FOLDER, item.source),
                    {key: value for key, value in item.tags.items() if key != FOLDER},
                    tuple(sorted(aliases.get(str(item.version), ()))),
                    int(item.creation_timestamp),
                )
                for item in rows
            ),
            key=lambda item: item.version,
        )

    def _rows(self) -> Iterator[Any]:
        """MLflow's own records of all versions, page after page."""
        found = self._client.search_model_versions(f"name='{self.name}'", max_results=_PAGE)
        yield from found
        while found.token:
            found = self._client.search_model_versions(
                f"name='{self.name}'", max_results=_PAGE, page_token=found.token
            )
            yield from found

    def find(self, version: int | None = None) -> ModelVersion:
        """A version, None: the champion. ModelError where there is none, or its weights were pruned."""
        versions = self.versions()
        asked = {version} if version else {item.version for item in versions if CHAMPION in item.aliases}
        found = next((item for item in versions if item.version in asked), None)
        if found is None:
            there = ", ".join(str(item.version) for item in versions) or "none"
            missing = f"version {version}" if version else "champion yet"
            raise ModelError(f"there is no {missing}.", f"Versions: {there}. `serm evolve` makes them.")
        if found.tags.get(WEIGHTS) == PRUNED:
            raise ModelError(
                f"the weights of version {found.version} were pruned.", "Choose one that has its weights."
            )
        return found

    def alias(self, name: str) -> tuple[int, str] | None:
        """(version, model id) that an alias stands for, None where it is not set."""
        return next(((item.version, item.model_id) for item in self.versions() if name in item.aliases), None)

    def set_alias(self, name: str, version: int) -> None:
        with self._errors(f"to move the alias {name} to version {version}"):
            self._client.set_registered_model_alias(self.name, name, str(version))

    def set_tag(self, version: int, key: str, value: str) -> None:
        with self._errors(f"the tag {key} of version {version}"):
            self._client.set_model_version_tag(self.name, str(version), key, value)

    def log_round(self, key: str, params: Mapping[str, object], metrics: Mapping[str, float]) -> str:
        """The finished MLflow run of one round; found by `key`, so that it is there once.

        A run that a kill left open is finished by the round that goes on. Returns its run id.
        """
        with self._errors(f"the figures of the round {key}"):
            return self._log_round(self._run(key, {}), params, metrics)

    def _run(self, key: str, tags: Mapping[str, str]) -> Any:
        """The run of that key, made where there is none."""
        quoted = key.replace("'", "")
        runs = self._client.search_runs([self._experiment], f"tags.`{RUN_KEY}` = '{quoted}'")
        if runs:
            return runs[0]
        return self._client.create_run(self._experiment, run_name=quoted, tags={**tags, RUN_KEY: quoted})

    def _log_round(self, run: Any, params: Mapping[str, object], metrics: Mapping[str, float]) -> str:
        run_id = str(run.info.run_id)
        if not _is_finished(run):
            now = time.time_ns() // 1_000_000
            self._client.log_batch(run_id, params=[Param(name, str(value)) for name, value in params.items()])
            figures = [Metric(name, number, now, 0) for name, number in metrics.items()]
            for start in range(0, len(figures), _BATCH):  # a call for each of a hundred figures takes seconds
                self._client.log_batch(run_id, metrics=figures[start : start + _BATCH])
            self._client.set_terminated(run_id)
        return run_id


def _is_finished(run: Any) -> bool:
    return bool(run.info.status == RunStatus.to_string(RunStatus.FINISHED))


def try_registering(uri: str) -> None:
    """Ask of a server what `ModelRegistry` asks of it, under a name of its own, and remove that again.

    The version names a run that is none: runs and experiments MLflow keeps when they are deleted, registered
    models it does not. Raises WorkspaceError where the server refuses, or does not answer.
    """
    client, name, run_id = MlflowClient(uri, uri), f"{MODELS}-doctor-{uuid4().hex[:8]}", uuid4().hex
    with mlflow_errors(uri, "cannot be used", _REMEDY, "to register a model, which was tried"):
        client.create_registered_model(name)
    try:
        with mlflow_errors(uri, "cannot be used", _REMEDY, "to register a model, which was tried"):
            with _looked_for():
                client.create_model_version(
                    name, f"runs:/{run_id}/{_ARTIFACT}", run_id, tags={MODEL_ID: name}
                )
                client.set_registered_model_alias(name, CHAMPION, "1")
            client.search_model_versions(f"name='{name}'")
    finally:
        with mlflow_errors(uri, "cannot be used", _REMEDY, f"to remove the registered model {name}"):
            client.delete_registered_model(name)


@contextmanager
def _looked_for() -> Iterator[None]:
    """A server that looks the run up has taken everything else."""
    try:
        yield
    except MlflowException as error:
        if error.error_code != _MISSING:
            raise
