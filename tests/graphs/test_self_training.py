"""`model:champion`: the model in use labels what it mines, through the same graphs as any judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_world import make_pairs, world

from serm.agents.panel import open_panel
from serm.core import Settings
from serm.core.errors import ConfigError
from serm.graphs import evolve
from serm.llm.spec import parse_backend
from serm.relevance_model.loading import load_model
from serm.relevance_model.scoring import score_frame
from serm.storage.judgments import JudgmentStore

JUDGES = [{"backend": "model:champion"}]


@pytest.mark.slow
def test_labels_are_the_grades_of_the_model_that_was_in_use(tmp_path: Path, tiny_encoder: Path) -> None:
    config = world(tmp_path, tiny_encoder, make_pairs(30), judges=JUDGES, evolution={"rounds": 2})
    config["gate"] = {"enabled": False, "resamples": 200}  # another model in use in each round
    settings = Settings.from_mapping(config, folder=tmp_path, environment={})
    reports = list(evolve(settings).rounds)
    folder = settings.workspace_path
    used = [report["models"]["champion_before"] for report in reports[1:]]
    assert used[0] != used[1]
    with JudgmentStore(f"sqlite:///{folder / 'judgments.sqlite'}") as store:
        for report, key in zip(reports[1:], used, strict=True):
            sample, labels = (pd.read_parquet(folder / report[name]) for name in ("sample", "labels"))
            model = load_model(folder / "models" / key, settings.model, None)
            wanted = score_frame(model, sample).probabilities.argmax(axis=1)
            assert np.array_equal(labels["grade"].to_numpy(dtype=int), wanted)
            keys = zip(sample["query_id"], sample["doc_id"], strict=True)
            said = [store.for_pair(query, doc)[0] for query, doc in keys]
            assert {item.revision for item in said} == {key}
            assert not any(item.simulated for item in said)
        assert reports[1]["simulated_judges"] == []


def test_there_is_one_such_model_and_it_is_that_of_a_loop() -> None:
    with pytest.raises(ConfigError, match="model:champion"):
        parse_backend("model:challenger")
    settings = Settings.from_mapping({"judges": JUDGES}, environment={})
    with pytest.raises(ConfigError, match="model in use"):
        open_panel(settings)
