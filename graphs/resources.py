"""What the nodes work with: opened once, when first needed, and closed together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any, Self, TypeVar, cast

import pandas as pd

from serm.agents.panel import Panel, open_panel
from serm.core.errors import JudgeError
from serm.core.hashing import digest
from serm.core.settings import Settings
from serm.graphs.events import Listener, nobody
from serm.relevance_model.base import Scores
from serm.relevance_model.registry import ModelRegistry
from serm.relevance_model.scoring import stored_scores
from serm.relevance_model.versions import ModelVersions
from serm.storage.dataset import DataSet, WindowRef
from serm.storage.ingest import ingest
from serm.storage.judgments import JudgmentStore
from serm.storage.sealed import SealedGrades
from serm.storage.trace import Tracer
from serm.storage.workspace import Workspace

T = TypeVar("T")


class Resources:
    """The workspace and everything in it that a node may use, for one process at a time: it is locked."""

    def __init__(self, settings: Settings, on_event: Listener = nobody) -> None:
        self.settings, self.emit = settings, on_event
        self._stack = ExitStack()
        self.workspace = self._stack.enter_context(Workspace.open(settings))
        self.models = ModelVersions(
            self.workspace.models, self.workspace.embeddings, settings.model, settings.base_model
        )
        self._panel: tuple[int, Panel] | None = None  # of the round in progress, and so with the tracer
        self._tracer: tuple[int, Tracer] | None = None
        self._made: dict[Hashable, tuple[Any, ...]] = {}
        self._lock = threading.RLock()
        self._making = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close judges, stores and traces, and free the workspace. Safe to call twice."""
        held, self._panel, self._tracer = (self._panel, self._tracer), None, None
        try:
            for item in held:
                if item is not None:
                    item[1].close()
        finally:
            self._stack.close()

    def on_close(self, call: Callable[[], object]) -> None:
        """Have `call` called before the workspace is freed."""
        self._stack.callback(call)

    @cached_property
    def dataset(self) -> DataSet:
        return ingest(self.settings, self.workspace)

    @cached_property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(self.workspace.mlflow_uri)

    @cached_property
    def judgments(self) -> JudgmentStore:
        store = JudgmentStore(self.workspace.judgments_url)
        self._stack.callback(store.close)
        return store

    def register(self, model: str, *, round: int, role: str, alias: str = "") -> int:
        """The model's version in the registry, with an alias moved onto it where one is named."""
        version = self.registry.register(
            self.models.path(model), model, {"serm.round": str(round), "serm.role": role}
        )
        if alias:
            self.registry.set_alias(alias, version)
        return version

    def window(self, number: int) -> WindowRef:
        """The window of round `number`, which counts from 1."""
        return self.dataset.windows[number - 1]

    def pairs(self, number: int) -> pd.DataFrame:
        return self.dataset.window(number - 1)

    def held_out(self, number: int) -> dict[str, pd.DataFrame]:
        """What may never be trained on in a round, without its grades: the open gate and every test."""
        frames = {"gate": self.dataset.gate(number - 1)} | {
            f"test {test.name}": self.dataset.test(test.name) for test in self.dataset.tests
        }
        return {name: frame.drop(columns="grade") for name, frame in frames.items()}

    def sample(self, name: str) -> pd.DataFrame:
        """The pairs that the miner chose, with who chose them and why."""
        return pd.read_parquet(self.workspace.samples / name / "sample.parquet")

    def scores(self, number: int, model: str) -> tuple[str, Scores]:
        """A window's scores by one model, and the name they are kept under."""
        key = digest([self.window(number).id, model])
        return key, stored_scores(self.workspace.scores, key, self.models.open(model), self.pairs(number))

    def agent_names(self) -> tuple[str, ...]:
        """The agents that mine: those with a share of the budget, none where choice is random."""
        miner = self.settings.miner
        return tuple(name for name, share in miner.agents.items() if share > 0 and miner.choice == "mined")

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """The latest value made under `key`'s kind (its first part); parallel nodes wait for one another."""
        with self._making:
            kind = key[0] if isinstance(key, tuple) else key
            if self._made.get(kind, (None,))[0] != key:
                self._made[kind] = (key, make())
            return cast(T, self._made[kind][1])

    def panel(self, number: int) -> Panel:
        """The judges of a round. Sealed grades are opened for simulated judges alone."""
        with self._lock:
            if self._panel is None or self._panel[0] != number:
                if self._panel is not None:
                    self._panel[1].close()  # a panel holds a thread and connections: one at a time
                self._panel = (
                    number,
                    open_panel(self.settings, SealedGrades(lambda: self.dataset.sealed(number - 1))),
                )
            return self._panel[1]

    def prove_judges(self, number: int) -> None:
        """Raises JudgeError where a judge of the round cannot do its work."""
        faults = {name: fault for name, fault in self.panel(number).prove().items() if fault}
        if faults:
            said = "; ".join(f"{name}: {fault}" for name, fault in faults.items())
            raise JudgeError(f"the panel is not ready: {said}", "`serm doctor CONFIG` asks the judges again.")

    def trace_id(self, number: int) -> str:
        """The trace of a round: the same name in every process that works on it."""
        return digest([self.settings.fingerprint(), str(self.workspace.folder), "round", number])

    def tracer(self, number: int) -> Tracer:
        """Writes the spans of a round."""
        with self._lock:
            if self._tracer is None or self._tracer[0] != number:
                if self._tracer is not None:
                    self._tracer[1].close()
                self._tracer = number, Tracer(self.workspace.traces, self.trace_id(number))
            return self._tracer[1]

    @contextmanager
    def traced_round(self, number: int) -> Iterator[None]:
        """Spans opened inside belong to the round's trace, under its root span."""
        tracer = self.tracer(number)
        with tracer.active(parent=tracer.trace_id):
            yield
