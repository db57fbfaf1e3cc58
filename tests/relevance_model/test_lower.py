"""Lower layers that are run once: the same vectors and the same training as with the whole network."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense, Pooling, Transformer
from transformers import (
    DebertaV2Config,
    DebertaV2Model,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
)

from serm.core.hashing import digest
from serm.core.settings_loop import ModelSettings, TrainingSettings
from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.identity import weights_id
from serm.relevance_model.loading import load_model, open_base
from serm.relevance_model.lower import SharedLayers
from serm.relevance_model.passes import MaskedReader
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


def test_a_network_that_is_cut_has_its_weights_in_memory_once(tiny: ModelSettings) -> None:
    encoder = _model(tiny, None, SharedLayers(1, None, ROOM)).encoder
    assert encoder.lower is not None
    masked = MaskedReader(encoder.reader, 2, seed=1, layers=1)
    own = {parameter.data_ptr() for parameter in encoder.model.parameters()}
    for network in (encoder.lower._network, encoder.reader.network, masked.reader.network):
        assert {parameter.data_ptr() for parameter in network.parameters()} <= own
    training = {module.training for module in encoder.model.modules()}
    encoder.reader.network.train()
    assert {module.training for module in encoder.model.modules()} == training, "its modules are its own"


def test_kept_states_give_the_same_bits(tiny: ModelSettings, tmp_path: Path) -> None:
    shared = SharedLayers(1, tmp_path / "states", ROOM)
    first = _model(tiny, None, shared).embed_documents(TEXTS)
    assert len(list((tmp_path / "states").rglob("*.npy"))) == 1
    again = _model(tiny, None, shared)
    again.encoder.lower.made = None  # type: ignore[union-attr, method-assign, assignment]
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
    assert trained.encoder.lower is start.encoder.lower is not None
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


SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}
OTHERS = {
    "mpnet": lambda: MPNetModel(MPNetConfig(**SIZES)),
    "deberta": lambda: DebertaV2Model(
        DebertaV2Config(**SIZES, relative_attention=True, position_buckets=8, pos_att_type=["p2c", "c2p"])
    ),
    "modernbert": lambda: ModernBertModel(
        ModernBertConfig(**SIZES, bos_token_id=0, eos_token_id=0, cls_token_id=0, sep_token_id=0)
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_all_layers_read_stays_fixed_and_what_lies_above_is_no_part_of_the_lower_ones(
    name: str, tiny: ModelSettings, quick: TrainingSettings, toy: pd.DataFrame, tmp_path: Path
) -> None:
    """Relative positions that every layer reads, a last norm, a dense layer on top."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        OTHERS[name]().save_pretrained(tmp_path / "body")
        SentenceTransformer(tiny.base, device="cpu").tokenizer.save_pretrained(tmp_path / "body")
        base = SentenceTransformer(
            modules=[Transformer(str(tmp_path / "body")), Pooling(32), Dense(32, 16)], device="cpu"
        )
    base.save(str(tmp_path / "base"), create_model_card=False)
    settings = tiny.model_copy(update={"base": str(tmp_path / "base")})
    start = _model(settings, None, SharedLayers(2, None, ROOM), dropout=0.0)
    trained = train(start, toy, quick.model_copy(update={"epochs": 2, "freeze_layers": 2}), seed=1)
    assert isinstance(trained, BiEncoder)
    assert trained.encoder.lower is start.encoder.lower is not None
    whole = _model(settings, None, None, dropout=0.0).embed_documents(TEXTS)
    assert np.abs(start.embed_documents(TEXTS) - whole).max() < 5e-3
    before, after = start.encoder.model.state_dict(), trained.encoder.model.state_dict()
    moved = {name for name in before if (before[name] != after[name]).any()}
    assert any("layer.2." in name or "layers.2." in name for name in moved)
    assert any(name.endswith("linear.weight") for name in moved)
    assert not any(word in name for name in moved for word in ("embeddings", "bias.weight", ".0.", ".1.attn"))


def test_a_network_that_cannot_be_cut_is_run_whole(tiny: ModelSettings, tmp_path: Path) -> None:
    """DeBERTa's convolution reads the embeddings beside the first layer's states."""
    config = DebertaV2Config(**SIZES, relative_attention=True, position_buckets=8, conv_kernel_size=3)
    DebertaV2Model(config).save_pretrained(tmp_path)
    SentenceTransformer(tiny.base, device="cpu").tokenizer.save_pretrained(tmp_path)
    settings = tiny.model_copy(update={"base": str(tmp_path)})
    assert _model(settings, None, SharedLayers(2, None, ROOM)).encoder.lower is None


def test_the_lower_layers_of_a_plain_transformer_bear_the_name_they_always_had(tiny: ModelSettings) -> None:
    """States that are kept already are found again."""
    lower = _model(tiny, None, SharedLayers(1, None, ROOM)).encoder.lower
    assert lower is not None
    assert lower.id == digest([weights_id(lower._network), 1, 16, "float32"])


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
