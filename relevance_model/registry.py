"""Model versions, aliases and runs in MLflow; every effect is find-or-create: a rerun adds nothing."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlflow.entities import Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from serm.core.errors import ModelError
from serm.storage.mlflow_errors import mlflow_errors
from serm.storage.mlflow_file import make_whole
from serm.storage.workspace import MODELS

MODEL_ID = "serm.model_id"
RUN_KEY = "serm.key"
ROLE = "serm.role"
CHAMPION, CHALLENGER = "champion", "challenger"
"""Aliases: the version in use, and the one that the last round made."""
WEIGHTS, PRUNED = "serm.weights", "pruned"
"""The tag of a version whose weights were removed."""
_PAGE = 1_000
_BATCH = 1_000  # metrics that MLflow takes at a time
_REMEDY: Final = (
    "Check `storage.mlflow`, that its server runs and that the disk is not full; the same command goes on."
)


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
        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self.name, self._uri = name, uri
        with self._errors():
            make_whole(uri)
            self._client = MlflowClient(uri, uri)
            try:
                self._client.get_registered_model(name)
            except MlflowException:
                self._client.create_registered_model(name)
            found = self._client.get_experiment_by_name(name)
            self._experiment = found.experiment_id if found else self._client.create_experiment(name)

    def _errors(self) -> AbstractContextManager[None]:
        return mlflow_errors(self._uri, "cannot be used", _REMEDY)

    def register(self, folder: Path, model_id: str, tags: Mapping[str, str]) -> int:
        """The version of `model_id`, made where there is none."""
        version = self.version_of(model_id)
        if version is not None:
            return version
        source = folder.resolve().as_uri()
        with self._errors():
            created = self._client.create_model_version(self.name, source, tags={**tags, MODEL_ID: model_id})
        return int(created.version)

    def version_of(self, model_id: str) -> int | None:
        return next((item.version for item in self.versions() if item.model_id == model_id), None)

    def versions(self) -> list[ModelVersion]:
        """All versions, the oldest first."""
        aliases: dict[str, list[str]] = {}
        with self._errors():
            named = self._client.get_registered_model(self.name).aliases
            rows = list(self._rows())
        for alias, version in named.items():
            aliases.setdefault(str(version), []).append(alias)
        return sorted(
            (
                ModelVersion(
                    int(item.version),
                    item.tags.get(MODEL_ID, ""),
                    item.source,
                    dict(item.tags),
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
        with self._errors():
            self._client.set_registered_model_alias(self.name, name, str(version))

    def set_tag(self, version: int, key: str, value: str) -> None:
        with self._errors():
            self._client.set_model_version_tag(self.name, str(version), key, value)

    def log_round(self, key: str, params: Mapping[str, object], metrics: Mapping[str, float]) -> str:
        """The finished MLflow run of one round; found by `key`, so that it is there once.

        A run that a kill left open is finished by the round that goes on. Returns its run id.
        """
        with self._errors():
            return self._log_round(key.replace("'", ""), params, metrics)

    def _log_round(self, quoted: str, params: Mapping[str, object], metrics: Mapping[str, float]) -> str:
        runs = self._client.search_runs([self._experiment], f"tags.`{RUN_KEY}` = '{quoted}'")
        run = (
            runs[0]
            if runs
            else self._client.create_run(self._experiment, run_name=quoted, tags={RUN_KEY: quoted})
        )
        run_id = str(run.info.run_id)
        if run.info.status != RunStatus.to_string(RunStatus.FINISHED):
            now = time.time_ns() // 1_000_000
            self._client.log_batch(run_id, params=[Param(name, str(value)) for name, value in params.items()])
            figures = [Metric(name, number, now, 0) for name, number in metrics.items()]
            for start in range(0, len(figures), _BATCH):  # a call for each of a hundred figures takes seconds
                self._client.log_batch(run_id, metrics=figures[start : start + _BATCH])
            self._client.set_terminated(run_id)
        return run_id
