"""Networks whose layers differ by their number (masks near and far, relative positions): cut in two, or run
many times, every layer does what it does in the whole network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from transformers import (
    Gemma3TextConfig,
    Gemma3TextModel,
    ModernBertConfig,
    ModernBertModel,
    T5Config,
    T5EncoderModel,
)

from serm.core.settings_loop import ModelSettings
from serm.relevance_model.biencoder import BiEncoder
from serm.relevance_model.loading import open_base
from serm.relevance_model.lower import SharedLayers
from serm.relevance_model.passes import MaskedReader

LENGTH = 60
TEXTS = ["red ask1", "the answer1 of red and blue " * 8, "green ask4 the also2 " * 11]
SIZES: dict[str, Any] = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 4, "pad_token_id": 0}
HEADS: dict[str, Any] = {"num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 64}
OF_BERT = dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0)
KINDS: dict[str, Callable[[], Any]] = {
    "t5": lambda: T5EncoderModel(
        T5Config(vocab_size=60, d_model=32, d_kv=16, d_ff=64, num_layers=4, num_heads=2, dropout_rate=0.0)
    ),
    "modernbert": lambda: ModernBertModel(
        ModernBertConfig(
            **SIZES,
            **HEADS,
            **OF_BERT,
            local_attention=8,
            global_attn_every_n_layers=3,
            initializer_range=0.5,
        )
    ),
    "gemma3": lambda: Gemma3TextModel(
        Gemma3TextConfig(
            **SIZES,
            **HEADS,
            num_key_value_heads=1,
            head_dim=16,
            sliding_window=8,
            layer_types=["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
            initializer_range=0.5,
        )
    ),
}


@pytest.fixture(params=list(KINDS))
def base(request: pytest.FixtureRequest, tiny: ModelSettings, tmp_path: Path) -> ModelSettings:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = KINDS[request.param]()
        for name, weight in network.named_parameters():
            if "relative_attention_bias" in name:
                torch.nn.init.normal_(weight, std=3.0)
        network.save_pretrained(tmp_path / "body")
    SentenceTransformer(tiny.base, device="cpu").tokenizer.save_pretrained(tmp_path / "body")
    whole = SentenceTransformer(modules=[Transformer(str(tmp_path / "body")), Pooling(32)], device="cpu")
    whole.save(str(tmp_path / "base"), create_model_card=False)
    return tiny.model_copy(update={"base": str(tmp_path / "base"), "max_length": LENGTH})


def _model(base: ModelSettings, shared: SharedLayers | None) -> BiEncoder:
    model = open_base(base, None, shared)
    assert isinstance(model, BiEncoder)
    return model


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_pass_without_dropout_is_the_network_itself(base: ModelSettings, layers: int) -> None:
    reader = _model(base, None).encoder.reader
    found = MaskedReader(reader, 2, seed=5, layers=layers)(TEXTS)
    np.testing.assert_allclose(found, np.stack([reader(TEXTS)] * 2), atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_network_that_is_cut_is_the_network_itself_or_is_not_cut(base: ModelSettings, layers: int) -> None:
    whole, cut = _model(base, None), _model(base, SharedLayers(layers, None, 10**7))
    if cut.encoder.lower is None:
        assert "T5" in next(Path(base.base).rglob("config.json")).read_text(encoding="utf-8")
        return
    assert np.abs(cut.embed_documents(TEXTS) - whole.embed_documents(TEXTS)).max() < 5e-3
