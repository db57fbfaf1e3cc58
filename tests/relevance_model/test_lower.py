"""Lower layers that are run once: the same vectors and the same training as with the whole network."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from serm.core.settings_loop import ModelSettings, TrainingSettings
from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.loading import load_model, open_base
from serm.relevance_model.lower import SharedLayers
from serm.relevance_model.train import train

TEXTS = ["red ask1", "the answer1", "the also2 of the answer3 - blue", "", "green ask4 " * 9]
ROOM = 10**7


def _model(
    tiny: ModelSettings, folder: Path | None, shared: SharedLayers | None, dropout: float = 0.1
) -> BiEncoder:
    model = open_base(tiny, folder, shared)
    assert isinstance(model, BiEncoder)
    for module in model.encoder.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    return model


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_vectors_are_those_of_the_whole_network(tiny: ModelSettings, precision: str) -> None:
    settings = tiny.model_copy(update={"precision": precision})
    whole = _model(settings, None, None).embed_documents(TEXTS)
    split = _model(settings, None, SharedLayers(1, None, ROOM)).embed_documents(TEXTS)
    assert np.abs(split - whole).max() < (2e-3 if precision == "float32" else 2e-2)


def test_kept_states_give_the_same_bits(tiny: ModelSettings, tmp_path: Path) -> None:
    shared = SharedLayers(1, tmp_path / "states", ROOM)
    first = _model(tiny, None, shared).embed_documents(TEXTS)
    assert len(list((tmp_path / "states").rglob("*.npy"))) == 1
    again = _model(tiny, None, shared)
    again.encoder.lower._made = None  # type: ignore[union-attr, method-assign, assignment]
    assert (again.embed_documents(TEXTS[::-1])[::-1] == first).all()
    assert (_model(tiny, None, SharedLayers(1, None, 0)).embed_documents(TEXTS) == first).all()


def test_another_process_computes_what_this_one_keeps(tiny: ModelSettings, tmp_path: Path) -> None:
    model = _model(tiny, None, SharedLayers(1, tmp_path / "states", ROOM))
    vectors = model.embed_documents(TEXTS)
    elsewhere = pickle.loads(pickle.dumps(model.encoder.reader))
    assert (elsewhere(TEXTS) == vectors).all()


def test_training_moves_the_upper_layers_alone_and_learns_as_much(
    tiny: ModelSettings, quick: TrainingSettings, toy: pd.DataFrame, tmp_path: Path
) -> None:
    training = quick.model_copy(update={"epochs": 15, "freeze_layers": 1})
    shared = SharedLayers(1, tmp_path / "states", ROOM)
    start = _model(tiny, None, shared, dropout=0.0)
    trained = train(start, toy, training, seed=1)
    assert isinstance(trained, BiEncoder)
    assert trained.encoder.lower is start.encoder.lower
    before, after = start.encoder.model.state_dict(), trained.encoder.model.state_dict()
    assert list(before) == list(after)
    moved = {name for name in before if (before[name] != after[name]).any()}
    assert moved
    assert all("layer.1" in name or "pooler" in name for name in moved)

    plain = train(_model(tiny, None, None, dropout=0.0), toy, training, seed=1)
    queries, documents = toy["query"].tolist(), toy["text"].tolist()
    wanted = plain.score(queries, documents).expected
    found = trained.score(queries, documents).expected
    assert np.corrcoef(wanted, found)[0, 1] > 0.99

    trained.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model", tiny, None, shared)
    assert (loaded.score(queries, documents).expected == found).all()


def test_dropout_in_the_upper_layers_reads_kept_states(tiny: ModelSettings) -> None:
    split = _model(tiny, None, SharedLayers(1, None, ROOM)).encoder
    whole = _model(tiny, None, None).encoder
    for layers in (1, 2, None):
        wanted = whole.embed_under_dropout(TEXTS, passes=2, seed=3, layers=layers)
        found = split.embed_under_dropout(TEXTS, passes=2, seed=3, layers=layers)
        assert np.abs(found - wanted).max() < 5e-3
    assert np.abs(found[0] - found[1]).max() > 1e-3


@pytest.mark.parametrize("layers", [0, 2, 9])
def test_nothing_is_shared_where_nothing_is_left_to_train(tiny: ModelSettings, layers: int) -> None:
    assert _model(tiny, None, SharedLayers(layers, None, ROOM)).encoder.lower is None
