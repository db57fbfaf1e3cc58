"""What the nodes of the loop work with: opened once, when first needed, and closed together."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import pandas as pd

from serm.agents.model_judge import OwnModel
from serm.core.columns import KEY, document_text
from serm.core.hashing import digest
from serm.core.records import Pair, PairKey
from serm.core.settings import Settings
from serm.evals.leakage import READ
from serm.graphs.events import Event, Listener, nobody
from serm.graphs.knowledge import round_knowledge
from serm.graphs.panel_resources import PanelResources
from serm.relevance_model.base import FloatArray, Scores
from serm.relevance_model.compute import resolve_compute
from serm.relevance_model.executors import shard_map
from serm.relevance_model.lower import SharedLayers
from serm.relevance_model.registry import CHAMPION, ROLE, ModelRegistry
from serm.relevance_model.scoring import stored_scores
from serm.relevance_model.versions import ModelVersions
from serm.storage.dataset import DataSet, WindowRef
from serm.storage.ingest import ingest, require_data
from serm.storage.knowledge import Knowledge
from serm.storage.reading import read_frame
from serm.storage.rounds import read_rounds
from serm.storage.sealed import SealedGrades
from serm.storage.states import GIB
from serm.storage.workspace import Workspace


class Resources(PanelResources):
    """The workspace of a loop and everything in it that a node may use."""

    def __init__(self, settings: Settings, on_event: Listener = nobody) -> None:
        require_data(settings)  # before a workspace is bound to these settings
        super().__init__(settings, Workspace.open(settings), on_event)
        self.models = ModelVersions(
            self.workspace.models,
            self.workspace.embeddings,
            settings.model,
            settings.base_model,
            shared_layers(settings, self.workspace),
        )

    @cached_property
    def dataset(self) -> DataSet:
        return ingest(self.settings, self.workspace)

    @cached_property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(self.workspace.mlflow_uri, self.workspace.registered_as)

    def register(self, model: str, *, round: int, role: str, alias: str = "") -> int:
        """The model's version in the registry, with an alias moved onto it where one is named."""
        version = self.registry.register(
            self.models.path(model), model, {"serm.round": str(round), ROLE: role}
        )
        if alias:
            self.registry.set_alias(alias, version)
        return version

    def window(self, number: int) -> WindowRef:
        """The window of round `number`, which counts from 1."""
        return self.dataset.windows[number - 1]

    def pairs(self, number: int) -> pd.DataFrame:
        return self.dataset.window(number - 1)

    def coded_pairs(self, number: int) -> pd.DataFrame:
        """The same rows, each text once (see `DataSet.coded_window`)."""
        return self.once(("coded", number), lambda: self.dataset.coded_window(number - 1))

    def held_out(self, number: int) -> dict[str, pd.DataFrame]:
        """What may never be trained on in a round, without its grades: the open gate, what the panel alone
        grades for it, and every test. Of windows to come it is the queries alone: what is trained on now
        must not read like the gate that they will open."""
        data, last = self.dataset, len(self.dataset.windows)
        gate = data.gate(last, [*READ, "opens"])
        held_out = {"gate": gate[gate["opens"] < number]}
        held_out |= {f"test {test.name}": data.test(test.name, READ) for test in data.tests}
        to_come = gate[gate["opens"] >= number]
        if self.settings.gate.judged_share:
            judged = data.judged_only(last, [*READ, "window"])
            held_out["judged only"] = judged[judged["window"] < number]
            to_come = pd.concat([to_come, judged[judged["window"] >= number]])
        return held_out | ({} if to_come.empty else {"windows to come": to_come[["query_id", "query"]]})

    def sample(self, name: str) -> pd.DataFrame:
        """The pairs that the miner chose, with who chose them and why."""
        file = self.workspace.samples / name / "sample.parquet"
        return self.once(("sample", name), lambda: read_frame(file))

    def human_graded(self, number: int) -> pd.DataFrame:
        """The gate rows that are open in a round, with their human grades."""
        return self.dataset.gate(number - 1)

    def gate_lists(self, number: int) -> pd.DataFrame:
        """What the opened windows logged for the queries of these rows, graded or not, a pair once a window
        (`window`; -1: none); no grades."""
        opened = self.dataset.gate(number - 1, ["query_id"])["query_id"].unique()
        lists = self.dataset.gate_lists(number - 1)
        return lists[lists["query_id"].isin(opened)].reset_index(drop=True)

    def judged_lists(self, number: int) -> pd.DataFrame:
        """The same of the queries that the panel alone grades for the gate, where `gate.judged_share` is."""
        return self.dataset.judged_lists(number - 1)

    def truth(self, number: int) -> Mapping[PairKey, int]:
        """Grades of the window, of the open gate and of what the panel grades for it; sealed ones are opened
        when first looked at."""

        def read() -> pd.DataFrame:
            frames = [self.dataset.sealed(number - 1), self.dataset.gate(number - 1)[[*KEY, "grade"]]]
            if self.settings.gate.judged_share:
                frames.append(self.dataset.judged_sealed())
            return pd.concat(frames, ignore_index=True)

        return SealedGrades(read)

    def open_knowledge(self, number: int) -> Knowledge:
        return round_knowledge(
            number,
            self.workspace,
            self.dataset,
            self.models.open(self.models.untrained()),
            url=self.settings.storage.chroma,
            progress=lambda done, total: self.emit(Event(number, "knowledge", done=done, total=total)),
        )

    @cached_property
    def precision(self) -> str:
        """At what `auto` makes this machine compute, on which scores depend; "" where the config says it,
        whose word is in the models' keys."""
        model = self.settings.model
        return resolve_compute(model).precision if model.precision == "auto" else ""

    def score_key(self, *what: object) -> str:
        """The name of scores: a hash of the pairs and the model, and of the precision that `auto` found. So a
        run that goes on on another machine compares no scores of the two."""
        return digest([*what, *filter(None, [self.precision])])

    def scores(self, number: int, model: str) -> tuple[str, Scores]:
        """A window's scores by one model, and the name they are kept under."""
        key = self.score_key(self.window(number).id, model)
        frame, scorer = self.coded_pairs(number), self.models.open(model)
        shards = shard_map(self.settings.miner.executor)
        return key, stored_scores(self.workspace.scores, key, scorer, frame, shards)

    def own_model(self, number: int) -> OwnModel:
        """The model that the registry has as the one in use. Scores of the window are those that mine it."""
        bearer = self.registry.alias(CHAMPION)
        key = bearer[1] if bearer else self._reported_champion()
        if not key:
            return super().own_model(number)
        rows, probabilities = self.once(("own scores", number, key), lambda: self._own_scores(number, key))

        def of(pair: Pair) -> FloatArray:
            row = rows.get(pair.key)
            if row is not None:
                return np.asarray(probabilities[row], dtype=np.float32)
            text = document_text([pair.title], [pair.text])
            scores = self.models.open(key).score([pair.query], text, [pair.language])
            return np.asarray(scores.probabilities[0], dtype=np.float32)

        return OwnModel(key, of)

    def _reported_champion(self) -> str:
        """As the last report has it, for a round that went on where the registry knows nothing of it; ""."""
        reports = read_rounds(self.workspace.rounds)
        return str(reports[-1]["models"]["champion_after"]) if reports else ""

    def _own_scores(self, number: int, key: str) -> tuple[dict[PairKey, int], FloatArray]:
        """The place of each pair of a window, and the probabilities in their order."""
        _, scores = self.scores(number, key)
        keys = self.pairs(number)[list(KEY)].itertuples(index=False, name=None)
        return {PairKey(*pair): row for row, pair in enumerate(keys)}, scores.probabilities

    def agent_names(self) -> tuple[str, ...]:
        """The agents that mine: those with a share of the budget, none where choice is random."""
        miner = self.settings.miner
        return tuple(name for name, share in miner.agents.items() if share > 0 and miner.choice == "mined")


def shared_layers(settings: Settings, workspace: Workspace, *, add: bool = True) -> SharedLayers | None:
    """What no training changes. A limit of 0 turns it off, and so does training that changes all layers.
    `add`: whether states may be added to those that are kept."""
    layers, limit = settings.training.freeze_layers, settings.storage.layer_states
    room = round(limit * GIB) if add else 0
    return SharedLayers(layers, workspace.states, room) if layers and limit else None
